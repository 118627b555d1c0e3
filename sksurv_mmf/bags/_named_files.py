"""Files that a cohort or a model names, and whether they are what they were."""

import os
import pickle

from ..files._checksum import checksum, sample_checksum
from ._files import FORMAT_OF_SUFFIX
from ._store import MANIFEST


def states_of_files(X):
    """What tells whether the files of bags in X are what they were."""
    # Bags name their files with the folder. What else is text in X is looked at only if it looks like a path.
    return [_state_of(path) for path in _paths_in(X) if os.sep in path]


def contents_of_files(model, apart_from=()):
    """What tells whether the files that a model names are what they were.

    Instances of `apart_from`, such as callbacks, are not looked into: their files are results.
    """
    return [_contents_of(path) for path in _paths_in(model, apart_from)]


class _FoundTexts(pickle.Pickler):
    """Collects what may name files in an object, however deep, but not in instances of `apart_from`.

    A text counts if it has a separator or a suffix: a modality may be called as a file in the working directory.
    """

    def __init__(self, apart_from):
        super().__init__(self)
        self.apart_from = apart_from
        self.texts = set()

    def write(self, data):
        """Forget the pickle."""

    def persistent_id(self, obj):
        if isinstance(obj, os.PathLike) or (isinstance(obj, str) and (os.sep in obj or os.path.splitext(obj)[1])):
            self.texts.add(os.fspath(obj))
        return "left out" if isinstance(obj, self.apart_from) else None


def _paths_in(obj, apart_from=()):
    """Names of existing files and folders in an object."""
    found = _FoundTexts(apart_from)
    found.dump(obj)
    texts = [os.fsdecode(text) for text in found.texts]
    return sorted(text for text in texts if 0 < len(text) < 4096 and "\0" not in text and os.path.exists(text))


def _contents_of(path):
    """Checksum of a file that a model names, or the state of the feature files in a folder that it names."""
    return (path, checksum(path)) if os.path.isfile(path) else _state_of(path)


def _state_of(path):
    """Size, time and a checksum of parts of a feature file, or of the feature files in a folder."""
    if os.path.isfile(path):
        status = os.stat(path)
        return path, status.st_size, status.st_mtime_ns, sample_checksum(path, n_pieces=2)
    if not os.path.isdir(path):
        return path
    if _is_feature_file(path):  # zarr, of which a slide has many files
        files = [os.path.join(folder, name) for folder, _, names in os.walk(path) for name in names]
        return path, sorted((file, os.stat(file).st_size, os.stat(file).st_mtime_ns) for file in files)
    # The manifest of a store has the checksums of the others.
    names = [name for name in sorted(os.listdir(path)) if name == MANIFEST or _is_feature_file(name)]
    return path, [_state_of(os.path.join(path, name)) for name in names]


def _is_feature_file(path):
    return os.path.splitext(path)[1].lower() in FORMAT_OF_SUFFIX
