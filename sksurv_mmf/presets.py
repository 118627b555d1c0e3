"""Named settings from the literature."""

from functools import partial

import numpy as np
from sklearn.base import clone
from sklearn.compose import ColumnTransformer, make_column_selector
from sklearn.impute import SimpleImputer
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, QuantileTransformer, StandardScaler
from sksurv.ensemble import GradientBoostingSurvivalAnalysis, RandomSurvivalForest
from sksurv.linear_model import CoxnetSurvivalAnalysis

from .encoders._attention_mil import AttentionMIL
from .encoders._identity import Identity
from .encoders._snn import SNN
from .fusions._bilinear import Bilinear
from .fusions._concat import Concat
from .fusions._cross_modal_attention import CrossModalAttention
from .fusions._gated_attention import GatedAttention
from .fusions._mean import Mean
from .fusions._survpath import SurvPath
from .late_fusion._late_fusion import LateFusionSurvivalAnalysis
from .model_selection._cox_penalty import CoxPenaltySearch
from .model_selection._kaplan_meier import KaplanMeier
from .model_selection._split import SurvivalKFold
from .objectives._discrete_hazard import DiscreteHazard
from .preprocessing._bag_pooling import BagPooling
from .preprocessing._bag_transformer import BagTransformer
from .preprocessing._modality_imputer import ModalityImputer
from .preprocessing._modality_transformer import make_modality_transformer
from .survival import FusionSurvivalAnalysis
from .utils._modality_names import modality_of
from .utils._warnings import warn

# What this package adds to published networks, switched off.
AS_PUBLISHED = {"n_estimators": 1, "fair_inputs": False, "zero_start": False, "attention_lr": 1.0}

# How the rows of the tables train unless parameters say otherwise.
_TRAINING = {"max_epochs": 20, "lr": 0.0003, "batch_size": 8, "normalization": "layer"}


def paper_protocol():
    """Training parameters of the paper that proposed cross-modality attention fusion.

    Use it to repeat the protocol of [1]_; for results on your own cohort the defaults are the better start. To change
    one of them, merge: ``{**paper_protocol(), "max_epochs": 10}``.

    Returns
    -------
    params : dict
        Parameters of :class:`~sksurv_mmf.FusionSurvivalAnalysis`: Adam with learning rate 0.01, one patient per
        step, 55 epochs, Gaussian noise on the inputs, vectors of width 128 with min-max normalisation before the
        fusion, hazards in four time bins.

    Notes
    -----
    The paper does not say how strong the noise is; a standard deviation of 0.1 is our choice. The objective is that
    of the code that the paper builds on: quantiles of the uncensored times as edges of the bins, an output for each
    bin, and curves that step.

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
        **AS_PUBLISHED,
        "objective": _four_bins(),
    }


def table1(image="wsi", rna="rna", **params):
    """The ten models of the paper's Table 1: three of one modality and seven fusions.

    The table is that of [1]_. Use it to compare designs on your own cohort, all on the same folds, for patients who
    have both modalities: every model takes the same X then. A model of one modality refuses a patient who lacks it.

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
    Networks have the widths and the objective of [1]_ and of the code that it builds on; another `objective` may be
    among `params`. The mean vector is plain; add the similarity term of its authors with
    ``set_params(fuse__fusion=Mean(similarity=0.3))``. Models of one modality do not normalise its vector, because
    nothing is fused.

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
    CrossModalAttention(activation='tanh', heads='shared')
    """
    _check_names(image=image, rna=rna)
    alone = params | {"normalization": None}
    both = _image_and_rna(image, rna)
    fusions = {
        "Concatenation": Concat(),
        "Mean vector": Mean(),
        "Bilinear": Bilinear(),
        "Gated attention": GatedAttention(),
        "SurvPath": SurvPath(),
        "CM-MMF": CrossModalAttention(activation="tanh", heads="shared"),
    }
    return {
        "AMIL, image only": _row([(image, AttentionMIL(512, 256, dropout=0.25))], Mean(), alone),
        "Custom-AMIL, image only": _row(
            [(image, AttentionMIL(512, 256, batch_norm=True, dropout=0.25))], Mean(), alone
        ),
        "SNN, RNA only": _row([(rna, SNN(256, n_layers=4, dropout=0.25))], Mean(), alone),
        "Raw concatenation": _row([both[0], (rna, Identity())], Concat(), params),
        **{name: _row(both, fusion, params) for name, fusion in fusions.items()},
    }


def table2(image="wsi", rna="rna", **params):
    """The four variants of CM-MMF of the paper's Table 2: scoring network shared or not, ReLU or tanh.

    The table is that of [1]_.

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
    _check_names(image=image, rna=rna)
    both, fusion = _image_and_rna(image, rna), partial(CrossModalAttention, heads="shared")
    return {
        f"{'Shared' if shared else 'Not shared'}, {label}": _row(both, fusion(shared, activation), params)
        for activation, label in [("relu", "ReLU"), ("tanh", "tanh")]
        for shared in (False, True)
    }


def baselines(
    image="wsi",
    rna="rna",
    clinical="clinical",
    *,
    statistics=("mean",),
    remainder="error",
    handle_missing="error",
    random_state=None,
):
    """Models that a fusion network has to beat: scikit-survival's on pooled bags, and late fusion.

    Use them on the folds on which you judge a network. All take the same X, as it comes from
    :func:`~sksurv_mmf.join_modalities` with ``how="outer"``: bags are averaged over their tiles, and scaling, missing
    values, missing modalities and penalties are learnt inside the training fold. A modality that X does not have must
    be None: ``baselines(clinical=None)`` for :func:`~sksurv_mmf.datasets.make_multimodal_survival`. To be fair to a
    network that reads more, name all that it reads: ``baselines(["HE", "Ki67"], ["rna", "titan"])``.

    Parameters
    ----------
    image : str, list of str or None, default="wsi"
        Names of the modalities of tiles; None if there is none.
    rna : str, list of str or None, default="rna"
        Names of the modalities of genes or other numbers of which there are many, such as vectors of slides.
    clinical : str, list of str or None, default="clinical"
        Names of the modalities of clinical variables. Those that are not numbers are one-hot encoded.
    statistics : sequence of str or float, default=("mean",)
        What is computed over the tiles of a bag, such as ``("mean", "std", "max", 0.9)``; see
        :class:`~sksurv_mmf.preprocessing.BagPooling`.
    remainder : {"error", "drop"}, default="error"
        What happens to modalities of X that are not named: `fit` refuses them, or leaves them out.
    handle_missing : {"error", "ignore"}, default="error"
        What a NaN among tile features means, a damaged file or a feature that is not defined there; see
        :class:`~sksurv_mmf.preprocessing.BagPooling`.
    random_state : int, RandomState instance or None, default=None
        Seed of forests and boosting.

    Returns
    -------
    models : dict of str to Pipeline
        Names and unfitted models: "Kaplan-Meier", the same curve for everybody; "Ridge Cox", "Elastic net Cox", "Random
        survival forest" and "Gradient boosting" of all modalities; "Clinical Cox"; "Late fusion, rank" and "Late
        fusion, stack" of one forest per modality.
        Without clinical modality or with a single modality, models that need more are not among them.

    Raises
    ------
    ValueError
        If no modality is named, or one twice; in `fit`, if X lacks one of those that are, or has others that
        `remainder` refuses.

    See Also
    --------
    sksurv_mmf.LateFusionSurvivalAnalysis : Late fusion of other models.
    sksurv_mmf.preprocessing.BagPooling : Averages the tiles.
    sksurv_mmf.model_selection.KaplanMeier : What a Brier score is worth.

    Notes
    -----
    Tile means and genes are replaced by their ranks among the training patients (linear between deciles), because
    z-scores of expression have heavy tails, and then scaled. For the models of all modalities a missing modality has
    the mean and an indicator; late fusion leaves it out.

    Penalties of the three Cox models are chosen by the C-index in five inner folds. "Elastic net Cox" is half lasso,
    half ridge. The other two are ridge; there the columns of a modality are divided by the root of their number, so
    that thousands of genes do not drown three clinical variables. Forests and boosting have fixed settings: 100 trees
    with at least 5 % of the training patients in a leaf [1]_; 200 trees of depth 2, learning rate 0.05, each on half
    of the patients. Both look at the square root of the number of columns for each split.

    References
    ----------
    .. [1] Ishwaran, H., Kogalur, U. B., Blackstone, E. H., Lauer, M. S. "Random survival forests." The Annals of
           Applied Statistics 2(3), 841-860 (2008).

    Examples
    --------
    >>> from sksurv_mmf.datasets import load_breast_cancer_cohort
    >>> from sksurv_mmf.presets import baselines
    >>> cohort = load_breast_cancer_cohort()
    >>> models = baselines(image=None, random_state=0)
    >>> list(models)[:3]
    ['Kaplan-Meier', 'Ridge Cox', 'Elastic net Cox']
    >>> models["Clinical Cox"].fit(cohort.X, cohort.y).predict(cohort.X).shape
    (198,)
    """
    _check_remainder(remainder)
    prepare = _pooled(image, rna, clinical, handle_missing, statistics)
    forest = _forest(random_state)
    boosting = GradientBoostingSurvivalAnalysis(
        n_estimators=200,
        learning_rate=0.05,
        max_depth=2,
        subsample=0.5,
        max_features="sqrt",
        random_state=random_state,
    )
    models = {
        "Kaplan-Meier": Pipeline([("choose", _choose(prepare, remainder)), ("model", KaplanMeier())]),
        "Ridge Cox": _flat(prepare, remainder, _ridge_cox()),
        "Elastic net Cox": _flat(prepare, remainder, _elastic_net_cox()),
        "Random survival forest": _flat(prepare, remainder, forest),
        "Gradient boosting": _flat(prepare, remainder, boosting),
    }
    if clinical is not None:
        models["Clinical Cox"] = _flat({name: prepare[name] for name in _as_list(clinical)}, "drop", _ridge_cox())
    if len(prepare) > 1:
        modalities = [(name, Pipeline([("prepare", step), ("forest", forest)])) for name, step in prepare.items()]
        for combine in ("rank", "stack"):
            fuse = LateFusionSurvivalAnalysis(modalities, combine=combine)
            models[f"Late fusion, {combine}"] = Pipeline([("choose", _choose(prepare, remainder)), ("fuse", fuse)])
    return {name: clone(model) for name, model in models.items()}  # clones, so that models share no part


def super_learner(
    image="wsi",
    rna="rna",
    clinical="clinical",
    *,
    remainder="error",
    handle_missing="error",
    network=None,
    random_state=None,
):
    """The mean of a fused network's survival curves, of ridge Cox's and of a forest's per modality: insurance.

    Use it where nobody will compare models before one is relied on. Half of the weight is the network's, a quarter
    ridge Cox's, and a quarter the forests' together. It is no better than the best of its members, but it is not known
    beforehand which one that will be, and on no cohort was it bad: on eight real ones, its C-index was never more than
    0.004 below that of ridge Cox, and its Brier score below that of Kaplan-Meier. To learn which model suits your
    cohort, compare them one by one.

    Parameters
    ----------
    image : str or None, default="wsi"
        Name of the modality of tiles; None if there is none.
    rna : str or None, default="rna"
        Name of the modality of genes or other numbers of which there are many.
    clinical : str or None, default="clinical"
        Name of the modality of clinical variables. Those that are not numbers are one-hot encoded.
    remainder : {"error", "drop"}, default="error"
        What happens to modalities of X that are not named: `fit` refuses them, or leaves them out.
    handle_missing : {"error", "ignore"}, default="error"
        What a NaN among tile features means; see :class:`~sksurv_mmf.preprocessing.BagPooling`. If "ignore", the
        network has the feature's median over tiles in its place.
    network : estimator, default=None
        The fused network; None is ``FusionSurvivalAnalysis(random_state=random_state)``. It is given the modalities
        prepared, as for `baselines`, except that bags remain bags.
    random_state : int, RandomState instance or None, default=None
        Seed of forests and network.

    Returns
    -------
    model : Pipeline
        Step "choose" takes the columns of the modalities, step "fuse" is a
        :class:`~sksurv_mmf.LateFusionSurvivalAnalysis` with ``combine="curves"``. Its members are called "network",
        "ridge" and "forest_<modality>".

    Raises
    ------
    ValueError
        If no modality is named; in `fit`, if X lacks one of those that are, or has others that `remainder` refuses.

    See Also
    --------
    baselines : Ridge Cox and forests by themselves.
    sksurv_mmf.LateFusionSurvivalAnalysis : Averages the curves of any members.

    Notes
    -----
    On paper this is a super learner [1]_, of survival curves [2]_, with one difference: its weights are fixed. Weights
    learnt from held-out patients were worse on average than fixed ones, with 33 to 187 events to learn them from.

    Nor is any member silenced, and so each is fitted once. ``set_params(fuse__cv=5)`` silences those that are worse
    than the Kaplan-Meier curve on held-out patients, for six times the cost. On three real cohorts that did not help:
    it changed nothing on two, and on the third, where nearly every member is worse than Kaplan-Meier and their mean is
    better, it cost 0.03 of C and 0.004 of the integrated Brier score.

    References
    ----------
    .. [1] van der Laan, M. J., Polley, E. C., Hubbard, A. E. "Super learner." Statistical Applications in Genetics and
           Molecular Biology 6(1), article 25 (2007).
    .. [2] Westling, T., Luedtke, A., Gilbert, P. B., Carone, M. "Inference for treatment-specific survival curves using
           machine learning." Journal of the American Statistical Association 119(546), 1541-1553 (2024).

    Examples
    --------
    >>> from sksurv_mmf import FusionSurvivalAnalysis
    >>> from sksurv_mmf.datasets import load_breast_cancer_cohort
    >>> from sksurv_mmf.presets import super_learner
    >>> cohort = load_breast_cancer_cohort()
    >>> quick = FusionSurvivalAnalysis(max_epochs=2, random_state=0)
    >>> model = super_learner(image=None, network=quick, random_state=0)
    >>> model.fit(cohort.X, cohort.y)["fuse"].weights_.to_dict()
    {'network': 0.5, 'ridge': 0.25, 'forest_rna': 0.125, 'forest_clinical': 0.125}
    """
    _check_remainder(remainder)
    pooled = _pooled(image, rna, clinical, handle_missing)
    names = list(pooled)
    tiles = BagTransformer(make_pipeline(SimpleImputer(strategy="median", keep_empty_features=True), StandardScaler()))
    prepare = make_modality_transformer(remainder="drop", **(pooled | ({} if image is None else {image: tiles})))
    network = FusionSurvivalAnalysis(random_state=random_state) if network is None else network
    members = [
        ("network", Pipeline([("prepare", prepare), ("fuse", network)]), names),
        ("ridge", _flat(pooled, "drop", _ridge_cox()), names),
        *(
            (f"forest_{name}", Pipeline([("prepare", step), ("forest", _forest(random_state))]), [name])
            for name, step in pooled.items()
        ),
    ]
    weights = {"network": 1 / 2, "ridge": 1 / 4} | {f"forest_{name}": 1 / (4 * len(names)) for name in names}
    fuse = LateFusionSurvivalAnalysis(members, combine="curves", weights=weights, cv=None)
    model = Pipeline([("choose", _choose(names, remainder)), ("fuse", fuse)])
    return clone(model)  # so that members share no part


def _as_list(names):
    """Names of modalities as a list, of which there may be one or none."""
    return [] if names is None else list(names) if isinstance(names, list | tuple) else [names]


def _pooled(image, rna, clinical, handle_missing, statistics=("mean",)):
    """What makes numbers of each modality that is named."""
    kinds = [
        ("image", image, make_pipeline(BagPooling(statistics, handle_missing=handle_missing), *_many_numbers())),
        ("rna", rna, make_pipeline(*_many_numbers())),
        ("clinical", clinical, _clinical_variables()),
    ]
    steps = {}
    for argument, names, step in kinds:
        for name in _as_list(names):
            _check_names(**{argument: name})
            if name in steps:
                raise ValueError(f"Modality {name!r} is named twice. Name it under one of image, rna and clinical.")
            steps[name] = step
    if not steps:
        raise ValueError("Name at least one of the modalities image, rna and clinical.")
    return steps


def _forest(random_state):
    return RandomSurvivalForest(100, min_samples_leaf=0.05, max_features="sqrt", random_state=random_state)


def _check_remainder(remainder):
    if remainder not in ("error", "drop"):
        raise ValueError(f"remainder must be 'error' or 'drop', got {remainder!r}.")


def _check_names(**names):
    """Refuse names of modalities that are no text."""
    for argument, name in names.items():
        if not isinstance(name, str):
            raise ValueError(f"{argument} must be the name of a modality, such as 'rna', got {name!r}.")


def _many_numbers():
    """Steps for numeric columns of any unit and tail."""
    # Ten quantiles, so that the ranks exist in small folds.
    return (
        SimpleImputer(strategy="median", keep_empty_features=True),
        # Beyond 10,000 patients it draws some; without a seed no two fits would be the same, and none could be shared.
        QuantileTransformer(n_quantiles=10, random_state=0),
        StandardScaler(),
    )


def _clinical_variables():
    """Numbers scaled, everything else one-hot encoded."""
    numbers = make_pipeline(SimpleImputer(strategy="median", keep_empty_features=True), StandardScaler())
    words = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
    return ColumnTransformer(
        [
            ("numbers", numbers, make_column_selector(dtype_include="number")),
            ("words", words, make_column_selector(dtype_exclude="number")),
        ],
        verbose_feature_names_out=False,
    )


def _ridge_cox():
    scale = FunctionTransformer(_weigh_alike)
    return Pipeline([("scale", scale), ("cox", CoxPenaltySearch(np.geomspace(1e-3, 1, 7)))])


def _weigh_alike(X):
    """Divide each modality by the root of its number of columns.

    Parameters
    ----------
    X : DataFrame of shape (n_patients, n_columns)
        Numeric columns named ``<modality>__<feature>``.

    Returns
    -------
    scaled : DataFrame of shape (n_patients, n_columns)
        A copy, in which a modality of many columns varies in all no more than one of few.
    """
    modality = X.columns.map(lambda column: modality_of(column) or column)
    return X / np.sqrt(modality.value_counts()[modality].to_numpy())


def __getattr__(name):
    # Pickles and files of save_model name the function in them, and find it here by its old name, too.
    if name == "weigh_alike":
        warn("presets.weigh_alike is private from the next release on, and has no successor.", FutureWarning)
        return _weigh_alike
    raise AttributeError(f"Module {__name__!r} has no attribute {name!r}.")


def _elastic_net_cox():
    shares = {"alpha_min_ratio": np.geomspace(0.9, 0.1, 6)}  # of the penalty that removes all coefficients
    cox = CoxnetSurvivalAnalysis(n_alphas=10, l1_ratio=0.5, fit_baseline_model=True)
    return GridSearchCV(cox, shares, cv=SurvivalKFold(5))


def _flat(prepare, remainder, model):
    """A pipeline that makes a table without gaps of the modalities."""
    table = make_modality_transformer(remainder=remainder, **prepare)
    return Pipeline([("prepare", table), ("impute", ModalityImputer()), ("model", model)])


def _choose(names, remainder):
    """Takes the columns of the modalities."""
    return make_modality_transformer(remainder=remainder, **dict.fromkeys(names, "passthrough"))


def _image_and_rna(image, rna):
    """The encoders of the multimodal network."""
    return [(image, AttentionMIL(512, 256, dropout=0.25, input_dropout=0.1)), (rna, SNN(256, n_layers=2, dropout=0.25))]


def _four_bins():
    """The objective of PORPOISE, and so of the paper."""
    return DiscreteHazard(n_bins=4, interpolation="step", proportional=False)


def _row(modalities, fusion, params):
    """A pipeline that takes the columns of the modalities and fuses them."""
    # A clone, so that rows share no encoder.
    model = clone(
        FusionSurvivalAnalysis(modalities, fusion, **{**AS_PUBLISHED, **_TRAINING, "objective": _four_bins(), **params})
    )
    return Pipeline([("choose", _choose(dict(modalities), "drop")), ("fuse", model)])
