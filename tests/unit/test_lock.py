"""One user per board: between processes, whatever becomes of them."""

from __future__ import annotations

import json
import os
import pty
import re
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_shepherd_hil.boards import BoardConfig
from pytest_shepherd_hil.errors import HostError
from pytest_shepherd_hil.lock import BoardLock

if TYPE_CHECKING:
    from collections.abc import Iterator

HOLD = """
import sys
from pathlib import Path
from pytest_shepherd_hil.boards import BoardConfig
from pytest_shepherd_hil.lock import BoardLock
lock = BoardLock(BoardConfig.model_validate_json(sys.argv[1], strict=False), Path(sys.argv[2]))
lock.acquire()
print("held", flush=True)
sys.stdin.read()
lock.release()
"""


def console(port: str, name: str = "b") -> BoardConfig:
    return BoardConfig.model_validate({"name": name, "console": {"port": port}})


BOARD = console("/dev/ttyS99")


def ssh(host: str, name: str = "b", port: int = 22) -> BoardConfig:
    return BoardConfig.model_validate({"name": name, "ssh": {"host": host, "port": port}})


@contextmanager
def held(config: BoardConfig, folder: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds the board."""
    arguments = [sys.executable, "-c", HOLD, config.model_dump_json(exclude_none=True), str(folder)]
    other = subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert other.stdout is not None
    try:
        assert other.stdout.readline() == "held\n"
        yield other
    finally:
        other.communicate()


@contextmanager
def held_here(folder: Path) -> Iterator[None]:
    lock = BoardLock(BOARD, folder)
    lock.acquire()
    yield
    lock.release()


def refusal(lock: BoardLock) -> str:
    with pytest.raises(HostError) as caught:
        lock.acquire()
    return str(caught.value)


# two runs


def test_two_processes_exclude_each_other_and_the_second_is_told_who(tmp_path: Path) -> None:
    lock = BoardLock(BOARD, tmp_path)
    with held(BOARD, tmp_path) as other:
        text = refusal(lock)
        user = re.escape(lock_user())
        assert re.fullmatch(rf"board b is in use by {user} \(pid {other.pid}, since \d\d:\d\d:\d\d\): -c .*", text)
        assert refusal(lock) == text, "a refused run must not change who is named"
    lock.acquire()
    lock.release()


def lock_user() -> str:
    return subprocess.run(["id", "-un"], check=True, capture_output=True, text=True).stdout.strip()


def test_the_holder_notes_where_it_writes_what_the_board_says(tmp_path: Path) -> None:
    log = tmp_path / "console-b.log"
    log.touch()
    for noted, told in ((log, log), (None, None), (tmp_path / "passwd", None), (tmp_path / "console-gone.log", None)):
        lock = BoardLock(BOARD, tmp_path / "locks", console_log=noted)
        lock.acquire()
        assert BoardLock(BOARD, tmp_path / "locks").console_log() == told
        lock.release()


def test_the_one_who_holds_it_keeps_others_out(tmp_path: Path) -> None:
    lock = BoardLock(BOARD, tmp_path)
    lock.acquire()
    arguments = [sys.executable, "-c", HOLD, BOARD.model_dump_json(exclude_none=True), str(tmp_path)]
    other = subprocess.run(arguments, input="", capture_output=True, text=True, timeout=30, check=False)
    assert other.returncode == 1
    assert f"board b is in use by {lock_user()} (pid {os.getpid()}, since " in other.stderr
    lock.release()
    assert subprocess.run(arguments, input="", timeout=30, check=False).returncode == 0


def test_two_locks_of_one_process_exclude_each_other(tmp_path: Path) -> None:
    first, second = BoardLock(BOARD, tmp_path), BoardLock(BOARD, tmp_path)
    first.acquire()
    assert f"(pid {os.getpid()}, " in refusal(second)
    first.release()
    second.acquire()
    second.release()


def test_a_killed_holder_frees_the_board(tmp_path: Path) -> None:
    lock = BoardLock(BOARD, tmp_path)
    with held(BOARD, tmp_path) as other:
        other.send_signal(signal.SIGKILL)
        other.wait()
        assert lock.holder() is None
        lock.acquire()
        lock.release()


def test_releasing_twice_and_unheld_is_fine(tmp_path: Path) -> None:
    lock = BoardLock(BOARD, tmp_path)
    lock.release()
    lock.acquire()
    lock.release()
    lock.release()
    assert lock.holder() is None


# what is one board


def test_two_names_of_one_device_are_one_board(tmp_path: Path) -> None:
    with held(console("/dev/ttyS99", "mine"), tmp_path):
        assert refusal(BoardLock(console("/dev/ttyS99", "yours"), tmp_path)).startswith("board yours is in use by ")


def test_a_symlink_to_a_device_is_that_device(tmp_path: Path) -> None:
    master, slave = pty.openpty()
    link = tmp_path / "by-id-link"
    link.symlink_to(os.ttyname(slave))
    with held(console(str(link)), tmp_path / "locks"):
        refusal(BoardLock(console(os.ttyname(slave)), tmp_path / "locks"))
    os.close(master)
    os.close(slave)


def test_boards_that_share_only_the_shell_are_one_board(tmp_path: Path) -> None:
    both = BoardConfig.model_validate(
        {"name": "both", "ssh": {"host": "bbb01.local"}, "console": {"port": "/dev/ttyS98"}}
    )
    with held(ssh("bbb01.local"), tmp_path):
        refusal(BoardLock(both, tmp_path))
        BoardLock(console("/dev/ttyS98"), tmp_path).acquire()  # what was locked before the refusal is free again


@pytest.mark.parametrize(
    "other",
    [console("/dev/ttyS98"), ssh("bbb01.local"), console("socket://lab:4000")],
)
def test_different_boards_do_not_disturb_each_other(other: BoardConfig, tmp_path: Path) -> None:
    lock, another = BoardLock(BOARD, tmp_path), BoardLock(other, tmp_path)
    lock.acquire()
    another.acquire()
    another.release()
    lock.release()


def test_a_board_with_only_an_analyzer_is_locked_by_it(tmp_path: Path) -> None:
    logic = BoardConfig.model_validate({"name": "b", "logic": {"conn": "1.12"}})
    with held(logic, tmp_path):
        refusal(BoardLock(logic, tmp_path))


def test_boards_whose_consoles_are_on_one_analyzer_are_one_board(tmp_path: Path) -> None:
    channels = {"D0": "one", "D1": "two"}
    one, two = (
        BoardConfig.model_validate(
            {
                "name": name,
                "ssh": {"host": name},
                "console": {"logic": name},
                "logic": {"conn": "1.12", "channels": channels},
            }
        )
        for name in ("one", "two")
    )
    with held(one, tmp_path):
        refusal(BoardLock(two, tmp_path))


def test_embedded_boards_are_private_to_their_runs(tmp_path: Path) -> None:
    sim = BoardConfig.model_validate({"name": "sim01", "sim": {}})
    first, second = BoardLock(sim, tmp_path), BoardLock(sim, tmp_path)
    assert first.private
    first.acquire()
    second.acquire()
    assert first.holder() is None
    assert list(tmp_path.iterdir()) == []
    assert not BoardLock(BOARD, tmp_path).private


# looking only


def test_a_board_that_nobody_ever_used_is_free(tmp_path: Path) -> None:
    folder = tmp_path / "locks"
    assert BoardLock(BOARD, folder).holder() is None
    assert not folder.exists(), "looking leaves nothing behind"


def test_looking_names_the_holder_and_does_not_take_the_board_from_him(tmp_path: Path) -> None:
    lock = BoardLock(BOARD, tmp_path)
    with held(BOARD, tmp_path) as other:
        for _ in range(3):
            holder = lock.holder()
            assert holder is not None
            assert f"(pid {other.pid}, since " in holder
    assert lock.holder() is None


def test_who_only_looks_does_not_keep_a_run_from_starting(tmp_path: Path) -> None:
    look = (
        "import sys; from pathlib import Path\n"
        "from pytest_shepherd_hil.boards import BoardConfig\n"
        "from pytest_shepherd_hil.lock import BoardLock\n"
        "config = BoardConfig.model_validate_json(sys.argv[1], strict=False)\n"
        "lock = BoardLock(config, Path(sys.argv[2])); print('looking', flush=True)\n"
        "while True: lock.holder()\n"
    )
    lock = BoardLock(BOARD, tmp_path)
    lock.acquire()
    lock.release()
    arguments = [sys.executable, "-c", look, BOARD.model_dump_json(exclude_none=True), str(tmp_path)]
    other = subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True)
    assert other.stdout is not None
    try:
        assert other.stdout.readline() == "looking\n"
        for _ in range(20):
            lock.acquire()
            lock.release()
    finally:
        other.kill()
        other.communicate()


# the note


def note_of(folder: Path) -> Path:
    (note,) = folder.glob("*.json")
    return note


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"nonsense",
        b"\xff\xfe",
        b"[]",
        b"5",
        b"{}",
        b"[" * 100_000,
        b"[" * 4000,
        b"x" * 10_000_000,
        b'{"pid": 1, "user": "u", "since": "noon", "command": "c"}',
        b'{"pid": 1, "user": "u", "since": 1e300, "command": "c"}',
        b'{"pid": 1, "user": "u", "since": NaN, "command": "c"}',
        b'{"pid": 1, "user": "u", "since": -1e18, "command": "c"}',
    ],
)
def test_a_hostile_note_costs_only_the_name(content: bytes, tmp_path: Path) -> None:
    with held_here(tmp_path):
        note_of(tmp_path).write_bytes(content)
        assert BoardLock(BOARD, tmp_path).holder() == "by another run"
        assert refusal(BoardLock(BOARD, tmp_path)) == "board b is in use by another run"


def test_a_hostile_note_cannot_reach_the_terminal(tmp_path: Path) -> None:
    with held_here(tmp_path):
        hostile = {"pid": "\x1b[2J", "user": "\x1b]0;x\x07", "since": 0, "command": "\n\u202e" + "x" * 1000}
        note_of(tmp_path).write_text(json.dumps(hostile))
        holder = BoardLock(BOARD, tmp_path).holder()
        assert holder is not None
        assert re.search(r"[\x00-\x1f\x7f-\x9f\u202e]", holder) is None
        assert len(holder) < 600


def test_a_pipe_or_a_link_in_the_notes_place_is_not_followed(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text('{"pid": 1, "user": "secret", "since": 0, "command": ""}')
    folder = tmp_path / "locks"
    with held_here(folder):
        note = note_of(folder)
        note.unlink()
        os.mkfifo(note)
        assert BoardLock(BOARD, folder).holder() == "by another run"
        note.unlink()
        note.symlink_to(secret)
        assert BoardLock(BOARD, folder).holder() == "by another run"
    BoardLock(BOARD, folder).acquire()
    assert "secret" in secret.read_text(), "the next holder writes its name through no link"


def test_locks_and_notes_may_be_used_by_every_user(tmp_path: Path) -> None:
    old = os.umask(0o077)
    try:
        lock = BoardLock(BOARD, tmp_path / "locks")
        lock.acquire()
    finally:
        os.umask(old)
    assert stat.S_IMODE((tmp_path / "locks").stat().st_mode) == 0o1777
    assert {stat.S_IMODE(file.stat().st_mode) for file in (tmp_path / "locks").iterdir()} == {0o666}
    lock.release()


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become somebody else")
def test_another_user_takes_the_board_and_is_named() -> None:
    folder = Path("/tmp") / f"hil-lock-test-{os.getpid()}"
    lock = BoardLock(BOARD, folder)
    lock.acquire()
    lock.release()
    said, says = os.pipe()
    pid = os.fork()
    if pid == 0:  # a uid that no passwd file knows, as in containers
        try:
            for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
                os.environ.pop(name, None)
            os.setuid(54321)
            lock.acquire()
            os.write(says, b"held\n")
            signal.pause()
        except BaseException as error:
            os.write(says, repr(error).encode())
        finally:
            os._exit(0)
    try:
        assert os.read(said, 1000) == b"held\n"
        holder = lock.holder()
        assert holder is not None
        assert holder.startswith(f"by uid 54321 (pid {pid}, ")
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        for fd in (said, says):
            os.close(fd)
        for file in folder.iterdir():
            file.unlink()
        folder.rmdir()


def test_a_lock_folder_that_cannot_be_used_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    text = refusal(BoardLock(BOARD, tmp_path / "file"))
    assert text == f"board b: cannot lock it in {tmp_path / 'file'}: Not a directory"


@pytest.mark.skipif(os.getuid() != 0, reason="only root can be two users")
def test_another_user_takes_a_board_whose_lock_we_made_and_is_told_while_we_have_it() -> None:
    """In a folder like ``/tmp``, where ``fs.protected_regular`` counts: the sticky bit, and writable for all."""
    nobody = 65534
    folder = Path(tempfile.mkdtemp(dir="/tmp"))
    folder.chmod(0o1777)
    lock = BoardLock(BOARD, folder / "locks")
    try:
        lock.acquire()
        assert "is in use by root" in as_user(nobody, folder / "locks")
        lock.release()
        assert as_user(nobody, folder / "locks") == "held"
        lock.acquire()  # and we take one whose note is somebody else's
        lock.release()
    finally:
        shutil.rmtree(folder)


def as_user(uid: int, folder: Path) -> str:
    """What becomes of a try to take the board in a process of another user: ``held``, or the refusal."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.setgid(uid)
            os.setuid(uid)
            BoardLock(BOARD, folder).acquire()
            os.write(write, b"held")
        except BaseException as error:
            os.write(write, str(error).encode())
        finally:
            os._exit(0)
    os.close(write)
    with os.fdopen(read) as end:
        said = end.read()
    os.waitpid(child, 0)
    return said
