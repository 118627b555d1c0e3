"""Lines of text files, which may be compressed by gzip."""

import gzip
import os
import zlib

from ._regular_file import check_regular_file

LONGEST_LINE = 10_000_000
"""In characters. A line is read as a whole, and a damaged or hostile file may be a single one."""

# Tables of names reach 15 at best; a file made to exhaust memory reaches 1,032.
_MAX_RATIO = 50
_HARMLESS_CHARACTERS = 1 << 24

_MARKS = {b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}


def read_lines(path):
    """Yield the lines of a text file in UTF-8.

    Raises ValueError if it is no regular file, no text in UTF-8, a damaged gzip file, or far larger than it looks.
    """
    check_regular_file(path, "path=")
    path = os.fspath(path)
    with open(path, "rb") as file:
        start = file.read(2)
    is_gzip = start == b"\x1f\x8b"
    if start in _MARKS:
        raise ValueError(f"{path} is text in UTF-16. {_save_as_utf8(_MARKS[start])}")
    most = max(_MAX_RATIO * os.path.getsize(path), _HARMLESS_CHARACTERS) if is_gzip else None
    try:
        # Editors of tables like to put a byte order mark in front, which is no part of the first name.
        with (gzip.open if is_gzip else open)(path, "rt", encoding="utf-8-sig") as lines:
            yield from _checked(lines, most, path)
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is no text in UTF-8 ({error}). {_save_as_utf8('latin-1')}") from None
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise ValueError(f"{path} is a damaged gzip file: {error}") from None


def _checked(lines, most, subject):
    total = 0
    while line := lines.readline(LONGEST_LINE + 1):
        total += len(line)
        if len(line) > LONGEST_LINE:
            raise ValueError(f"{subject} has a line of more than {LONGEST_LINE} characters; it is damaged or no table.")
        if most is not None and total > most:
            raise ValueError(
                f"{subject} unpacks to more than {_MAX_RATIO} times its size. If you trust it, unpack it with gunzip."
            )
        if "\0" in line:
            raise ValueError(f"{subject} is no text: it has zero bytes. If it is text in UTF-16, save it as UTF-8.")
        yield line


def _save_as_utf8(encoding):
    return (
        f"If it is text in another encoding, save it as UTF-8, for example with path.write_text(path.read_text("
        f"{encoding!r}), 'utf-8')."
    )
