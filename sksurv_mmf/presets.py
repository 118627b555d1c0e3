"""Named settings from the literature."""

from sklearn.base import clone
from sklearn.pipeline import Pipeline

from .encoders._attention_mil import AttentionMIL
from .encoders._identity import Identity
from .encoders._snn import SNN
from .fusions._bilinear import Bilinear
from .fusions._concat import Concat
from .fusions._cross_modal_attention import CrossModalAttention
from .fusions._gated_attention import GatedAttention
from .fusions._mean import Mean
from .fusions._survpath import SurvPath
from .preprocessing._modality_transformer import make_modality_transformer
from .survival import FusionSurvivalAnalysis


def paper_protocol():
    """Training parameters of the paper that proposed cross-modality attention fusion ([1]_).

    Use it to repeat the paper's protocol; for results on your own cohort the defaults are the better start. To change
    one of them, merge: ``{**paper_protocol(), "max_epochs": 10}``.

    Returns
    -------
    params : dict
        Parameters of :class:`~sksurv_mmf.FusionSurvivalAnalysis`: Adam with learning rate 0.01, one patient per
        step, 55 epochs, Gaussian noise on the inputs, vectors of width 128 with min-max normalisation before the
        fusion.

    Notes
    -----
    The paper does not say how strong the noise is; a standard deviation of 0.1 is our choice. Of the objective, four
    bins with quantiles of the uncensored times, the defaults are the paper's.

    References
    ----------
    .. [1] Deng, R. et al. "Cross-modality attention-based multimodal fusion for non-small cell lung cancer
           (NSCLC) patient survival prediction", arXiv:2308.09831, 2023.

    Examples
    --------
    >>> from sksurv_mmf import FusionSurvivalAnalysis
    >>> from sksurv_mmf.presets import paper_protocol
    >>> FusionSurvivalAnalysis(random_state=0, **paper_protocol()).max_epochs
    55
    """
    return {
        "embedding_dim": 128,
        "max_epochs": 55,
        "lr": 0.01,
        "batch_size": 1,
        "optimizer": "adam",
        "weight_decay": 0.0,
        "input_noise": 0.1,
        "normalization": "minmax",
        "modality_dropout": 0.0,
    }


def table1(image="wsi", rna="rna", **params):
    """The ten models that Table 1 of [1]_ compares: three of one modality and seven fusions.

    Use it to compare designs on your own cohort, all on the same folds, for patients who have both modalities: every
    model takes the same X then. A model of one modality refuses a patient who lacks it.

    Parameters
    ----------
    image : str, default="wsi"
        Name of the modality of tiles.
    rna : str, default="rna"
        Name of the modality of genes, of which a few hundred should be left: select them inside the fold.
    **params : dict
        Parameters of each :class:`~sksurv_mmf.FusionSurvivalAnalysis`, for instance ``random_state=0`` or
        ``**paper_protocol()``.

    Returns
    -------
    models : dict of str to Pipeline
        The name of each row and its unfitted model. Step "choose" takes the columns of the modalities that the row
        uses, step "fuse" is the network.

    See Also
    --------
    table2 : Four variants of CM-MMF.
    paper_protocol : Training parameters of the paper.

    Notes
    -----
    Networks have the widths of [1]_ and of the code that it builds on. The mean vector is plain; add the similarity
    term of its authors with ``set_params(fuse__fusion=Mean(similarity=0.3))``. Models of one modality do not normalise
    its vector, because nothing is fused.

    References
    ----------
    .. [1] Deng, R. et al. "Cross-modality attention-based multimodal fusion for non-small cell lung cancer
           (NSCLC) patient survival prediction", arXiv:2308.09831, 2023.

    Examples
    --------
    >>> from sksurv_mmf.presets import table1
    >>> models = table1(random_state=0)
    >>> list(models)[:4]
    ['AMIL, image only', 'Custom-AMIL, image only', 'SNN, RNA only', 'Raw concatenation']
    >>> models["CM-MMF"][-1].fusion
    CrossModalAttention()
    """
    alone = params | {"normalization": None}
    both = _image_and_rna(image, rna)
    fusions = {
        "Concatenation": Concat(),
        "Mean vector": Mean(),
        "Bilinear": Bilinear(),
        "Gated attention": GatedAttention(),
        "SurvPath": SurvPath(),
        "CM-MMF": CrossModalAttention(),
    }
    return {
        "AMIL, image only": _row([(image, AttentionMIL())], Mean(), alone),
        "Custom-AMIL, image only": _row([(image, AttentionMIL(batch_norm=True))], Mean(), alone),
        "SNN, RNA only": _row([(rna, SNN(n_layers=4))], Mean(), alone),
        "Raw concatenation": _row([both[0], (rna, Identity())], Concat(), params),
        **{name: _row(both, fusion, params) for name, fusion in fusions.items()},
    }


def table2(image="wsi", rna="rna", **params):
    """The four variants of CM-MMF that Table 2 of [1]_ compares: scoring network shared or not, ReLU or tanh.

    Parameters
    ----------
    image : str, default="wsi"
        Name of the modality of tiles.
    rna : str, default="rna"
        Name of the modality of genes.
    **params : dict
        Parameters of each :class:`~sksurv_mmf.FusionSurvivalAnalysis`.

    Returns
    -------
    models : dict of str to Pipeline
        The name of each row and its unfitted model, as of `table1`. The last one is the proposed design.

    References
    ----------
    .. [1] Deng, R. et al. "Cross-modality attention-based multimodal fusion for non-small cell lung cancer
           (NSCLC) patient survival prediction", arXiv:2308.09831, 2023.

    Examples
    --------
    >>> from sksurv_mmf.presets import table2
    >>> list(table2())
    ['Not shared, ReLU', 'Shared, ReLU', 'Not shared, tanh', 'Shared, tanh']
    """
    both = _image_and_rna(image, rna)
    return {
        f"{'Shared' if shared else 'Not shared'}, {label}": _row(both, CrossModalAttention(shared, activation), params)
        for activation, label in [("relu", "ReLU"), ("tanh", "tanh")]
        for shared in (False, True)
    }


def _image_and_rna(image, rna):
    """The encoders of the multimodal network."""
    return [(image, AttentionMIL(input_dropout=0.1)), (rna, SNN())]


def _row(modalities, fusion, params):
    """A pipeline that takes the columns of the modalities and fuses them."""
    choose = make_modality_transformer(remainder="drop", **{name: "passthrough" for name, _ in modalities})
    model = FusionSurvivalAnalysis(modalities, fusion, **params)
    return Pipeline([("choose", choose), ("fuse", clone(model))])  # a clone, so that rows share no encoder
