"""Training that goes on where it was killed: its state after an epoch, in a file that holds numbers and no code."""

import hashlib
import json
import os
import stat
from collections.abc import Callable
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from time import monotonic

import torch
from torch import Tensor

from ..files._archive import CHECKSUMS, MANIFEST, changed_members, checksums, read_archive, read_json, write_archive
from ..files._regular_file import kind_of
from ..files._tensors import tensors_as_bytes, tensors_of_bytes
from ..files._tree import Decoder, Plain
from ..files._writing import make_folder
from ..utils._logging import logger
from ..utils._optional import import_optional
from ..utils._validation import say, shorten
from ..utils._warnings import warn
from ._identity import differences

FORMAT = "sksurv_mmf checkpoint"
FORMAT_VERSION = 1
PARAMETERS, WEIGHTS = "parameters.json", "weights.safetensors"
PURPOSE = "Keeping checkpoints"

EVERY = 2.0
"""Seconds of training between two states that are written; more where writing takes long."""

SHARE = 0.05
"""Largest share of the time that writing takes."""


class Nowhere:
    """The checkpoints of a fit that keeps none."""

    def of(self, training: str) -> "Nowhere":
        """The checkpoint of one training."""
        return self

    def resume(self, load: Callable[[dict], None], device: str) -> None:
        """Begin anew."""

    def save(self, state: Callable[[], dict]) -> None:
        """Keep nothing."""


NOWHERE = Nowhere()


class Checkpoints:
    """The checkpoints of one fit: a file for each training of a network, or of several in lockstep.

    Names of files are made of what the fit is known by, so that fits of other patients or parameters share a folder.
    Two processes with the same fit write the same states; each file is one of them as a whole.

    Parameters
    ----------
    folder : str or path-like
        The folder, which is made if it is not there.
    identity : dict
        What the fit is known by, see `identity_of`.
    """

    def __init__(self, folder, identity: dict):
        import_optional("safetensors.torch", "io", PURPOSE)  # not only once training has begun
        make_folder(folder)
        self.folder = Path(folder)
        self.identity = identity
        self.every, self.share = EVERY, SHARE
        self.due = monotonic() + EVERY
        self.has_warned = False
        for path in self.folder.glob(f"{self.name}-*.checkpoint"):
            read_checkpoint(path, identity, "cpu")

    @property
    def name(self) -> str:
        """What names of files begin with."""
        return hashlib.sha256(json.dumps(self.identity, sort_keys=True).encode()).hexdigest()[:24]

    def of(self, training: str) -> "Checkpoint":
        """The checkpoint of one training."""
        return Checkpoint(self, training)


class Checkpoint:
    """The state of one training in a file.

    Parameters
    ----------
    fit : Checkpoints
        Those of the fit that it is a part of.
    training : str
        Which of the fit's trainings it is.
    """

    def __init__(self, fit: Checkpoints, training: str):
        self.fit = fit
        self.path = fit.folder / f"{fit.name}-{training:.100}.checkpoint"
        self.identity = fit.identity | {"training": training}

    def resume(self, load: Callable[[dict], None], device: str) -> None:
        """Hand the state to `load`, if there is one."""
        state = read_checkpoint(self.path, self.identity, device)
        if state is None:
            return
        try:
            load(state)
        # A state that was changed with its checksums can make nearly anything raise.
        except Exception as error:
            raise refusal(self.path, f"it does not fit the training that is to go on ({say(error)})") from error
        logger.info("Training goes on from the checkpoint %r.", str(self.path))

    def save(self, state: Callable[[], dict]) -> None:
        """Write the state, if the last one has been written long enough ago; say so if it cannot be written."""
        start = monotonic()
        if start < self.fit.due:
            return
        try:
            write_archive(self.path, encode_state(state(), self.identity), overwrite=True)
        # Hours of training are worth more than what keeps them.
        except Exception as error:
            self._warn(error)
        took = monotonic() - start
        self.fit.due = monotonic() + max(self.fit.every, took / self.fit.share)

    def _warn(self, error):
        if not self.fit.has_warned:
            self.fit.has_warned = True
            warn(
                f"The checkpoint {str(self.path)!r} could not be written ({type(error).__name__}: {say(error)}). "
                "Training goes on, but if it is killed, it will begin at an earlier epoch or from the start."
            )


def read_checkpoint(path: Path, identity: dict, device: str) -> dict | None:
    """The state in a checkpoint of what `identity` says, or None if there is no file."""
    try:
        mode = os.lstat(path).st_mode
    except FileNotFoundError:
        return None
    if not stat.S_ISREG(mode):
        kind = "symbolic link" if stat.S_ISLNK(mode) else kind_of(mode)
        raise refusal(path, f"it is a {kind}, and not a file that this package wrote")
    try:
        return decode_state(read_archive(path), identity, device)
    # A damaged or hostile file can make its readers raise nearly anything.
    except Exception as error:
        raise refusal(path, say(error)) from error


def refusal(path: Path, why: str) -> ValueError:
    """The error for a file that training cannot go on with."""
    return ValueError(
        f"The checkpoint {str(path)!r} cannot be used: {why}. Delete it to train from the start, or pass another "
        "checkpoint_dir."
    )


def versions() -> dict[str, str]:
    """Of what computes the numbers: a state goes on with these, or its bits would be neither's."""
    found = {"torch": str(torch.__version__)}
    with suppress(PackageNotFoundError):  # the package may be used from where its source lies
        found["sksurv_mmf"] = version("sksurv_mmf")
    return found


def encode_state(state: dict, identity: dict) -> dict[str, bytes]:
    """The members of a checkpoint's archive."""
    parts = Plain()
    node = parts.encode(state, "state")
    on_device = [name for name, one in parts.tensors.items() if one.device.type != "cpu"]
    members = {
        PARAMETERS: _to_json({"state": node, "on_device": on_device}),
        WEIGHTS: tensors_as_bytes(parts.tensors, PURPOSE),
    }
    manifest = {"format": FORMAT, "format_version": FORMAT_VERSION, "versions": versions(), "of": identity}
    manifest[CHECKSUMS] = checksums(members, manifest)
    return {MANIFEST: _to_json(manifest), **members}


def decode_state(members: dict[str, bytes], identity: dict, device: str) -> dict:
    """The state in a checkpoint's archive, after checking that it is one of this training."""
    if members.keys() != {MANIFEST, PARAMETERS, WEIGHTS}:
        raise ValueError(f"it holds {shorten(sorted(members))}, so it is no checkpoint")
    manifest = read_json(MANIFEST, members[MANIFEST])
    if not isinstance(manifest, dict):
        raise ValueError(f"{MANIFEST} holds a {type(manifest).__name__}, so it is no checkpoint")
    if (manifest.get("format"), manifest.get("format_version")) != (FORMAT, FORMAT_VERSION):
        raise ValueError(
            f"it has the format {manifest.get('format')!r:.40}, version {manifest.get('format_version')!r:.40}, while "
            f"this version of sksurv_mmf reads {FORMAT!r}, version {FORMAT_VERSION}"
        )
    if CHECKSUMS not in manifest or changed_members(members, manifest):
        raise ValueError("its checksums tell that it was changed after it was written")
    differ = differences(identity, manifest.get("of"))
    if differ:
        raise ValueError(f"it is that of another fit, which differs in {', '.join(differ)}")
    if manifest.get("versions") != versions():
        raise ValueError(f"it was written by {manifest.get('versions')!r:.80}, while {versions()} would go on")
    tensors = tensors_of_bytes(members[WEIGHTS], WEIGHTS, PURPOSE)
    node = read_json(PARAMETERS, members[PARAMETERS])
    for name in node["on_device"]:
        tensors[name] = tensors[name].to(device)
    return Decoder(tensors).decode(node["state"])


def _to_json(node):
    return json.dumps(node, allow_nan=False, separators=(",", ":")).encode()


def copy_tensors(to: dict[str, Tensor], saved: dict[str, Tensor]) -> None:
    """Overwrite tensors by saved ones of the same names, shapes and types."""
    check_alike(to, saved)
    with torch.no_grad():
        for name, one in to.items():
            one.copy_(saved[name])


def check_alike(ours: dict[str, Tensor], saved: dict[str, Tensor]) -> None:
    """Refuse saved tensors that have other names, shapes or types."""
    if saved.keys() != ours.keys():
        raise ValueError(f"it has weights of other names: {shorten(sorted(saved.keys() ^ ours.keys()))}")
    for name, one in ours.items():
        if (saved[name].shape, saved[name].dtype) != (one.shape, one.dtype):
            raise ValueError(
                f"{name!r} is {saved[name].dtype} of shape {tuple(saved[name].shape)}, not {one.dtype} of shape "
                f"{tuple(one.shape)}"
            )


def load_optimizer(optimizer: torch.optim.Optimizer, state: dict) -> None:
    """Put the settings and moments of an optimizer back, the latter as they were.

    Torch would convert moments to the type of their weight and make tensors of counters, and it checks no shape.
    """
    optimizer.load_state_dict({**state, "state": {}})
    weights = [weight for group in optimizer.param_groups for weight in group["params"]]
    for i, moments in state["state"].items():
        full = {name: one for name, one in moments.items() if name in FULL_SIZE and isinstance(one, Tensor)}
        check_alike(dict.fromkeys(full, weights[i]), full)
        optimizer.state[weights[i]] = moments


FULL_SIZE = ("exp_avg", "exp_avg_sq", "max_exp_avg_sq", "momentum_buffer")
"""Moments that torch's kernels take to be as large as their weight."""
