"""What was done, in paragraphs. Nothing is said that the comparison does not know."""

from ..pages._parts import Section, Text
from ._folds import describe_folds
from ._study import count, describe_columns, percent

SCORES = {
    "harrell": "Harrell's C-index, in which equal risks count one half",
    "uno": "Uno's C-index, weighted against censoring",
    "auc": "the cumulative/dynamic area under the ROC curve",
    "ibs": "the integrated Brier score",
    "brier": "the Brier score",
    "calibration": "calibration in the large, the mean predicted probability of an event minus Kaplan-Meier's",
}


def methods_section(study):
    """Paragraphs on patients, models, folds and scores, and what the authors have to add."""
    paragraphs = {
        "Data and patients": [
            Text(_describe_patients(study)),
            Text(
                "To be written by the authors: the source of the data, when and where patients were treated, who was "
                "eligible, which treatments they had, and how the outcome was defined and assessed (TRIPOD+AI 5 to 9).",
                "authors",
            ),
        ],
        "Models and internal validation": [Text(_describe_models(study))],
        "Measures of performance": [Text(_describe_scores(study))],
    }
    return Section("Methods", [Section(title, parts) for title, parts in paragraphs.items()])


def _describe_patients(study):
    n, modalities = len(study.X), []
    for name, columns in study.modalities.items():
        what = describe_columns(study.X, columns)
        modalities.append(f"{name} ({what}, known of {percent(int(study.present[name].sum()), n)})")
    modality = "Modalities are" if len(modalities) > 1 else "The modality is"
    said = (
        f"The comparison has {count(n, 'patient')}, of whom {percent(study.outcome.n_events, n)} had the event. "
        f"{modality} {_join(modalities)}."
    )
    incomplete = int((~study.present.all(axis=1)).sum())
    if len(study.modalities) > 1:
        said += (
            f" {percent(incomplete, n)} {'lacks' if incomplete == 1 else 'lack'} at least one modality."
            if incomplete
            else " Nobody lacks one."
        )
    if study.cohort is not None:
        said += (
            " Tables were read from files and matched by patient; what was chosen and left out is under Cohort flow."
        )
    return said


def _describe_models(study):
    comparison = study.comparison
    were = "was" if len(comparison.models) == 1 else "were"
    models = f"{count(len(comparison.models), 'model')} ({_join(comparison.models)})"
    return (
        f"{describe_folds(study)}\n\n"
        f"In each fold, {models} {were} fitted anew to the training patients, with all steps: whatever a model does to "
        "scale, impute, select or tune was learnt from training patients alone. What was done to the data before they "
        "were passed to the comparison is not known to this report."
    )


def _describe_scores(study):
    comparison = study.comparison
    names = list(dict.fromkeys(score.partition("@")[0] for score in comparison._definitions))
    horizons = sorted({float(score.partition("@")[2]) for score in comparison._definitions if "@" in score})
    at = f", at {_join([study.at(horizon) for horizon in horizons])} where a score has a horizon" if horizons else ""
    compared = (
        f"All models are compared with {comparison.reference}"
        if comparison.reference is not None
        else "All pairs of models are compared"
    )
    return (
        f"Models were judged by {_join([SCORES.get(name, name) for name in names])}{at}, for the test patients of each "
        "fold. All but Harrell's C-index judge up to the time at which a tenth of the training patients is still "
        f"followed. {compared}. Intervals of means and differences, and p-values, are those of the corrected resampled "
        "t-test (Nadeau and Bengio 2003); the bootstrap resamples test patients and keeps the fitted models; p-values "
        "are corrected for the number of comparisons by Holm's method."
    )


def _join(names):
    names = list(names)
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
