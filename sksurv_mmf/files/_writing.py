"""Files and folders that appear as a whole: how everything that the package writes comes to its name."""

import errno
import os
import re
import secrets
import socket
from contextlib import contextmanager, suppress
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows: there is no lock to recognise the dead by, and what they left stays
    fcntl = None  # type: ignore[assignment]

_LOCK, _FILES = "lock", "files"
_UNFINISHED = re.compile(r"\..*\.[a-z0-9_]{8,16}\.partial", re.DOTALL)
# The running kernel, within which locks are reliable; absent outside of Linux.
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_NO_HARD_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EXDEV)
_IN_THE_WAY = (errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR, errno.EISDIR)


@contextmanager
def writing(path, *, overwrite=None):
    """Yield a path at which the block makes a file or folder, which takes the name `path` when the block ends.

    An error or an interrupt leaves nothing. A killed process leaves a hidden folder ``.<name>.<random>.partial``
    beside `path`, which the next writer in the same folder removes.

    Parameters
    ----------
    path : str or path-like
        The target. If it is a symbolic link to a file or to nothing, the link is replaced, and the file left alone.
    overwrite : bool, default=None
        Whether to replace a file. Otherwise what another process has put there in the meantime stays. None is False
        where users have no such choice, so that no error tells them of it.

    Yields
    ------
    Path
        A path that does not exist, of the same name, in a private folder on the same file system.

    Raises
    ------
    FileExistsError
        If there is something at `path`, before or after the block, that must not be replaced.
    """
    path = Path(path)
    check_target(path, overwrite)
    with _private_folder(path.parent, path.name) as folder:
        yield folder / path.name
        _place(folder / path.name, path, overwrite)


@contextmanager
def writing_into(folder, *, replaced=()):
    """Yield an empty folder whose files move into `folder` when the block ends, those of lower names last.

    Where the lowest name tells readers that a set of files is there, a set that a killed process has moved in part
    is not taken for a whole one.

    Parameters
    ----------
    folder : str or path-like
        The target, which is made if it is not there. What else is in it stays.
    replaced : iterable of Path, default=()
        Files of an earlier set, which are moved away first, and back if the new set cannot be placed.

    Yields
    ------
    Path
        The folder to write files in.

    Raises
    ------
    FileExistsError
        If a name is taken by something that is not to be replaced; no file is moved then.
    """
    folder = Path(folder)
    is_new = not folder.exists()
    make_folder(folder)
    try:
        with _private_folder(folder, folder.name) as made:
            aside = made.with_name("replaced")
            aside.mkdir()
            yield made
            with _one_at_a_time(folder):
                _replace_all(replaced, sorted(made.iterdir(), reverse=True), folder, aside)
    except BaseException:
        if is_new:
            with suppress(OSError):
                folder.rmdir()
        raise


def make_folder(path):
    """Make a folder and those above it, unless they are there."""
    try:
        os.makedirs(path, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise NotADirectoryError(f"{path} is no folder, or lies in something that is none. Choose another.") from error


def check_target(path, overwrite):
    """Refuse a path at which no file can be written, before the work of making the file."""
    path = Path(path)
    if not path.parent.is_dir():
        raise FileNotFoundError(f"The folder {path.parent} does not exist. Make it first.")
    if not os.path.lexists(path):
        return
    if not overwrite:
        way_out = "or remove it first" if overwrite is None else "or pass overwrite=True to replace it"
        raise FileExistsError(f"{str(path)!r} exists already; choose another path {way_out}.")
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder. Name a file in it, or another path.")
    # Replacing the link /dev/stdout would take it from everybody.
    is_stream = path.is_symlink() and os.readlink(path).startswith("/proc/")
    if is_stream or (path.exists() and not path.is_file()):
        raise FileExistsError(f"{path} is no regular file but a device, pipe or socket. Choose another path.")


def remove_leftovers(folder):
    """Remove what writers have left in `folder` that were killed.

    A writer holds a lock, which the operating system takes away with the process. So a number of a process that was
    given anew deceives nobody, and what is being written stays. A lock may not be seen from another machine that
    shares the file system. Therefore leftovers stay whose machine, known by its running kernel or by its name, is not
    this one, as do leftovers of other users. Where both kernels have a name, that of the machine does not count, for
    another one may have it, too; so what was left before a restart stays.
    """
    if fcntl is None:
        return
    with suppress(OSError):
        for entry in os.scandir(folder):
            if _UNFINISHED.fullmatch(entry.name) and entry.is_dir(follow_symlinks=False):
                with suppress(OSError):
                    _remove_if_dead(entry.path)


def _remove_if_dead(folder):
    if os.stat(folder, follow_symlinks=False).st_uid != os.geteuid():
        return
    with suppress(OSError):
        os.rmdir(folder)  # its writer was killed before it had a lock, or while it removed the folder
        return
    lock = os.open(os.path.join(folder, _LOCK), os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Written once the lock is held: a folder without it may have been made a moment ago.
        written = os.read(lock, 1000).decode()
        if _is_this_machine(written) or (not written and os.listdir(folder) == [_LOCK]):
            _remove(folder)
    finally:
        os.close(lock)


def _remove(folder):
    """Remove a private folder, the lock last, so that what is left if this is killed is still known for what it is.

    `shutil.rmtree` may turn an interrupt into an OSError.
    """
    for parent, folders, files in os.walk(folder, topdown=False):
        for path in (os.path.join(parent, name) for name in folders + files):
            with suppress(OSError):
                (os.rmdir if os.path.isdir(path) and not os.path.islink(path) else os.unlink)(path)
    with suppress(OSError):
        os.rmdir(folder)


def _this_machine():
    """Names of this machine: its own, which another one may have too, and that of its running kernel."""
    names = {"host": socket.gethostname()}
    with suppress(OSError):
        names["boot"] = _BOOT_ID.read_text().strip()
    return names


def _is_this_machine(written):
    """Whether names in a lock are those of this machine; that of the kernel decides where both have one."""
    ours, theirs = _this_machine(), dict(name.partition("=")[::2] for name in written.split())
    key = "boot" if "boot" in ours and "boot" in theirs else "host"
    return key in theirs and ours[key] == theirs[key]


@contextmanager
def _private_folder(parent, name):
    """An empty folder in a new one in `parent` that nobody else can enter, under a lock; both are gone afterwards."""
    remove_leftovers(parent)
    # Names have at most 255 bytes, of which a character takes up to four.
    folder = os.path.join(parent, f".{name[:40]}.{secrets.token_hex(8)}.partial")
    try:
        with _make_locked(folder):
            files = Path(folder, _FILES)
            files.mkdir()
            yield files
    finally:
        try:
            _remove(folder)
        except BaseException:  # an interrupt
            _remove(folder)
            raise


def _make_locked(folder):
    """Make a folder, and return the open file in it that is its lock."""
    while True:
        try:
            os.mkdir(folder, 0o700)
        except OSError as error:
            text = f"Cannot write into the folder ({error.strerror})"
            raise type(error)(error.errno, text, os.path.dirname(folder)) from error
        with suppress(FileNotFoundError):  # another process has taken the new folder for a leftover
            lock = open(os.path.join(folder, _LOCK), "x", encoding="utf-8")
            # Where there are no locks, nobody can take one either, and the folder is safe.
            with suppress(OSError):
                if fcntl is not None:
                    fcntl.flock(lock, fcntl.LOCK_EX)
                    lock.write(" ".join(map("=".join, _this_machine().items())))
                    lock.flush()
            if os.path.exists(lock.name):
                return lock
            lock.close()


@contextmanager
def _one_at_a_time(folder):
    """Wait until nobody else moves files into `folder`, as far as the file system has locks."""
    if fcntl is None:
        yield
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _replace_all(old, files, folder, aside):
    """Move files into a folder, all of them or none, after moving old ones aside."""
    old = sorted(map(Path, old))
    for path in old:
        check_target(path, overwrite=True)
    for file in files:
        if folder / file.name not in old and os.path.lexists(folder / file.name):
            raise FileExistsError(_taken(folder / file.name))
    placed = []
    try:
        for path in filter(os.path.lexists, old):
            os.replace(path, aside / path.name)
        for file in files:
            _place(file, folder / file.name, overwrite=False)
            placed.append(folder / file.name)
    except BaseException:
        for path in placed:
            path.unlink(missing_ok=True)
        for path in old:
            with suppress(FileNotFoundError):
                os.replace(aside / path.name, path)
        raise


def _place(made, path, overwrite):
    """Give what was made its name, in one step."""
    try:
        if made.is_dir():
            os.rename(made, path)  # onto an empty folder at most
        else:
            _flush(made)
            (os.replace if overwrite else _move_without_replacing)(made, path)
    except OSError as error:
        if error.errno not in _IN_THE_WAY:
            raise
        raise FileExistsError(_taken(path)) from error


def _taken(path):
    return (
        f"{str(path)!r} exists already: another process has made it in the meantime. It was left as it is, and what "
        "this call made was discarded. Use what is there, or choose another path."
    )


def _move_without_replacing(made, path):
    try:
        os.link(made, path)
    except OSError as error:
        if error.errno not in _NO_HARD_LINKS:
            raise
        # Without hard links the name is taken first, by an empty file.
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL))
        os.replace(made, path)


def _flush(file):
    """Have the contents on the disk before the name is."""
    handle = os.open(file, os.O_RDWR | getattr(os, "O_NOFOLLOW", 0))
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
