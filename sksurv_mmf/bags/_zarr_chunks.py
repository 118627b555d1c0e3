"""Chunks of a zarr array: whether all are there, and whether each holds what it should."""

import math
import os
from functools import reduce
from itertools import product

import numpy as np

from ._compressed import check_blosc, check_bz2, check_gzip, check_lz4, check_lzma, check_zlib, check_zstd

_COMPRESSORS = {
    "blosc": check_blosc,
    "bz2": check_bz2,
    "gzip": check_gzip,
    "lz4": check_lz4,
    "lzma": check_lzma,
    "zlib": check_zlib,
    "zstd": check_zstd,
}

CODECS = {"bytes", "endian", "transpose", "sharding_indexed", "crc32c", "shuffle", "delta", *_COMPRESSORS}
"""Codecs that only rearrange or compress numbers. Others may do anything: numcodecs has one that unpickles."""

_ABSENT = np.uint64(2**64 - 1)
_CHECKSUM_BYTES = 4


def codecs_of(metadata):
    """Names and settings of the codecs of an array, in the order in which they encode."""
    if metadata["zarr_format"] == 2:
        listed = [*(metadata.get("filters") or ()), metadata.get("compressor")]
        return [(codec["id"], codec) for codec in listed if codec is not None]
    return _codecs_of_3(metadata["codecs"])


def _codecs_of_3(listed):
    return [(codec["name"].removeprefix("numcodecs."), codec.get("configuration") or {}) for codec in listed]


def check_codecs(codecs):
    """Refuse codecs that nobody vouched for, and shards or compressors within others."""
    names = [name for name, _ in codecs]
    strange = sorted(set(names) - CODECS)
    if strange:
        raise ValueError(f"it is encoded with {strange}; only {sorted(CODECS)} are decoded.")
    if sum(name in _COMPRESSORS or name == "sharding_indexed" for name in names) > 1:
        raise ValueError(f"it is encoded with {names}; expected one compressor, or chunks in shards.")
    for name, settings in codecs:
        if name == "sharding_indexed":
            inner = _codecs_of_3(settings["codecs"])
            check_codecs(inner)
            if any(name == "sharding_indexed" for name, _ in inner):
                raise ValueError("it has shards within shards, which are not read.")
            _check_index_codecs(settings)


def _check_index_codecs(settings):
    index = _codecs_of_3(settings["index_codecs"])
    is_plain = bool(index) and index[0] in (("bytes", {"endian": "little"}), ("bytes", {}))
    if not is_plain or [name for name, _ in index[1:]] not in ([], ["crc32c"]):
        raise ValueError(f"the index of its shards is encoded with {[name for name, _ in index]}, which is not read.")


def count_absent(folder, array):
    """Number of chunks within the array that were never written, and of all of them."""
    shards = shards_of(array)
    inner = array.shards and array.chunks
    absent, total = 0, 0
    for file, start in _files(folder, array):
        if inner is None:
            total += 1
            absent += not os.path.isfile(file)
            continue
        wanted = _wanted_in_shard(array, start)
        total += int(wanted.sum())
        if not os.path.isfile(file):
            absent += int(wanted.sum())
            continue
        index = _read_index(file, shards, wanted.shape)
        absent += int((wanted & (index == _ABSENT).all(axis=-1)).sum())
    return absent, total


def check_chunks(folder, array):
    """Refuse chunks that hold less or more than they should, before zarr decodes them."""
    metadata = array.metadata.to_dict()
    codecs, shards = codecs_of(metadata), shards_of(array)
    for file, start in _files(folder, array):
        try:
            if shards is None:
                with open(file, "rb") as stream:
                    _check_chunk(stream.read(), codecs, array)
            else:
                _check_shard(file, shards, _wanted_in_shard(array, start), array)
        except ValueError as error:
            name = os.path.relpath(file, folder)
            raise ValueError(f"chunk {name!r} is truncated or damaged: {error}. Copy it again.") from error


def shards_of(array):
    """Settings of the codec that puts chunks into shards, or None."""
    metadata = array.metadata.to_dict()
    return next((settings for name, settings in codecs_of(metadata) if name == "sharding_indexed"), None)


def _files(folder, array):
    """Files of all chunks, or shards, and the index of the first element of each."""
    steps = array.shards or array.chunks
    for index in product(*(range(-(-size // step)) for size, step in zip(array.shape, steps))):
        start = [i * step for i, step in zip(index, steps)]
        yield os.path.join(folder, array.metadata.encode_chunk_key(index)), start


def _wanted_in_shard(array, start):
    """Which chunks of a shard lie within the array; at its edge some do not."""
    counts = [shard // chunk for shard, chunk in zip(array.shards, array.chunks)]
    within = [
        first + np.arange(count) * chunk < size
        for first, count, chunk, size in zip(start, counts, array.chunks, array.shape)
    ]
    return reduce(np.logical_and.outer, within)


def _read_index(file, shards, counts):
    """Offset and size of each chunk of a shard, an array of shape (*counts, 2)."""
    has_checksum = len(shards["index_codecs"]) > 1
    n_bytes = 16 * math.prod(counts)
    stored = n_bytes + _CHECKSUM_BYTES * has_checksum
    size = os.path.getsize(file)
    if size < stored:
        raise ValueError(f"shard {file!r} is truncated: it has {size} bytes, its index alone {stored}.")
    with open(file, "rb") as stream:
        if shards.get("index_location", "end") == "end":
            stream.seek(size - stored)
        return np.frombuffer(stream.read(n_bytes), "<u8").reshape(*counts, 2)


def _check_shard(file, shards, wanted, array):
    codecs = _codecs_of_3(shards["codecs"])
    size = os.path.getsize(file)
    with open(file, "rb") as stream:
        for offset, n_bytes in _read_index(file, shards, wanted.shape)[wanted].tolist():
            if offset + n_bytes > size:
                raise ValueError("a chunk of this shard reaches beyond its end")
            stream.seek(offset)
            _check_chunk(stream.read(n_bytes), codecs, array)


def _check_chunk(data, codecs, array):
    """Undo what adds to the end of a chunk, up to its compressor, and check the size of what is left."""
    item_size = array.dtype.itemsize
    for name, settings in codecs:
        if name == "delta" and settings.get("astype") is not None:
            item_size = np.dtype(settings["astype"]).itemsize
    n_bytes = math.prod(array.chunks) * item_size
    for name, _ in reversed(codecs):
        if name == "crc32c":
            data = data[:-_CHECKSUM_BYTES]
        elif name in _COMPRESSORS:
            _COMPRESSORS[name](data, n_bytes)
            return
    if len(data) != n_bytes:
        raise ValueError(f"it has {len(data)} bytes instead of {n_bytes}")
