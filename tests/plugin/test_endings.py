"""However a run ends, no process, no temporary folder and no lock is left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_shepherd_hil.sim.process import SimProcess
    from tests.suite import Suite

WHERE = {
    "setup": "@pytest.fixture\ndef stuck(board):\n    say()\n    time.sleep(500)\ndef test_it(stuck): pass\n",
    "call": "def test_it(board):\n    say()\n    time.sleep(500)\n",
    "shell": "def test_it(shell):\n    say()\n    shell.run('sleep 500', timeout_s=500)\n",
    "opening": (
        "from pytest_shepherd_hil.board import Board\n"
        "def prepare(self, *_):\n    note(self)\n    say()\n    time.sleep(500)\n"
        "Board._prepare = prepare\ndef test_it(board): pass\n"
    ),
    "recovery": (
        "def test_it(board):\n    board.cut_power = lambda: (say(), time.sleep(500))\n"
        "    board.hardware.printk('shprd.k: mem corruption?')\n    time.sleep(500)\n"
    ),
    "session": (
        "@pytest.fixture(scope='session')\ndef stuck(request):\n    request.getfixturevalue('kept')\n    yield\n"
        "    say()\n    time.sleep(500)\n"
        "@pytest.fixture(scope='session')\ndef kept(): pass\ndef test_it(stuck, shell): pass\n"
    ),
    "between": "def test_it(board): between.append(1)\ndef test_next(shell): pass\n",
    "teardown": "@pytest.fixture\ndef stuck(board):\n    yield\n    say(); time.sleep(500)\ndef test_it(stuck): pass\n",
}
HEAD = """
import os, pytest, time

between = []

def note(board):
    with open("sim.pid", "w") as file:
        print(board.hardware.status() and board._own.pid, file=file)

@pytest.fixture(autouse=True)
def told(board):
    note(board)

def say():
    open("stuck", "w").close()
"""

BETWEEN = """
import sys, time
def pytest_runtest_logfinish(nodeid):
    if sys.modules["test_it"].between:
        sys.modules["test_it"].say()
        time.sleep(60)
"""


@pytest.fixture
def started(suite: Suite, request: pytest.FixtureRequest) -> Iterator[subprocess.Popen[str]]:
    """pytest as a process of its own, stuck in the phase that the test names."""
    suite.pytester.makepyfile(test_it=HEAD + WHERE[request.param])
    suite.pytester.makeconftest(BETWEEN)
    folder = suite.pytester.path
    process = subprocess.Popen(
        [sys.executable, "-m", "pytest", "--board", "sim01", "-p", "no:cacheprovider", "-p", "no:hypothesispytest"],
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    deadline = time.monotonic() + 30
    while not (folder / "stuck").exists():
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline
        time.sleep(0.02)
    yield process
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def gone(suite: Suite, within_s: float = 10.0) -> bool:
    """Whether the embedded board's process has ended."""
    pid = int((suite.pytester.path / "sim.pid").read_text())
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        try:
            command = Path(f"/proc/{pid}/cmdline").read_bytes()
        except (FileNotFoundError, ProcessLookupError):
            return True
        if b"pytest_shepherd_hil.sim" not in command:
            return True
        time.sleep(0.02)
    return False


@pytest.mark.parametrize("started", list(WHERE), indirect=True)
def test_ctrl_c_ends_the_run_with_a_clear_word_and_nothing_left(suite: Suite, started: subprocess.Popen[str]) -> None:
    os.kill(started.pid, signal.SIGINT)
    output, _ = started.communicate(timeout=20)
    assert started.returncode == pytest.ExitCode.INTERRUPTED
    assert "KeyboardInterrupt" in output
    assert gone(suite)
    assert (suite.pytester.path / "hil-evidence").is_dir()


@pytest.mark.parametrize("started", ["call"], indirect=True)
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_killed_run_leaves_no_board_behind_and_the_console_log_is_on_disk(
    suite: Suite, started: subprocess.Popen[str], number: signal.Signals
) -> None:
    os.kill(started.pid, number)
    started.communicate(timeout=20)
    assert gone(suite)
    (log,) = (suite.pytester.path / "hil-evidence").glob("*/console-sim01.log")
    assert b"hil: fence" in log.read_bytes()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_killed_run_keeps_nobody_from_the_board(suite: Suite, bench: SimProcess, number: signal.Signals) -> None:
    suite.write(
        """
        def test_it(shell, console):
            open("stuck", "w").close()
            shell.run("sleep 500", timeout_s=500)
        """
    )
    killed = subprocess.Popen(
        [sys.executable, "-m", "pytest", "--board", "bench", "-p", "no:cacheprovider", "-p", "no:hypothesispytest"],
        cwd=suite.pytester.path,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    deadline = time.monotonic() + 30
    while not (suite.pytester.path / "stuck").exists():
        assert killed.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)
    killed.send_signal(number)
    output, _ = killed.communicate(timeout=20)
    if number == signal.SIGTERM:
        assert killed.returncode == pytest.ExitCode.INTERRUPTED
        assert b"KeyboardInterrupt" in output
        assert b"hil: bench: put back console loglevel 4, kernel.panic 0" in output
    suite.run("def test_it(shell, console): shell.run('true')\n", board="bench").assert_outcomes(passed=1)


def test_time_out_by_thread_leaves_the_evidence_that_was_there(suite: Suite) -> None:
    source = "import time\ndef test_it(shell, console):\n    shell.run('true')\n    time.sleep(500)\n"
    result = suite.run(source, "--timeout", "4", "--timeout-method", "thread")
    assert result.ret == 1
    (log,) = (suite.pytester.path / "hil-evidence").glob("*/console-sim01.log")
    assert b"hil: fence" in log.read_bytes()


def test_time_out_by_signal_fails_the_test_and_the_run_goes_on(suite: Suite) -> None:
    result = suite.run(
        """
        import pytest, time
        @pytest.mark.timeout(8, func_only=True)
        def test_hangs(shell): shell.run("sleep 500", timeout_s=500)
        def test_next(shell): shell.run("true")
        """
    )
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["*Timeout*8*"])


def test_evidence_folder_that_cannot_be_made_is_one_clear_error(suite: Suite) -> None:
    (suite.pytester.path / "hil-evidence").write_text("a file")
    result = suite.run("def test_it(shell): pass\n")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["cannot make the evidence folder *; choose another with --hil-evidence DIR"])
    suite.again("--hil-evidence", "elsewhere").assert_outcomes(passed=1)


def test_hostile_names_stay_in_the_evidence_folder(suite: Suite) -> None:
    result = suite.run(
        """
        import pytest, time
        @pytest.mark.parametrize("name", ["../../../escape", "a/b", "x" * 300])
        def test_it(board, name):
            board.hardware.uart_send("\\x1b]0;owned\\x07\\x1b[2J::error::no\\r\\n")
            board.hardware.panic()
            time.sleep(500)
        """
    )
    result.assert_outcomes(failed=3)
    (run,) = (suite.pytester.path / "hil-evidence").iterdir()
    folders = [folder for folder in run.iterdir() if folder.is_dir()]
    assert len(folders) == 3
    assert all(len(folder.name) < 120 for folder in folders)
    for folder in folders:
        assert "\x1b" not in (folder / "console.txt").read_text()
    assert "\x1b]0;" not in result.stdout.str()
