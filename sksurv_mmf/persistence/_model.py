"""Saving and loading."""

import json
import os
import platform
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from inspect import isclass
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

from ..evaluation._recalibrate import RecalibratedModel
from ..files._archive import CHECKSUMS, MANIFEST, changed_members, checksums, read_archive, read_json, write_archive
from ..files._regular_file import check_regular_file
from ..files._tensors import tensors_as_bytes, tensors_of_bytes
from ..files._tree import full_name, place
from ..late_fusion._late_fusion import LateFusionSurvivalAnalysis
from ..survival import FusionSurvivalAnalysis
from ..utils._torch_state import usual_settings
from ..utils._validation import say, shorten
from ..utils._warnings import warn
from ._ensemble import decode_ensemble, encode_ensemble
from ._foreign import dump_foreign, load_foreign
from ._integrity import check_coefficients
from ._late_fusion import decode_late_fusion, encode_late_fusion, held_by
from ._network import decode_network, encode_network
from ._recalibrated import decode_recalibrated, encode_recalibrated
from ._tree import ModelDecoder, Parts, known_classes

FORMAT = "sksurv_mmf model"
FORMAT_VERSION = 3
READABLE_VERSIONS = (1, 2, 3)
PARAMETERS, WEIGHTS = "parameters.json", "weights.safetensors"
HOLDERS = {("late_fusion", "holds"): decode_late_fusion, ("recalibrated", "holds"): decode_recalibrated}
"""What reads an estimator of ours that holds others."""
PURPOSE = "Saving and loading models"
PACKAGES = ["sksurv_mmf", "torch", "skorch", "scikit-learn", "scikit-survival", "numpy", "scipy", "pandas", "skops"]


@usual_settings()
def save_model(estimator, path: str | os.PathLike, *, overwrite: bool = False) -> None:
    """Save a fitted model to a file that holds numbers and names, and no code.

    Use it instead of pickle for a model that others are to use, or that is to be used in some years: unlike a pickle,
    the file can be loaded without trusting who made it. :func:`load_model` makes the model again, which then predicts
    the same, to the bit on the same machine.

    Parameters
    ----------
    estimator : FusionSurvivalAnalysis, LateFusionSurvivalAnalysis, Pipeline or another estimator
        The fitted model: a :class:`~sksurv_mmf.FusionSurvivalAnalysis`, a
        :class:`~sksurv_mmf.LateFusionSurvivalAnalysis` of models that can be saved, a pipeline that contains one, a
        :class:`~sksurv_mmf.evaluation.RecalibratedModel` of one, or
        estimators and transformers of scikit-learn, scikit-survival and this package alone.
    path : str or path-like
        The file, for example ``"model.zip"``. It appears when it is complete and has been loaded once for trial. What
        a killed process left beside it is removed.
    overwrite : bool, default=False
        Whether to replace a file that exists; of a symbolic link, the link and not what it points to.

    Raises
    ------
    FileExistsError
        If there is a file already, or if another process has saved one there in the meantime.
    sklearn.exceptions.NotFittedError
        If the model is not fitted.
    ValueError
        If a part of the model cannot be saved; the message names it.
    ImportError
        If safetensors, or for transformers skops, is not installed.

    Warns
    -----
    UserWarning
        If something that only training needs is left out, see Notes.

    See Also
    --------
    load_model : Makes the model again.

    Notes
    -----
    The file is a zip of

    - ``manifest.json``: versions, names of the columns, modalities, a summary of the training, what is left out,
      checksums of all members;
    - ``parameters.json``: parameters, and the rest of what was learnt;
    - ``weights.safetensors``: weights and other arrays. They have no device, so that a model trained on a GPU can be
      loaded without one;
    - ``<number>.skops``: each step of a pipeline and each model in a late fusion that is none of this package's, as
      skops writes it.

    Any zip program shows the manifest, for example ``unzip -p model.zip manifest.json``.

    An ensemble is saved without `oob_survival_function_`, the curves of single training patients.

    Left out, with a warning, are `callbacks`, `checkpoint_dir`, an `optimizer` that is not torch's, a `random_state`
    that is a generator and the cache (`memory`) of a pipeline: the loaded model has the defaults instead, which matters
    only if it is fitted again. Of the history, epochs are kept and single batches are not. Gene sets given as the path
    of a file stay a path. A late fusion is saved without the names of its training patients: the loaded
    `held_out_ranks_` have them in their order, numbered. Its unfitted `modalities` are clones of the fitted models.

    Of :func:`presets.baselines() <sksurv_mmf.presets.baselines>`, Kaplan-Meier and the three Cox models can be loaded
    as they are; forests, boosting, late fusions of forests and
    :func:`presets.super_learner() <sksurv_mmf.presets.super_learner>` have trees, for which :func:`load_model` wants
    `trusted`. A
    :class:`~sklearn.model_selection.GridSearchCV` over estimators of scikit-learn and scikit-survival can be saved. One
    over a network or a late fusion cannot: save its `best_estimator_`.

    Encoders, fusions, objectives and transformers of one's own can be saved. To load them, their class must be
    passed as `trusted`; the code is not in the file. They must keep their state in attributes that are numbers,
    text, arrays, or lists and dicts of these. So must a function that chooses columns be replaced by their names.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> from sksurv_mmf import FusionSurvivalAnalysis, load_model, save_model
    >>> from sksurv_mmf.datasets import make_multimodal_survival
    >>> cohort = make_multimodal_survival(n_patients=40, n_genes=10, n_tiles=(3, 6), random_state=0)
    >>> model = FusionSurvivalAnalysis(max_epochs=2, random_state=0).fit(cohort.X, cohort.y)
    >>> with TemporaryDirectory() as folder:
    ...     save_model(model, Path(folder, "model.zip"))
    ...     loaded = load_model(Path(folder, "model.zip"))
    >>> bool((loaded.predict(cohort.X) == model.predict(cohort.X)).all())
    True
    """
    if not isinstance(overwrite, bool | np.bool_):
        raise TypeError(f"overwrite must be True or False, got {overwrite!r}.")
    check_is_fitted(estimator)
    parts = Parts()
    node = _encode_step(estimator, "", parts)
    needed = {full_name(one) for one in parts.classes} | parts.names
    manifest = _describe(estimator, parts.networks) | {"left_out": parts.left_out, "needs_trusted": sorted(needed)}
    members = {
        PARAMETERS: _to_json(node),
        WEIGHTS: tensors_as_bytes(parts.tensors, PURPOSE),
        **parts.files,
    }
    manifest[CHECKSUMS] = checksums(members, manifest)
    members = {MANIFEST: _to_json(manifest), **members}
    write_archive(_as_path(path), members, overwrite, check=lambda unfinished: _try(unfinished, parts))
    if parts.left_out:
        warn(
            f"save_model leaves out {shorten(parts.left_out)}. Predictions do not need it; to fit the loaded model "
            "again in the same way, set it again.",
        )


@usual_settings()
def load_model(path: str | os.PathLike, *, trusted=()) -> Any:
    """Load a model that :func:`save_model` saved.

    No code in the file is run, because none is looked for: the file chooses among known classes, and everything else
    in it is numbers and text. What is not known is refused by name.

    Parameters
    ----------
    path : str or path-like
        The file.
    trusted : sequence of types or functions, default=()
        Classes of your own that occur in the model, and functions such as that of a
        :class:`~sklearn.preprocessing.FunctionTransformer`. Their code is run with parameters from the file. Models of
        trees need their own class and ``sklearn.tree._tree.Tree``, a forest also :class:`~sksurv.tree.SurvivalTree`:
        scikit-learn's compiled code follows the numbers in a tree unchecked. ``needs_trusted`` in the manifest lists
        them all.

    Returns
    -------
    estimator : estimator
        The fitted model, on the device that its parameter `device` asks for, or on the CPU where that is absent. It
        predicts, explains and can be fitted again.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is no saved model, is damaged, or holds something that is not known; the message names it.
    ImportError
        If safetensors, or for transformers skops, is not installed.

    See Also
    --------
    save_model : Saves a model; tells what is in the file.

    Notes
    -----
    Nothing is written to disk, no member of the file is larger than it is in the file, and names, shapes and types of
    all weights are compared with what the parameters ask for before the network has memory. Weights and learnt numbers
    that are NaN or infinite are refused. Checksums in the manifest tell accidental changes; they do not stop somebody
    who changes the manifest, too. What can still be wrong with a file from a stranger is the model itself: nobody but
    who made it knows what it learnt.

    Another version of a package may compute something else from the same numbers. scikit-learn warns then; the versions
    are in the manifest.

    Examples
    --------
    >>> from sksurv_mmf import load_model
    >>> load_model("nowhere.zip")
    Traceback (most recent call last):
    FileNotFoundError: There is no saved model at nowhere.zip.
    """
    if callable(trusted) or not isinstance(trusted, Iterable) or not all(map(callable, trusted)):
        raise TypeError(f"trusted must be a list of classes or functions, got {trusted!r}.")
    file = _as_path(path)
    if not file.exists():
        raise FileNotFoundError(f"There is no saved model at {file}.")
    check_regular_file(file, "The model ")
    return _load(file, {one for one in trusted if isclass(one)}, {full_name(one) for one in trusted})


def _as_path(path):
    """The path of a model's file, or an error that says what came instead."""
    if not isinstance(path, str | PathLike):
        raise TypeError(
            f"path must be the path of a file, such as 'model.zip', got {type(path).__name__}: {path!r:.80}."
        )
    return Path(path)


def _try(path, parts):
    try:
        _read(path, parts.classes, parts.names)
    except Exception as error:
        raise ValueError(f"The model cannot be saved, because it could not be loaded again: {say(error)}.") from error


def _load(path, classes, names):
    try:
        return _read(path, classes, names)
    except ImportError:
        raise
    # A damaged or hostile file can make its readers raise nearly anything; the user needs to know which file it is.
    except Exception as error:
        raise ValueError(f"The model {str(path)!r} cannot be loaded: {say(error)}.") from error


def _read(path, classes, names):
    members = read_archive(path)
    manifest = _check_manifest(members)
    changed = changed_members(members, manifest)
    try:
        estimator = _build(members, classes, names)
    except ImportError:
        raise
    # What is wrong with it is the better word; that it was changed says why.
    except Exception as error:
        if not changed:
            raise
        raise ValueError(f"{say(error)}. {_say_changed(changed)}") from error
    if changed:
        raise ValueError(_say_changed(changed))
    return estimator


def _say_changed(changed):
    return (
        f"Its checksums tell that {shorten(changed)} {'was' if len(changed) == 1 else 'were'} changed after the model "
        "was saved; get the file again"
    )


def _build(members, classes, names):
    node = read_json(PARAMETERS, members[PARAMETERS])
    tensors = tensors_of_bytes(members[WEIGHTS], WEIGHTS, PURPOSE)
    files = {name: data for name, data in members.items() if name not in (MANIFEST, PARAMETERS, WEIGHTS)}
    try:
        estimator = _decode_step(node, "", ModelDecoder(known_classes(classes), tensors), files, names)
    except (TypeError, AttributeError, LookupError) as error:
        raise ValueError(
            f"{PARAMETERS}, or what it refers to, is not as save_model writes it ({type(error).__name__}: {say(error)})"
        ) from error
    unread = [f"array {name!r}" for name in tensors] + [f"member {name!r}" for name in files]
    if unread:
        raise ValueError(f"it has an unexpected {unread[0]}")
    check_is_fitted(estimator)
    return estimator


def _check_manifest(members):
    absent = [name for name in (MANIFEST, PARAMETERS, WEIGHTS) if name not in members]
    if absent:
        raise ValueError(f"it lacks {', '.join(absent)}, so it was not written by save_model")
    manifest = read_json(MANIFEST, members[MANIFEST])
    if not isinstance(manifest, dict):
        raise ValueError(f"{MANIFEST} holds a {type(manifest).__name__}, so it was not written by save_model")
    if manifest.get("format") != FORMAT or manifest.get("format_version") not in READABLE_VERSIONS:
        raise ValueError(
            f"it has the format {manifest.get('format')!r}, version {manifest.get('format_version')!r}, while this "
            f"version of sksurv_mmf reads {FORMAT!r}, versions {shorten(READABLE_VERSIONS)}"
        )
    return manifest


def _encode_step(estimator, where, parts):
    """JSON of a model, or of a step of a pipeline."""
    if estimator is None or isinstance(estimator, str | int):
        return estimator
    if type(estimator) is Pipeline:
        steps = _encode_steps(estimator.steps, where, parts)
        if estimator.memory is not None:
            parts.left_out.append(place(where, "memory"))
        parameters = {"transform_input": estimator.transform_input, "verbose": estimator.verbose}
        return {"pipeline": steps, "parameters": parameters}
    if isinstance(estimator, RecalibratedModel):
        held = _encode_steps([("model", estimator.model)], where, parts)
        return {"recalibrated": encode_recalibrated(estimator, place(where, "corrections"), parts), "holds": held}
    is_late_fusion = isinstance(estimator, LateFusionSurvivalAnalysis)
    # What it holds first: an error names the part that it is about, and not all that this part is in.
    held = _encode_steps(held_by(estimator), where, parts) if is_late_fusion else None
    try:
        if is_late_fusion:
            return {"late_fusion": encode_late_fusion(estimator, where, parts), "holds": held}
        if isinstance(estimator, FusionSurvivalAnalysis):
            parts.networks[where] = estimator
            return (encode_network if estimator.n_estimators == 1 else encode_ensemble)(estimator, where, parts)
        name = f"{len(parts.files)}.skops"
        parts.files[name], names = dump_foreign(estimator)
        parts.names |= names
        return {"skops": name}
    except ValueError as error:
        what, kind = f"Step {where!r}" if where else "The estimator", type(estimator).__name__
        way_out = " Save its best_estimator_." if hasattr(estimator, "best_estimator_") else ""
        raise ValueError(f"{what} ({kind}) cannot be saved: {say(error)}.{way_out}") from error


def _encode_steps(named, where, parts):
    return [[name, _encode_step(step, place(where, name), parts)] for name, step in named]


def _decode_step(node, where, decoder, files, names):
    """Build a model, or a step of a pipeline, from what `_encode_step` made of it."""
    if node is None or isinstance(node, str | int):
        return node

    def decode_steps(named):
        return [(name, _decode_step(step, place(where, name), decoder, files, names)) for name, step in named]

    kind = tuple(node)
    if kind == ("pipeline", "parameters"):
        # Only these two: a pipeline with a cache (`memory`) unpickles what lies there when it is fitted.
        if node["parameters"].keys() != {"transform_input", "verbose"}:
            raise ValueError(f"{PARAMETERS} gives a pipeline the parameters {shorten(node['parameters'])}")
        return Pipeline(decode_steps(node["pipeline"]), **node["parameters"])
    if kind in HOLDERS:
        return HOLDERS[kind](node[kind[0]], decode_steps(node["holds"]), decoder)
    if kind == ("network", "epochs"):
        return decode_network(node, where, decoder)
    if kind == ("ensemble", "members"):
        return decode_ensemble(node, where, decoder)
    if kind == ("skops",) and node["skops"] in files:
        name = node["skops"]
        try:
            foreign = load_foreign(files.pop(name), names)
            check_coefficients(foreign)
            return foreign
        except ValueError as error:
            raise ValueError(f"in {name!r}, {error}") from error
    raise ValueError(f"{PARAMETERS} has an unknown step {shorten(kind)}")


def _describe(estimator, networks):
    """What a reader of the file wants to know first."""
    columns = getattr(estimator, "feature_names_in_", None)
    versions = {"python": platform.python_version()} | {name: version(name) for name in PACKAGES if _has(name)}
    return {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        # Only torch itself tells its build, "+cu130" say; the metadata of a wheel from PyPI leave it out.
        "versions": versions | {"torch": str(torch.__version__)},
        "estimator": " ".join(repr(estimator).split()),
        "feature_names": None if columns is None else list(columns),
        "networks": {name: _describe_network(network) for name, network in networks.items()},
    }


def _describe_network(network):
    losses, members = network.history_.iloc[-1], network.members
    return {
        "modalities": {
            one.name: {
                "encoder": repr(one.encoder),
                "kind": "bags" if one.is_bag else "table",
                "n_features": one.n_features,
            }
            for one in network.modalities_
        },
        "fusion": repr(network._fusion()),
        "objective": repr(members[0].objective_),
        "n_members": len(members),
        "training": {"n_epochs": len(network.history_)} | {name: float(loss) for name, loss in losses.items()},
        "last_time": float(network.unique_times_[-1]),
        "n_weights": sum(weight.numel() for one in members for weight in one.net_.module_.parameters()),
    }


def _has(package):
    try:
        version(package)
    except PackageNotFoundError:
        return False
    return True


def _to_json(node):
    return json.dumps(node, indent=1, allow_nan=False).encode()
