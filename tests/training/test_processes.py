"""One network that two real processes train together learns what one process learns with the same batches."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from trains_together import MODELS, fit

from sksurv_mmf.training.several_processes import several_processes

SCRIPT = Path(__file__).with_name("trains_together.py")
SAME = [name for name in MODELS if name != "dropout"]


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """What each of two processes has learnt."""
    folder = tmp_path_factory.mktemp("together")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    # What torchrun sets.
    shared = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "OMP_NUM_THREADS": "1"}
    shared["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
    running = [
        subprocess.Popen(
            [sys.executable, "-W", "error", SCRIPT, folder],
            env=os.environ | shared | {"RANK": rank, "LOCAL_RANK": rank},
            stderr=subprocess.PIPE,
        )
        for rank in "01"
    ]
    try:
        said = [one.communicate(timeout=120)[1].decode() for one in running]
    finally:
        for one in running:
            one.kill()
    assert [one.returncode for one in running] == [0, 0], said
    kept = sorted(path.name for path in (folder / "shared").iterdir() if path.suffix == ".checkpoint")
    return [json.loads((folder / f"{rank}.json").read_text()) for rank in "01"], kept


@pytest.mark.parametrize("name", SAME)
def test_losses_and_weights_are_those_of_one_process(found, name):
    alone = fit(**MODELS[name])
    for process in found[0]:
        np.testing.assert_allclose(process[name]["history"], alone["history"], rtol=1e-5)
        # Adam divides by gradients that may be close to zero, where rounding has its say.
        np.testing.assert_allclose(process[name]["weights"], alone["weights"], atol=2e-4)


def test_all_processes_end_with_the_same_bits(found):
    first, second = found[0]
    for name in [*MODELS, "seed", "kept"]:
        assert first[name] == second[name]


def test_dropout_is_drawn_by_each_process_for_itself(found):
    alone = fit(**MODELS["dropout"])
    together = found[0][0]["dropout"]
    assert together["history"] != alone["history"]
    np.testing.assert_allclose(together["history"], alone["history"], rtol=0.5)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("ensemble", "Set n_estimators=1"),
        ("cox", "CoxPH compares the patients of a step"),
        ("batch norm", "Set batch_norm=False"),
        ("other patients", "begin with different ones"),
    ],
)
def test_what_would_not_be_the_same_is_refused_by_all(found, name, words):
    for process in found[0]:
        assert words in process[name]


def test_the_first_process_writes_and_all_go_on(found):
    (first, _), kept = found
    assert len(kept) == 1
    assert first["again"] == first["kept"] == first["dropout"]


def test_checkpoints_that_one_process_does_not_see_are_refused(found):
    for process in found[0]:
        assert "on storage that all processes see" in process["elsewhere"]


def test_what_is_no_accelerator_is_refused():
    with pytest.raises(TypeError, match=r"accelerate\.Accelerator, got 2"), several_processes(2):
        pass


def test_processes_that_are_not_connected_are_refused(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    alone = SimpleNamespace(num_processes=1, process_index=0, reduce=None)
    with (
        pytest.raises(ValueError, match=r"2 processes were started.* Accelerator\(cpu=True\)"),
        several_processes(alone),
    ):
        pass
