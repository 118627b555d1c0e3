"""Public files: downloaded once, compared with a checksum, and read from the disk from then on."""

import os
from dataclasses import dataclass
from pathlib import Path

from ..utils._optional import import_optional
from ._local import DATA_HOME

DATA_URL = "SKSURV_MMF_DATA_URL"


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
    """

    name: str
    sha256: str
    url: str | None = None


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
    try:
        downloader = pooch.HTTPDownloader(progressbar=True, timeout=30)
        pooch.retrieve(url, f"sha256:{file.sha256}", file.name, folder, downloader=downloader)
    except OSError as error:
        raise ConnectionError(f"{url} cannot be downloaded: {error}. {way_out}") from error
    except ValueError as error:
        raise ValueError(
            f"What {url} sends is not the file that is expected, of SHA-256 {file.sha256}, and was not kept. Try "
            "again, or name another mirror by base_url."
        ) from error
    return path


def check_sum(pooch, path, file):
    """Refuse a file that is not the public one."""
    found = pooch.file_hash(str(path), alg="sha256")
    if found != file.sha256:
        raise ValueError(
            f"{path} is not the public file: its SHA-256 is {found} instead of {file.sha256}. Move it away to have it "
            "downloaded again."
        )


def import_pooch():
    """Import pooch, or say what to install."""
    return import_optional("pooch", "data", "Fetching cohorts")
