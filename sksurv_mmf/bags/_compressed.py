"""Whether compressed bytes hold as much as they should, before a library unpacks them.

A library that is handed less than it expects may read on into foreign memory, and one that is handed more may take any
amount of it. Each check here takes the bytes and the size that they must have once unpacked, and takes no more memory
than that.
"""

import bz2
import lzma
import struct
import zlib

_BLOSC_HEADER = struct.Struct("<4B3I")
_ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
_STEP = 1 << 20


def check_zlib(data, n_bytes, wbits=zlib.MAX_WBITS):
    """Refuse a zlib stream that is incomplete, damaged or of another size."""
    _check_stream(zlib.decompressobj(wbits), data, n_bytes)


def check_gzip(data, n_bytes):
    """Refuse a gzip member that is incomplete, damaged or of another size."""
    check_zlib(data, n_bytes, wbits=zlib.MAX_WBITS | 16)


def check_bz2(data, n_bytes):
    """Refuse a bzip2 stream that is incomplete, damaged or of another size."""
    _check_stream(bz2.BZ2Decompressor(), data, n_bytes)


def check_lzma(data, n_bytes):
    """Refuse an LZMA stream that is incomplete, damaged or of another size."""
    _check_stream(lzma.LZMADecompressor(memlimit=1 << 28), data, n_bytes)


def _check_stream(decompressor, data, n_bytes):
    found = 0
    while not decompressor.eof and found <= n_bytes:
        try:
            piece = decompressor.decompress(data, _STEP)
        except (zlib.error, lzma.LZMAError, OSError) as error:
            raise ValueError(f"it is damaged ({error})") from error
        found += len(piece)
        # zlib hands back what it has not read; the others keep it.
        data = getattr(decompressor, "unconsumed_tail", b"")
        if not piece and not data and not decompressor.eof:
            raise ValueError("it ends too early")
    _check_size(found, n_bytes)
    if decompressor.unused_data:
        raise ValueError(f"{len(decompressor.unused_data)} bytes follow its end")


def check_blosc(data, n_bytes):
    """Refuse a blosc buffer whose header does not fit its bytes."""
    if len(data) < _BLOSC_HEADER.size:
        raise ValueError("it ends too early")
    _, _, _, type_size, unpacked, block_size, packed = _BLOSC_HEADER.unpack_from(data)
    if packed != len(data):
        raise ValueError(f"it has {len(data)} bytes, but its header announces {packed}")
    _check_size(unpacked, n_bytes)
    if type_size == 0 or not 0 < block_size <= max(unpacked, 1):
        raise ValueError("its header is damaged")


def check_lz4(data, n_bytes):
    """Refuse an LZ4 block, as numcodecs writes it, whose header announces another size."""
    if len(data) < 4:
        raise ValueError("it ends too early")
    _check_size(int.from_bytes(data[:4], "little"), n_bytes)


def check_zstd(data, n_bytes):
    """Refuse a zstd frame that announces another size; one that announces none is unpacked for trial."""
    from numcodecs import Zstd

    announced = _zstd_size(data)
    if announced is not None:
        _check_size(announced, n_bytes)
        return
    try:
        Zstd().decode(data, out=bytearray(n_bytes))
    except (RuntimeError, ValueError) as error:
        raise ValueError(f"it is damaged or does not hold {n_bytes} bytes ({error})") from error


def _zstd_size(data):
    """Size that the header of a zstd frame announces, or None (RFC 8878, 3.1.1.1)."""
    if data[:4] != _ZSTD_MAGIC or len(data) < 5:
        raise ValueError("it is no zstd frame")
    descriptor = data[4]
    is_single = descriptor >> 5 & 1
    n_size = (is_single, 2, 4, 8)[descriptor >> 6]
    if not n_size:
        return None
    start = 5 + (not is_single) + (0, 1, 2, 4)[descriptor & 3]
    if len(data) < start + n_size:
        raise ValueError("it ends too early")
    return int.from_bytes(data[start : start + n_size], "little") + (256 if n_size == 2 else 0)


def check_lzf(data, n_bytes):
    """Refuse an LZF stream, as h5py writes it, that is incomplete or of another size."""
    found = at = 0
    while at < len(data):
        control = data[at]
        if control < 32:  # as many bytes as they are, and one more
            at += control + 2
            found += control + 1
            continue
        is_long = control >> 5 == 7  # a copy of what came before; its length may go on in the next byte
        found += (control >> 5) + 2 + (data[at + 1] if is_long and at + 1 < len(data) else 0)
        at += 3 if is_long else 2
    if at != len(data):
        raise ValueError("it ends too early")
    _check_size(found, n_bytes)


def _check_size(found, n_bytes):
    if found != n_bytes:
        raise ValueError(f"it holds {'more' if found > n_bytes else found} bytes instead of {n_bytes}")
