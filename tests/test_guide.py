"""The guide keeps what it promises: its code runs or at least compiles, and the messages that it explains exist."""

import re
import textwrap
import warnings
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sksurv_mmf import FusionSurvivalAnalysis, join_modalities, load_model, read_bags, save_model
from sksurv_mmf.bags import Bag
from sksurv_mmf.datasets import make_multimodal_survival
from sksurv_mmf.encoders import SNN, AttentionMIL, Identity
from sksurv_mmf.fusions import Concat, Mean
from sksurv_mmf.model_selection import SurvivalKFold
from sksurv_mmf.objectives import DiscreteHazard
from sksurv_mmf.preprocessing import CoxElasticNetSelector

GUIDE = Path(__file__).parents[1] / "docs" / "guide"
CHAPTERS = sorted(path.stem for path in GUIDE.glob("*.rst"))
# Blocks of the first kind form the script of their chapter; those of the other take names and files for granted.
SCRIPT, EXCERPT = r"\.\. code-block:: python", r"(?!\s*\.\. ).*::"
SCRIPTS = [chapter for chapter in CHAPTERS if ".. code-block:: python" in (GUIDE / f"{chapter}.rst").read_text("utf-8")]
# What makes a chapter quick enough for a test.
QUICKER = {
    "first_model": {
        "n_patients=120": "n_patients=40",
        "FusionSurvivalAnalysis(random_state=0)": "FusionSurvivalAnalysis(max_epochs=1, random_state=0)",
        "SurvivalKFold(5": "SurvivalKFold(2",
    },
    "coming_from": {"max_epochs=4": "max_epochs=1"},
}


def code_blocks(chapter, heading):
    """Python of a chapter, block by block: what follows a line that matches `heading`, with an indent."""
    text = (GUIDE / f"{chapter}.rst").read_text(encoding="utf-8")
    blocks = re.findall(rf"^{heading}\n\n((?:    .*\n|\n)+)", text, flags=re.MULTILINE)
    return [textwrap.dedent(block) for block in blocks]


def script_of(chapter):
    code = "\n".join(code_blocks(chapter, SCRIPT))
    for slow, quick in QUICKER.get(chapter, {}).items():
        assert slow in code
        code = code.replace(slow, quick)
    return code


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_blocks_are_python(chapter):
    for block in code_blocks(chapter, f"(?:{SCRIPT}|{EXCERPT})"):
        compile(block, chapter, "exec")


@pytest.mark.parametrize("chapter", SCRIPTS)
def test_scripts_run(chapter, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    exec(compile(script_of(chapter), chapter, "exec"), {"__name__": chapter})
    plt.close("all")


def test_numbers_of_r(tmp_path, monkeypatch):
    # What R computed stands beside the expression that computes the same here.
    rows = re.findall(r'^   .+, ([\d.]+), "``(.+)``"$', (GUIDE / "coming_from.rst").read_text("utf-8"), re.MULTILINE)
    assert len(rows) == 10
    monkeypatch.chdir(tmp_path)
    names = {}
    exec(script_of("coming_from"), names)
    plt.close("all")
    for number, expression in rows:
        assert eval(expression, names) == pytest.approx(float(number), rel=1e-8), expression


@pytest.fixture(scope="module")
def small():
    return make_multimodal_survival(n_patients=40, n_genes=4, n_tiles=(3, 6), random_state=0)


@pytest.fixture(scope="module")
def rna(small):
    return small.X.filter(like="rna__").rename_axis("patient")


@pytest.fixture(scope="module")
def outcome(small, rna):
    return pd.DataFrame(small.y, rna.index)


def network(**params):
    return FusionSurvivalAnalysis(n_estimators=1, max_epochs=1, device="cpu", random_state=0, **params)


class MyFusion(Mean):
    pass


def other_tiles(X):
    tiles = pd.Series([Bag(np.ones((3, 5), dtype="float32"))] * len(X), X.index, dtype="bag")
    return X.assign(wsi__tiles=tiles)


def saved(model):
    save_model(model, "m.zip")
    return load_model("m.zip")


def saved_twice(model):
    save_model(model, "n.zip")
    save_model(model, "n.zip")


def read_truncated():
    Path("f").mkdir()
    Path("f/P1.h5").write_bytes(b"abc")
    read_bags("f", "slide")


def changed(X, patient, column, value):
    X = X.copy()
    X.loc[patient, column] = value
    return X


# The beginning of each message, and what makes it of X and y, the table of genes, and the outcome as a table.
PROVOKED = {
    "ValueError: The index of modality 'rna' looks like a row number": lambda X, y, rna, outcome: join_modalities(
        {"rna": rna.reset_index(drop=True)}
    ),
    "ValueError: No patient is common to all modalities": lambda X, y, rna, outcome: join_modalities(
        {"wsi": X["wsi__tiles"], "rna": rna.rename(index=lambda name: f"{name}-01A")}
    ),
    "ValueError: Patient 'P0001' has several rows in modality 'rna'": lambda X, y, rna, outcome: join_modalities(
        {"rna": pd.concat([rna, rna[:1]])}
    ),
    "UserWarning: Patient 'P0001' has several rows in X": lambda X, y, rna, outcome: network().fit(
        pd.concat([X, X[:1]]), np.concatenate([y, y[:1]])
    ),
    "UserWarning: 10 of 40 patients have no outcome": lambda X, y, rna, outcome: join_modalities(
        {"rna": rna}, outcome=outcome[:30], event="event", time="time"
    ),
    "ValueError: y must be a structured array": lambda X, y, rna, outcome: network().fit(X, y["time"]),
    "ValueError: X has 40 patients and y has 10": lambda X, y, rna, outcome: network().fit(X, y[:10]),
    "ValueError: The event 'event' of outcome must be True": lambda X, y, rna, outcome: join_modalities(
        {"rna": rna}, outcome=outcome.assign(event=outcome["event"] + 1), event="event", time="time"
    ),
    "UserWarning: Column 'censorship' of outcome": lambda X, y, rna, outcome: join_modalities(
        {"rna": rna}, outcome=outcome.assign(censorship=~outcome["event"]), event="censorship", time="time"
    ),
    "UserWarning: 1 of 6 columns of X rises or falls": lambda X, y, rna, outcome: network().fit(
        X.assign(rna__months=y["time"] / 30), y
    ),
    "ValueError: None of the 40 patients has an event": lambda X, y, rna, outcome: network().fit(
        X, outcome.assign(event=False)
    ),
    "ValueError: SurvivalKFold(n_splits=35)": lambda X, y, rna, outcome: next(SurvivalKFold(35).split(X, y)),
    "ValueError: y has other patients than X": lambda X, y, rna, outcome: next(
        SurvivalKFold(2).split(X, outcome[::-1])
    ),
    "ValueError: Patient 'P0001' has NaN in some columns": lambda X, y, rna, outcome: network().fit(
        changed(X, "P0001", "rna__G0000", np.nan), y
    ),
    "ValueError: Patient 'P0003' has an infinite value": lambda X, y, rna, outcome: network().fit(
        changed(X, "P0003", "rna__G0000", np.inf), y
    ),
    "ValueError: Column 'clinical__sex' of modality 'clinical' has dtype": lambda X, y, rna, outcome: network().fit(
        X.assign(clinical__sex="f"), y
    ),
    "UserWarning: The pipeline was given the modalities 'rna'": lambda X, y, rna, outcome: make_pipeline(
        StandardScaler(), network()
    ).fit(rna.join(rna.rename(columns=lambda name: name.replace("rna", "cnv"))), y),
    "ValueError: Columns 'rna__G0000', 'rna__G0001', 'rna__G0002', 'rna__G0003' are in X": lambda X, y, rna, outcome: (
        network(modalities=[("wsi", AttentionMIL())]).fit(X, y)
    ),
    "ValueError: No gene was selected from 40 patients with 24 events": lambda X, y, rna, outcome: (
        CoxElasticNetSelector(random_state=0).fit(np.random.default_rng(0).normal(size=(40, 20)), y)
    ),
    "FileNotFoundError: There is no folder": lambda X, y, rna, outcome: read_bags("nowhere"),
    "ValueError: Feature file": lambda X, y, rna, outcome: read_truncated(),
    "ValueError: The tiles of modality 'wsi' have 5 features": lambda X, y, rna, outcome: (
        network().fit(X, y).predict(other_tiles(X))
    ),
    "ValueError: Modality 'wsi' is a bag column, but SNN": lambda X, y, rna, outcome: network(
        modalities=[("wsi", SNN()), ("rna", SNN())]
    ).fit(X, y),
    "ValueError: CrossModalAttention needs embeddings of one width": lambda X, y, rna, outcome: network(
        modalities=[("wsi", AttentionMIL()), ("rna", Identity())]
    ).fit(X, y),
    "AttributeError: FusionSurvivalAnalysis has no modality_attention": lambda X, y, rna, outcome: (
        network(fusion=Concat()).fit(X, y).modality_attention(X)
    ),
    "ValueError: n_bins=60 time bins are more than the 24 events": lambda X, y, rna, outcome: network(
        objective=DiscreteHazard(60)
    ).fit(X, y),
    "ValueError: Training diverged: the loss is": lambda X, y, rna, outcome: network(lr=1e8, optimizer="sgd").fit(X, y),
    "ValueError: device='cuda', but torch finds no GPU here": lambda X, y, rna, outcome: (
        network().set_params(device="cuda").fit(X, y)
    ),
    "ValueError: checkpoint_dir needs a random_state": lambda X, y, rna, outcome: (
        network(checkpoint_dir="states").set_params(random_state=None).fit(X, y)
    ),
    "NotFittedError: This FusionSurvivalAnalysis instance": lambda X, y, rna, outcome: network().predict(X),
    "ValueError: The feature names should match": lambda X, y, rna, outcome: (
        network().fit(X, y).predict(X.drop(columns="rna__G0001"))
    ),
    "ValueError: horizons must be one or several times": lambda X, y, rna, outcome: (
        network().fit(X, y).predict_survival_table(X, [1e6])
    ),
    "ValueError: The model 'm.zip' cannot be loaded": lambda X, y, rna, outcome: saved(
        network(fusion=MyFusion()).fit(X, y)
    ),
    "FileExistsError: n.zip exists": lambda X, y, rna, outcome: saved_twice(network().fit(X, y)),
}


def explained():
    """The messages that the chapter explains, in order."""
    text = (GUIDE / "troubleshooting.rst").read_text(encoding="utf-8")
    return re.findall(r"^\.\. code-block:: text\n\n    (.+)\n", text, flags=re.MULTILINE)


def test_all_messages_are_provoked():
    assert [next(begin for begin in PROVOKED if message.startswith(begin)) for message in explained()] == list(PROVOKED)


@pytest.mark.parametrize("message", explained())
def test_messages_are_real(message, small, rna, outcome, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    provoke = next(make for begin, make in PROVOKED.items() if message.startswith(begin))
    kind, _, text = message.partition(": ")
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        try:
            provoke(small.X, small.y, rna, outcome)
        except Exception as error:
            heard = [error]
        else:
            heard = [warning.message for warning in heard]
    assert any(type(one).__name__ == kind and str(one).startswith(text) for one in heard), heard
