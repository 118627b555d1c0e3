"""What kind of file a path leads to, before it is opened."""

import os
import stat

_KINDS = [
    (stat.S_ISREG, "regular file"),
    (stat.S_ISDIR, "folder"),
    (stat.S_ISFIFO, "named pipe"),
    (stat.S_ISSOCK, "socket"),
]


def kind_of(mode):
    """Kind of file in words, from the `st_mode` of its status."""
    return next((kind for is_kind, kind in _KINDS if is_kind(mode)), "device")


def check_regular_file(path, what):
    """Refuse anything but a regular file, or a link to one; `what` the path names begins the message.

    Opening a named pipe waits for somebody to write into it, and a device may never end.
    """
    kind = kind_of(os.stat(path).st_mode)
    if kind != "regular file":
        raise ValueError(f"{what}{os.fspath(path)!r} is a {kind}; a regular file is expected.")
