"""Ctrl-C and kill -9, as they come: signals to processes that are in the middle of something."""

import os
import signal
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from sksurv_mmf import FusionSurvivalAnalysis, load_model, save_model
from sksurv_mmf.bags import pack_bags

# Says "ready" and its process where the test is to interrupt it, and in the end what became of it.
SCRIPT = """
import os, sys, time, warnings
from pathlib import Path
import pandas as pd
from skorch.callbacks import Callback
from sksurv_mmf import FusionSurvivalAnalysis, save_model
from sksurv_mmf.bags import Bag, pack_bags
from sksurv_mmf.datasets import make_multimodal_survival
from sksurv_mmf.model_selection import SurvivalKFold, compare_models

folder = Path(sys.argv[1])
cohort = make_multimodal_survival(n_patients=40, n_genes=10, n_tiles=(2, 4), random_state=0)
X, y = cohort.X, cohort.y

def wait(*args):
    os.write(1, f"ready {os.getpid()}\\n".encode())  # whole, whatever another worker writes
    time.sleep(120)

class Wait(Callback):
    def __init__(self, folder, when=0):
        self.folder = folder
        self.when = when

    def on_epoch_end(self, net, **kwargs):
        finished = len([*self.folder.rglob("output.pkl")])
        if (self.folder / "wait").exists() and finished >= self.when and len(net.history) == 2:
            wait()

model = FusionSurvivalAnalysis(n_estimators=1, max_epochs=3, random_state=0)
try:
    TASK
    print("ended", flush=True)
except KeyboardInterrupt:
    print("\\nKeyboardInterrupt", flush=True)  # a worker may have been about to say that it is ready
"""

FIT = "model.set_params(callbacks=[Wait(folder)]).fit(X, y)"
COMPARE = """
    run = {"cv": SurvivalKFold(4), "scoring": "harrell"}
    models = {"net": model.set_params(callbacks=[Wait(folder, 1)])}
    kept = compare_models(models, X, y, cache=folder / "cache", n_jobs=N_JOBS, **run)
    assert (kept.fits["error"] == "").all()
    pd.testing.assert_frame_equal(kept.scores, compare_models(models, X, y, **run).scores)
"""


@pytest.fixture
def start(tmp_path):
    """Start a script in a group of processes of its own; `until` it is ready, whose process is returned too."""
    started = []

    def start(task, until="ready"):
        pipe = subprocess.PIPE
        command = [sys.executable, "-W", "error", "-c", SCRIPT.replace("TASK", task.strip()), str(tmp_path)]
        process = subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, start_new_session=True)
        started.append(process)
        word, *who = process.stdout.readline().split() or [process.stderr.read()]
        assert word == until
        return process, int(who[0]) if who else None

    yield start
    for process in started:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def outcome(process):
    """The last word of a process, which must not take long."""
    return process.communicate(timeout=60)[0].split()[-1]


def test_ctrl_c_ends_fit(start, tmp_path):
    (tmp_path / "wait").touch()
    process, who = start(FIT)
    os.kill(who, signal.SIGINT)
    assert outcome(process) == "KeyboardInterrupt"


@pytest.mark.parametrize(("n_jobs", "whom"), [(None, "all"), (2, "all"), (2, "main"), (2, "worker")])
def test_a_comparison_ends_keeps_what_was_finished_and_goes_on(start, tmp_path, n_jobs, whom):
    (tmp_path / "wait").touch()
    task = COMPARE.replace("N_JOBS", str(n_jobs))
    process, who = start(task)
    if whom == "all":  # as a terminal does
        os.killpg(process.pid, signal.SIGINT)
    else:
        os.kill(process.pid if whom == "main" else who, signal.SIGINT)
    assert outcome(process) == "KeyboardInterrupt"
    finished = {path: path.stat().st_mtime_ns for path in tmp_path.glob("cache/**/output.pkl")}
    assert 1 <= len(finished) <= 2
    if (n_jobs, whom) not in [(None, "all"), (2, "worker")]:  # once for each way to fit is enough
        return
    (tmp_path / "wait").unlink()
    start(COMPARE.replace("N_JOBS", "None"), until="ended")
    assert {path: path.stat().st_mtime_ns for path in finished} == finished  # they are not made again
    assert len([*tmp_path.glob("cache/**/output.pkl")]) == 4


def test_what_a_killed_process_left_is_removed_by_the_next_call(start, tmp_path, make_cohort):
    cohort = make_cohort()
    model = FusionSurvivalAnalysis(n_estimators=1, max_epochs=1, random_state=0).fit(cohort.X, cohort.y)
    packing = (
        "import sksurv_mmf.bags._store as s; s._write_manifest = wait; pack_bags(X['wsi__tiles'], folder / 'store')"
    )
    saving = "import sksurv_mmf.persistence._model as m; m._try = wait; save_model(model.fit(X, y), folder / 'model')"
    packer, saver = start(packing)[0], start(saving)[0]
    left = sorted(path.name for path in tmp_path.iterdir())
    assert [name.split(".")[1] for name in left] == ["model", "store"]

    packed = pack_bags(cohort.X["wsi__tiles"], tmp_path / "store")  # both live, and are left alone
    assert sorted(path.name for path in tmp_path.iterdir()) == [*left, "store"]
    for process in (packer, saver):
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    save_model(model, tmp_path / "model")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model", "store"]
    pd.testing.assert_series_equal(packed, cohort.X["wsi__tiles"], check_names=False)
    np.testing.assert_array_equal(load_model(tmp_path / "model").predict(cohort.X), model.predict(cohort.X))
