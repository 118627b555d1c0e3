"""From slides to files of tile features."""

import hashlib
import os
import re
from collections import deque
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from itertools import islice
from numbers import Integral
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from joblib import effective_n_jobs
from tqdm.auto import tqdm

from ..files._writing import check_target, make_folder, remove_leftovers
from ..utils._device import resolve_device
from ..utils._old_names import renamed_parameters
from ..utils._sklearn import Interval, StrOptions, validate_params
from ..utils._validation import shorten
from ..utils._warnings import warn
from ._encoder import MEAN, STD, imagenet_resnet50
from ._feature_file import count_tiles, describe_source, import_h5py, is_source, read_settings, write_features
from ._slide import Slide, import_openslide
from ._tiling import TILING, find_tiles, level0_side

_COUNT = Interval(Integral, 1, None, closed="left")


@renamed_parameters(workers="n_jobs")
@validate_params(
    {
        "paths": [str, os.PathLike, Iterable],
        "out_dir": [str, os.PathLike],
        "encoder": [torch.nn.Module, None],
        "transform": [callable, None],
        "batch_size": [_COUNT],
        "device": [str],
        "n_jobs": [_COUNT, Interval(Integral, None, -1, closed="right"), None],
        "overwrite": ["boolean"],
        "on_error": [StrOptions({"raise", "warn"})],
        "verbose": ["verbose"],
    }
    | TILING,
    prefer_skip_nested_validation=True,
)
def extract_features(
    paths,
    out_dir: str | os.PathLike,
    *,
    encoder=None,
    transform=None,
    tile_size: int = 512,
    mpp: float = 0.5,
    tissue="otsu",
    min_tissue: float = 0.25,
    tissue_mpp: float = 8.0,
    slide_mpp: float | None = None,
    batch_size: int = 32,
    device: str = "auto",
    n_jobs: int = 4,
    overwrite: bool = False,
    on_error: str = "raise",
    verbose: bool = False,
) -> pd.DataFrame:
    """Tile slides and write the features of their tiles, one file per slide.

    A file appears under its name when its slide is finished. After an interruption, call the function again: finished
    slides are skipped, and what a killed process left in the folder is removed. Files hold ``features`` and ``coords``
    as CLAM's and TRIDENT's do, so that tools for these read them.

    Parameters
    ----------
    paths : str, path-like or list of these
        The slides, in formats that OpenSlide reads. Their names, without folder and suffix, must differ.
    out_dir : str or path-like
        Folder for the files ``<name of the slide>.h5``. It is made if it is not there.
    encoder : torch.nn.Module, default=None
        Turns standardised tiles, float32 of shape (n_tiles, 3, tile_size, tile_size), into features of shape
        (n_tiles, n_features). It is put into evaluation mode and moved to `device`, and stays so. None is
        :func:`imagenet_resnet50`.
    transform : callable, default=None
        Turns a tile, an RGB image of PIL, into a tensor for the encoder, as the transforms of torchvision and timm do.
        None takes values to [0, 1] and standardises them with the mean and standard deviation of ImageNet.
    tile_size : int, default=512
        Side of a tile in pixels, once it is brought to the resolution `mpp`.
    mpp : float, default=0.5
        Resolution of the tiles, in um per pixel. 0.5 corresponds to 20x.
    tissue : "otsu", callable or None, default="otsu"
        Where there is tissue, see :func:`tile_slide`.
    min_tissue : float, default=0.25
        Smallest share of a tile that must be tissue, above 0 and up to 1.
    tissue_mpp : float, default=8.0
        Resolution of the image of the whole slide in which tissue is looked for, in um per pixel.
    slide_mpp : float, default=None
        Side of the finest pixels in um, of all slides. None takes it from each file.
    batch_size : int, default=32
        Number of tiles that the encoder is given at a time. Features do not depend on it, up to rounding.
    device : str, default="auto"
        Where the encoder runs: "auto" is the GPU if there is one, else the CPU.
    n_jobs : int, default=4
        Number of threads that read tiles, ahead of the encoder. None means 1, -1 one per processor. Features do not
        depend on it.
    overwrite : bool, default=False
        Whether to compute files again that were made with other settings, by other tools, or from another slide of
        the same name. Files made with the same settings from the same slide are skipped all the same.
    on_error : {"raise", "warn"}, default="raise"
        What to do about a slide that cannot be read or has no tissue: stop, or warn and go on with the next one.
    verbose : bool, default=False
        Whether to show progress.

    Returns
    -------
    files : DataFrame of shape (n_slides, 3)
        By name of the slide, in the order of `paths`: "path" of the file, "n_tiles", and "status", which is "written",
        "skipped" or "failed".

    Raises
    ------
    ValueError
        If two slides have the same name, if a file is there that was made with other settings or from another slide,
        if a slide cannot be tiled (see :func:`tile_slide`), or if the encoder returns something else than one finite
        vector per tile.
    FileExistsError
        If another process has meanwhile written the file of a slide with other settings.

    Warns
    -----
    UserWarning
        If another process has meanwhile written the file of a slide with the same settings. That file is kept.

    See Also
    --------
    tile_slide : Says which tiles these are.
    sksurv_mmf.FusionSurvivalAnalysis.tile_attention : Weighs the tiles.

    Notes
    -----
    ``features`` is float32 of shape (n_tiles, n_features); ``coords`` is int32 of shape (n_tiles, 2), the upper left
    corners in pixels of level 0. Attributes of ``coords`` are those of TRIDENT: ``patch_size`` (in pixels at `mpp`),
    ``patch_size_level0``, ``level0_magnification``, ``target_magnification``, ``overlap``, ``name``; and ``level0_mpp``
    and ``mpp``. The attribute ``settings`` of the file says how it was made. It knows the encoder by its class and a
    hash of its weights, but `tissue` and `transform` by name or representation only: after a change of these, pass
    another folder. The attribute ``source`` has the size and a checksum of parts of the slide, by which one that was
    replaced under its name is noticed; a copy with the same contents is the same slide. (Files without this attribute,
    of earlier versions, are taken to belong to the slide.)

    Recent versions of CLAM shrink tiles to 224 pixels before they encode them. To do so, pass a `transform` that does.

    Examples
    --------
    >>> from sksurv_mmf.slides import extract_features
    >>> files = extract_features(["slides/P001.svs", "slides/P002.svs"], "features")  # doctest: +SKIP
    """
    import_openslide()
    import_h5py()
    targets = name_files(paths, Path(out_dir))
    n_threads = effective_n_jobs(n_jobs)
    encoder = (imagenet_resnet50() if encoder is None else encoder).eval().to(resolve_device(device))
    tiling = {"tile_size": tile_size, "mpp": mpp, "tissue": tissue, "min_tissue": min_tissue, "tissue_mpp": tissue_mpp}
    settings = describe_settings(tiling, slide_mpp, encoder, transform)
    finished = [path for source, path in targets.items() if is_finished(path, settings, source, overwrite)]
    make_folder(out_dir)
    remove_leftovers(out_dir)

    status = {source.stem: "skipped" for source, path in targets.items() if path in finished}
    left = {source: path for source, path in targets.items() if path not in finished}
    with tqdm(left.items(), "slides", len(targets), unit="slide", initial=len(finished), disable=not verbose) as slides:
        for source, path in slides:
            try:
                with Slide(source, slide_mpp) as slide, reading_threads(n_threads) as pool:
                    identity = describe_source(source)
                    coords, side = find_tiles(slide, **tiling), level0_side(slide, tile_size, mpp)
                    read = partial(read_tile, slide, side, tile_size, transform)
                    tiles = read_ahead(pool, read, coords, batch_size + n_threads)
                    attributes = tile_attributes(slide, side, tile_size, mpp)
                    with tqdm(tiles, source.stem, len(coords), leave=False, unit="tile", disable=not verbose) as bar:
                        features = encode(bar, encoder, batch_size, resolve_device(device))
                        write_features(path, coords, features, attributes, settings, identity, overwrite)
                status[source.stem] = "written"
            except (OSError, ValueError) as error:
                status[source.stem], message = what_became(error, path, settings, source)
                if status[source.stem] == "failed" and on_error == "raise":
                    raise
                warn(message)
    return summarize(targets, status)


def describe_settings(tiling, slide_mpp, encoder, transform):
    """How files are made, as they keep it."""
    return tiling | {
        "tissue": describe(tiling["tissue"]),
        "slide_mpp": slide_mpp,
        "encoder": f"{type(encoder).__name__} {fingerprint(encoder)}",
        "transform": describe(transform),
    }


def name_files(paths, out_dir):
    """Feature file of each slide; slides must not share one."""
    paths = [Path(path) for path in ([paths] if isinstance(paths, str | os.PathLike) else paths)]
    names = pd.Index([path.stem for path in paths])
    if not len(names):
        raise ValueError("paths is empty; pass at least one slide.")
    if not names.is_unique:
        raise ValueError(
            f"These names belong to several slides, whose features would go to one file: "
            f"{shorten(names[names.duplicated()].unique())}. Rename slides, or use a folder for each of their folders."
        )
    absent = [str(path) for path in paths if not path.exists()]
    if absent:
        raise FileNotFoundError(f"These slides are not there: {shorten(absent)}.")
    return {path: out_dir / f"{path.stem}.h5" for path in paths}


def is_finished(path, settings, slide, overwrite):
    """Whether the features are there already, made with these settings from this slide."""
    if not os.path.lexists(path):
        return False
    theirs = read_settings(path) if path.is_file() else None
    same_settings = theirs == settings
    if same_settings and is_source(path, slide):
        return True
    if overwrite:
        check_target(path, overwrite)
        return False
    if theirs is None:
        difference = "was not written by extract_features"
    elif same_settings:
        difference = f"was made from another slide than {str(slide)!r} now is: its contents have changed"
    else:
        names = [name for name in settings if theirs.get(name) != settings[name]]
        made = ", ".join(f"{name}={theirs.get(name)!r} (now {settings[name]!r})" for name in names)
        difference = f"was made with other settings: {made}"
    raise ValueError(f"{str(path)!r} {difference}. Pass overwrite=True to replace it, or another out_dir.")


def what_became(error, path, settings, slide):
    """Status of a slide whose features could not be written, and a sentence about it."""
    if isinstance(error, FileExistsError) and read_settings(path) == settings and is_source(path, slide):
        return "skipped", f"Another process has just written {str(path)!r} with the same settings; it is kept."
    return "failed", f"No features of slide {slide.stem!r}: {error}"


def describe(choice):
    """Name of a function, representation of another object, without addresses in memory, which differ between runs."""
    if choice is None or isinstance(choice, str):
        return choice
    return _without_addresses(getattr(choice, "__qualname__", None) or repr(choice))


def fingerprint(encoder):
    """Hash of the structure and the weights of a network."""
    digest = hashlib.sha256(_without_addresses(repr(encoder)).encode())
    for name, weights in encoder.state_dict().items():
        if isinstance(weights, torch.Tensor):
            digest.update(name.encode())
            digest.update(weights.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()[:16]


def _without_addresses(text):
    return re.sub(r" at 0x[0-9a-fA-F]+", "", text)


@contextmanager
def reading_threads(n):
    """A pool of threads, of which an error or an interrupt does not wait for more than the running tasks."""
    pool = ThreadPoolExecutor(n)
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


def read_ahead(pool, function, items, n_ahead):
    """Yield ``function(item)`` in the order of the items, while the pool works on at most `n_ahead` of the next."""
    pending = deque()
    for item in items:
        pending.append(pool.submit(function, item))
        if len(pending) > n_ahead:
            yield pending.popleft().result()
    while pending:
        yield pending.popleft().result()


def read_tile(slide, side, size, transform, corner):
    """Read one tile as the encoder wants it."""
    image = slide.read(*corner, side, size)
    return standardize(image) if transform is None else torch.as_tensor(transform(image))


def standardize(image):
    """Turn an RGB image into a tensor of shape (3, height, width), standardised as ImageNet's networks expect it."""
    values = (np.asarray(image, dtype=np.float32) / 255 - MEAN) / STD
    return torch.from_numpy(values).permute(2, 0, 1)


def encode(tiles, encoder, batch_size, device):
    """Yield the features of each batch, float32 of shape (n_tiles, n_features)."""
    tiles = iter(tiles)
    while batch := list(islice(tiles, batch_size)):
        with torch.inference_mode():
            features = encoder(torch.stack(batch).to(device))
        if not isinstance(features, torch.Tensor) or features.ndim != 2 or len(features) != len(batch):
            got = tuple(features.shape) if isinstance(features, torch.Tensor) else type(features).__name__
            raise ValueError(
                f"The encoder must return features of shape ({len(batch)}, n_features) for {len(batch)} tiles, got "
                f"{got}. Average a map over its height and width first."
            )
        features = features.float().cpu().numpy()
        if not np.isfinite(features).all():
            raise ValueError("The encoder returned features that are NaN or infinite.")
        yield features


def tile_attributes(slide, side, tile_size, mpp):
    """What readers of TRIDENT's files look up about the tiles, and the exact resolutions."""
    return {
        "patch_size": tile_size,
        "patch_size_level0": side,
        "level0_magnification": slide.magnification,
        "target_magnification": 10 / mpp,
        "overlap": 0,
        "name": slide.name,
        "level0_mpp": slide.mpp,
        "mpp": mpp,
    }


def summarize(targets, status):
    """Table of the files and what became of them."""
    rows = [
        (source.stem, str(path), 0 if status[source.stem] == "failed" else count_tiles(path), status[source.stem])
        for source, path in targets.items()
    ]
    return pd.DataFrame(rows, columns=["slide", "path", "n_tiles", "status"]).set_index("slide")
