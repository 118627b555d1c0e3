"""Events and follow-up."""

import numpy as np
import pandas as pd
from sksurv.nonparametric import kaplan_meier_estimator

from ..inspection._calibration import survival_at
from ..inspection._risk_groups import RiskGroup, RiskGroupDisplay
from ..pages._cells import write_estimate
from ..pages._parts import Figure, Section, Table
from ..plotting._plotting import BLUE
from ._study import percent


def median_time(event, time, reverse=False):
    """Time at which Kaplan-Meier's curve falls to one half, or with `reverse` that of censoring; NaN if it does not.

    The reverse one is the median follow-up as of Schemper and Smith (1996): how long patients would have been followed,
    had none had the event.
    """
    times, survival = kaplan_meier_estimator(event, time, reverse=reverse)
    reached = survival <= 0.5
    return times[reached.argmax()] if reached.any() else np.nan


def outcome_section(study):
    """Numbers of the outcome, and the curve of all patients."""
    event, time = study.outcome
    follow_up, survival = (median_time(event, time, reverse) for reverse in (True, False))
    rows = {
        "patients": str(len(event)),
        "events": percent(int(event.sum()), len(event)),
        "median follow-up (reverse Kaplan-Meier)": _write(study, follow_up),
        "observed times": f"{study.at(time.min())} to {study.at(time.max())}",
        "median time to the event (Kaplan-Meier)": _write(study, survival),
    }
    for horizon in study.horizons:
        rows[f"no event by {study.at(horizon)} (95% interval)"] = write_estimate(*survival_at(event, time, horizon))
    table = pd.DataFrame({"value": rows})
    group = RiskGroup.estimate("All patients", event, time, 0.95)
    display = RiskGroupDisplay([group], np.nan, time_unit=study.time_unit).plot(color=[BLUE])
    display.figure_.set_size_inches(5.5, 3.6)
    return Section(
        "Outcome",
        [
            Table(table, "Events and follow-up."),
            Figure(
                display.figure_,
                "Kaplan-Meier estimate of the probability of no event, with 95% intervals and numbers at risk.",
                "A Kaplan-Meier curve with the numbers of patients at risk below it.",
            ),
        ],
    )


def _write(study, time):
    return "not reached" if np.isnan(time) else study.at(time)
