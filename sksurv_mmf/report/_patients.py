"""Who the patients were: how they came into the study, what they were like, and what there is of them."""

import pandas as pd

from ..pages._parts import Figure, Section, Table, Text
from ..portals._cohort import CohortReport
from ..utils._modality_names import feature_of
from ._baseline import baseline_table
from ._study import describe_columns, is_bags, percent, quartiles

MOST_COLUMNS = 20


def flow_section(study):
    """How many patients were read, and what became of them."""
    if study.cohort is None:
        return "Pass cohort=, the report of read_cohort."
    cohort = study.cohort
    rows = {name: report.numbers for name, report in cohort.reports.items()}
    columns = list(dict.fromkeys(key for numbers in rows.values() for key in numbers))
    table = pd.DataFrame.from_dict(rows, orient="index", columns=None).reindex(columns=columns).astype("Int64")
    n_read = int(cohort.combinations["patients"].sum())
    n_left = len(study.X)
    kept = "every modality and a known outcome" if cohort.how == "inner" else "a modality and a known outcome"
    parts = [
        Text(
            f"{n_read} patients are in at least one of the files. {cohort.n_patients} have {kept}, and "
            f"{n_left} are in the comparison; {n_read - n_left} are not."
        ),
        Table(table.rename_axis("file"), "What was read from each file."),
        Table(_combinations(cohort), "Patients by what they have, before those without an outcome were left out."),
    ]
    axes = cohort.plot()
    parts.append(Figure(axes[0].figure, "Patients by what they have.", "Bars of patients above what they have."))
    for name, report in cohort.reports.items():
        if report.notes:
            parts.append(Section(f"{name}: what was done", [Text("\n\n".join(report.notes), "note")]))
    return Section("Cohort flow", parts)


def _combinations(cohort):
    table = cohort.combinations
    names = [", ".join(name for name, has in zip(table.index.names, row) if has) for row in table.index]
    return table.set_axis(pd.Index(names, name="has"))


def baseline_section(study):
    """Table 1, by group and by event."""
    variables, skipped = _variables(study)
    if not variables.shape[1]:
        return f"X has no table of at most {MOST_COLUMNS} columns. Pass clinical=, a table by patient."
    by, said = study.by, "by group"
    if by is None:
        by = pd.Series(study.outcome.event, study.X.index).map({True: "Event", False: "Censored"})
        said = "by whether the event was observed"
    caption = f"Patients, {said}. Median [quartiles], or number of patients (percentage of those of whom it is known)."
    parts = [Table(baseline_table(variables, by), caption)]
    if skipped:
        parts.append(Text(f"Not in the table: {', '.join(skipped)}.", "note"))
    return Section("Patients", parts)


def _variables(study):
    """Clinical variables, and modalities that are not among them."""
    if study.clinical is not None:
        return study.clinical, []
    X, chosen, skipped = study.X, {}, []
    for name, columns in study.modalities.items():
        if is_bags(X, columns) or len(columns) > MOST_COLUMNS:
            skipped.append(f"{name} ({describe_columns(X, columns)})")
        else:
            chosen |= {column: feature_of(column, name) for column in columns}
    # A name that two modalities have tells them apart by theirs.
    labels = [label if list(chosen.values()).count(label) == 1 else column for column, label in chosen.items()]
    return X[list(chosen)].set_axis(labels, axis=1), skipped


def modalities_section(study):
    """What there is of the patients, and of how many."""
    X, n = study.X, len(study.X)
    rows = {}
    for name, columns in study.modalities.items():
        own = X.loc[study.present[name], columns]
        rows[name] = {
            "kind": "bags of tiles" if is_bags(X, columns) else "table",
            "patients": percent(len(own), n),
            "events": int(study.outcome.event[study.present[name]].sum()),
            **(_of_bags(own[columns[0]]) if is_bags(X, columns) else {"columns": len(columns)}),
        }
    table = pd.DataFrame.from_dict(rows, orient="index").rename_axis("modality")
    counts = [name for name in ("columns", "features per tile") if name in table]
    table = table.astype(dict.fromkeys(counts, "Int64"))
    parts = [Table(table, "Modalities, and how many patients have them.")]
    if len(study.present.drop_duplicates()) > 1:
        grouped = study.present.assign(event=study.outcome.event).groupby(list(study.present.columns), sort=False)
        combinations = pd.DataFrame({"patients": grouped.size(), "events": grouped["event"].sum()})
        combinations = combinations.sort_values("patients", ascending=False, kind="stable")
        axes = CohortReport(combinations, {}, n, "outer").plot()
        alt = "Bars of patients above the modalities that they have."
        parts.append(Figure(axes[0].figure, "Patients of the comparison, by the modalities that they have.", alt))
    return Section("Modalities", parts)


def _of_bags(bags):
    tiling = bags.array.tiling
    size = f"{tiling.width:g} µm" if tiling.width else f"{tiling.tile_size} pixels" if tiling.tile_size else "not known"
    return {
        "tiles per patient": quartiles(bags.array.n_tiles),
        "features per tile": bags.array.n_features,
        "feature extractor": tiling.extractor or "not known",
        "side of a tile": size,
    }
