"""Several boards, several xdist workers: each board is one worker's, and each test goes to the worker of its board."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.plugin.conftest import bench_toml
from tests.plugin.test_several_boards import GIVEN_UP

if TYPE_CHECKING:
    from pytest_shepherd_hil.sim.process import SimProcess
    from tests.suite import Suite

BOARDS = """
[boards.one.sim]
[boards.two.sim]
[boards.three.sim]
"""
BOTH = ("--board", "one", "--board", "two")
CONFTEST = """
import os, pytest

@pytest.fixture
def note(request):
    worker = os.environ.get("PYTEST_XDIST_WORKER", "none")
    with open(f"{request.config.rootpath}/notes.txt", "a") as file:
        print(worker, request.node.nodeid, file=file)
"""


@pytest.fixture(autouse=True)
def boards(suite: Suite) -> None:
    suite.boards(BOARDS)
    suite.pytester.makeconftest(CONFTEST)


def workers(suite: Suite) -> dict[str, list[str]]:
    """The tests that each worker has run, in their order, by the worker's name."""
    found = defaultdict(list)
    for line in (suite.pytester.path / "notes.txt").read_text().splitlines():
        worker, _, nodeid = line.partition(" ")
        found[worker].append(nodeid.rpartition("::")[2])
    return dict(found)


SOURCE = """
import pytest
@pytest.mark.parametrize("number", range(4))
def test_board(board, shell, note, number): assert shell.run("cat /proc/sys/kernel/random/boot_id").stdout
@pytest.mark.parametrize("number", range(3))
def test_host(note, number): pass
"""


def test_each_worker_runs_the_tests_of_its_board(suite: Suite) -> None:
    result = suite.run(SOURCE, *BOTH, "-n", "2", "-v", board=None)
    result.assert_outcomes(passed=11)
    assert result.ret == 0
    by_worker = workers(suite)
    assert set(by_worker) == {"gw0", "gw1"}
    for worker, board in (("gw0", "one"), ("gw1", "two")):
        of_boards = [test for test in by_worker[worker] if test.startswith("test_board")]
        assert of_boards == [f"test_board[{number}-{board}]" for number in range(4)]
    hosts = [test for tests in by_worker.values() for test in tests if test.startswith("test_host")]
    assert sorted(hosts) == [f"test_host[{number}]" for number in range(3)]
    result.stdout.fnmatch_lines(["scheduling tests via BoardScheduling"])
    result.stdout.fnmatch_lines_random(
        [f"hil: {board}: {what} *" for board in ("one", "two") for what in ("set for this run:", "put back")]
    )
    consoles = (suite.pytester.path / "hil-evidence").glob("*/console-*.log")
    assert sorted(path.name for path in consoles) == ["console-one.log", "console-two.log"]


@pytest.mark.parametrize("many", [("-n", "1"), ("-n", "0")])
def test_one_process_may_hold_all_boards(suite: Suite, many: tuple[str, ...]) -> None:
    result = suite.run(SOURCE, *BOTH, *many, board=None)
    result.assert_outcomes(passed=11)
    assert len(workers(suite)) == 1


def test_fewer_workers_than_boards_hold_several_each(suite: Suite) -> None:
    result = suite.run(SOURCE, *BOTH, "--board", "three", "-n", "2", board=None)
    result.assert_outcomes(passed=15)
    held = {
        worker: list(dict.fromkeys(test.rstrip("]").rpartition("-")[2] for test in tests if "board" in test))
        for worker, tests in workers(suite).items()
    }
    assert held == {"gw0": ["one", "three"], "gw1": ["two"]}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["-n", "3"], "*3 xdist workers with 2 boards (one, two): a board serves one worker; use -n 2 or fewer*"),
        (["--dist", "load", "--tx", "3*popen"], "*3 xdist workers with 2 boards (one, two)*"),
        (["-n", "2", "--dist", "each"], "*--dist each has every worker run all tests, but a board is one worker's*"),
    ],
)
def test_what_cannot_be_shared_out_is_a_usage_error(suite: Suite, options: list[str], message: str) -> None:
    result = suite.run(SOURCE, *BOTH, *options, board=None)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([message])
    assert not (suite.pytester.path / "notes.txt").exists()


@pytest.mark.parametrize("board", ["one", None])
def test_auto_is_no_more_workers_than_boards(suite: Suite, board: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTEST_XDIST_AUTO_NUM_WORKERS", "5")
    given = BOTH if board is None else ()
    result = suite.run(SOURCE, *given, "-n", "auto", board=board)
    result.assert_outcomes(passed=11 if board is None else 7)
    count = 2 if board is None else 1
    assert len(workers(suite)) == count
    words = f"hil: -n auto starts {count} xdist worker(s), not 5: no more than there are boards"
    result.stdout.fnmatch_lines([words])


def test_units_of_dist_stay_together_where_no_board_decides(suite: Suite) -> None:
    for name in ("a", "b", "c"):
        source = f"""
            import pytest
            @pytest.mark.parametrize("n", range(3))
            def test_{name}(note, n): pass
            def test_{name}_board(board, note): pass
        """
        suite.pytester.makepyfile(**{f"test_{name}": source})
    result = suite.again(*BOTH, "-n", "2", "--dist", "loadfile", board=None)
    result.assert_outcomes(passed=15)
    for name in ("a", "b", "c"):
        having = [worker for worker, tests in workers(suite).items() if f"test_{name}[0]" in tests]
        (tests,) = [workers(suite)[worker] for worker in having]
        assert {f"test_{name}[{number}]" for number in range(3)} <= set(tests)


CRASHES = """
import os, pytest, time

def test_1(board, note): pass
def test_2(board, note):
    if board.name != "one":
        os._exit(3)
def test_3(shell, note): shell.run("true")
def test_4(shell, note): shell.run("true")
"""


def test_a_worker_that_crashes_is_replaced_by_one_that_takes_its_board(suite: Suite, bench: SimProcess) -> None:
    suite.boards(BOARDS + bench_toml(bench))  # a board that is locked while a worker has it
    result = suite.run(CRASHES, "--board", "one", "--board", "bench", "-n", "2", "-v", board=None)
    result.assert_outcomes(passed=7, failed=1)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(["*worker 'gw1' crashed while running 'test_it.py::test_2[[]bench]'*"])
    tests = [f"test_{number}" for number in (1, 2, 3, 4)]
    assert workers(suite) == {
        "gw0": [f"{test}[one]" for test in tests],
        "gw1": ["test_1[bench]", "test_2[bench]"],
        "gw2": ["test_3[bench]", "test_4[bench]"],
    }


LEFT_BEHIND = """
import os, time
from pathlib import Path

def leave_the_lock_to_a_child():
    if os.fork():
        return
    try:
        for link in Path("/proc/self/fd").iterdir():
            if not os.readlink(link).endswith(".lock"):
                os.close(int(link.name))
    finally:
        deadline = time.monotonic() + 60
        while not os.path.exists("replaced") and time.monotonic() < deadline:
            time.sleep(0.05)
        time.sleep(1.5)
        os._exit(0)
"""


def test_a_board_whose_lock_a_dead_worker_left_behind_is_waited_for(suite: Suite, bench: SimProcess) -> None:
    suite.boards(BOARDS + bench_toml(bench))
    replaced = """
def pytest_collection_finish():
    if os.environ.get("PYTEST_XDIST_WORKER") == "gw2":
        open("replaced", "w").close()
"""
    suite.pytester.makeconftest(CONFTEST + replaced)
    source = LEFT_BEHIND + CRASHES.replace("os._exit(3)", "leave_the_lock_to_a_child(), os.kill(os.getpid(), 9)")
    result = suite.run(source, "--board", "one", "--board", "bench", "-n", "2", "-v", board=None)
    result.assert_outcomes(passed=7, failed=1)
    result.stdout.fnmatch_lines(["*worker 'gw1' crashed while running 'test_it.py::test_2[[]bench]'*"])
    assert workers(suite)["gw2"] == ["test_3[bench]", "test_4[bench]"]


def test_a_board_that_hangs_since_its_worker_died_fails_what_is_left_with_one_reason(
    suite: Suite, bench: SimProcess
) -> None:
    suite.boards(BOARDS + bench_toml(bench))
    hang = (
        "__import__('pytest_shepherd_hil.sim.control').sim.control.SimControl("
        f"{str(bench.control.path)!r}).hang(), os.kill(os.getpid(), 9)"
    )
    source = CRASHES.replace("os._exit(3)", hang)
    result = suite.run(source, "--board", "one", "--board", "bench", "-n", "2", "-rA", board=None)
    result.assert_outcomes(passed=5, failed=1, errors=2)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(["*worker 'gw1' crashed while running 'test_it.py::test_2[[]bench]'*"])
    errors = sorted(line for line in result.outlines if line.startswith("ERROR "))
    assert [line.partition(" - ")[0] for line in errors] == [f"ERROR test_it.py::test_{n}[bench]" for n in (3, 4)]
    reasons = [line.partition(" - ")[2] for line in errors]
    assert reasons[1] == f"{reasons[0]} (as before)"


def test_what_a_crashed_worker_had_to_say_is_said(suite: Suite) -> None:
    result = suite.run(
        """
        import os, time

        def test_1(board, shell):
            shell.run("true")
            time.sleep(2)
        def test_2(board, console):
            if board.name == "two":
                board.hardware.printk("shprd.k: mem corruption?", age_s=0.8)
                board.hardware.printk("something else")
                console.expect("something else")
                time.sleep(0.3)
        def test_3(board):
            if board.name == "two":
                os._exit(3)
        """,
        *BOTH,
        "-n",
        "2",
        board=None,
    )
    result.assert_outcomes(passed=5, failed=2)
    result.stdout.fnmatch_lines(
        [
            "*_ test_1[[]two] (late words of the board) _*",
            "shepherd: mem corruption? (board two)",
            "  test_it.py::test_1[[]two]",
            "    hil-evidence/*-two-*",
        ]
    )


def test_a_board_that_is_given_up_costs_its_own_tests_only(suite: Suite) -> None:
    result = suite.run(
        GIVEN_UP,
        *BOTH,
        "--hil-keep-dead",
        "-n",
        "2",
        board=None,
    )
    result.assert_outcomes(passed=3, failed=1, errors=2)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    reason = "board two is left as it died (--hil-keep-dead): kernel oops, then panic: *"
    result.stdout.fnmatch_lines([f"hil: {reason}"])
    result.stdout.fnmatch_lines([reason, f"{reason} (as before)"])


def test_a_board_that_does_not_come_back_after_the_last_test_fails_the_run(suite: Suite) -> None:
    result = suite.run(
        """
        import pytest
        @pytest.mark.expect_incident("oops")
        def test_panics(board): board.hardware.panic()
        """,
        *BOTH,
        "--hil-keep-dead",
        "-n",
        "2",
        board=None,
    )
    result.assert_outcomes(passed=2)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    summary = result.outlines[
        result.outlines.index(next(line for line in result.outlines if line.strip("=") == " hil ")) :
    ]
    broken = sorted(line.partition(" is left")[0] for line in summary if "--hil-keep-dead" in line)
    assert broken == ["board one", "board two"]


MANY = """
import pytest, time
@pytest.mark.parametrize("number", range(40))
def test_it(board, number):
    if board.name == "one":
        {fails}
    time.sleep(0.1)
"""


@pytest.mark.parametrize(
    ("option", "fails"),
    [
        ("--exitfirst", "assert number"),
        ("--hil-on-incident=abort-run", "board.hardware.printk('shprd.k: mem corruption?')"),
    ],
)
def test_a_run_that_is_to_end_ends_on_all_boards(suite: Suite, option: str, fails: str) -> None:
    result = suite.run(MANY.format(fails=fails), *BOTH, "-n", "2", option, board=None)
    assert result.ret != 0
    outcomes = result.parseoutcomes()
    assert outcomes["failed"] == 1
    assert outcomes.get("passed", 0) < 40


@pytest.mark.parametrize(("number", "to_all"), [(signal.SIGINT, True), (signal.SIGTERM, False), (signal.SIGTERM, True)])
def test_a_run_that_is_told_to_end_closes_all_boards(suite: Suite, number: signal.Signals, to_all: bool) -> None:
    suite.write(
        """
        import os, time
        def test_guilty(board):
            board.hardware.printk("shprd.k: mem corruption?")
        def test_it(board):
            with open(f"{board.name}.part", "w") as file:
                file.write(str(board._own.pid))
            os.rename(f"{board.name}.part", f"{board.name}.pid")
            time.sleep(500)
        """
    )
    folder = suite.pytester.path
    command = [sys.executable, "-m", "pytest", *BOTH, "-n", "2", "-p", "no:cacheprovider", "-p", "no:hypothesispytest"]
    process = subprocess.Popen(
        command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )
    pids = [folder / "one.pid", folder / "two.pid"]
    try:
        deadline = time.monotonic() + 60
        while not all(path.exists() for path in pids):
            assert process.poll() is None, process.communicate()[0]
            assert time.monotonic() < deadline
            time.sleep(0.05)
        (os.killpg if to_all else os.kill)(process.pid, number)
        output, _ = process.communicate(timeout=40)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
    assert process.returncode == pytest.ExitCode.INTERRUPTED
    assert "KeyboardInterrupt" in output
    for board in ("one", "two"):
        assert f"hil: {board}: put back " in output
    if number == signal.SIGTERM:
        assert "hil: SIGTERM: the workers end and put their boards back" in output
    assert "\n  test_it.py::test_guilty[one]\n" in output  # where its evidence lies
    deadline = time.monotonic() + 20
    for pid in (int(path.read_text()) for path in pids):
        while is_embedded_board(pid):
            assert time.monotonic() < deadline
            time.sleep(0.05)


def is_embedded_board(pid: int) -> bool:
    try:
        return b"pytest_shepherd_hil.sim" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False
