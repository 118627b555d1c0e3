"""A fit that is killed goes on at the epoch that it had finished, and ends with the bits of an uninterrupted one."""

import io
import json
import multiprocessing
import os
import pickle
import signal
import zipfile
from pkgutil import resolve_name
from types import SimpleNamespace

import joblib
import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, cross_val_score
from skorch.callbacks import Callback, LRScheduler

from sksurv_mmf import FusionSurvivalAnalysis, load_model, save_model
from sksurv_mmf.encoders import SNN, AttentionMIL
from sksurv_mmf.files import _writing
from sksurv_mmf.files._archive import checksums
from sksurv_mmf.model_selection import SurvivalKFold
from sksurv_mmf.model_selection._fit_cache import keys_of_fits
from sksurv_mmf.objectives import CoxPH
from sksurv_mmf.training import _checkpoint
from sksurv_mmf.training._checkpoint import Checkpoint
from sksurv_mmf.training._identity import own_code

SEARCHED = {"param_grid": {"lr": [0.01, 0.02]}, "cv": SurvivalKFold(2)}


class Records(Callback):
    """Makes steps smaller by what it has seen of the losses, which it keeps."""

    def on_train_begin(self, net, **kwargs):
        self.losses_ = {}

    def on_epoch_end(self, net, **kwargs):
        net.history.record("n", np.float32(len(net.history)))
        self.losses_[len(net.history)] = torch.tensor([net.history[-1]["train_loss"]])
        for group in net.optimizer_.param_groups:
            group["weight_decay"] = float(sum(self.losses_.values())) / 1000


class HoldsMore(Callback):
    """Keeps what no file without code can hold."""

    def on_train_begin(self, net, **kwargs):
        self.held_ = SimpleNamespace()


class KnowsHow(HoldsMore):
    def state_dict(self):
        return {"held": 1}

    def load_state_dict(self, state):
        assert state == {"held": 1}


class Forgets(KnowsHow):
    """Cannot tell what it keeps once training has begun."""

    def state_dict(self):
        if hasattr(self, "began_"):
            raise RuntimeError("forgotten")
        return {}

    def on_epoch_end(self, net, **kwargs):
        self.began_ = True


def network(*callbacks, **params):
    modalities = [("wsi", AttentionMIL(8, 4, dropout=0.5)), ("rna", SNN(8))]
    given = {"n_estimators": 1, "max_epochs": 5, "lr": 0.01, "input_noise": 0.1, "embedding_dim": 8} | params
    callbacks = list(callbacks) or None
    return FusionSurvivalAnalysis(modalities, callbacks=callbacks, device="cpu", random_state=0, **given)


FITS = {
    "single": network(Records(), LRScheduler("StepLR", step_size=2), ("more", KnowsHow()), max_tiles=2),
    "stops early": network(early_stopping=True, balance=True, patience=3, max_epochs=20, lr=0.05),
    "Cox": network(objective=CoxPH(), gradient_accumulation=2, batch_size=8, optimizer=torch.optim.RMSprop),
    "lockstep": network(n_estimators=3, max_epochs=3, max_tiles=2),
    "one by one": network(Records(), n_estimators=3, max_epochs=2),
    "one by one, stop early": network(n_estimators=2, early_stopping=True, patience=2, max_epochs=8, lr=0.05),
}


def bits(model):
    """Bits of all weights."""
    members = enumerate(model.members)
    states = [(k, name, one) for k, member in members for name, one in member.net_.module_.state_dict().items()]
    return {(k, name): one.cpu().numpy().tobytes() for k, name, one in states}


def assert_same(model, expected, X):
    assert bits(model) == bits(expected)
    np.testing.assert_array_equal(model.predict(X), expected.predict(X))
    pd.testing.assert_frame_equal(model.history_, expected.history_)


@pytest.fixture(autouse=True)
def always(monkeypatch):
    """Write after each epoch."""
    monkeypatch.setattr(_checkpoint, "EVERY", 0.0)
    monkeypatch.setattr(_checkpoint, "SHARE", np.inf)


@pytest.fixture
def saves(monkeypatch):
    """The files to which states go, one for each epoch that is trained, and one at the end of a single network."""
    found, save = [], Checkpoint.save

    def note(self, state):
        found.append(self.path.name)
        save(self, state)

    monkeypatch.setattr(Checkpoint, "save", note)
    return found


@pytest.fixture
def cut_off(monkeypatch):
    """Fit until an epoch has been kept for the n-th time, and leave then; returns the only file, or the last one."""

    class Cut(BaseException):
        pass

    def fit(model, cohort, after=1):
        save, left = Checkpoint.save, [after]

        def stop(self, state):
            save(self, state)
            left[0] -= 1
            if left[0] == 0:
                raise Cut(self.path)

        with monkeypatch.context() as patch:
            patch.setattr(Checkpoint, "save", stop)
            with pytest.raises(Cut) as caught:
                model.fit(cohort.X, cohort.y)
        return caught.value.args[0]

    return fit


def fit_and_die(model, X, y, owner, name, call):
    """In a process of its own: fit, and be killed when a function is called for the n-th time."""
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", 1)))
    _checkpoint.EVERY, _checkpoint.SHARE = 0.0, np.inf
    owner, left = resolve_name(owner), [call]
    function = getattr(owner, name)

    def count(*args, **kwargs):
        left[0] -= 1
        if left[0] == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return function(*args, **kwargs)

    setattr(owner, name, count)
    model.fit(X, y)


@pytest.fixture(scope="module")
def killed():
    """Fit in another process until it is killed; they are forked from one that has imported everything once."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["sksurv_mmf", "pytest", "torch._dynamo"])

    def run(*args):
        process = context.Process(target=fit_and_die, args=args)
        process.start()
        process.join(120)
        assert process.exitcode == -signal.SIGKILL

    return run


@pytest.mark.cuda
@pytest.mark.parametrize("name", ["single", "Cox", "lockstep"])
def test_on_a_gpu_it_goes_on_where_it_was_cut_off(cohort, tmp_path, cut_off, name):
    model = clone(FITS[name]).set_params(device="cuda")
    expected = clone(model).fit(cohort.X, cohort.y)
    model.set_params(checkpoint_dir=tmp_path)
    cut_off(model, cohort, after=2)
    assert_same(model.fit(cohort.X, cohort.y), expected, cohort.X)


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no SIGKILL here")
class TestKilled:
    @pytest.mark.parametrize(
        ("name", "kept", "left"),
        [
            ("single", 3, 3),
            ("stops early", 4, None),
            ("Cox", 2, 4),
            ("lockstep", 5, 4),
            ("one by one", 9, 13),
            ("one by one, stop early", 5, None),
        ],
    )
    def test_it_ends_as_if_nothing_had_happened(self, cohort, tmp_path, killed, saves, name, kept, left):
        """Killed in the epoch after `kept` ones; `left` states are to be written then, if it does not stop early."""
        expected = clone(FITS[name]).fit(cohort.X, cohort.y)
        n_epochs = sum(len(member.history_) for member in expected.members)
        model = clone(FITS[name]).set_params(checkpoint_dir=tmp_path / "new" / "folder")
        killed(model, cohort.X, cohort.y, "sksurv_mmf.training._checkpoint:Checkpoint", "save", kept + 1)
        model.fit(cohort.X, cohort.y)
        assert_same(model, expected, cohort.X)
        if left is None:
            assert 0 < len(saves) <= n_epochs + len(model.members) - kept
        else:
            assert len(saves) == left

    def test_while_a_state_is_written(self, cohort, tmp_path, killed, saves):
        """The state before is whole, and what was being written is removed."""
        model = clone(FITS["lockstep"]).set_params(checkpoint_dir=tmp_path)
        killed(model, cohort.X, cohort.y, "sksurv_mmf.files._writing", "_flush", 3)
        assert [path.suffix for path in sorted(tmp_path.iterdir())] == [".partial", ".checkpoint"]
        model.fit(cohort.X, cohort.y)
        assert len(saves) == 9 - 2
        assert [path.suffix for path in tmp_path.iterdir()] == [".checkpoint"]
        assert_same(model, clone(FITS["lockstep"]).fit(cohort.X, cohort.y), cohort.X)


class TestFolder:
    def test_finished_fits_are_not_trained_again(self, cohort, tmp_path, saves):
        for name, model in FITS.items():
            first = clone(model).set_params(checkpoint_dir=tmp_path).fit(cohort.X, cohort.y)
            saves.clear()
            second = clone(first).fit(cohort.X, cohort.y)
            # A single network says once more where it is.
            assert len(saves) == (0 if name == "lockstep" else len(second.members))
            assert_same(second, first, cohort.X)

    def test_folds_and_candidates_share_it(self, cohort, tmp_path, saves):
        model = network(max_epochs=2)
        plain, kept = (
            GridSearchCV(clone(model).set_params(checkpoint_dir=folder), **SEARCHED).fit(cohort.X, cohort.y)
            for folder in (None, str(tmp_path))
        )
        np.testing.assert_array_equal(kept.cv_results_["mean_test_score"], plain.cv_results_["mean_test_score"])
        assert_same(kept.best_estimator_, plain.best_estimator_, cohort.X)
        assert len(list(tmp_path.iterdir())) == 2 * 2 + 1
        saves.clear()
        scores = cross_val_score(kept.best_estimator_, cohort.X, cohort.y, cv=SEARCHED["cv"])
        assert len(saves) == 2
        assert scores.mean() == kept.best_score_

    def test_processes_divide_it(self, cohort, tmp_path, saves):
        """As threads here, with checkpoints that were pickled; the parts of an ensemble have files of their own."""
        model = network(n_estimators=3, max_epochs=2, n_jobs=2)
        with joblib.parallel_config("threading"):
            expected = clone(model).fit(cohort.X, cohort.y)
            model.set_params(checkpoint_dir=tmp_path).fit(cohort.X, cohort.y)
            files = sorted(tmp_path.iterdir())
            assert [path.stem.partition("-")[2] for path in files] == ["members-0-1", "members-2"]
            files[1].unlink()
            saves.clear()
            model.fit(cohort.X, cohort.y)
        assert saves == [files[1].name] * 6
        assert_same(model, expected, cohort.X)

    def test_it_can_be_sent_to_processes(self, cohort, tmp_path):
        checkpoint = network(checkpoint_dir=tmp_path)._checkpoints(network()._recipe([]), cohort.X, (1, 2), 0)
        assert pickle.loads(pickle.dumps(checkpoint)).of("network").path == checkpoint.of("network").path

    def test_a_net_that_is_trained_further_is_not_taken_back(self, cohort, tmp_path):
        model = network(max_epochs=2, checkpoint_dir=tmp_path).fit(cohort.X, cohort.y)
        with torch.no_grad():
            model.net_.module_.head.weight.zero_()
        model.net_.notify("on_train_begin", X=None, y=None)
        assert not model.net_.module_.head.weight.any()

    @pytest.mark.parametrize(
        "change",
        [
            {"X": lambda X: X.assign(rna__G0=X["rna__G0"] + 1e-6)},
            {"X": lambda X: X.rename({"P000": "Q000"})},
            {"y": lambda y: y[::-1]},
            {"params": {"lr": 0.011}},
            {"params": {"random_state": 1}},
            {"params": {"optimizer": torch.optim.SGD}},
            {"params": {"modalities": [("wsi", AttentionMIL(8, 4, dropout=0.4)), ("rna", SNN(8))]}},
        ],
        ids=["numbers", "names", "outcome", "lr", "seed", "optimizer", "encoder"],
    )
    def test_another_fit_has_another_file(self, cohort, tmp_path, saves, change):
        model = network(max_epochs=2, checkpoint_dir=tmp_path).fit(cohort.X, cohort.y)
        saves.clear()
        X, y = (change.get(name, lambda one: one)(getattr(cohort, name)) for name in "Xy")
        clone(model).set_params(**change.get("params", {})).fit(X, y)
        assert len(saves) == 3
        assert len(list(tmp_path.iterdir())) == 2

    def test_where_and_how_loud_decide_nothing(self, cohort, tmp_path, saves, capsys):
        network(max_epochs=2, checkpoint_dir=tmp_path / "one").fit(cohort.X, cohort.y)
        (tmp_path / "one").rename(tmp_path / "two")
        saves.clear()
        network(max_epochs=2, checkpoint_dir=tmp_path / "two", verbose=True).fit(cohort.X, cohort.y)
        assert len(saves) == 1

    def test_the_code_of_own_parts_counts(self, tmp_path, monkeypatch):
        monkeypatch.syspath_prepend(tmp_path)
        sources = []
        for n in (1, 2):
            text = f"from sksurv_mmf.encoders import SNN\n\nclass Own(SNN):\n    number = {n}\n"
            (tmp_path / f"own{n}.py").write_text(text)
            sources.append(own_code([__import__(f"own{n}").Own()]))
        assert [list(one) for one in sources] == [["own1.Own"], ["own2.Own"]]
        assert "number = 1" in sources[0]["own1.Own"]
        assert own_code([SNN()]) == {}

    def test_the_clock_decides_how_often(self, cohort, tmp_path, monkeypatch):
        """With one second per look at the clock: two of them at each write, and one where none is due."""
        clock = iter(range(1000))
        monkeypatch.setattr(_checkpoint, "monotonic", lambda: next(clock))
        monkeypatch.setattr(_checkpoint, "EVERY", 4.0)
        written, write = [], _checkpoint.write_archive
        monkeypatch.setattr(
            _checkpoint, "write_archive", lambda *args, **kwargs: written.append(write(*args, **kwargs))
        )
        expected = network(max_epochs=12).fit(cohort.X, cohort.y)
        assert_same(network(max_epochs=12, checkpoint_dir=tmp_path).fit(cohort.X, cohort.y), expected, cohort.X)
        # Due at 4; then, after a look at the start, one at the end of writing and one to say when: at 6 + 4, and so on.
        assert len(written) == 3

    def test_nothing_is_written_where_a_fit_is_quick(self, cohort, tmp_path, monkeypatch):
        monkeypatch.setattr(_checkpoint, "EVERY", 1e9)
        network(max_epochs=1, checkpoint_dir=tmp_path).fit(cohort.X, cohort.y)
        assert list(tmp_path.iterdir()) == []

    def test_what_writing_takes_is_a_share_of_the_time(self, tmp_path, monkeypatch):
        now = [0.0]
        monkeypatch.setattr(_checkpoint, "monotonic", lambda: now[0])
        monkeypatch.setattr(_checkpoint, "SHARE", 0.1)
        checkpoint = _checkpoint.Checkpoints(tmp_path, {"parameters": {}}).of("network")

        def state():
            now[0] += 3.0
            return {}

        checkpoint.save(state)
        assert checkpoint.fit.due == 3.0 + 30.0


RAN = []


class Trap:
    """Notes when a pickle of it is loaded."""

    def __reduce__(self):
        return RAN.append, ("ran",)


def archive(members):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as file:
        for name, data in members.items():
            file.writestr(name, data)
    return stream.getvalue()


def changed(data, change):
    """The bytes of a checkpoint after a change of its parameters or manifest, with checksums that agree."""
    with zipfile.ZipFile(io.BytesIO(data)) as file:
        members = {name: file.read(name) for name in file.namelist()}
    manifest, parameters = json.loads(members.pop("manifest.json")), json.loads(members["parameters.json"])
    change(manifest, parameters)
    members["parameters.json"] = json.dumps(parameters).encode()
    manifest["checksums"] = checksums(members, manifest)
    return archive({"manifest.json": json.dumps(manifest), **members})


def swap_weights(manifest, parameters):
    """Let one weight's place name another one of another shape, in the network and in the optimizer."""
    text = json.dumps(parameters)
    names = [one.split('"')[0] for one in text.split('{"tensor":"')[1:]] or text.split('"tensor": "')[1:]
    first, second = (one.split('"')[0] for one in names[:2])
    parameters["state"] = json.loads(text.replace(first, "@").replace(second, first).replace("@", second))["state"]


REFUSED = {
    "empty": (lambda data: b"", "no zip file"),
    "truncated": (lambda data: data[: len(data) // 2], "no zip file"),
    "random bytes": (lambda data: bytes(np.random.default_rng(0).bytes(1000)), "no zip file"),
    "pickle": (lambda data: pickle.dumps(Trap()), "no zip file"),
    "torch's own": (lambda data: torch_bytes(), "so it is no checkpoint"),
    "a bit": (lambda data: data.replace(b'"history"', b'"hostory"'), "no zip file|checksums"),
    "compressed": (lambda data: compressed(data), "compressed"),
    "version": (lambda data: changed(data, lambda m, p: m.update(format_version=2)), "version 2, while .* version 1"),
    "kind": (lambda data: changed(data, lambda m, p: m.update(format="sksurv_mmf model")), "'sksurv_mmf model'"),
    "torch": (lambda data: changed(data, lambda m, p: m["versions"].update(torch="1.0")), "'1.0'.* would go on"),
    "parameter": (lambda data: changed(data, lambda m, p: m["of"]["parameters"].update(lr=7)), r"lr \(7 there, 0.01"),
    "objective": (lambda data: changed(data, lambda m, p: m["of"]["parameters"].update(fusion=32 * "a")), "fusion"),
    "patients": (lambda data: changed(data, lambda m, p: m["of"].update(patients="")), "differs in patients"),
    "outcome": (lambda data: changed(data, lambda m, p: m["of"].update(outcome="")), "differs in outcome"),
    "seed": (lambda data: changed(data, lambda m, p: m["of"].update(seed=5)), "differs in random_state"),
    "network": (lambda data: changed(data, lambda m, p: m["of"].update(training="member-1")), "networks that it trai"),
    "nothing": (lambda data: changed(data, lambda m, p: m.update(of=None)), "another fit"),
    "state": (lambda data: changed(data, lambda m, p: p.update(state={"class": "os.system"})), "means nothing"),
    "empty state": (lambda data: changed(data, lambda m, p: p.update(state={"dict": []})), "does not fit"),
    "weights": (lambda data: changed(data, swap_weights), "does not fit the training.*shape"),
}


def torch_bytes():
    stream = io.BytesIO()
    torch.save({"weight": torch.ones(2)}, stream)
    return stream.getvalue()


def compressed(data):
    stream = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as file:
        for name in old.namelist():
            file.writestr(name, old.read(name))
    return stream.getvalue()


@pytest.fixture(scope="module")
def written(make_cohort, tmp_path_factory):
    """A cohort, and name and contents of the checkpoint of a network."""
    cohort, folder = make_cohort(), tmp_path_factory.mktemp("written")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_checkpoint, "EVERY", 0.0)
        network(max_epochs=1, checkpoint_dir=folder).fit(cohort.X, cohort.y)
    (path,) = folder.iterdir()
    return cohort, path.name, path.read_bytes()


class TestRefused:
    def refused(self, cohort, path, message):
        with pytest.raises(ValueError, match=message) as caught:
            network(max_epochs=1, checkpoint_dir=path.parent).fit(cohort.X, cohort.y)
        assert str(caught.value).startswith(f"The checkpoint '{path}' cannot be used: ")
        assert "Delete it to train from the start, or pass another checkpoint_dir." in str(caught.value)
        assert RAN == []

    @pytest.mark.parametrize(("change", "message"), REFUSED.values(), ids=REFUSED)
    def test_contents(self, written, tmp_path, change, message):
        cohort, name, data = written
        (tmp_path / name).write_bytes(change(data))
        self.refused(cohort, tmp_path / name, message)

    def test_what_is_no_file(self, written, tmp_path):
        cohort, name, data = written
        (tmp_path / "elsewhere").write_bytes(data)
        path = tmp_path / name
        path.symlink_to(tmp_path / "elsewhere")
        self.refused(cohort, path, "it is a symbolic link")
        assert (tmp_path / "elsewhere").read_bytes() == data
        path.unlink()
        path.mkdir()
        self.refused(cohort, path, "it is a folder")
        path.rmdir()
        os.mkfifo(path)
        self.refused(cohort, path, "it is a named pipe")

    def test_of_an_ensemble_before_any_member_trains(self, cohort, tmp_path, saves, cut_off):
        model = clone(FITS["one by one"]).set_params(checkpoint_dir=tmp_path)
        path = cut_off(model, cohort, after=9)
        path.write_bytes(b"")
        saves.clear()
        with pytest.raises(ValueError, match=r"member-1\.checkpoint' cannot be used: it is no zip file"):
            model.fit(cohort.X, cohort.y)
        assert saves == []

    def test_moments_of_another_size(self, cohort, tmp_path, cut_off):
        """Torch's kernels would read beyond them."""
        path = cut_off(network(checkpoint_dir=tmp_path), cohort)
        with zipfile.ZipFile(path) as file:
            members = {name: file.read(name) for name in file.namelist()}
        tensors = load_tensors(members["weights.safetensors"])
        # Where it lies in the state: the second item, the value of a pair, the first of its own.
        moment = next(name for name, one in tensors.items() if name.startswith("state/1/") and one.ndim == 2)
        tensors[moment] = torch.zeros(1, 1)
        manifest = json.loads(members.pop("manifest.json"))
        members["weights.safetensors"] = save_tensors(tensors)
        manifest["checksums"] = checksums(members, manifest)
        path.write_bytes(archive({"manifest.json": json.dumps(manifest), **members}))
        with pytest.raises(ValueError, match=r"'exp_avg(_sq)?' is torch.float32 of shape \(1, 1\), not"):
            network(checkpoint_dir=tmp_path).fit(cohort.X, cohort.y)

    def test_a_folder_that_is_none(self, cohort, tmp_path, saves):
        (tmp_path / "file").write_text("")
        with pytest.raises(NotADirectoryError, match=r"file is no folder.* Choose another"):
            network(checkpoint_dir=tmp_path / "file").fit(cohort.X, cohort.y)

    def test_no_seed(self, cohort, tmp_path):
        with pytest.raises(ValueError, match=r"checkpoint_dir needs a random_state, got None.*random_state=0"):
            network(checkpoint_dir=tmp_path).set_params(random_state=None).fit(cohort.X, cohort.y)

    def test_callbacks_that_cannot_be_kept(self, cohort, tmp_path, saves):
        model = network(HoldsMore(), checkpoint_dir=tmp_path)
        with pytest.raises(ValueError, match=r"cannot keep the callback HoldsMore \(HoldsMore\).*SimpleNamespace"):
            model.fit(cohort.X, cohort.y)
        assert saves == []
        model.set_params(checkpoint_dir=None).fit(cohort.X, cohort.y)

    def test_parameters_that_cannot_be_told_apart(self, cohort, tmp_path):
        with pytest.raises(ValueError, match=r"cannot tell whether optimizer is the same.*leave checkpoint_dir out"):
            network(
                optimizer=lambda params, lr: torch.optim.SGD(params, lr), weight_decay=0, checkpoint_dir=tmp_path
            ).fit(cohort.X, cohort.y)


class TestDisk:
    def test_a_full_disk_is_one_warning(self, cohort, tmp_path, monkeypatch):
        def full(path):
            raise OSError(28, "No space left on device")

        expected = network().fit(cohort.X, cohort.y)
        monkeypatch.setattr(_writing, "_flush", full)
        with pytest.warns(UserWarning, match="No space left.*Training goes on") as caught:
            model = network(checkpoint_dir=tmp_path).fit(cohort.X, cohort.y)
        assert len(caught) == 1
        assert caught[0].filename == __file__
        assert_same(model, expected, cohort.X)
        assert list(tmp_path.iterdir()) == []

    def test_a_callback_that_fails_to_tell_is_one_warning(self, cohort, tmp_path):
        with pytest.warns(UserWarning, match="could not be written.*RuntimeError: forgotten") as caught:
            model = network(Forgets(), checkpoint_dir=tmp_path).fit(cohort.X, cohort.y)
        assert len(caught) == 1
        assert_same(model, network().fit(cohort.X, cohort.y), cohort.X)

    def test_a_link_in_the_way_is_replaced_and_not_followed(self, tmp_path):
        (tmp_path / "other").write_text("mine")

        checkpoint = _checkpoint.Checkpoints(tmp_path, {"parameters": {}}).of("network")
        checkpoint.path.symlink_to(tmp_path / "other")
        checkpoint.save(dict)
        assert (tmp_path / "other").read_text() == "mine"
        assert not checkpoint.path.is_symlink()


class TestElsewhere:
    def test_it_is_a_parameter_like_others(self, tmp_path):
        model = network(checkpoint_dir=tmp_path)
        assert model.get_params()["checkpoint_dir"] == tmp_path
        assert clone(model).checkpoint_dir == tmp_path
        assert FusionSurvivalAnalysis().checkpoint_dir is None

    @pytest.mark.parametrize("n_estimators", [1, 2])
    def test_saved_models_leave_it_out(self, cohort, tmp_path, n_estimators):
        """Who loads a model does not write where another one has."""
        model = network(n_estimators=n_estimators, max_epochs=1, checkpoint_dir=tmp_path / "folder")
        model.fit(cohort.X, cohort.y)
        with pytest.warns(UserWarning, match="leaves out 'checkpoint_dir'"):
            save_model(model, tmp_path / "model.zip")
        assert b"folder" not in (tmp_path / "model.zip").read_bytes().partition(b"parameters.json")[2]
        loaded = load_model(tmp_path / "model.zip")
        assert [one.checkpoint_dir for one in (loaded, *loaded.members)] == [None] * (1 + n_estimators)
        np.testing.assert_array_equal(loaded.predict(cohort.X), model.predict(cohort.X))

    def test_a_comparison_knows_a_fit_wherever_its_checkpoints_are(self, cohort, tmp_path):
        models = {name: network(checkpoint_dir=name) for name in (None, tmp_path, str(tmp_path / "new"))}
        keys = keys_of_fits(models, dict.fromkeys(models, cohort.X), cohort.y)
        assert len(set(keys.values())) == 1
