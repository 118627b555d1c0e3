"""The README keeps what it promises: its example runs, and its names exist."""

import importlib
import re
import textwrap
from pathlib import Path

import pytest
from chance import margin_of_chance

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
LANDING_PAGE = (ROOT / "docs" / "index.rst").read_text(encoding="utf-8")
FOLDERS = ["encoders", "fusions", "objectives", "preprocessing", "model_selection", "inspection", "datasets"]


def test_the_example_runs_and_learns(capsys):
    (block,) = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
    names = {}
    exec(compile(block, "README.md", "exec"), names)
    assert capsys.readouterr().out.startswith("C-index 0.")
    assert names["c_index"].mean() > 0.5 + margin_of_chance(names["cohort"].y)
    assert list(names["weights"].columns) == ["wsi", "rna"]
    assert names["weights"].sum(axis=1).to_numpy() == pytest.approx(1, abs=1e-6)


def test_the_landing_page_has_the_same_example_and_figures():
    (block,) = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
    assert textwrap.indent(block, "   ") in LANDING_PAGE
    figures = r"\d\.\d{3} / \d\.\d{3}"
    assert re.findall(figures, LANDING_PAGE) == re.findall(figures, README) != []


def test_the_figures_are_those_of_the_real_cohorts():
    table = README[README.index("| Kaplan-Meier") : README.index("On no single cohort")]
    measured = (ROOT / "docs" / "real_cohorts.rst").read_text(encoding="utf-8")
    rows = [re.findall(r"\d\.\d{3} / \d\.\d{3}", row) for row in table.splitlines()]
    for cohorts in (row[:4] for row in rows if row):  # the mean has one more digit there
        assert ", ".join(f'"{one}"' for one in cohorts) in measured


def test_every_public_name_is_in_the_box():
    box = README[README.index("## What is in the box") : README.index("## Installation")]
    listed = set(re.findall(r"`(?:\w+\.)?(\w+)`", box))
    public = {name for folder in FOLDERS for name in importlib.import_module(f"sksurv_mmf.{folder}").__all__}
    bases_and_helpers = {"Encoder", "Fusion", "Objective", "PresentPatients"}
    assert public - bases_and_helpers <= listed


def test_the_commands_are_in_the_makefile():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for command in ["demo", "test", "docs"]:
        assert f"make {command}" in README
        assert re.search(rf"^{command}:", makefile, flags=re.MULTILINE)


def test_the_extras_are_those_of_the_package():
    extras = set(re.findall(r"'\.\[(\w+)\]'", README))
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    section = project.partition("[project.optional-dependencies]")[2].partition("\n[")[0]
    assert extras == set(re.findall(r"^(\w+) = \[", section, flags=re.MULTILINE)) - {"test"}
