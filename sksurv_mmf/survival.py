"""The estimator."""

from dataclasses import fields
from functools import partial, reduce
from numbers import Integral, Real
from operator import add
from os import PathLike

import numpy as np
import pandas as pd
import torch
from sklearn.base import TransformerMixin, clone
from sklearn.utils.validation import check_is_fitted
from sksurv.metrics import concordance_index_censored

from .cohort._columns import check_reads, check_table, describe, infer_columns, select_columns
from .cohort._encoders import check_encoders, encoders_of
from .cohort._lacking import fill_in_lacking
from .cohort._lost_names import warn_of_merged_modalities
from .cohort._reading import read_patients
from .cohort._tiles import tile_table, weighed_modality
from .encoders._base import Encoder
from .fusions._base import Fusion
from .fusions._cross_modal_attention import CrossModalAttention
from .layers._normalization import NORMALIZATIONS
from .networks._curves import survival_at
from .networks._inference import infer_all
from .objectives._base import Objective
from .objectives._discrete_hazard import DiscreteHazard
from .outcome._align import align_outcome
from .outcome._leak import warn_of_leak
from .outcome._outcome import Outcome, check_teaches
from .patients._reading import MAX_PATIENTS
from .patients._threads import threads_for
from .predictions._survival_model import SurvivalModel
from .predictions._survival_table import check_confidence_level, check_horizons, survival_table
from .statistics._evenly import MOST_STEPS, evenly
from .training._checkpoint import NOWHERE, Checkpoints
from .training._ensemble import fit_ensemble
from .training._fit import Recipe, fit
from .training._identity import identity_of
from .training._lengths import left_out_survival
from .training._net import OPTIMIZERS, check_callbacks, training_history
from .training._seeds import draw_seed
from .utils._available_if import available_if
from .utils._frames import who_has
from .utils._modality_composition import InferredComposition
from .utils._sklearn import Interval, RealNotInt, StrOptions
from .utils._torch_state import n_threads, usual_settings
from .utils._validation import PROBABILITY, WIDTH, WholeNumber, check_part, names_of


def _check_fusion_weighs(estimator):
    fusion = estimator._fusion()
    if not fusion.has_attention:
        raise AttributeError(
            f"{type(estimator).__name__} has no modality_attention: its fusion {type(fusion).__name__} does not weigh "
            f"modalities. Fusions that do are {', '.join(names_of(Fusion, has_attention=True))}."
        )


MOST_RISK_TIMES = 100  # over which they are averaged for the risk


# What an ensemble has, and what a single network has; a fit leaves nothing of the other one.
LEARNT = (
    *("net_", "objective_", "estimators_", "length_shares_", "risk_times_"),
    *("oob_survival_function_", "oob_score_"),
)


class FusionSurvivalAnalysis(SurvivalModel, TransformerMixin, InferredComposition):
    """Predict survival from several kinds of data by an ensemble of networks that fuse them.

    Each modality of the cohort table is encoded into a vector, the vectors are fused into one, and the fused vector
    predicts when the event happens. Ten such networks, each trained on four fifths of the patients, are averaged.
    Stands wherever a scikit-survival estimator stands; with the defaults it is cross-modality attention fusion (CM-MMF,
    [1]_) with settings that suit cohorts of a few hundred patients.

    Parameters
    ----------
    modalities : list of tuple, default=None
        ``(name, encoder)`` for the columns named ``<name>__<feature>``, or ``(name, encoder, columns)`` with columns as
        in :class:`~sklearn.compose.ColumnTransformer`. None takes the names from the columns of X and gives bags an
        :class:`~sksurv_mmf.encoders.AttentionMIL` and numeric blocks an :class:`~sksurv_mmf.encoders.SNN`.
    fusion : Fusion, default=None
        How the modality vectors become one. None is :class:`~sksurv_mmf.fusions.CrossModalAttention`.
    objective : Objective, default=None
        What is learnt. None is :class:`~sksurv_mmf.objectives.DiscreteHazard`.
    n_estimators : int, default=10
        Number of networks whose survival functions are averaged; 1 is a single network, trained on all patients.
    max_samples : float or int, default=0.8
        Training patients that each network of an ensemble sees, a share or a number, drawn without replacement and
        stratified by event. Patients are left out in turn, so that all are left out equally often.
    average_epochs : bool, default=True
        Train an ensemble three times `max_epochs`, and average the weights of each network over its epochs. How much an
        epoch counts is decided by patients whom networks have not seen, and by the prior that it is near `max_epochs`.
        False takes the weights after `max_epochs`, and so does an ensemble that leaves nobody out or stops early.
    encoders : dict of str to (Encoder or dict), default=None
        If `modalities` is None: the encoder, or parameters of the default encoder, of modalities by name, for example
        ``{"wsi": {"hidden_dim": 64}, "rna": MLP()}``. ``set_params(wsi__hidden_dim=64)`` sets them, and so does a grid
        search.
    embedding_dim : int, default=32
        Width of the modality vectors.
    standardize : bool, default=True
        Centre and scale the columns of numeric modalities with the training patients' mean and standard deviation.
        Tile features are taken as they are; see :class:`~sksurv_mmf.preprocessing.BagTransformer`.
    fair_inputs : bool, default=True
        Let no modality learn faster because it has more columns: the layers that read inputs divide them by the root of
        their number and start from weights that are larger by as much.
    zero_start : bool, default=True
        Start where nothing is known: every patient at the hazards of all, all modalities and tiles with the same
        weight.
    attention_lr : float, default=0.3
        Learning rate of the layers that weigh modalities or tiles, as a multiple of `lr`.
    normalization : {"minmax", "layer"} or None, default=None
        Rescaling of each modality vector before the fusion: to [0, 1] by its own minimum and maximum as in [1]_, to
        mean 0 and variance 1, or none.
    max_epochs : int, default=12
        Number of passes over the training patients; see `average_epochs`.
    lr : float, default=0.001
        Learning rate.
    batch_size : int, default=16
        Patients per batch, of those that a network sees.
    max_tiles : int or None, default=None
        Tiles of a bag that an epoch of training sees at most, drawn at random and anew for each epoch; networks that
        train in lockstep see the same ones. Predictions are made from all tiles, and so are phenotypes that an encoder
        learns beforehand. None is all tiles. Worth it for bags of thousands of tiles: the cost grows with their number.
    precision : {"float32", "bfloat16"}, default="float32"
        Of the matrix products in which :class:`~sksurv_mmf.encoders.AttentionMIL` trains. "bfloat16" rounds their
        factors to 8 significant bits, which for wide tiles and embeddings takes half the time on processors that
        multiply such numbers, gains nothing for narrow ones, and is correct everywhere. Weights, sums, everything else
        and predictions stay float32; on a GPU the products are rounded, too. In an ensemble on a CPU it acts where a
        batch has more than 1,024 tiles.
    optimizer : {"adam", "adamw", "sgd"} or type, default="adamw"
        Name or class of a torch optimizer that steps without a closure.
    weight_decay : float, default=0.01
        Weight decay of the optimizer.
    input_noise : float or dict of str to float, default=0.0
        Standard deviation of Gaussian noise on the inputs in training, for all modalities or by name. The unit is that
        of the input; for numeric modalities it is one standard deviation if `standardize` is True.
    modality_dropout : float, default=0.25
        Probability with which a modality of a training patient is hidden, but never the last one.
    early_stopping : bool, default=False
        Stop when the loss of held-out training patients no longer falls, and keep the best weights.
    validation_fraction : float, default=0.15
        Fraction of the training patients that `early_stopping` holds out, stratified by event.
    patience : int, default=10
        Epochs without improvement after which `early_stopping` stops.
    gradient_accumulation : int, default=1
        Batches per optimizer step, which is that of one large batch (one risk set for CoxPH); memory holds one batch.
    balance : bool, default=False
        Draw training patients with replacement, all combinations of censoring and (if any) time bin equally likely.
    callbacks : list of skorch.callbacks.Callback, default=None
        Additional callbacks of the training loop, also as ``(name, callback)``. They are copied before use. A
        KeyboardInterrupt that one raises is an interrupt and leaves `fit`, unlike in skorch: to end training early,
        use `skorch.callbacks.EarlyStopping`, or a subclass of it that raises when its ``misses_`` reach ``patience``.
    device : str, default="auto"
        "cpu", "cuda", another torch device, or "auto" for a GPU where there is one.
    n_jobs : int or None, default=None
        Processes among which the networks of an ensemble are divided; None is one, -1 as many as there are processors.
        Networks of one process train in lockstep, all in one pass over the patients, which for small networks is
        quicker than several processes. What is learnt is the same.
    checkpoint_dir : str, path-like or None, default=None
        Folder, made if need be, in which `fit` keeps the state of its training every few seconds. A fit that was
        killed goes on there when it is called again with the same data and parameters, and learns what it would have
        learnt, to the bit. Needs a `random_state`: a number, or a generator that is in the same state again. See Notes.
    random_state : int, RandomState instance or None, default=None
        Decides the initial weights, the order of patients, dropout and noise. The same number gives the same model
        to the bit on the same machine; global random states are left as they are.
    verbose : bool, default=False
        Show a progress bar.

    Attributes
    ----------
    modalities_ : list of Modality
        What was read: `name`, `encoder` and `columns` (positions in X) of each modality, into which it also unpacks,
        `is_bag`, `n_features`, `feature_names` and `tiling`. The encoders are fitted copies: what an encoder learnt is
        here (such as ``columns_`` of a PathwaySNN), not in `modalities`.
        Of an ensemble, those of its first network.
    estimators_ : list of FusionSurvivalAnalysis
        The networks of an ensemble, as fitted estimators with ``n_estimators=1``.
    objective_ : Objective
        The fitted objective of a single network; in an ensemble each of `estimators_` has its own.
    net_ : skorch.NeuralNet
        The trained net of a single network; the torch module is ``net_.module_``.
    oob_survival_function_ : ndarray of shape (n_patients, n_unique_times)
        Of an ensemble, the survival functions of the training patients at `unique_times_`, each the mean over the
        networks that have not seen the patient; NaN for a patient whom all have seen.
    oob_score_ : float
        Concordance index of the risks that these survival functions imply: an honest one, without another fit, unless a
        step in front of this estimator has learnt from the outcome of all, as a selector of genes does. NaN where no
        two of the patients can be compared, with an event or two.
    length_shares_ : Series
        How much each epoch counts where an ensemble averages over epochs; the index is the epoch.
    risk_times_ : ndarray of shape (n_risk_times,)
        Of an ensemble, the event times, at most 100 of them, over which survival functions are averaged for the risk.
    history_ : DataFrame
        ``train_loss`` and, with early stopping, ``valid_loss`` of each epoch, of an ensemble the mean over its
        networks. What callbacks record is in ``net_.history``.
    unique_times_ : ndarray of shape (n_unique_times,)
        The times at which the survival curves step, in the unit of y; of an ensemble at most 1,000.
    n_features_in_ : int
        Number of columns of X.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the columns of X, if all are strings.

    See Also
    --------
    sksurv_mmf.join_modalities : Builds X.
    sksurv_mmf.preprocessing.make_modality_transformer : Prepares each modality inside a Pipeline.

    Notes
    -----
    A modality that a patient lacks (NA in the bag column, NaN in all columns of a numeric block) has no influence on
    the patient's prediction: it is not encoded, and fusions leave it out or see zeros.

    No prediction, curve, embedding or weight is NaN or infinite: where one would be, a ValueError names the patient,
    and the column, tile or part of the network that made it so. `fit` refuses a training that diverged, be it in the
    last step.

    An ensemble averages survival functions, and attention, over its networks; `transform` sets their vectors side by
    side. Networks learn in lockstep where their parts allow it, and else one by one: with early stopping, `balance`,
    callbacks, an optimizer or parts of one's own.

    With `checkpoint_dir`, `fit` writes weights, state of the optimizer, random states, history and callbacks after an
    epoch, every two seconds at most and in a twentieth of the time, to a file that holds numbers and no code
    (safetensors, extra ``io``). Its name is made of the data, the outcome, the parameters, the seed and the source of
    parts of your own, so that the folds and candidates of a search may share the folder, and so may processes. Files
    stay after `fit`: when a cross-validation is called again, the folds that were finished are not trained again.
    Delete the folder once the results are there. A file that is damaged, or of another version of this package or of
    torch, is refused. Where a file cannot be written, a warning says so and training goes on. What a callback keeps
    must be numbers, text, arrays, tensors, or lists and dicts of these, or what its ``state_dict`` returns and its
    ``load_state_dict`` takes; else `fit` refuses. An optimizer of your own must keep all in its state, and a layer in
    parameters and buffers.

    Which settings the paper used and how these defaults were chosen is told in the user guide.

    References
    ----------
    .. [1] Deng, R. et al. "Cross-modality attention-based multimodal fusion for non-small cell lung cancer
           (NSCLC) patient survival prediction", arXiv:2308.09831, 2023.

    Examples
    --------
    >>> from sksurv_mmf import FusionSurvivalAnalysis
    >>> from sksurv_mmf.datasets import make_multimodal_survival
    >>> cohort = make_multimodal_survival(n_patients=60, n_genes=20, n_tiles=(5, 15), random_state=0)
    >>> model = FusionSurvivalAnalysis(max_epochs=5, random_state=0).fit(cohort.X, cohort.y)
    >>> model.predict(cohort.X).shape
    (60,)
    >>> len(model.estimators_), model.oob_survival_function_.shape[0]
    (10, 60)
    >>> model.modality_attention(cohort.X).sum(axis=1).round(6).unique().tolist()
    [1.0]
    """

    default_parts = {"fusion": CrossModalAttention, "objective": DiscreteHazard}

    _parameter_constraints = {
        "modalities": [list, None],
        "fusion": [Fusion, None],
        "objective": [Objective, None],
        "n_estimators": [Interval(Integral, 1, None, closed="left")],
        "max_samples": [Interval(RealNotInt, 0, 1, closed="right"), Interval(Integral, 1, None, closed="left")],
        "average_epochs": ["boolean"],
        "encoders": [dict, None],
        "embedding_dim": [WIDTH],
        "standardize": ["boolean"],
        "fair_inputs": ["boolean"],
        "zero_start": ["boolean"],
        "attention_lr": [Interval(Real, 0, None, closed="neither")],
        "normalization": [StrOptions(set(NORMALIZATIONS)), None],
        "max_epochs": [Interval(Integral, 1, None, closed="left")],
        "lr": [Interval(Real, 0, None, closed="neither")],
        "batch_size": [Interval(Integral, 1, None, closed="left")],
        "max_tiles": [WholeNumber(1), None],
        "precision": [StrOptions({"float32", "bfloat16"})],
        "optimizer": [StrOptions(set(OPTIMIZERS)), callable],
        "weight_decay": [Interval(Real, 0, None, closed="left")],
        "input_noise": [Interval(Real, 0, None, closed="left"), dict],
        "modality_dropout": [PROBABILITY],
        "early_stopping": ["boolean"],
        "validation_fraction": [Interval(Real, 0, 1, closed="neither")],
        "patience": [Interval(Integral, 1, None, closed="left")],
        "gradient_accumulation": [Interval(Integral, 1, None, closed="left")],
        "balance": ["boolean"],
        "callbacks": [list, None],
        "device": [str],
        "n_jobs": [Integral, None],
        "checkpoint_dir": [str, PathLike, None],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        modalities=None,
        fusion=None,
        objective=None,
        *,
        n_estimators=10,
        max_samples=0.8,
        average_epochs=True,
        encoders=None,
        embedding_dim=32,
        standardize=True,
        fair_inputs=True,
        zero_start=True,
        attention_lr=0.3,
        normalization=None,
        max_epochs=12,
        lr=0.001,
        batch_size=16,
        max_tiles=None,
        precision="float32",
        optimizer="adamw",
        weight_decay=0.01,
        input_noise=0.0,
        modality_dropout=0.25,
        early_stopping=False,
        validation_fraction=0.15,
        patience=10,
        gradient_accumulation=1,
        balance=False,
        callbacks=None,
        device="auto",
        n_jobs=None,
        checkpoint_dir=None,
        random_state=None,
        verbose=False,
    ):
        self.modalities = modalities
        self.fusion = fusion
        self.objective = objective
        self.n_estimators = n_estimators
        self.max_samples = max_samples
        self.average_epochs = average_epochs
        self.encoders = encoders
        self.embedding_dim = embedding_dim
        self.standardize = standardize
        self.fair_inputs = fair_inputs
        self.zero_start = zero_start
        self.attention_lr = attention_lr
        self.normalization = normalization
        self.max_epochs = max_epochs
        self.lr = lr
        self.batch_size = batch_size
        self.max_tiles = max_tiles
        self.precision = precision
        self.optimizer = optimizer
        self.weight_decay = weight_decay
        self.input_noise = input_noise
        self.modality_dropout = modality_dropout
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.patience = patience
        self.gradient_accumulation = gradient_accumulation
        self.balance = balance
        self.callbacks = callbacks
        self.device = device
        self.n_jobs = n_jobs
        self.checkpoint_dir = checkpoint_dir
        self.random_state = random_state
        self.verbose = verbose

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = []  # networks compute in float32
        return tags

    @usual_settings()
    def fit(self, X, y):
        """Train the network.

        Parameters
        ----------
        X : DataFrame of shape (n_patients, n_columns) or array-like
            The cohort: columns named ``<modality>__<feature>``, or a numeric table that is one modality. A patient
            who is in the index more than once is reported by a warning.
        y : structured array of shape (n_patients,) or DataFrame
            Event indicator and time, as made by `sksurv.util.Surv`, or a table of the two that is aligned with X by its
            index, the patient.

        Returns
        -------
        self : FusionSurvivalAnalysis
            The fitted estimator.

        Raises
        ------
        ValueError
            If a parameter, X, y or a checkpoint is not usable. The message names the argument, column, patient or file.
        OSError
            If `checkpoint_dir` cannot be made.
        ImportError
            If `checkpoint_dir` is set and safetensors is not installed.

        Warns
        -----
        UserWarning
            If a checkpoint cannot be written, or a column of X is the outcome in disguise: if it rises or falls with
            time or event without exception.
        """
        self._check_parameters()
        self._forget_fit()
        # The outcome is aligned with X as it came, which tells whether its patients have names.
        X, outcome = check_table(self, X, reset=True), Outcome.of(align_outcome(y, X))
        check_teaches(outcome, X.index)
        warn_of_leak(X, outcome)
        recipe = self._recipe(self._plan(X))
        warn_of_merged_modalities(X, recipe.modalities, self.modalities)
        patients = read_patients(X, recipe.modalities, for_training=True)
        seed = draw_seed(self.random_state)
        checkpoints = self._checkpoints(recipe, X, outcome, seed)
        with n_threads(threads_for(patients, self.batch_size, self.max_tiles)):
            if self.n_estimators == 1:
                rows = np.arange(len(patients))
                self._keep(fit(recipe, patients, outcome, rows, seed, checkpoints.of("network")))
            else:
                self._keep_ensemble(fit_ensemble(recipe, patients, outcome, seed, checkpoints), patients, outcome)
        return self

    def _checkpoints(self, recipe, X, outcome, seed):
        """Where the state of training is kept."""
        if self.checkpoint_dir is None:
            return NOWHERE
        return Checkpoints(self.checkpoint_dir, identity_of(recipe, X, outcome, seed))

    def _forget_fit(self):
        super()._forget_fit()
        for name in LEARNT:
            vars(self).pop(name, None)

    def _keep(self, done):
        self.net_, self.modalities_, self.objective_ = done.net, done.modalities, done.objective
        self.history_ = training_history(self.net_)
        self.unique_times_ = self.objective_.unique_times_

    def _keep_ensemble(self, ensemble, patients, outcome):
        self._keep_members([self._member(done) for done in ensemble.members])
        if ensemble.lengths:
            self.length_shares_ = pd.Series(ensemble.lengths, name="share").rename_axis("epoch")
        self.risk_times_ = evenly(np.unique(outcome.time[outcome.event]), MOST_RISK_TIMES)
        times = np.unique(np.concatenate([member.unique_times_ for member in self.estimators_]))
        self._judge_left_out(ensemble, patients, outcome, evenly(times, MOST_STEPS))
        self.unique_times_ = evenly(times, MOST_STEPS)

    def _keep_members(self, members):
        """Consist of fitted estimators of one network each."""
        self.estimators_, self.modalities_ = members, members[0].modalities_
        self.history_ = pd.concat([member.history_ for member in members]).groupby(level=0).mean()

    def _member(self, done):
        """A member as an estimator of its own."""
        member = clone(self).set_params(n_estimators=1)
        for name in ("n_features_in_", "feature_names_in_"):
            if hasattr(self, name):
                setattr(member, name, getattr(self, name))
        member._keep(done)
        return member

    def _judge_left_out(self, ensemble, patients, outcome, times):
        """Predict each training patient by the members that have not seen her, and judge these predictions."""
        if ensemble.samples.all():
            return
        models = [[(one.net.module_, one.objective) for one in ensemble.members]]
        device = ensemble.members[0].net.device
        at = np.union1d(times, self.risk_times_)
        survival = left_out_survival(models, patients, ensemble.samples, at, device)[0]
        judged = ~np.isnan(survival[:, 0])
        risk = -survival[:, np.isin(at, self.risk_times_)].mean(axis=1)
        self.oob_survival_function_ = survival[:, np.isin(at, times)]
        try:
            self.oob_score_ = concordance_index_censored(*outcome.take(judged), risk[judged])[0]
        except (ValueError, ZeroDivisionError):  # with so few events all of them may be in every member's sample
            self.oob_score_ = np.nan

    def _check_parameters(self):
        check_part("fusion", self.fusion, Fusion)
        check_part("objective", self.objective, Objective)
        self._check_modalities("encoder", "from sksurv_mmf.encoders", lambda part: isinstance(part, Encoder))
        self._validate_params()
        check_encoders(self.encoders, self.modalities)
        check_callbacks(self.callbacks, self.early_stopping)
        if self.checkpoint_dir is not None and self.random_state is None:
            raise ValueError(
                "checkpoint_dir needs a random_state, got None: fit would draw another seed each time, and so go on "
                "with no training of an earlier call. Set random_state=0, for example."
            )

    def _fusion(self):
        fusion = self.default_parts["fusion"]() if self.fusion is None else clone(self.fusion)
        fusion._validate_params()
        return fusion

    def _objective(self):
        objective = self.default_parts["objective"]() if self.objective is None else self.objective
        objective._validate_params()
        return objective

    def _plan(self, X):
        """Which columns form a modality, and which encoder reads them."""
        if self.modalities is None:
            modalities = encoders_of(describe(X, infer_columns(X)), self.encoders)
        else:
            encoders = [encoder for _, encoder in self._parts]
            modalities = describe(X, select_columns(X, self.modalities), encoders)
        for modality in modalities:
            modality.encoder._validate_params()
            check_reads(modality)
        return modalities

    def _recipe(self, modalities):
        """What decides a fit of these modalities beside the patients and the seed.

        Encoders and objective are the user's own, for a fit teaches clones of them.
        """
        parts = {"modalities": modalities, "fusion": self._fusion(), "objective": self._objective()}
        # All other parameters arrive by their names.
        return Recipe(**parts, **{one.name: getattr(self, one.name) for one in fields(Recipe) if one.name not in parts})

    @property
    def members(self):
        """The fitted estimators of one network each.

        Returns
        -------
        members : list of FusionSurvivalAnalysis
            `estimators_` of an ensemble, or this estimator alone.
        """
        return [self] if self.n_estimators == 1 else self.estimators_

    @usual_settings()
    def _infer(self, X, function, summarize, mode=torch.inference_mode):
        """X, and for each batch of its patients what `summarize` makes of the members' results.

        It is given an iterator over ``function(member, network, batch)``, in which `member` is an estimator of one
        network.
        """
        check_is_fitted(self)
        modalities = [modality.columns for modality in self.modalities_]
        bags = [modality.columns[0] for modality in self.modalities_ if modality.is_bag]
        X = fill_in_lacking(X, getattr(self, "feature_names_in_", None), modalities, bags)
        X = check_table(self, X, reset=False)
        patients = read_patients(X, self.modalities_)
        members = [(one.net_.module_, partial(function, one)) for one in self.members]
        with n_threads(threads_for(patients, MAX_PATIENTS)):
            return X, list(infer_all(members, patients, self.members[0].net_.device, summarize, mode))

    def _mean(self, X, function):
        """X, and an array of what ``function(member, network, batch)`` is on average over the members."""
        # Added up one by one: curves of ten members for many patients and times would fill the memory.
        X, means = self._infer(X, function, lambda results: reduce(add, results) / len(self.members))
        return X, torch.cat(means).cpu().numpy()

    def predict(self, X):
        """Predict risk scores.

        Parameters
        ----------
        X : DataFrame of shape (n_patients, n_columns) or array-like
            Patients with the columns that the model was fitted on. A modality without any column, or whose columns are
            empty, is missing for all of them; here and in all that a model says about patients.

        Returns
        -------
        risk_score : ndarray of shape (n_patients,)
            Higher for an earlier event. Only the order has a meaning. Of an ensemble it is derived from the survival
            function: minus its mean over `risk_times_`.
        """
        return self._mean(X, lambda member, network, batch: self._risk(member, network(batch)))[1]

    def _risk(self, member, outputs):
        """Risks from the outputs of a member's network; their mean over the members is what is predicted."""
        if self.n_estimators == 1:
            return member.objective_.risk(outputs.double())
        return -survival_at(member.objective_, outputs, self.risk_times_).mean(dim=-1)

    def predict_survival_function(self, X, return_array=False, return_std=False):
        """Predict survival functions.

        Parameters
        ----------
        X : DataFrame of shape (n_patients, n_columns) or array-like
            Patients with the columns that the model was fitted on.
        return_array : bool, default=False
            Whether to return values at `unique_times_` instead of functions.
        return_std : bool, default=False
            Whether to return the spread between the members of an ensemble, too.

        Returns
        -------
        survival : ndarray
            One :class:`sksurv.functions.StepFunction` per patient, or an array of shape (n_patients, n_unique_times):
            the mean over the members of an ensemble.
        std : ndarray of shape (n_patients, n_unique_times)
            With `return_std`, the standard deviation between members at `unique_times_`. It tells how much the curve
            depends on which patients were seen, and on chance in training; not how far a patient's life may be off.

        Raises
        ------
        ValueError
            If `return_std` is asked of a single network.
        """
        if not return_std:
            return self._curves(self._survival(X), return_array)
        if self.n_estimators == 1:
            raise ValueError(
                "return_std=True needs an ensemble, but n_estimators=1 is a single network. Fit with n_estimators=10."
            )
        _, spread = self._infer(X, self._survival_of, lambda results: torch.stack(_std_and_mean(results)))
        std, mean = torch.cat(spread, dim=1).cpu().numpy()
        return self._curves(mean, return_array), std

    def predict_survival_table(self, X, horizons, confidence_level=0.95):
        """Predict survival probabilities at given times, as a table.

        Use it for the times that a report or a clinic asks about, such as one and three years.

        Parameters
        ----------
        X : DataFrame of shape (n_patients, n_columns) or array-like
            Patients with the columns that the model was fitted on.
        horizons : float or array-like of float
            Times of interest, in the unit of y. At most the last of `unique_times_`, beyond which nothing was learnt;
            before the first one everybody lives.
        confidence_level : float, default=0.95
            Which share of the networks of an ensemble lies between `lower` and `upper`. Of no effect on a single
            network.

        Returns
        -------
        DataFrame of shape (n_patients * n_horizons, 3) or (n_patients * n_horizons, 1)
            With an index of patient and time, in the given orders, and the column `survival`, the value of the survival
            function. Of an ensemble also `lower` and `upper`: quantiles of the survival probabilities that its
            networks predict. They tell how much the prediction depends on which patients were seen, and on chance in
            training. They are no confidence interval of the true probability, which is further off, for all networks
            share a design and most of their patients; and nothing that a patient's life will keep to.

        Raises
        ------
        ValueError
            If a horizon is negative, no number, or beyond the last of `unique_times_`.

        See Also
        --------
        sksurv_mmf.predictions.predict_survival_table : The same behind a Pipeline or search, and of other models.
        sksurv_mmf.predictions.median_survival_time : When a survival function falls to one half.
        sksurv_mmf.predictions.restricted_mean_survival_time : The area under it.
        """
        check_is_fitted(self)
        horizons = check_horizons(horizons, self.unique_times_[-1])
        check_confidence_level(confidence_level)
        around = (1 - confidence_level) / 2
        levels = [] if self.n_estimators == 1 else [around, 1 - around]
        # The steps of `predict_survival_function` that hold at these times; before the first one everybody lives.
        steps = np.r_[-1.0, self.unique_times_][np.searchsorted(self.unique_times_, horizons, side="right")]
        X, values = self._infer(
            X,
            lambda member, network, batch: survival_at(member.objective_, network(batch), steps),
            lambda results: _mean_and_quantiles(results, levels),
        )
        return survival_table(torch.cat(values, dim=1).cpu().numpy(), X.index, horizons)

    def _survival_of(self, member, network, batch):
        return survival_at(member.objective_, network(batch), self.unique_times_)

    def _survival(self, X):
        if self.n_estimators == 1:
            return np.exp(-self._cumulative_hazard(X))
        return self._mean(X, self._survival_of)[1]

    def _cumulative_hazard(self, X):
        if self.n_estimators == 1:

            def read(member, network, batch):
                return member.objective_.cumulative_hazard(network(batch).double())

            return self._mean(X, read)[1]
        # The logarithm of 0 is not asked for, which rounding may make of a survival that is close to it.
        return -np.log(np.maximum(self._survival(X), np.finfo(float).tiny))

    def predict_cumulative_hazard_function(self, X, return_array=False):
        """Predict cumulative hazard functions, minus the logarithm of the survival functions.

        Parameters
        ----------
        X : DataFrame of shape (n_patients, n_columns) or array-like
            Patients with the columns that the model was fitted on.
        return_array : bool, default=False
            Whether to return values at `unique_times_` instead of functions.

        Returns
        -------
        cum_hazard : ndarray
            One :class:`sksurv.functions.StepFunction` per patient, or an array of shape (n_patients, n_unique_times).
        """
        return self._curves(self._cumulative_hazard(X), return_array)

    def _curves(self, values, return_array):
        return values if return_array else self._step_functions(values)

    def transform(self, X):
        """Compute the fused embeddings, the vectors from which the risk is predicted.

        Parameters
        ----------
        X : DataFrame of shape (n_patients, n_columns) or array-like
            Patients with the columns that the model was fitted on.

        Returns
        -------
        embedding : DataFrame of shape (n_patients, n_dimensions)
            One row per patient of X. The vectors of an ensemble's members stand side by side, since their coordinates
            have nothing to do with each other.
        """
        X, fused = self._infer(X, lambda member, network, batch: network.fuse(batch)[0], _side_by_side)
        return pd.DataFrame(torch.cat(fused).cpu().numpy(), index=X.index, columns=self.get_feature_names_out())

    def get_feature_names_out(self, input_features=None):
        """Get the names of the columns that `transform` returns.

        Parameters
        ----------
        input_features : array-like of str, default=None
            Ignored.

        Returns
        -------
        names : ndarray of str
            "fused0", "fused1", and so on; of an ensemble "member0_fused0", and so on.
        """
        check_is_fitted(self)
        prefixes = [f"member{k}_" for k in range(self.n_estimators)] if self.n_estimators > 1 else [""]
        widths = [one.net_.module_.fusion.out_dim for one in self.members]
        names = [f"{prefix}fused{i}" for prefix, width in zip(prefixes, widths) for i in range(width)]
        return np.array(names, dtype=object)

    @available_if(_check_fusion_weighs)
    def modality_attention(self, X):
        """Compute how much each modality weighs in the fusion of each patient.

        Exists if the fusion weighs modalities: :class:`~sksurv_mmf.fusions.CrossModalAttention`, the default, and
        :class:`~sksurv_mmf.fusions.GatedAttention` do.

        Parameters
        ----------
        X : DataFrame of shape (n_patients, n_columns) or array-like
            Patients with the columns that the model was fitted on.

        Returns
        -------
        attention : DataFrame of shape (n_patients, n_modalities)
            Rows sum to one (unless the fusion was told not to normalise); a missing modality has weight 0. Of an
            ensemble it is the mean over the members.
        """
        X, weights = self._mean(X, lambda member, network, batch: network.attention(batch))
        names = [modality.name for modality in self.modalities_]
        return pd.DataFrame(weights, index=X.index, columns=names)

    def tile_attention(self, X, modality=None):
        """Compute how much each tile weighs in the vector of its patient.

        The encoders that weigh tiles have the attribute ``has_attention = True``, as
        :class:`~sksurv_mmf.encoders.AttentionMIL` does.

        Parameters
        ----------
        X : DataFrame of shape (n_patients, n_columns)
            Patients with the columns that the model was fitted on.
        modality : str, default=None
            Name of the bag modality; not needed if there is one only.

        Returns
        -------
        attention : DataFrame of shape (n_tiles_total, n_columns)
            Column "attention", which sums to one over the tiles of a patient (of an ensemble the mean over the
            members), column "slide" if all bags know their slides, columns "x" and "y" if all tiles have coordinates,
            and, if files tell them, "coord_unit" ("px" or "um"), "tile_side" (in this unit), "tile_size" and "mpp"
            (pixels and um per pixel, as of `bags.Tiling`).
            The index has the levels "patient" and "tile". Patients without the modality have no rows.

        Raises
        ------
        ValueError
            If the modality is unknown or its encoder does not weigh tiles.
        """
        check_is_fitted(self)
        m = weighed_modality(modality, self.modalities_)

        def attend(member, network, batch):
            bags = batch.inputs[m]
            return torch.empty(0) if bags is None else network.encoders[m].attention(bags).cpu()

        X, weights = self._mean(X, attend)
        columns = self.modalities_[m].columns
        bags = X.iloc[who_has(X, columns), columns[0]]
        return tile_table(bags, weights)


def _std_and_mean(results):
    return torch.std_mean(torch.stack(list(results)), dim=0)


def _mean_and_quantiles(results, levels):
    results = torch.stack(list(results))  # (n_members, n_patients, n_times)
    levels = torch.tensor(levels, dtype=results.dtype, device=results.device)
    return torch.cat([results.mean(dim=0, keepdim=True), torch.quantile(results, levels, dim=0)])


def _side_by_side(results):
    return torch.cat(list(results), dim=1)
