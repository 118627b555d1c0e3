"""What is written appears as a whole, whoever else writes, and what the killed leave goes away."""

import os
import signal
import socket
import stat
import subprocess
import sys
import threading

import pytest

from sksurv_mmf.files import _writing
from sksurv_mmf.files._writing import check_target, remove_leftovers, writing, writing_into

WRITER = """
import sys, time
from pathlib import Path
from sksurv_mmf.files._writing import writing
with writing(Path(sys.argv[1]), overwrite=True) as made:
    made.write_text("half")
    print("ready", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def start_writer():
    """Start a process that is in the middle of writing."""
    started = []

    def start(path):
        pipe = subprocess.PIPE
        process = subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdin=pipe, stdout=pipe, text=True)
        started.append(process)
        assert process.stdout.readline() == "ready\n"
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()
        process.stdin.close()
        process.stdout.close()


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def write(path, text="new", meanwhile=None, **options):
    with writing(path, **options) as made:
        made.write_text(text)
        if meanwhile is not None:
            meanwhile(path)


def write_folder(path, meanwhile):
    with writing(path) as made:
        made.mkdir()
        (made / "mine").write_text("")
        meanwhile(path)


def make_file(path):
    path.write_text("theirs")


def make_folder(path):
    path.mkdir()
    (path / "theirs").write_text("")


def make_link(path):
    path.symlink_to(path.parent)


class TestOneFile:
    def test_it_appears_at_the_end_with_the_usual_permissions(self, tmp_path):
        usual = tmp_path / "usual"
        usual.write_text("")
        with writing(tmp_path / "file") as made:
            made.write_text("new")
            assert not (tmp_path / "file").exists()
            assert [stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir() if path != usual] == [0o700]
        assert names(tmp_path) == ["file", "usual"]
        assert (tmp_path / "file").stat().st_mode == usual.stat().st_mode

    @pytest.mark.parametrize("error", [OSError(28, "No space left"), KeyboardInterrupt(), SystemExit(1)])
    @pytest.mark.parametrize("old", [None, "old"])
    def test_an_error_leaves_what_was_there(self, tmp_path, error, old):
        if old:
            (tmp_path / "file").write_text(old)

        def fail(path):
            raise error

        with pytest.raises(type(error)):
            write(tmp_path / "file", meanwhile=fail, overwrite=True)
        assert names(tmp_path) == (["file"] if old else [])

    def test_what_another_process_made_meanwhile_stays(self, tmp_path):
        with pytest.raises(FileExistsError, match="another process has made it in the meantime"):
            write(tmp_path / "file", meanwhile=make_file)
        assert (tmp_path / "file").read_text() == "theirs"
        assert names(tmp_path) == ["file"]

    @pytest.mark.parametrize("theirs", [make_file, make_folder, make_link])
    def test_a_folder_replaces_nothing_either(self, tmp_path, theirs):
        with pytest.raises(FileExistsError, match="another process has made it"):
            write_folder(tmp_path / "store", theirs)
        assert not (tmp_path / "store" / "mine").exists()
        assert names(tmp_path) == ["store"]

    def test_without_hard_links_nothing_is_replaced_either(self, tmp_path, monkeypatch):
        def refuse(*args, **kwargs):
            raise PermissionError(1, "no links here")

        monkeypatch.setattr(_writing.os, "link", refuse)
        write(tmp_path / "file", "first")
        with pytest.raises(FileExistsError, match="another process"):
            write(tmp_path / "other", meanwhile=make_file)
        assert [(tmp_path / name).read_text() for name in names(tmp_path)] == ["first", "theirs"]

    def test_many_at_once_make_one_whole_file(self, tmp_path):
        texts, losers = [str(i) * 100_000 for i in range(8)], []

        def race(text):
            try:
                write(tmp_path / "file", text)
            except FileExistsError as error:
                losers.append(str(error))

        threads = [threading.Thread(target=race, args=[text]) for text in texts]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert (tmp_path / "file").read_text() in texts
        assert len(losers) == 7
        assert all("exists already" in loser for loser in losers)
        assert names(tmp_path) == ["file"]


class TestTargets:
    def test_a_link_is_replaced_and_its_target_left_alone(self, tmp_path):
        (tmp_path / "precious").write_text("old")
        (tmp_path / "link").symlink_to("precious")
        with pytest.raises(FileExistsError):
            write(tmp_path / "link")
        write(tmp_path / "link", overwrite=True)
        assert (tmp_path / "precious").read_text() == "old"
        assert not (tmp_path / "link").is_symlink()

    def test_a_dangling_link_counts_as_something(self, tmp_path):
        (tmp_path / "link").symlink_to("nowhere")
        with pytest.raises(FileExistsError, match="exists already"):
            write(tmp_path / "link")
        write(tmp_path / "link", overwrite=True)
        assert names(tmp_path) == ["link"]

    def test_links_planted_under_old_names_are_not_followed(self, tmp_path):
        (tmp_path / "precious").write_text("old")
        for name in [f".file.{os.getpid()}.unfinished", f".file.{os.getpid()}.partial", ".file.aaaaaaaa.partial"]:
            (tmp_path / name).symlink_to("precious")
        write(tmp_path / "file")
        assert (tmp_path / "precious").read_text() == "old"

    @pytest.mark.parametrize("overwrite", [False, True])
    def test_pipes_devices_and_folders_are_refused_at_once(self, tmp_path, overwrite):
        os.mkfifo(tmp_path / "pipe")
        (tmp_path / "folder").mkdir()
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(str(tmp_path / "socket"))
        targets = ["pipe", "folder", "socket", "/dev/null", "/"]
        for i, target in enumerate(targets):
            (tmp_path / f"to{i}").symlink_to(target)
        (tmp_path / "stdout").symlink_to("/proc/self/fd/1")
        before = names(tmp_path)
        for target in [*targets, *before]:
            with pytest.raises(OSError, match=r"exists already|is a folder|no regular file"):
                write(tmp_path / target, overwrite=overwrite)
        assert names(tmp_path) == before

    def test_absent_and_closed_folders_are_named(self, tmp_path, monkeypatch):
        with pytest.raises(FileNotFoundError, match=r"nowhere does not exist\. Make it first"):
            check_target(tmp_path / "nowhere" / "file", overwrite=False)

        def refuse(*args, **kwargs):
            raise PermissionError(13, "Permission denied", "a name that nobody knows")

        monkeypatch.setattr(_writing.os, "mkdir", refuse)
        with pytest.raises(PermissionError, match=f"Cannot write into the folder .*{tmp_path.name}"):
            write(tmp_path / "file")

    @pytest.mark.parametrize("name", ["\N{GREEK SMALL LETTER ALPHA}" * 120, "x" * 255, "[*].%s\n.zip", "lock", "files"])
    def test_long_and_strange_names(self, tmp_path, name):
        write(tmp_path / name)
        assert names(tmp_path) == [name]


class TestLeftovers:
    def test_they_stay_while_their_process_lives_and_go_when_it_is_killed(self, tmp_path, start_writer):
        process = start_writer(tmp_path / "file")
        (leftover,) = names(tmp_path)
        write(tmp_path / "file")
        process.send_signal(signal.SIGSTOP)
        write(tmp_path / "file", overwrite=True)
        assert names(tmp_path) == [leftover, "file"]
        process.kill()
        process.wait()
        write(tmp_path / "other")
        assert names(tmp_path) == ["file", "other"]
        assert (tmp_path / "file").read_text() == "new"

    @pytest.mark.parametrize(
        ("machine", "stays"),
        [("host=elsewhere boot=0", True), ("", True), ("host={host} boot=0", True), ("host={host}", False)],
    )
    def test_those_of_another_machine_stay(self, tmp_path, start_writer, machine, stays):
        process = start_writer(tmp_path / "file")
        process.kill()
        process.wait()
        (lock,) = tmp_path.glob("*/lock")
        lock.write_text(machine.format(host=socket.gethostname()))
        remove_leftovers(tmp_path)
        assert bool(names(tmp_path)) == stays

    def test_what_only_looks_like_one_stays(self, tmp_path):
        (tmp_path / ".a.12345678.partial").write_text("a file")
        (tmp_path / ".b.12345678.partial" / "lock").mkdir(parents=True)
        (tmp_path / "precious").mkdir()
        (tmp_path / "precious" / "lock").write_text(f"host={socket.gethostname()}")
        (tmp_path / ".c.12345678.partial").symlink_to("precious")
        (tmp_path / ".d.12345678.partial").mkdir()
        os.mkfifo(tmp_path / ".d.12345678.partial" / "lock")
        (tmp_path / ".e.12345678.partial").mkdir()
        (tmp_path / ".e.12345678.partial" / "precious").touch()
        (tmp_path / ".e.12345678.partial" / "lock").touch()
        before = names(tmp_path)
        remove_leftovers(tmp_path)
        assert names(tmp_path) == before

    @pytest.mark.parametrize("has_lock", [False, True])
    def test_so_do_those_of_writers_killed_before_they_were_known(self, tmp_path, has_lock):
        left = tmp_path / ".file.0123456789abcdef.partial"
        left.mkdir()
        if has_lock:
            (left / "lock").touch()
        write(tmp_path / "file")
        assert names(tmp_path) == ["file"]

    @pytest.mark.parametrize(("module", "moment", "after"), [(os, "mkdir", True), (_writing.fcntl, "flock", False)])
    def test_one_that_is_removed_before_it_was_known_is_made_again(self, tmp_path, monkeypatch, module, moment, after):
        function = getattr(module, moment)

        def tidy_up(*args):
            monkeypatch.setattr(module, moment, function)
            if after:
                function(*args)
            remove_leftovers(tmp_path)
            assert names(tmp_path) == []
            if not after:
                function(*args)

        monkeypatch.setattr(module, moment, tidy_up)
        write(tmp_path / "file")
        assert names(tmp_path) == ["file"]

    @pytest.mark.parametrize("n_interrupts", [1, 2])
    def test_interrupts_while_it_is_removed(self, tmp_path, monkeypatch, n_interrupts):
        unlink, left = os.unlink, [None, *[KeyboardInterrupt] * n_interrupts]

        def interrupt(path):
            if left and (error := left.pop(0)):
                raise error
            unlink(path)

        def fail_with_several_files():
            with writing(tmp_path / "file") as made:
                made.mkdir()
                for i in range(3):
                    (made / f"{i}").touch()
                monkeypatch.setattr(os, "unlink", interrupt)
                raise OSError

        with pytest.raises(KeyboardInterrupt):
            fail_with_several_files()
        assert len(names(tmp_path)) == n_interrupts - 1
        write(tmp_path / "file")
        assert names(tmp_path) == ["file"]

    def test_links_in_them_are_not_followed(self, tmp_path, start_writer):
        (tmp_path / "precious").mkdir()
        (tmp_path / "precious" / "file").write_text("old")
        process = start_writer(tmp_path / "file")
        process.kill()
        process.wait()
        (leftover,) = tmp_path.glob(".*")
        (leftover / "link").symlink_to(tmp_path / "precious")
        remove_leftovers(tmp_path)
        assert names(tmp_path) == ["precious"]
        assert (tmp_path / "precious" / "file").exists()


def write_all(folder, texts, meanwhile=None, **options):
    with writing_into(folder, **options) as made:
        for name, text in texts.items():
            (made / name).write_text(text)
        if meanwhile is not None:
            meanwhile()


def contents(folder):
    return {name: (folder / name).read_text() for name in names(folder)}


class TestSeveralFiles:
    def test_they_replace_the_old_ones_and_nothing_else(self, tmp_path):
        write_all(tmp_path, {"a": "1", "b": "1"})
        (tmp_path / "other").write_text("mine")
        write_all(tmp_path, {"b": "2", "c": "2"}, replaced=[tmp_path / "a", tmp_path / "b"])
        assert contents(tmp_path) == {"b": "2", "c": "2", "other": "mine"}

    def test_none_or_all(self, tmp_path):
        (tmp_path / "b").write_text("mine")
        (tmp_path / "old").write_text("old")
        with pytest.raises(FileExistsError, match="b' exists already: another process has made it in the meantime"):
            write_all(tmp_path, {"a": "1", "b": "1", "c": "1"}, replaced=[tmp_path / "old"])
        assert contents(tmp_path) == {"b": "mine", "old": "old"}

    @pytest.mark.parametrize("error", [OSError(28, "No space left"), KeyboardInterrupt()])
    def test_the_old_ones_are_put_back(self, tmp_path, monkeypatch, error):
        old = {"lock": "old", "files": "old", "b": "old"}
        write_all(tmp_path, old)
        place = _writing._place

        def fail_at_last(made, path, overwrite):
            if path.name == "a":
                raise error
            place(made, path, overwrite)

        monkeypatch.setattr(_writing, "_place", fail_at_last)
        with pytest.raises(type(error)):
            write_all(tmp_path, {"a": "new", "b": "new", "c": "new"}, replaced=[tmp_path / name for name in old])
        assert contents(tmp_path) == old

    def test_an_interrupt_leaves_no_new_folder(self, tmp_path):
        def interrupt():
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            write_all(tmp_path / "new" / "newer", {"a": "half"}, interrupt)
        assert not (tmp_path / "new" / "newer").exists()

    def test_of_two_at_once_one_wins(self, tmp_path):
        with pytest.raises(FileExistsError, match="exists already"):
            write_all(
                tmp_path,
                dict.fromkeys("abc", "slow"),
                lambda: write_all(tmp_path, dict.fromkeys("ab", "quick")),
            )
        assert contents(tmp_path) == {"a": "quick", "b": "quick"}

    def test_no_folder(self, tmp_path):
        os.mkfifo(tmp_path / "pipe")
        for path in ["pipe", "pipe/folder"]:
            with pytest.raises(NotADirectoryError, match=f"{path} is no folder, or lies in something that is none"):
                write_all(tmp_path / path, {"a": "1"})
