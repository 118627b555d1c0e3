"""How much each feature of a modality adds to a patient's risk score."""

from dataclasses import replace

import numpy as np
import pandas as pd
import torch

from ..predictions._ask import check_model, innermost, unwrap
from ..predictions._checks import as_real_numbers
from ..survival import FusionSurvivalAnalysis
from ..utils._frames import who_has
from ..utils._optional import import_optional
from ..utils._sklearn import validate_params
from ..utils._torch_state import usual_settings
from ..utils._validation import DEPTH, shorten
from ..utils._warnings import warn

TOLERANCE = 0.05  # share of the change of risk that the sums of attributions may miss


@validate_params(
    {
        "modality": [str, None],
        "baseline": ["array-like", None],
        "n_steps": [DEPTH],
    },
    prefer_skip_nested_validation=True,
)
def integrated_gradients(
    estimator, X, *, modality: str | None = None, baseline=None, n_steps: int = 50
) -> pd.DataFrame:
    r"""Attribute each patient's risk score to the features of a numeric modality.

    Tells which genes drive the prediction of a patient, and how far each pushes the risk up or down against that of a
    baseline patient. For what matters in a cohort, and whether other folds agree, see :func:`feature_importance`.

    Parameters
    ----------
    estimator : FusionSurvivalAnalysis, Pipeline or search
        Fitted estimator, or a Pipeline or search of one. Behind a Pipeline, features are those that come out of its
        transformers, for example the selected genes.
    X : DataFrame of shape (n_patients, n_columns)
        Patients.
    modality : str, default=None
        Name of the modality; not needed if there is one numeric modality only.
    baseline : array-like of shape (n_features,), default=None
        Features of the patient to compare with, as the network sees them. None takes the mean of the training patients,
        or zeros if the estimator has ``standardize=False``, which is the same behind a StandardScaler.
    n_steps : int, default=50
        Number of steps between the baseline and the patient.

    Returns
    -------
    attributions : DataFrame of shape (n_patients, n_features)
        In units of the risk score. A row sums to the risk of the patient minus the risk of the same patient with the
        features of the baseline. Patients without the modality have no row.

    Raises
    ------
    TypeError
        If the estimator is not a FusionSurvivalAnalysis.
    ValueError
        If the modality is unknown or not numeric, or if the baseline has another length.
    ImportError
        If captum is not installed.

    Warns
    -----
    UserWarning
        If sums miss the change of risk by more than 5 % on average, which more steps mend.

    See Also
    --------
    feature_importance : Aggregates attributions over folds.

    Notes
    -----
    With baseline :math:`b`, the attribution of feature :math:`j` ([1]_, computed by captum) is

    .. math:: (x_j - b_j) \int_0^1 \frac{\partial f}{\partial x_j}\bigl(b + \alpha (x - b)\bigr) \, d\alpha .

    The other modalities stay as they are. A linear risk gives :math:`w_j (x_j - b_j)` exactly. Attributions explain
    the model, not the disease: of two genes that rise and fall together, a network may use either.

    References
    ----------
    .. [1] Sundararajan, M., Taly, A. and Yan, Q. "Axiomatic attribution for deep networks", ICML 2017.

    Examples
    --------
    >>> from sksurv_mmf import FusionSurvivalAnalysis
    >>> from sksurv_mmf.datasets import make_multimodal_survival
    >>> from sksurv_mmf.inspection import integrated_gradients
    >>> cohort = make_multimodal_survival(n_patients=60, n_genes=20, n_tiles=5, random_state=0)
    >>> model = FusionSurvivalAnalysis(max_epochs=5, random_state=0).fit(cohort.X, cohort.y)
    >>> integrated_gradients(model, cohort.X).shape
    (60, 20)
    """
    return attribute(estimator, X, modality, baseline, n_steps)[1]


@usual_settings()
def attribute(estimator, X, modality=None, baseline=None, n_steps=50):
    """Features as the network sees them, and their attributions; frames of one shape."""
    method = import_optional("captum.attr", "explain", "Computing integrated gradients").IntegratedGradients
    check_model(estimator)
    last = innermost(estimator)
    if not isinstance(last, FusionSurvivalAnalysis):
        kind = type(last).__name__
        raise TypeError(f"Gradients need a FusionSurvivalAnalysis, or a Pipeline or search of one, got {kind}.")
    model, X = unwrap(estimator, X)
    m, columns = _find_modality(model, modality)
    baseline = _check_baseline([one.net_.module_.encoders[m] for one in model.members], baseline, len(columns))

    def explain(member, network, batch):
        if batch.inputs[m] is None:
            return None
        values, present = batch.inputs[m], batch.present[:, m]
        embeddings, has = network.embed(batch)

        def risk(changed):
            embeddings[m] = network.embed_one(m, replace(batch, inputs=_exchanged(batch.inputs, m, changed)))
            outputs = network.head(network.fusion(embeddings, has)[0])
            return model._risk(member, outputs)[present]

        start = baseline.to(values).expand_as(values)
        with torch.enable_grad():
            # With as many points at a time as patients, each call sees all patients once and in order.
            found = method(risk).attribute(values, start, n_steps=n_steps, internal_batch_size=len(values))
        return values, found, risk(values) - risk(start)

    X, parts = model._infer(X, explain, _mean_over_members, torch.no_grad)
    parts = [part for part in parts if part is not None]
    if not parts:
        raise ValueError(
            f"None of {len(X)} patients has modality {model.modalities_[m].name!r}, so none can be explained."
        )
    values, found, change = (torch.cat(one).cpu().numpy() for one in zip(*parts))
    _check_completeness(found, change, n_steps)
    patients, names = X.index[who_has(X, columns)], X.columns[columns]
    return tuple(pd.DataFrame(one, index=patients, columns=names) for one in (values, found))


def _mean_over_members(results):
    """Values, attributions and changes of risk; the risk of an ensemble is the mean of its members' risks."""
    results = list(results)
    return None if results[0] is None else [torch.stack(one).mean(dim=0) for one in zip(*results)]


def _exchanged(inputs, m, values):
    return (*inputs[:m], values, *inputs[m + 1 :])


def _find_modality(model, name):
    """Position and columns of the modality to explain."""
    numeric = [one.name for one in model.modalities_ if not one.is_bag]
    if name is None and len(numeric) == 1:
        name = numeric[0]
    if name not in numeric:
        raise ValueError(
            f"modality={name!r}, but one numeric modality has to be chosen. In this model these are: "
            f"{shorten(numeric) or 'none'}. For tiles, see FusionSurvivalAnalysis.tile_attention."
        )
    m = [one.name for one in model.modalities_].index(name)
    return m, model.modalities_[m].columns


def _check_baseline(encoders, baseline, n_features):
    if baseline is None and encoders[0].standardize is None:
        return torch.zeros(n_features)
    if baseline is None:
        # Members have seen different patients.
        return torch.stack([encoder.standardize.mean for encoder in encoders]).mean(dim=0)
    baseline = as_real_numbers(baseline, "baseline is").astype(np.float32)
    if baseline.shape != (n_features,) or not np.isfinite(baseline).all():
        raise ValueError(
            f"baseline must be {n_features} finite numbers, one for each feature as the network sees it, got an array "
            f"of shape {baseline.shape}."
        )
    return torch.from_numpy(baseline)


def _check_completeness(attributions, change, n_steps):
    missed, scale = np.abs(attributions.sum(axis=1) - change).mean(), np.abs(change).mean()
    if missed > TOLERANCE * scale:
        warn(
            f"With n_steps={n_steps}, the sum of attributions misses the change of risk by {missed:.2g} on average, "
            f"while the change itself is {scale:.2g}. Use more steps.",
        )
