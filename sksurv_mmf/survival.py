"""The estimator."""

from dataclasses import fields
from numbers import Integral, Real

import numpy as np
import pandas as pd
import torch
from sklearn.base import TransformerMixin, clone
from sklearn.utils.validation import check_is_fitted
from sksurv.functions import StepFunction

from .cohort._columns import check_reads, check_table, describe, infer_columns, select_columns
from .cohort._encoders import check_encoders, encoders_of
from .cohort._lost_names import warn_of_merged_modalities
from .cohort._reading import read_patients
from .cohort._tiles import tile_table, weighed_modality
from .encoders._base import Encoder
from .fusions._base import Fusion
from .fusions._cross_modal_attention import CrossModalAttention
from .layers._normalization import NORMALIZATIONS
from .networks._inference import infer
from .networks._network import FusionNetwork
from .objectives._base import Objective
from .objectives._discrete_hazard import DiscreteHazard
from .outcome._align import align_outcome
from .outcome._leak import warn_of_leak
from .outcome._outcome import Outcome, check_teaches
from .predictions._survival_model import SurvivalModel
from .training._fit import Recipe, fit
from .training._net import OPTIMIZERS, check_callbacks, training_history
from .training._seeds import draw_seed
from .utils._available_if import available_if
from .utils._frames import who_has
from .utils._modality_composition import InferredComposition
from .utils._sklearn import Interval, StrOptions
from .utils._torch_state import usual_settings
from .utils._validation import PROBABILITY, WIDTH, check_part, names_of


def _check_fusion_weighs(estimator):
    fusion = estimator._fusion()
    if not fusion.has_attention:
        raise AttributeError(
            f"{type(estimator).__name__} has no modality_attention: its fusion {type(fusion).__name__} does not weigh "
            f"modalities. Fusions that do are {', '.join(names_of(Fusion, has_attention=True))}."
        )


class FusionSurvivalAnalysis(SurvivalModel, TransformerMixin, InferredComposition):
    """Predict survival from several kinds of data by a network that fuses them.

    Each modality of the cohort table is encoded into a vector, the vectors are fused into one, and the fused vector
    predicts when the event happens. Stands wherever a scikit-survival estimator stands; with the defaults it is
    cross-modality attention fusion (CM-MMF, [1]_) with settings that suit cohorts of a few hundred patients.

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
    encoders : dict of str to (Encoder or dict), default=None
        If `modalities` is None: the encoder, or parameters of the default encoder, of modalities by name, for example
        ``{"wsi": {"hidden_dim": 64}, "rna": MLP()}``. ``set_params(wsi__hidden_dim=64)`` sets them, and so does a grid
        search.
    embedding_dim : int, default=32
        Width of the modality vectors.
    standardize : bool, default=True
        Centre and scale the columns of numeric modalities with the training patients' mean and standard deviation.
        Tile features are taken as they are; see :class:`~sksurv_mmf.preprocessing.BagTransformer`.
    normalization : {"minmax", "layer"} or None, default="layer"
        Rescaling of each modality vector before the fusion: to [0, 1] by its own minimum and maximum as in [1]_, to
        mean 0 and variance 1, or none.
    max_epochs : int, default=20
        Number of passes over the training patients.
    lr : float, default=0.0003
        Learning rate.
    batch_size : int, default=8
        Patients per batch.
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
    objective_ : Objective
        The fitted objective.
    net_ : skorch.NeuralNet
        The trained net; the torch module is ``net_.module_``.
    history_ : DataFrame
        ``train_loss`` and, with early stopping, ``valid_loss`` of each epoch. What callbacks record is in
        ``net_.history``.
    unique_times_ : ndarray of shape (n_unique_times,)
        The times at which the survival curves step, in the unit of y.
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
    >>> model.modality_attention(cohort.X).sum(axis=1).round(6).unique().tolist()
    [1.0]
    """

    default_parts = {"fusion": CrossModalAttention, "objective": DiscreteHazard}

    _parameter_constraints = {
        "modalities": [list, None],
        "fusion": [Fusion, None],
        "objective": [Objective, None],
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
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        modalities=None,
        fusion=None,
        objective=None,
        *,
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
        random_state=None,
        verbose=False,
    ):
        self.modalities = modalities
        self.fusion = fusion
        self.objective = objective
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
            If a parameter, X or y is not usable. The message names the argument, column or patient.

        Warns
        -----
        UserWarning
            If a column of X is the outcome in disguise: if it rises or falls with time or event without exception.
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
        done = fit(recipe, patients, outcome, np.arange(len(patients)), draw_seed(self.random_state))
        self.net_, self.modalities_, self.objective_ = done.net, done.modalities, done.objective
        self.history_ = training_history(self.net_)
        self.unique_times_ = self.objective_.unique_times_
        return self

    def _check_parameters(self):
        check_part("fusion", self.fusion, Fusion)
        check_part("objective", self.objective, Objective)
        self._check_modalities("encoder", "from sksurv_mmf.encoders", lambda part: isinstance(part, Encoder))
        self._validate_params()
        check_encoders(self.encoders, self.modalities)
        check_callbacks(self.callbacks, self.early_stopping)

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

    @usual_settings()
    def _infer(self, X, function, mode=torch.inference_mode):
        """Per-patient results of ``function(network, batch)`` for the patients of X."""
        check_is_fitted(self)
        X = check_table(self, X, reset=False)
        patients = read_patients(X, self.modalities_)
        return X, infer(self.net_.module_, patients, self.net_.device, function, mode)

    def _from_outputs(self, X, what):
        """Array of what the objective reads from the outputs of each patient: "risk" or "cumulative_hazard"."""

        def read(network, batch):
            return getattr(self.objective_, what)(network(batch).double())

        _, results = self._infer(X, read)
        return torch.cat(results).cpu().numpy()

    def predict(self, X):
        """Predict risk scores.

        Parameters
        ----------
        X : DataFrame of shape (n_patients, n_columns) or array-like
            Patients with the columns that the model was fitted on.

        Returns
        -------
        risk_score : ndarray of shape (n_patients,)
            Higher for an earlier event. Only the order has a meaning.
        """
        return self._from_outputs(X, "risk")

    def predict_survival_function(self, X, return_array=False):
        """Predict survival functions.

        Parameters
        ----------
        X : DataFrame of shape (n_patients, n_columns) or array-like
            Patients with the columns that the model was fitted on.
        return_array : bool, default=False
            Whether to return values at `unique_times_` instead of functions.

        Returns
        -------
        survival : ndarray
            One :class:`sksurv.functions.StepFunction` per patient, or an array of shape (n_patients, n_unique_times).
        """
        return self._curves(np.exp(-self._from_outputs(X, "cumulative_hazard")), return_array)

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
        return self._curves(self._from_outputs(X, "cumulative_hazard"), return_array)

    def _curves(self, values, return_array):
        if return_array:
            return values
        curves = np.empty(len(values), dtype=object)
        curves[:] = [StepFunction(self.unique_times_, row) for row in values]
        return curves

    def transform(self, X):
        """Compute the fused embeddings, the vectors from which the risk is predicted.

        Parameters
        ----------
        X : DataFrame of shape (n_patients, n_columns) or array-like
            Patients with the columns that the model was fitted on.

        Returns
        -------
        embedding : DataFrame of shape (n_patients, n_dimensions)
            One row per patient of X.
        """
        X, fused = self._infer(X, lambda network, batch: network.fuse(batch)[0])
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
            "fused0", "fused1", and so on.
        """
        check_is_fitted(self)
        return np.array([f"fused{i}" for i in range(self.net_.module_.fusion.out_dim)], dtype=object)

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
            Rows sum to one (unless the fusion was told not to normalise); a missing modality has weight 0.
        """
        X, weights = self._infer(X, FusionNetwork.attention)
        names = [modality.name for modality in self.modalities_]
        return pd.DataFrame(torch.cat(weights).cpu().numpy(), index=X.index, columns=names)

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
            Column "attention", which sums to one over the tiles of a patient, column "slide" if all bags know their
            slides, columns "x" and "y" if all tiles have coordinates, and, if files tell them, "coord_unit" ("px" or
            "um"), "tile_side" (in this unit), "tile_size" and "mpp" (pixels and um per pixel, as of `bags.Tiling`).
            The index has the levels "patient" and "tile". Patients without the modality have no rows.

        Raises
        ------
        ValueError
            If the modality is unknown or its encoder does not weigh tiles.
        """
        check_is_fitted(self)
        m = weighed_modality(modality, self.modalities_)

        def attend(network, batch):
            bags = batch.inputs[m]
            return torch.empty(0) if bags is None else network.encoders[m].attention(bags).cpu()

        X, weights = self._infer(X, attend)
        columns = self.modalities_[m].columns
        bags = X.iloc[who_has(X, columns), columns[0]]
        return tile_table(bags, torch.cat(weights).numpy())
