"""Finished fits on the disk: known by all that decides them, unreadable from strangers, and never worth a fit."""

import errno
import os
import pickle
import stat
import subprocess
import sys
import warnings
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sksurv.linear_model import CoxPHSurvivalAnalysis
from sksurv.util import Surv

from sksurv_mmf import FusionSurvivalAnalysis
from sksurv_mmf.bags import open_bags, pack_bags, read_bags
from sksurv_mmf.encoders import PathwaySNN
from sksurv_mmf.model_selection import compare_models, selection_leakage
from sksurv_mmf.model_selection._fit_cache import FitCache
from sksurv_mmf.model_selection._survival_scores import FoldPrediction
from sksurv_mmf.preprocessing import BagPooling


class Weighted(BaseEstimator):
    """The first column times a number; `parts` may name files, which fit reads. Counts its fits."""

    n_fits = 0

    def __init__(self, parts=None, error=None):
        self.parts = parts
        self.error = error

    def fit(self, X, y):
        Weighted.n_fits += 1
        if self.error is not None:
            raise self.error
        self.n_features_in_ = X.shape[1]
        return self

    def predict(self, X):
        return np.asarray(X)[:, 0].astype(float)


@pytest.fixture
def data():
    rng = np.random.default_rng(0)
    X = pd.DataFrame(rng.normal(size=(40, 3)), [f"P{i}" for i in range(40)], list("abc"))
    return X, Surv.from_arrays(rng.random(40) < 0.8, rng.exponential(np.exp(-X["a"])))


def run(model, X, y, cache, **options):
    return compare_models({"model": model}, X, y, 2, scoring="harrell", cache=cache, **options)


def n_fits(*arguments, **options):
    """How many fits a comparison had to make."""
    before = Weighted.n_fits
    run(*arguments, **options)
    return Weighted.n_fits - before


def fill_up(monkeypatch, error):
    def fail(value, file, **kwargs):
        file.write(b"half")
        raise error

    monkeypatch.setattr(joblib, "dump", fail)


def cannot_write(*arguments, **options):
    """The result of a comparison whose cache cannot be written to, which must be told once."""
    with pytest.warns(UserWarning, match="The comparison is complete") as caught:
        comparison = run(*arguments, **options)
    (message,) = [str(one.message) for one in caught]
    assert "could not keep 2 of 2 fits, for example model, fold 0: " in message
    assert "; model, fold 1: " in message
    assert caught[0].filename == __file__
    pd.testing.assert_frame_equal(comparison.scores, run(*arguments[:-1], None).scores)
    return message


class TestFullDisk:
    @pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO])
    def test_it_is_told_once_and_costs_no_fit(self, data, tmp_path, monkeypatch, number):
        fill_up(monkeypatch, OSError(number, os.strerror(number)))
        before = Weighted.n_fits
        message = cannot_write(Weighted(), *data, tmp_path / "cache")
        assert os.strerror(number) in message
        assert Weighted.n_fits - before == 4  # two of them without a cache
        assert not list((tmp_path / "cache").rglob("output*"))

    def test_an_interrupt_while_it_is_kept_leaves_nothing(self, data, tmp_path, monkeypatch):
        with monkeypatch.context() as patch:
            fill_up(patch, KeyboardInterrupt())
            with pytest.raises(KeyboardInterrupt):
                run(Weighted(), *data, tmp_path / "cache")
        assert not list((tmp_path / "cache").rglob("output*"))
        assert n_fits(Weighted(), *data, tmp_path / "cache") == 2

    def test_where_not_even_the_folder_can_be_made(self, data, tmp_path):
        (tmp_path / "file").write_text("")
        assert "NotADirectoryError" in cannot_write(Weighted(), *data, tmp_path / "file" / "cache")

    def test_where_the_folder_turns_into_a_file(self, data, tmp_path):
        memory = joblib.Memory(tmp_path / "cache", verbose=0)
        (tmp_path / "cache" / ".gitignore").unlink()
        (tmp_path / "cache").rmdir()
        (tmp_path / "cache").write_text("")
        with pytest.raises(ValueError, match="is no folder"):
            run(Weighted(), *data, memory)

    def test_in_threads_no_filter_of_warnings_is_left_behind(self, data, tmp_path, monkeypatch):
        before = list(warnings.filters)
        entered = []
        catch = warnings.catch_warnings.__enter__
        monkeypatch.setattr(warnings.catch_warnings, "__enter__", lambda self: entered.append(self) or catch(self))
        FitCache(tmp_path / "cache").keep("key", FoldPrediction(np.zeros(2), "none", 0.0))
        assert not entered
        with joblib.parallel_config("threading"):
            run(Weighted(), *data, tmp_path / "cache", n_jobs=2)
        assert warnings.filters == before

    def test_in_workers(self, data, tmp_path):
        # The largest size of a file is a limit that workers inherit; it lets through what joblib needs to start.
        code = (
            "import resource, signal, sys, warnings, numpy as np\n"
            "from sksurv.linear_model import CoxPHSurvivalAnalysis\n"
            "from sksurv.util import Surv\n"
            "from sksurv_mmf.model_selection import compare_models\n"
            "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
            "resource.setrlimit(resource.RLIMIT_FSIZE, (4000, 4000))\n"
            "rng = np.random.default_rng(0)\n"
            "X, y = rng.normal(size=(400, 3)), Surv.from_arrays(np.ones(400, bool), rng.exponential(size=400))\n"
            "with warnings.catch_warnings(record=True) as caught:\n"
            "    warnings.simplefilter('always', UserWarning)\n"
            "    c = compare_models({'cox': CoxPHSurvivalAnalysis()}, X, y, 3, cache=sys.argv[1], n_jobs=2)\n"
            "assert (c.fits['error'] == '').all()\n"
            "print(*[w.message for w in caught], sep='\\n')\n"
        )
        script = tmp_path / "script.py"
        script.write_text(code)
        done = subprocess.run([sys.executable, script, tmp_path / "cache"], capture_output=True, text=True, check=True)
        (line,) = done.stdout.splitlines()
        assert "could not keep 3 of 3 fits, for example cox, fold 0: " in line
        assert "File too large" in line
        assert "Unable to cache" not in done.stderr

    def test_a_folder_that_can_only_be_read_is_read(self, data, tmp_path, monkeypatch):
        run(Weighted(), *data, tmp_path / "cache")
        fill_up(monkeypatch, OSError(errno.EROFS, "Read-only file system"))
        assert n_fits(Weighted(), *data, tmp_path / "cache") == 0

    @pytest.mark.filterwarnings("ignore:2 of 2 fits failed")
    def test_a_fit_that_fails_with_the_same_error_is_a_failed_fit(self, data, tmp_path):
        error = OSError(errno.ENOSPC, "No space left on device")
        comparison = run(Weighted(error=error), *data, tmp_path / "cache")
        assert comparison.fits["error"].str.contains("No space left").all()


@pytest.mark.parametrize("damage", [b"", b"\x80", b"cut", b"pickle of something else"])
def test_damaged_entries_are_made_again(data, tmp_path, damage):
    fresh = run(Weighted(), *data, tmp_path / "cache").scores
    entries = list((tmp_path / "cache").rglob("output.pkl"))
    assert len(entries) == 2
    content = entries[0].read_bytes()
    entries[0].write_bytes({b"cut": content[:-20], b"pickle of something else": pickle.dumps([1])}.get(damage, damage))
    before = Weighted.n_fits
    pd.testing.assert_frame_equal(run(Weighted(), *data, tmp_path / "cache").scores, fresh)
    assert Weighted.n_fits - before == 1
    assert n_fits(Weighted(), *data, tmp_path / "cache") == 0


def test_a_number_that_has_changed_is_noticed(data, tmp_path):
    fresh = run(Weighted(), *data, tmp_path / "cache").risks
    number = fresh["risk_score"].iloc[3].tobytes()
    (entry,) = [path for path in tmp_path.rglob("output.pkl") if number in path.read_bytes()]
    entry.write_bytes(entry.read_bytes().replace(number, bytes([number[0] ^ 1, *number[1:]])))
    before = Weighted.n_fits
    pd.testing.assert_frame_equal(run(Weighted(), *data, tmp_path / "cache").risks, fresh, check_exact=True)
    assert Weighted.n_fits - before == 1


def test_what_killed_processes_were_writing_is_removed(data, tmp_path):
    with subprocess.Popen([sys.executable, "-c", ""]) as dead:
        dead.wait()
    run(Weighted(), *data, tmp_path / "cache")
    before = set(tmp_path.rglob("*"))
    (folder, *_) = (path.parent for path in before if path.name == "output.pkl")
    left = [f"{name}.{'0af9' * 8}-{process}-1" for name in ("output.pkl", "metadata.json") for process in (dead.pid, 1)]
    for name in left:
        (folder / name).write_bytes(b"half")
    unfinished = folder / f".output.pkl.{'0af9' * 4}.partial"
    script = f"import os, pathlib; from sksurv_mmf.files import _writing as w; w._make_locked({str(unfinished)!r}); "
    subprocess.run([sys.executable, "-c", script + "os._exit(0)"], check=True)
    assert unfinished.is_dir()
    assert n_fits(Weighted(), *data, tmp_path / "cache") == 0
    assert set(tmp_path.rglob("*")) - before == {folder / name for name in left if name.endswith("-1-1")}


class Named:
    """Something that is no estimator but names a file."""

    def __init__(self, path):
        self.path = path


class TestFilesThatPartsName:
    @pytest.mark.parametrize(
        "parts",
        [
            str,
            lambda path: path,
            lambda path: [("deep", {"in": (1, path)})],
            Named,
            lambda path: make_pipeline(FunctionTransformer(kw_args={"file": str(path)}), CoxPHSurvivalAnalysis()),
            lambda path: FusionSurvivalAnalysis([("rna", PathwaySNN(path))]),
        ],
    )
    def test_they_count_with_their_contents(self, data, tmp_path, parts):
        path = tmp_path / "sets.gmt"
        path.write_text("A\t\tx\ty\n")
        model = Weighted(parts(path))
        assert n_fits(model, *data, tmp_path / "cache") == 2
        path.touch()
        assert n_fits(model, *data, tmp_path / "cache") == 0
        times = path.stat().st_atime_ns, path.stat().st_mtime_ns
        path.write_text("A\t\tx\tz\n")
        os.utime(path, ns=times)
        assert n_fits(model, *data, tmp_path / "cache") == 2

    def test_relative_to_the_working_directory(self, data, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        for named in ["sets.gmt", "./sets", Path("sets")]:
            Path(named).write_text("A")
            assert n_fits(Weighted(named), *data, tmp_path / "cache") == 2
            Path(named).write_text("B")
            assert n_fits(Weighted(named), *data, tmp_path / "cache") == 2

    def test_a_word_is_no_file(self, data, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        assert n_fits(Weighted("rna"), *data, tmp_path / "cache") == 2
        Path("rna").write_text("something of this name")
        assert n_fits(Weighted("rna"), *data, tmp_path / "cache") == 0

    def test_gene_sets_that_change_give_another_result(self, make_cohort, tmp_path):
        cohort = make_cohort()
        path = tmp_path / "sets.gmt"
        model = FusionSurvivalAnalysis(
            [("rna", PathwaySNN(path, min_genes=2))], n_estimators=1, max_epochs=2, random_state=0
        )
        scores = []
        for sets in ["A\t\tG0\tG1\n", "A\t\tG2\tG3\n"]:
            path.write_text(sets)
            scores.append(run(model, cohort.X.filter(like="rna"), cohort.y, tmp_path / "cache").risks["risk_score"])
        assert (scores[0] != scores[1]).all()

    def test_pipes_are_not_read(self, data, tmp_path):
        os.mkfifo(tmp_path / "pipe")
        assert n_fits(Weighted(tmp_path / "pipe"), *data, tmp_path / "cache") == 2

    def test_results_that_callbacks_write_do_not_count(self, data, tmp_path):
        from skorch.callbacks import Checkpoint

        result = tmp_path / "params.pt"
        result.write_text("of the first run")
        model = Weighted(Checkpoint(f_params=str(result)))
        assert n_fits(model, *data, tmp_path / "cache") == 2
        result.write_text("of the second run")
        assert n_fits(model, *data, tmp_path / "cache") == 0

    def test_feature_files_in_a_folder(self, data, tmp_path):
        folder = tmp_path / "features"
        folder.mkdir()
        np.save(folder / "a.npy", np.ones((3, 2)))
        assert n_fits(Weighted(folder), *data, tmp_path / "cache") == 2
        (folder / "log.txt").write_text("nothing that is read")
        assert n_fits(Weighted(folder), *data, tmp_path / "cache") == 0
        np.save(folder / "b.npy", np.ones((3, 2)))
        assert n_fits(Weighted(folder), *data, tmp_path / "cache") == 2


class TestFeatureFiles:
    @pytest.fixture
    def cohort(self, make_cohort, tmp_path):
        cohort = make_cohort()
        (tmp_path / "features").mkdir()
        for patient, bag in cohort.X["wsi__tiles"].items():
            np.save(tmp_path / "features" / f"{patient}.npy", bag.features)
        return cohort

    def table(self, tmp_path, packed=False):
        bags = read_bags(tmp_path / "features", lambda slide: slide)
        return (pack_bags(bags, tmp_path / "store") if packed else bags).to_frame("wsi__tiles")

    def test_size_time_and_contents_count(self, cohort, tmp_path):
        model = make_pipeline(BagPooling(), Weighted())
        y, cache = cohort.y, tmp_path / "cache"
        assert n_fits(model, self.table(tmp_path), y, cache) == 2
        assert n_fits(model, self.table(tmp_path), y, cache) == 0
        file = tmp_path / "features" / "P003.npy"
        times = file.stat().st_atime_ns, file.stat().st_mtime_ns
        features = np.load(file)
        np.save(file, features + 1)
        os.utime(file, ns=times)
        assert n_fits(model, self.table(tmp_path), y, cache) == 2
        np.save(file, features[:-1] if len(features) > 1 else np.ones((2, 5)))
        assert n_fits(model, self.table(tmp_path), y, cache) == 2

    def test_stores_have_checksums(self, cohort, tmp_path):
        model = make_pipeline(BagPooling(), Weighted())
        y, cache = cohort.y, tmp_path / "cache"
        table = self.table(tmp_path, packed=True)
        assert n_fits(model, table, y, cache) == 2
        manifest = tmp_path / "store" / "store.json"
        times = {path: path.stat().st_mtime_ns for path in (tmp_path / "store").iterdir()}
        np.save(tmp_path / "features" / "P003.npy", 2 * np.load(tmp_path / "features" / "P003.npy"))
        for path in times:
            path.unlink()
        manifest.parent.rmdir()
        self.table(tmp_path, packed=True)
        for path, time in times.items():
            os.utime(path, ns=(time, time))
        table = open_bags(tmp_path / "store").to_frame("wsi__tiles")
        assert n_fits(model, table, y, cache) == 2


posix = pytest.mark.skipif(os.name != "posix", reason="permissions of POSIX")


def test_a_text_and_a_path_are_the_same_folder(data, tmp_path):
    assert n_fits(Weighted(), *data, str(tmp_path / "cache")) == 2
    for again in (tmp_path / "cache", str(tmp_path / "cache"), joblib.Memory(str(tmp_path / "cache"), verbose=0)):
        assert n_fits(Weighted(), *data, again) == 0


@posix
class TestTrust:
    def test_a_new_folder_is_for_its_owner_alone(self, data, tmp_path):
        run(Weighted(), *data, tmp_path / "new" / "cache")
        assert stat.S_IMODE((tmp_path / "new" / "cache").stat().st_mode) == 0o700

    @pytest.mark.parametrize("mode", [0o777, 0o775, 0o757, 0o720, 0o702, 0o1777])
    @pytest.mark.parametrize("kind", [str, Path, lambda path: joblib.Memory(path, verbose=0)])
    def test_a_folder_that_others_may_write_to_is_refused(self, data, tmp_path, mode, kind):
        cache = tmp_path / "cache"
        cache.mkdir()
        (cache / "something").write_text("of whom?")
        cache = kind(cache)
        (tmp_path / "cache").chmod(mode)
        match = r"cache' is not safe to read, because .*cache' may be written to by others.*chmod -R go-rwx .*cache"
        with pytest.raises(ValueError, match=match):
            run(Weighted(), *data, cache)

    @pytest.mark.parametrize("kind", [str, Path, lambda path: joblib.Memory(path, verbose=0)])
    def test_an_empty_folder_of_ones_own_is_closed_to_its_group(self, data, tmp_path, kind):
        before = os.umask(0o002)
        try:
            (tmp_path / "cache").mkdir()
            assert n_fits(Weighted(), *data, kind(tmp_path / "cache")) == 2
        finally:
            os.umask(before)
        assert n_fits(Weighted(), *data, kind(tmp_path / "cache")) == 0

    def test_so_is_what_lies_in_it(self, data, tmp_path):
        cache = tmp_path / "cache"
        run(Weighted(), *data, cache)
        entry = next(cache.rglob("output.pkl"))
        entry.chmod(0o666)
        assert n_fits(Weighted(), *data, cache) == 0  # nobody else can get there
        cache.chmod(0o755)
        with pytest.raises(ValueError, match=r"output\.pkl' may be written to by others"):
            run(Weighted(), *data, cache)
        subprocess.run(["chmod", "-R", "go-rwx", cache], check=True)
        assert n_fits(Weighted(), *data, cache) == 0

    def test_a_link_is_judged_by_where_it_leads(self, data, tmp_path):
        (tmp_path / "open").mkdir()
        (tmp_path / "open").chmod(0o777)
        (tmp_path / "cache").symlink_to("open")
        with pytest.raises(ValueError, match="may be written to by others"):
            run(Weighted(), *data, tmp_path / "cache")

    def test_folders_above_must_be_sticky_if_all_may_write(self, data, tmp_path):
        above = tmp_path / "above"
        above.mkdir()
        above.chmod(0o777)
        with pytest.raises(ValueError, match=r"above' may be written to by everybody, who could exchange"):
            run(Weighted(), *data, above / "cache")
        above.chmod(0o1777)
        run(Weighted(), *data, above / "cache")
        above.chmod(0o775)
        run(Weighted(), *data, above / "cache")

    def test_a_folder_of_another_user_is_refused(self, data, tmp_path, monkeypatch):
        (tmp_path / "cache").mkdir(mode=0o700)
        if os.geteuid():
            monkeypatch.setattr(os, "geteuid", lambda: 12345)
        else:
            os.chown(tmp_path / "cache", 12345, -1)
        with pytest.raises(ValueError, match=r"cache' belongs to another user.*Pass a folder that is yours alone"):
            run(Weighted(), *data, tmp_path / "cache")

    def test_leakage_refuses_it_too(self, data, tmp_path):
        (tmp_path / "cache").mkdir()
        (tmp_path / "cache").chmod(0o777)
        pipeline = make_pipeline(FunctionTransformer(), CoxPHSurvivalAnalysis())
        with pytest.raises(ValueError, match="may be written to by others"):
            selection_leakage(pipeline, *data, 2, cache=tmp_path / "cache")

    def test_a_file_is_no_folder(self, data, tmp_path):
        (tmp_path / "file").write_text("")
        with pytest.raises(ValueError, match=r"cache='.*file' is no folder\. Name one"):
            run(Weighted(), *data, tmp_path / "file")


def test_a_memory_that_keeps_nothing(data):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        run(Weighted(), *data, joblib.Memory(None))
