"""Named settings from the literature."""


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
