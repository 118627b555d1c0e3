"""Finished fits on the disk: what they are known by, who may write them, and what happens if the disk is full."""

import os
import pickle
import re
import stat
import zlib
from contextlib import suppress
from copy import copy
from pathlib import Path

import joblib
from joblib import Memory
from joblib._store_backends import FileSystemStoreBackend
from sklearn.base import clone

from ..bags._named_files import contents_of_files, states_of_files
from ..files._writing import remove_leftovers, writing
from ..training._net import Callback
from ..utils._warnings import warn
from ._survival_scores import FoldPrediction

_OTHERS_MAY_WRITE = stat.S_IWGRP | stat.S_IWOTH
_OTHERS_MAY_DO_ANYTHING = stat.S_IRWXG | stat.S_IRWXO
_FOREIGN, _WRITABLE = "belongs to another user", "may be written to by others"
_PREDICTIONS = 2  # raised when something else is kept of the same fit, so that no run mixes the two
# joblib writes to a name with a random number, the process and the thread, and renames it.
_UNFINISHED = re.compile(r".+\.[0-9a-f]{32}-(?P<process>\d+)-\d+")
_MOVE = "Pass a folder that is yours alone, such as a new one in your home."


class FitCache:
    """Predictions of finished fits, kept by joblib; a trouble with the disk is noted instead of raised.

    Parameters
    ----------
    cache : str, Path, Memory or None
        The folder. None keeps nothing.

    Attributes
    ----------
    folder : Path or None
        The folder; None if there is none.
    """

    def __init__(self, cache):
        self.folder, self._trouble, self._kept = _folder_of(cache), None, None
        self.is_used = cache is not None
        try:
            if self.folder is not None:
                self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
                close_if_empty(self.folder)
                check_is_private(self.folder)
                _remove_leftovers(self.folder)
            if self.is_used:
                memory = copy(_memory_of(cache, self.folder))
                memory.store_backend = _Store.like(memory.store_backend)
                self._kept = memory.cache(_keep, ignore=["content"])
        except OSError as error:
            self._trouble = f"{type(error).__name__}: {error}"

    def find(self, key):
        """The prediction that is kept under a key, or None. A damaged one is none."""
        if self._kept is None:
            return None
        # Whatever unpickling damaged bytes raises, the fit can be made again.
        with suppress(Exception):
            if self._kept.check_call_in_cache(key):
                crc32, content = self._kept(key)
                prediction = pickle.loads(content) if zlib.crc32(content) == crc32 else None
                return prediction if isinstance(prediction, FoldPrediction) else None
        return None

    def keep(self, key, prediction):
        """Keep a prediction; return what prevents it, or None."""
        if self._kept is None:
            return self._trouble
        try:
            content = pickle.dumps(prediction)
            self._kept.call(key, (zlib.crc32(content), content))
        except Exception as error:
            return f"{type(error).__name__}: {error}"
        return None


class _Store(FileSystemStoreBackend):
    """joblib's files, of which one that cannot be written is an error, and leaves nothing.

    joblib warns of it, and warnings can be caught by one thread at a time only.
    """

    @classmethod
    def like(cls, store):
        """A store of the same files; what is no folder of files stays as it is."""
        if type(store) is not FileSystemStoreBackend:
            return store
        own = cls()
        vars(own).update(vars(store))
        return own

    def dump_item(self, call_id, item, verbose=1):
        """Write an item."""
        path = Path(self.location, *call_id, "output.pkl")
        path.parent.mkdir(parents=True, exist_ok=True)
        with writing(path, overwrite=True) as made, open(made, "wb") as file:
            joblib.dump(item, file, compress=self.compress)


def _memory_of(cache, folder):
    """Joblib's memory of a folder."""
    if isinstance(cache, Memory):
        return cache
    ignored = folder / ".gitignore"  # which joblib would write, and warn of a full disk
    if not ignored.exists():
        ignored.write_text("*\n")
    return Memory(str(folder), verbose=0)  # joblib puts a folder into one that is a str, and none into a Path


def _remove_leftovers(folder):
    """Remove what this package, or joblib, was writing when its process was killed.

    A process of another machine that shares the folder passes for dead. At worst it cannot keep a fit, and says so.
    """
    for path in list(folder.rglob("*")):
        if path.suffix == ".partial":
            remove_leftovers(path.parent)
        unfinished = _UNFINISHED.fullmatch(path.name)
        if unfinished is not None and not _is_alive(int(unfinished["process"])):
            with suppress(OSError):
                path.unlink()


def _is_alive(process):
    if os.name != "posix":  # there the signal 0 is a signal
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def _keep(key, content=None):
    """What joblib keeps under a key; without a content, only what is kept already can be asked for."""
    if content is None:
        raise LookupError(f"Nothing is kept under {key}.")
    return content


def _folder_of(cache):
    """The folder of a cache, without links, so that nobody can turn them elsewhere; None if there is none."""
    if isinstance(cache, Memory):
        cache = getattr(cache.store_backend, "location", None)
    if not isinstance(cache, str | Path):  # none, or joblib keeps it elsewhere than in a folder
        return None
    folder = Path(os.path.realpath(cache))
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"cache={os.fspath(cache)!r} is no folder. Name one, or leave cache out.")
    return folder


def close_if_empty(folder):
    """Close an empty folder of one's own to which its group may write, as it is made under a mask of 002.

    It is closed altogether, as a new one would be, because under this mask the group may write to all that comes in.
    """
    status = folder.stat()
    group_alone = status.st_mode & _OTHERS_MAY_WRITE == stat.S_IWGRP
    if os.name == "posix" and group_alone and status.st_uid == os.geteuid() and _is_empty(folder):
        folder.chmod(status.st_mode & ~_OTHERS_MAY_DO_ANYTHING)
        if not _is_empty(folder):  # somebody was faster
            folder.chmod(status.st_mode)


def _is_empty(folder):
    return not set(os.listdir(folder)) - {".gitignore"}


def check_is_private(folder):
    """Refuse a folder into which somebody else could put a file: joblib's files are pickles, which run code when read.

    Of the folders above it, those that everybody may write to must be sticky, as ``/tmp`` is. Members of a group that
    may write to a folder above could put another folder in place of this one, but it would be theirs, and be refused.
    """
    if os.name != "posix":
        return
    found = next(_open_to_others(folder), None)
    if found is None:
        return
    path, why, way_out = found
    raise ValueError(
        f"The cache {str(folder)!r} is not safe to read, because {str(path)!r} {why}. It holds pickles, and who writes "
        f"a pickle decides what code is run when it is read. {way_out}"
    )


def _open_to_others(folder):
    """Yield paths that others can write to, with what makes them so and what to do."""
    for parent in folder.parents:
        mode = parent.stat().st_mode
        if mode & stat.S_IWOTH and not mode & stat.S_ISVTX:
            yield parent, "may be written to by everybody, who could exchange what is in it", _MOVE
    paths = [folder]
    if folder.stat().st_mode & _OTHERS_MAY_DO_ANYTHING:
        paths += [Path(inner, name) for inner, dirs, files in os.walk(folder) for name in dirs + files]
    for path in paths:
        why = _why_open(path)
        if why == _FOREIGN:
            yield path, why, _MOVE
        elif why is not None:
            yield path, why, f"If you trust all that lies there, close it with: chmod -R go-rwx {folder}. {_MOVE}"


def _why_open(path):
    try:
        status = os.lstat(path)
    except FileNotFoundError:  # another run has just replaced it
        return None
    if status.st_uid not in (os.geteuid(), 0):
        return _FOREIGN
    return _WRITABLE if status.st_mode & _OTHERS_MAY_WRITE and not stat.S_ISLNK(status.st_mode) else None


def keys_of_fits(models, tables, y):
    """What a fit of each model is known by: the model, X and y, and the files that these name."""
    data = {}
    for X in tables.values():
        if id(X) not in data:
            data[id(X)] = joblib.hash((X, y, states_of_files(X)))
    keys = {}
    for name, model in models.items():
        try:
            model = _without_checkpoints(model)
            files = contents_of_files(model, apart_from=Callback)
            keys[name] = joblib.hash((model, files, _PREDICTIONS)), data[id(tables[name])]
        except Exception as error:
            raise ValueError(
                f"Fits of model {name!r} cannot be kept in the cache: {error}. Replace lambdas and local functions by "
                "functions of a module, or leave cache out."
            ) from error
    return keys


def _without_checkpoints(model):
    """A model that keeps no checkpoints: their folder decides nothing, and is not there when it is first asked for."""
    folders = [
        name
        for name, value in model.get_params().items()
        if name.rpartition("__")[2] == "checkpoint_dir" and value is not None
    ]
    return clone(model).set_params(**dict.fromkeys(folders)) if folders else model


def warn_of_trouble(troubles, folder, n_fits):
    """Say once which fits could not be kept; `troubles` has the reason for each."""
    if troubles:
        examples = "; ".join(f"{fit}: {reason}" for fit, reason in list(troubles.items())[:2])
        warn(
            f"The cache {str(folder)!r} could not keep {len(troubles)} of {n_fits} fits, for example {examples}. The "
            "comparison is complete, but another run will make these fits again. Free space, or pass another folder.",
        )
