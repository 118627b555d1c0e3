"""`random_state` alone decides: no thread, setting of torch or number of threads makes another model."""

import os
import signal
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import joblib
import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.model_selection import cross_val_predict

from sksurv_mmf import FusionSurvivalAnalysis, load_model, save_model
from sksurv_mmf.bags import open_bags, pack_bags
from sksurv_mmf.encoders import SNN, AttentionMIL, DeepAttnMISL, MeanMIL, PathwaySNN, TransformerMIL
from sksurv_mmf.fusions import Bilinear, CoAttention, SurvPath
from sksurv_mmf.inspection import integrated_gradients
from sksurv_mmf.model_selection import SurvivalKFold
from sksurv_mmf.objectives import CoxPH, DiscreteHazard
from sksurv_mmf.utils._torch_state import fork_rng, tiny_numbers_as_zero, usual_settings


def network(wsi, rna, **params):
    small = {
        "n_estimators": 1,
        "embedding_dim": 8,
        "max_epochs": 3,
        "lr": 0.01,
        "input_noise": 0.1,
        "random_state": 0,
        "device": "cpu",
    }
    return FusionSurvivalAnalysis([("wsi", wsi), ("rna", rna)], **(small | params))


SETS = {"one": ["G0", "G1"], "two": ["G1", "G2", "G3"]}
NETWORKS = {
    "plain": network(AttentionMIL(8, 4, dropout=0.5), SNN(8)),
    "ensemble": network(AttentionMIL(8, 4, dropout=0.5), SNN(8), n_estimators=3),
    "early stopping": network(MeanMIL(8), SNN(8), early_stopping=True, balance=True, fusion=Bilinear(hidden_dim=8)),
    "interpolated": network(
        AttentionMIL(8, 4, batch_norm=True),
        SNN(8),
        objective=DiscreteHazard(3),
        optimizer="sgd",
    ),
    "Cox": network(TransformerMIL(8, n_heads=2, n_layers=1), SNN(8), objective=CoxPH(), gradient_accumulation=2),
    "clusters": network(DeepAttnMISL(3, hidden_dim=8, attention_dim=4), PathwaySNN(SETS, min_genes=2)),
    "tokens": network(MeanMIL(8), PathwaySNN(SETS, min_genes=2), fusion=SurvPath()),
    "co-attention": network(
        AttentionMIL(8, 4), SNN(8), fusion=CoAttention(n_heads=2, n_layers=1, feedforward_dim=8, hidden_dim=8)
    ),
}
DESIGNS = pytest.mark.parametrize("design", NETWORKS.values(), ids=NETWORKS)


@contextmanager
def default_dtype(dtype):
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


@contextmanager
def everything_at_once():
    with default_dtype(torch.float64), torch.inference_mode(), torch.device("meta"):
        yield


SETTINGS = {
    "float64": lambda: default_dtype(torch.float64),
    "float16": lambda: default_dtype(torch.float16),
    "no_grad": torch.no_grad,
    "inference_mode": torch.inference_mode,
    "device": lambda: torch.device("meta"),
    "autocast": lambda: torch.autocast("cpu", dtype=torch.bfloat16),
    "everything": everything_at_once,
}


def settings():
    return (
        torch.get_default_dtype(),
        torch.get_default_device(),
        torch.is_grad_enabled(),
        torch.is_inference_mode_enabled(),
    )


def weights(model):
    """Bits of the weights of a network, or of all that an ensemble consists of."""
    members = enumerate(model.members)
    states = [(k, name, one) for k, member in members for name, one in member.net_.module_.state_dict().items()]
    return {(k, name): one.cpu().numpy().tobytes() for k, name, one in states}


@pytest.mark.cuda
@DESIGNS
def test_on_a_gpu_the_same_seed_is_the_same_model(cohort, design):
    one, other = (clone(design).set_params(device="cuda").fit(cohort.X, cohort.y) for _ in range(2))
    assert weights(one) == weights(other)


class TestThreads:
    @DESIGNS
    def test_the_same_seed_is_the_same_model_as_alone(self, cohort, design, global_random_state):
        def fit(seed):
            return clone(design).set_params(random_state=seed).fit(cohort.X, cohort.y)

        alone, before = {seed: fit(seed) for seed in (0, 1)}, global_random_state()
        assert weights(alone[0]) != weights(alone[1])
        with ThreadPoolExecutor(4) as pool:
            fitted = list(pool.map(fit, [0, 1, 0, 1, 0, 1]))
        assert global_random_state() == before
        for k, model in enumerate(fitted):
            assert weights(model) == weights(alone[k % 2])

    def test_in_threads_of_joblib_while_others_predict_save_and_load(self, cohort, tmp_path, global_random_state):
        model = clone(NETWORKS["plain"])
        cv = SurvivalKFold(4)
        expected, before = cross_val_predict(model, cohort.X, cohort.y, cv=cv), global_random_state()
        fitted = clone(model).fit(cohort.X, cohort.y)
        risk, done = fitted.predict(cohort.X), threading.Event()

        def keep_busy(k):
            while not done.is_set():
                save_model(fitted, tmp_path / f"{k}.zip", overwrite=True)
                np.testing.assert_array_equal(load_model(tmp_path / f"{k}.zip").predict(cohort.X), risk)

        with ThreadPoolExecutor(2) as pool:
            busy = [pool.submit(keep_busy, k) for k in range(2)]
            try:
                with joblib.parallel_config("threading", n_jobs=4):
                    found = cross_val_predict(model, cohort.X, cohort.y, cv=cv, n_jobs=4)
            finally:
                done.set()
            for one in busy:
                one.result()
        np.testing.assert_array_equal(found, expected)
        assert global_random_state() == before

    def test_bags_on_disk(self, cohort, tmp_path):
        pack_bags(cohort.X["wsi__tiles"], tmp_path / "store")
        X = cohort.X.assign(wsi__tiles=open_bags(tmp_path / "store"))
        alone = clone(NETWORKS["Cox"]).fit(cohort.X, cohort.y)
        with ThreadPoolExecutor(3) as pool:
            for model in pool.map(lambda _: clone(NETWORKS["Cox"]).fit(X, cohort.y), range(3)):
                assert weights(model) == weights(alone)

    @DESIGNS
    def test_more_of_torch_change_rounding_only(self, make_cohort, design):
        if design is NETWORKS["Cox"]:
            # The gradient of the bias of attention's keys is zero but for rounding. Adam divides it by its own size.
            design = clone(design).set_params(optimizer="sgd", lr=0.001)
        # Large enough that torch shares the work between threads.
        cohort, n_threads = make_cohort(n_patients=60, n_tile_features=64), torch.get_num_threads()
        sizes = {"hidden_dim": 256} if "hidden_dim" in design.modalities[0][1].get_params() else {}
        risks = []
        try:
            for threads in (1, 2):
                torch.set_num_threads(threads)
                model = clone(design).set_params(batch_size=60)
                model.modalities[0][1].set_params(**sizes)
                risks.append(model.fit(cohort.X, cohort.y).predict(cohort.X))
        finally:
            torch.set_num_threads(n_threads)
        np.testing.assert_allclose(*risks, rtol=1e-5, atol=1e-5)


class TestProcesses:
    @pytest.mark.parametrize("name", ["ensemble", "co-attention"])
    def test_members_that_are_divided_among_processes_are_the_same(self, cohort, name, global_random_state):
        """In lockstep or one by one."""
        before, fitted = global_random_state(), []
        for n_jobs in (1, 2, 5):
            model = clone(NETWORKS[name]).set_params(n_estimators=3, n_jobs=n_jobs)
            fitted.append(model.fit(cohort.X, cohort.y))
        assert global_random_state() == before
        for other in fitted[1:]:
            np.testing.assert_allclose(other.predict(cohort.X), fitted[0].predict(cohort.X), rtol=1e-5, atol=1e-5)
            np.testing.assert_allclose(other.length_shares_, fitted[0].length_shares_, rtol=1e-4)
            np.testing.assert_allclose(other.oob_survival_function_, fitted[0].oob_survival_function_, atol=1e-5)

    def test_more_members_leave_the_first_ones_as_they_are_drawn(self, cohort):
        """The first members of a larger ensemble have the same patients and seeds."""
        few, many = (
            clone(NETWORKS["co-attention"]).set_params(n_estimators=n, average_epochs=False).fit(cohort.X, cohort.y)
            for n in (2, 4)
        )
        for one, other in zip(few.estimators_, many.estimators_):
            np.testing.assert_array_equal(one.predict(cohort.X), other.predict(cohort.X))


class TestSettings:
    @DESIGNS
    @pytest.mark.parametrize("setting", SETTINGS.values(), ids=SETTINGS)
    def test_fits_and_predictions_are_the_same_to_the_bit(self, cohort, design, setting):
        expected = clone(design).fit(cohort.X, cohort.y)
        with setting():
            before = settings()
            model = clone(design).fit(cohort.X, cohort.y)
            assert settings() == before
            results = [self.results(one, cohort.X) for one in (model, expected)]
            assert settings() == before
        results += [self.results(one, cohort.X) for one in (model, expected)]
        assert weights(model) == weights(expected)
        parameters = [one for member in model.members for one in member.net_.module_.parameters()]
        assert all(one.dtype == torch.float32 for one in parameters)
        for found in results[:-1]:
            for one, other in zip(found, results[-1]):
                assert one.dtype == other.dtype
                np.testing.assert_array_equal(one, other)

    def results(self, model, X):
        found = [model.predict(X), model.transform(X).to_numpy()]
        found += [model.predict_survival_function(X, return_array=True)]
        found += [model.predict_cumulative_hazard_function(X, return_array=True)]
        for explain in ("modality_attention", "tile_attention"):
            if hasattr(model, explain) and not isinstance(model.modalities[0][1], MeanMIL):
                found.append(getattr(model, explain)(X).to_numpy())
        return found

    @pytest.mark.parametrize("setting", SETTINGS.values(), ids=SETTINGS)
    def test_gradients_and_saved_models(self, cohort, setting, tmp_path):
        model = clone(NETWORKS["plain"]).fit(cohort.X, cohort.y)
        expected = integrated_gradients(model, cohort.X, modality="rna", n_steps=100).to_numpy()
        with setting():
            save_model(model, tmp_path / "model.zip")
            loaded = load_model(tmp_path / "model.zip")
            inside = integrated_gradients(loaded, cohort.X, modality="rna", n_steps=100).to_numpy()
        outside = integrated_gradients(loaded, cohort.X, modality="rna", n_steps=100).to_numpy()
        np.testing.assert_array_equal(inside, expected)
        np.testing.assert_array_equal(outside, expected)
        assert weights(loaded) == weights(model)
        assert weights(clone(loaded).fit(cohort.X, cohort.y)) == weights(model)

    def test_in_threads(self, cohort):
        def fit(_):
            model = clone(NETWORKS["plain"]).fit(cohort.X, cohort.y)
            return weights(model), model.predict(cohort.X)

        expected, risk = fit(0)
        with default_dtype(torch.float64), ThreadPoolExecutor(3) as pool:
            for found, other in pool.map(fit, range(6)):
                assert found == expected
                np.testing.assert_array_equal(other, risk)
            assert torch.get_default_dtype() == torch.float64

    def test_they_come_back_after_an_error(self):
        with everything_at_once():
            before = settings()
            with usual_settings(), usual_settings():
                assert settings() == (torch.float32, torch.device("cpu"), True, False)
            assert settings() == before
            with pytest.raises(ZeroDivisionError), usual_settings():
                1 / 0  # noqa: B018
            assert settings() == before


class TestTinyNumbers:
    """Torch computes a long tensor in several threads; the mode must end in all of them."""

    @staticmethod
    def share_of_zeros():
        return float((torch.full((2**18,), 1e-39, dtype=torch.float32) * 1.0 == 0).float().mean())

    @pytest.mark.parametrize("on", [False, True])
    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
    def test_they_are_as_before(self, on, dtype):
        def look():
            torch.set_num_threads(2)
            torch.set_flush_denormal(on)
            with default_dtype(dtype), tiny_numbers_as_zero():
                inside = float(torch.tensor(1e-39, dtype=torch.float32) * 1.0)
                self.share_of_zeros()
            outside = float(torch.tensor(1e-39, dtype=torch.float32) * 1.0)
            return inside, outside == 0, self.share_of_zeros()

        n_threads = torch.get_num_threads()
        try:
            with ThreadPoolExecutor(1) as pool:  # a thread of Python has threads of torch of its own
                inside, is_on, share = pool.submit(look).result()
        finally:
            torch.set_num_threads(n_threads)
        assert inside == 0
        assert is_on == on
        assert share == (1 if on else 0)


class TestTheLock:
    def test_one_thread_at_a_time_and_a_thread_within_itself(self):
        def draw(seed):
            with fork_rng(), fork_rng():
                torch.manual_seed(seed)
                return [torch.rand(()).item() for _ in range(2000)]

        expected = [draw(seed) for seed in range(4)]
        with ThreadPoolExecutor(4) as pool:
            assert list(pool.map(draw, range(4))) == expected

    @pytest.fixture
    def held(self):
        """Another thread holds the lock."""
        taken, release = threading.Event(), threading.Event()

        def hold():
            with fork_rng():
                taken.set()
                release.wait(30)

        thread = threading.Thread(target=hold)
        thread.start()
        taken.wait(30)
        yield release
        release.set()
        thread.join()

    @pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
    @pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
    def test_a_forked_process_does_not_wait_for_a_thread_that_it_does_not_have(self, held):
        child = os.fork()
        if child == 0:
            signal.alarm(20)
            with fork_rng():
                os._exit(0)
        assert os.waitpid(child, 0)[1] == 0

    @pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="this system has no timer of signals")
    def test_who_waits_can_be_interrupted(self, held):
        handler = signal.signal(signal.SIGALRM, signal.default_int_handler)
        try:
            signal.setitimer(signal.ITIMER_REAL, 0.2)
            with pytest.raises(KeyboardInterrupt), fork_rng():
                pytest.fail("the lock was held by two threads")
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, handler)
