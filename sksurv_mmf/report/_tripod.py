"""The items of TRIPOD+AI: what the report says to them, and what the authors have yet to write.

Collins, G. S. et al. "TRIPOD+AI statement: updated guidance for reporting clinical prediction models that use
regression or machine learning methods." BMJ 385, e078378 (2024). The items are in words of our own; those of the
statement decide.
"""

import pandas as pd

from ..pages._parts import Section, Table, Text
from ._study import count, describe_columns

# Number, topic, what is to be reported, and the sections that answer it, if they are there.
ITEMS = [
    ("1", "Title", "Say that a prediction model is developed or evaluated, for whom, and for which outcome.", ()),
    ("2", "Abstract", "Give a structured summary, as the list for abstracts asks.", ()),
    ("3a", "Background", "Explain the medical context, why the model is needed, and which models there are.", ()),
    ("3b", "Background", "Say who the model is for, at which point of care, and who shall use it.", ()),
    ("3c", "Background", "Describe known inequalities in health between sociodemographic groups.", ()),
    ("4", "Objectives", "State the aims, and whether a model is developed, evaluated, or both.", ()),
    ("5a", "Data", "Say where the data are from, of each data set, why these, and whom they represent.", ()),
    ("5b", "Data", "Give the dates: when patients were recruited, and when follow-up ended.", ()),
    ("6a", "Participants", "Describe the setting, with number and place of the centres.", ()),
    ("6b", "Participants", "Give the criteria of eligibility.", ()),
    ("6c", "Participants", "Describe treatments, and how they were handled.", ()),
    (
        "7",
        "Data preparation",
        "Describe how data were prepared and checked, and if alike in all groups.",
        ("Cohort flow",),
    ),
    (
        "8a",
        "Outcome",
        "Define outcome and horizon, how and when it was assessed, and if alike in all groups.",
        ("Outcome",),
    ),
    ("8b", "Outcome", "If it takes judgement, describe who assessed it.", ()),
    ("8c", "Outcome", "Say what was done to blind the assessment.", ()),
    ("9a", "Predictors", "Say how the first set of predictors was chosen, and what was selected beforehand.", ()),
    ("9b", "Predictors", "Define all predictors, and how and when they were measured.", ("Modalities",)),
    ("9c", "Predictors", "If a predictor takes judgement, describe who assessed it.", ()),
    ("10", "Sample size", "Explain how the number of patients came about, and if it is enough.", ("Outcome",)),
    (
        "11",
        "Missing data",
        "Say how missing data were handled, and why something was left out.",
        ("Models", "Patients"),
    ),
    ("12a", "Analysis", "Say how data were divided, and for what each part was used.", ("Methods", "Folds")),
    ("12b", "Analysis", "Say how predictors were transformed and scaled.", ("Models",)),
    (
        "12c",
        "Analysis",
        "Describe the type of model, how it was built and tuned, and internal validation.",
        ("Methods", "Models"),
    ),
    ("12d", "Analysis", "Say how differences between hospitals or other clusters were handled.", ("Folds",)),
    ("12e", "Analysis", "Name measures and plots of performance, and how models were compared.", ("Methods",)),
    ("12f", "Analysis", "Describe updates of the model after evaluation, such as recalibration.", ()),
    ("12g", "Analysis", "For an evaluation, say how predictions were computed.", ("External validation",)),
    ("13", "Class imbalance", "If classes were balanced, say why and how, and how predictions were corrected.", ()),
    ("14", "Fairness", "Describe what was done for fairness, and why.", ()),
    (
        "15",
        "Output of the model",
        "Say what the model returns, and how thresholds were chosen.",
        ("Risk groups", "Decisions"),
    ),
    (
        "16",
        "Training and evaluation",
        "Name differences between the data of development and of evaluation.",
        ("External validation",),
    ),
    ("17", "Ethical approval", "Name the board that approved, and consent or its waiver.", ()),
    ("18a", "Funding", "Name who paid, and their role.", ()),
    ("18b", "Conflicts of interest", "Declare them, of all authors.", ()),
    ("18c", "Protocol", "Say where it can be read, or that there was none.", ()),
    ("18d", "Registration", "Give name and number of the register, or that there was none.", ()),
    ("18e", "Data sharing", "Say where the data are available.", ()),
    ("18f", "Code sharing", "Say where the code of the analysis is available.", ("Models",)),
    ("19", "Patients and public", "Describe how they took part in the study, or that they did not.", ()),
    (
        "20a",
        "Participants",
        "Describe the flow of patients, how many had the event, and follow-up.",
        ("Cohort flow", "Outcome"),
    ),
    ("20b", "Participants", "Give their characteristics, in all and by setting, with what is missing.", ("Patients",)),
    ("20c", "Participants", "For an evaluation, compare predictors with the data of development.", ()),
    ("21", "Model development", "Give patients and events of each analysis.", ("Folds",)),
    ("22", "Model specification", "Give all that is needed to predict for new patients, and who may have it.", ()),
    (
        "23a",
        "Model performance",
        "Give performance with intervals, also in subgroups, and plots.",
        ("Results", "Calibration", "Added value"),
    ),
    ("23b", "Model performance", "If clusters were looked at, say how performance differs between them.", ()),
    ("24", "Model updating", "Give the results of updates.", ()),
    ("25", "Interpretation", "Interpret the results, with fairness and earlier studies in mind.", ()),
    ("26", "Limitations", "Discuss limitations, and what they do to results and use.", ()),
    ("27a", "Usability", "Say what is done with poor or missing input when the model is used.", ()),
    ("27b", "Usability", "Say what users must do and know to use it.", ()),
    ("27c", "Usability", "Say what is next, for other settings and for research.", ()),
]

# What a section cannot know, although it answers a part of the item.
ALSO_BY_AUTHORS = {
    "7": "what was done before files were read, and whether it was alike in all groups",
    "8a": "definition and assessment of the outcome",
    "9b": "how and when predictors were measured",
    "10": "why there are this many patients",
    "11": "why data are missing",
    "12b": "what was done before the comparison",
    "12c": "why this type of model",
    "12d": "whether clusters matter here",
    "15": "which threshold is to be used, and why",
    "16": "how the data sets differ in setting, eligibility, outcome and predictors",
    "18f": "where the code is",
    "23a": "subgroups, unless they are under Added value",
}
TO_WRITE = "To be written by the authors"


def tripod_section(study, titles):
    """The list, with the sections that answer an item. `titles` are those of the report, in order.

    Returns
    -------
    Section
        A table of all items.
    """
    numbers = {title: f"Section {number}, {title}" for number, title in enumerate(titles, start=1)}
    rows = []
    for number, topic, words, wanted in ITEMS:
        there = [numbers[title] for title in wanted if title in numbers]
        said = _facts(study).get(number, "")
        theirs = ALSO_BY_AUTHORS.get(number) if there else "the whole item"
        status = "Filled in"
        if theirs is not None:
            status = Text(TO_WRITE if not there else f"{TO_WRITE}: {theirs}", "authors")
        rows.append((number, topic, words, said if there else "", "; ".join(there), status))
    columns = ["item", "topic", "what to report", "from this study", "section", "left to the authors"]
    table = pd.DataFrame(rows, columns=columns).set_index("item")
    n_open = sum(isinstance(one, Text) for one in table["left to the authors"])
    text = (
        f"The {len(ITEMS)} parts of the 27 items of TRIPOD+AI (Collins et al., BMJ 2024;385:e078378), in words of our "
        f"own; the statement itself decides. {len(ITEMS) - n_open} are answered in this report, and {n_open} are left "
        "to the authors in whole or in part. That a part is answered does not mean that the answer is good."
    )
    return Section("TRIPOD+AI", [Text(text), Table(table, "Items of TRIPOD+AI, and where they are answered.")])


def _facts(study):
    """Short answers by item."""
    comparison, n = study.comparison, len(study.X)
    events = study.outcome.n_events
    design = comparison.design
    if design is None:
        groups = ""
    elif design.groups is None:
        groups = "No groups were kept together."
    else:
        groups = f"{design.groups.nunique()} groups stayed on one side of each fold."
    return {
        "8a": f"Horizons: {', '.join(study.at(one) for one in study.horizons) or 'none'}.",
        "9b": "; ".join(f"{name}: {describe_columns(study.X, columns)}" for name, columns in study.modalities.items())
        + ".",
        "10": f"{count(n, 'patient')}, {count(events, 'event')}.",
        "12a": f"{count(len(comparison.folds), 'division')} into training and test patients.",
        "12c": f"{', '.join(comparison.models)}.",
        "12d": groups,
        "12e": f"{', '.join(comparison._definitions)}.",
        "20a": f"{count(n, 'patient')}, {events} with the event.",
        "21": f"{count(len(comparison.folds), 'fold')}; in each its own patients and events.",
        "23a": "Means over folds with 95% intervals, and pairwise differences.",
    }
