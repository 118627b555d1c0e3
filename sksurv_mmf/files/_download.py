"""Public files: downloaded once, compared with a checksum, and read from the disk from then on."""

import os
from dataclasses import dataclass
from pathlib import Path

from tqdm.auto import tqdm

from ..utils._optional import import_optional
from ._writing import make_folder, remove_leftovers, writing

DATA_HOME, DATA_URL = "SKSURV_MMF_DATA", "SKSURV_MMF_DATA_URL"
"""Environment variables with the folder of all cohorts, and with a mirror to download them from."""


@dataclass(frozen=True)
class PublicFile:
    """A file of a cohort.

    Attributes
    ----------
    name : str
        Name in the folder of the cohort, here and on a mirror.
    sha256 : str
        Checksum of the contents.
    url : str or None
        Where it is published, at a commit, so that it stays what it is.
    n_bytes : int
        Its size, beyond which nothing is downloaded; if it is not known, the largest size that is plausible.
    """

    name: str
    sha256: str
    url: str | None = None
    n_bytes: int = 1 << 30


def find_home(data_home):
    """The folder of all cohorts: as given, from the environment, or the cache of the operating system."""
    home = data_home if data_home is not None else os.environ.get(DATA_HOME)
    return Path(import_pooch().os_cache("sksurv_mmf") if home is None else home).expanduser()


def fetch_file(file, folder, base_url=None):
    """Return the path of a public file in the folder of its cohort after downloading it, if it is not there.

    Raises
    ------
    ConnectionError
        If it cannot be downloaded.
    FileNotFoundError
        If nobody publishes it.
    ValueError
        If what is there, or what comes, is not that file.
    """
    pooch = import_pooch()
    path = folder / file.name
    remove_leftovers(folder)
    if path.exists():
        check_sum(pooch, path, file)
        return path
    base_url = os.environ.get(DATA_URL) if base_url is None else base_url
    url = file.url if base_url is None else f"{base_url.rstrip('/')}/{folder.name}/{file.name}"
    way_out = (
        f"Without network, put the file at {path}. A mirror that has {folder.name}/{file.name} can be named by "
        f"base_url or the environment variable {DATA_URL}."
    )
    if url is None:
        raise FileNotFoundError(f"{path} is absent, and no public address of this file is known. {way_out}")
    make_folder(folder)
    try:
        # Another process may download the same file; the one that comes last replaces it by its equal.
        with writing(path, overwrite=True) as unfinished:
            download(pooch, url, unfinished, file.n_bytes)
            if pooch.file_hash(str(unfinished), alg="sha256") != file.sha256:
                raise ValueError("it has another checksum")
    except OSError as error:
        raise ConnectionError(f"{url} cannot be downloaded: {error}. {way_out}") from error
    except ValueError as error:
        raise ValueError(
            f"What {url} sends is not the file that is expected, of SHA-256 {file.sha256}, and was not kept: {error}. "
            "Try again, or name another mirror by base_url."
        ) from error
    return path


class _AtMost:
    """A file that takes so many bytes and no more, however many a server sends."""

    def __init__(self, file, n_bytes):
        self.file, self.left, self.n_bytes = file, n_bytes, n_bytes

    def write(self, data):
        self.left -= len(data)
        if self.left < 0:
            raise ValueError(f"it has more than {self.n_bytes} bytes")
        self.file.write(data)

    def flush(self):
        """Leave it to the file when to write."""


def download(pooch, url, path, n_bytes):
    """Download to a new file, which may have `n_bytes` bytes."""
    with open(path, "xb") as file, tqdm(total=n_bytes, unit="B", unit_scale=True, desc=path.name) as bar:
        pooch.HTTPDownloader(progressbar=bar, chunk_size=1 << 16, timeout=30)(url, _AtMost(file, n_bytes), None)


def check_sum(pooch, path, file):
    """Refuse a file that is not the public one."""
    if not path.is_file():
        raise ValueError(f"{path} is no file. Move it away to have the public file downloaded.")
    found = pooch.file_hash(str(path), alg="sha256")
    if found != file.sha256:
        raise ValueError(
            f"{path} is not the public file: its SHA-256 is {found} instead of {file.sha256}. Move it away to have it "
            "downloaded again."
        )


def import_pooch():
    """Import pooch, or say what to install."""
    return import_optional("pooch", "data", "Fetching cohorts")
