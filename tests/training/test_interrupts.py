"""Training ends where it should: at its last epoch, where an early stopping asks for it, or at once by an interrupt."""

import os
import signal
import warnings

import numpy as np
import pytest
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_score
from skorch.callbacks import Callback, Checkpoint, EarlyStopping

from sksurv_mmf import FusionSurvivalAnalysis, LateFusionSurvivalAnalysis
from sksurv_mmf.bags import Bag
from sksurv_mmf.encoders import SNN, MeanMIL
from sksurv_mmf.inspection import modality_importance
from sksurv_mmf.networks._lockstep import Lockstep
from sksurv_mmf.objectives import CoxPH


class RaiseAt(Callback):
    """Raises at some call of a method, or has the operating system send this process a signal."""

    def __init__(self, method, call=1, error=KeyboardInterrupt):
        self.method = method
        self.call = call
        self.error = error

    def initialize(self):
        self.n_calls = 0
        for name in (
            "on_train_begin",
            "on_epoch_begin",
            "on_batch_begin",
            "on_batch_end",
            "on_epoch_end",
            "on_train_end",
        ):
            if name == self.method:
                setattr(self, name, self.strike)
        return self

    def strike(self, net, **kwargs):
        self.n_calls += 1
        if self.n_calls == self.call:
            if self.error == "signal":
                os.kill(os.getpid(), signal.SIGINT)
            else:
                raise self.error

    def __getstate__(self):
        return {"method": self.method, "call": self.call, "error": self.error}


def network(*callbacks, **params):
    modalities = [("wsi", MeanMIL(4)), ("rna", SNN(4))]
    return FusionSurvivalAnalysis(
        modalities,
        callbacks=list(callbacks),
        random_state=0,
        **({"n_estimators": 1, "max_epochs": 3, "batch_size": 8} | params),
    )


MOMENTS = [
    ("on_train_begin", 1),
    ("on_epoch_begin", 1),
    ("on_batch_begin", 1),
    ("on_batch_end", 2),
    ("on_epoch_end", 1),
    ("on_epoch_end", 3),
    ("on_batch_begin", 7),
    ("on_train_end", 1),
]


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, GeneratorExit, "signal"])
def test_it_leaves_fit_at_once(make_cohort, moment, error):
    cohort = make_cohort()
    model = network(RaiseAt(*moment, error))
    with pytest.raises(KeyboardInterrupt if error == "signal" else error):
        model.fit(cohort.X, cohort.y)
    with pytest.raises(NotFittedError):
        model.predict(cohort.X)


@pytest.mark.parametrize("objective", [None, CoxPH()])
def test_in_validation_and_with_other_objectives(make_cohort, objective):
    cohort = make_cohort(n_patients=60)
    n_batches = 4 if objective is None else 1  # the batches of training, then comes that of validation
    interrupt = RaiseAt("on_batch_end", n_batches, "signal")
    model = network(interrupt, early_stopping=True, objective=objective, batch_size=12)
    with pytest.raises(KeyboardInterrupt):
        model.fit(cohort.X, cohort.y)


def test_a_refit_that_is_interrupted_leaves_no_mixture_of_two_models(make_cohort):
    cohort = make_cohort()
    model = network().fit(cohort.X, cohort.y)
    model.set_params(callbacks=[RaiseAt("on_epoch_end")])
    with pytest.raises(KeyboardInterrupt):
        model.fit(cohort.X, cohort.y)
    with pytest.raises(NotFittedError):
        model.predict(cohort.X)


def interrupt(features):
    raise KeyboardInterrupt


def test_reading_bags_can_be_interrupted(make_cohort, tmp_path):
    cohort = make_cohort()
    np.save(tmp_path / "bag.npy", np.ones((3, 5)))
    X = cohort.X.copy()
    X.loc["P003", "wsi__tiles"] = Bag.from_file(tmp_path / "bag.npy").map(interrupt)
    with pytest.raises(KeyboardInterrupt):
        network().fit(X, cohort.y)
    fitted = network().fit(cohort.X, cohort.y)
    with pytest.raises(KeyboardInterrupt):
        fitted.predict(X)


INTERRUPTED = network(RaiseAt("on_epoch_end", 2))
ANY = FusionSurvivalAnalysis(callbacks=[RaiseAt("on_epoch_end", 2)], n_estimators=1, max_epochs=3, random_state=0)


@pytest.mark.parametrize(
    "run",
    [
        lambda X, y: cross_val_score(INTERRUPTED, X, y, cv=2),
        lambda X, y: GridSearchCV(INTERRUPTED, {"lr": [1e-3, 1e-2]}, cv=2).fit(X, y),
        lambda X, y: modality_importance(INTERRUPTED, X, y, cv=2, method="permute"),
        lambda X, y: LateFusionSurvivalAnalysis([("rna", ANY), ("wsi", ANY)], cv=2).fit(X, y),
    ],
)
def test_it_leaves_what_fits(make_cohort, run):
    cohort = make_cohort()
    with pytest.raises(KeyboardInterrupt):
        run(cohort.X, cohort.y)


@pytest.mark.parametrize("call", [1, 3, 8])
def test_a_signal_leaves_the_fit_of_an_ensemble_at_once(make_cohort, monkeypatch, call):
    cohort, calls = make_cohort(), []
    outputs = Lockstep.outputs

    def strike(members, *args):
        calls.append(1)
        if len(calls) == call:
            os.kill(os.getpid(), signal.SIGINT)
        return outputs(members, *args)

    monkeypatch.setattr(Lockstep, "outputs", strike)
    model = network(n_estimators=3)
    with pytest.raises(KeyboardInterrupt):
        model.fit(cohort.X, cohort.y)
    assert len(calls) == call
    with pytest.raises(NotFittedError):
        model.predict(cohort.X)


@pytest.mark.parametrize("moment", [("on_batch_begin", 1), ("on_epoch_end", 2), ("on_train_end", 1)])
def test_it_leaves_the_fit_of_members_one_by_one(make_cohort, moment):
    cohort = make_cohort()
    model = network(n_estimators=3).fit(cohort.X, cohort.y)
    model.set_params(callbacks=[RaiseAt(*moment)])
    with pytest.raises(KeyboardInterrupt):
        model.fit(cohort.X, cohort.y)
    with pytest.raises(NotFittedError):
        model.predict(cohort.X)
    assert not hasattr(model, "estimators_")


class TestEarlyStopping:
    def test_it_ends_training_with_the_best_weights(self, make_cohort):
        cohort = make_cohort(n_patients=60)
        model = network(early_stopping=True, patience=2, max_epochs=50, lr=0.1).fit(cohort.X, cohort.y)
        losses = model.history_["valid_loss"]
        assert len(losses) < 50
        best = losses.idxmin()
        again = network(early_stopping=True, max_epochs=best, lr=0.1).fit(cohort.X, cohort.y)
        np.testing.assert_allclose(again.predict(cohort.X), model.predict(cohort.X), rtol=1e-4)

    @pytest.mark.parametrize("position", [0, 1])
    def test_a_callback_of_the_user_ends_it_too(self, make_cohort, position):
        cohort = make_cohort()
        callbacks = [Callback()]
        callbacks.insert(position, EarlyStopping("train_loss", patience=2, threshold=10.0, sink=interrupt))
        model = network(*callbacks, max_epochs=50).fit(cohort.X, cohort.y)
        assert len(model.history_) == 3
        assert len(model.predict(cohort.X)) == 30

    def test_an_interrupt_within_it_is_an_interrupt(self, make_cohort):
        class Interrupted(EarlyStopping):
            def _calc_new_threshold(self, score):
                raise KeyboardInterrupt

        cohort = make_cohort()
        with pytest.raises(KeyboardInterrupt):
            network(Interrupted("train_loss")).fit(cohort.X, cohort.y)

    def test_an_interrupt_while_the_best_weights_return_is_one(self, make_cohort):
        cohort = make_cohort()
        stop = EarlyStopping("train_loss", patience=1, threshold=10.0, load_best=True, sink=interrupt)
        with pytest.raises(KeyboardInterrupt):
            network(stop).fit(cohort.X, cohort.y)


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_the_progress_bar_is_closed(make_cohort, monkeypatch, error):
    from sksurv_mmf.training import _net

    bars = []

    class Bar(_net.tqdm):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            bars.append([])

        def close(self):
            bars[-1].append("closed")
            super().close()

    monkeypatch.setattr(_net, "tqdm", Bar)
    cohort = make_cohort()
    with pytest.raises(error):
        network(RaiseAt("on_batch_end", 2, error), verbose=True).fit(cohort.X, cohort.y)
    assert bars[0][0] == "closed"


def test_a_checkpoint_that_cannot_be_written_is_told(make_cohort, tmp_path):
    cohort = make_cohort()
    (tmp_path / "params.pt").mkdir()
    checkpoint = Checkpoint(monitor=None, dirname=str(tmp_path), f_optimizer=None, f_criterion=None, f_history=None)
    with pytest.warns(UserWarning, match=r"Checkpoint: Unable to save module state to .*params\.pt"):
        network(checkpoint).fit(cohort.X, cohort.y)
    (tmp_path / "params.pt").rmdir()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        network(checkpoint).fit(cohort.X, cohort.y)
    assert (tmp_path / "params.pt").is_file()
