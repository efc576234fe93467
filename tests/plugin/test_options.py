"""The command line: which board, which file, and what is said where something is wrong with either."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from pytest_shepherd_hil.boards import load_boards
from pytest_shepherd_hil.fixtures import NO_BOARD
from pytest_shepherd_hil.lock import BoardLock

if TYPE_CHECKING:
    from tests.suite import Suite

USES_BOARD = """
def test_a(board): pass
def test_b(shell): pass
def test_c(console): pass
"""


def test_unknown_board_is_one_usage_error_with_the_nearest_names(suite: Suite) -> None:
    result = suite.run(USES_BOARD, board="sim1")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    errors = [line for line in result.errlines if line]
    assert len(errors) == 1
    assert errors[0].startswith("ERROR: unknown board 'sim1'")
    assert "did you mean sim01" in errors[0]


def test_without_a_board_tests_are_skipped_with_one_reason_and_nothing_is_imported(suite: Suite) -> None:
    suite.pytester.makeconftest(
        """
        import sys
        def pytest_unconfigure(config):
            heavy = ("serial", "fabric", "paramiko", "pydantic", "tomllib", "filelock", "sigrokdecode")
            print("HEAVY:", [name for name in heavy if name in sys.modules])
            print("OURS:", sorted(name for name in sys.modules if name.startswith("pytest_shepherd_hil.")))
        """
    )
    result = suite.run(USES_BOARD, "-rs", "--hil-boards", "does-not-exist.toml", board=None)
    result.assert_outcomes(skipped=3)
    reasons = [line for line in result.outlines if line.startswith("SKIPPED")]
    assert len(reasons) == 1
    assert "[3]" in reasons[0]
    assert NO_BOARD in reasons[0]
    result.stdout.fnmatch_lines(["HEAVY: []"])
    ours = ["board_option", "fixtures", "options", "plugin"]
    result.stdout.fnmatch_lines([f"OURS: {[f'pytest_shepherd_hil.{name}' for name in ours]}"])


def test_another_projects_board_fixture_is_none_of_our_business(suite: Suite) -> None:
    result = suite.run(
        """
        import pytest
        @pytest.fixture
        def board(): return "chess"
        def test_a(board): assert board == "chess"
        """,
        board=None,
    )
    result.assert_outcomes(passed=1)


def test_short_option_can_be_given_to_another_plugin(suite: Suite) -> None:
    suite.pytester.makeconftest("def pytest_addoption(parser): parser.addoption('--board', dest='theirs')")
    source = "def test_it(request, board): assert (request.config.option.theirs, board.name) == ('chess', 'sim01')"
    suite.pytester.makepyfile(source)
    result = suite.again("-p", "no:shepherd_hil_board", "--hil-board", "sim01", "--board", "chess", board=None)
    result.assert_outcomes(passed=1)


def test_boards_file_is_found_above_the_rootdir(suite: Suite) -> None:
    inner = suite.pytester.mkdir("inner")
    (inner / "pytest.ini").write_text("[pytest]\n")
    (inner / "test_it.py").write_text("def test_it(board): assert board.name == 'sim01'")
    suite.again("--rootdir", str(inner), "-c", str(inner / "pytest.ini"), str(inner)).assert_outcomes(passed=1)


def test_boards_file_is_named_by_option_and_by_ini(suite: Suite) -> None:
    (suite.pytester.path / "boards.toml").rename(suite.pytester.path / "lab.toml")
    suite.pytester.makepyfile("def test_it(board): assert board.name == 'sim01'")
    missing = suite.again()
    assert missing.ret == pytest.ExitCode.USAGE_ERROR
    missing.stderr.fnmatch_lines(["ERROR: no boards.toml in * or above it; *--hil-boards FILE"])
    suite.again("--hil-boards", "lab.toml").assert_outcomes(passed=1)
    suite.pytester.makeini("[pytest]\nhil_boards = lab.toml")
    suite.again().assert_outcomes(passed=1)


def test_broken_boards_file_is_one_usage_error_that_names_its_source(suite: Suite) -> None:
    (suite.pytester.path / "lab.toml").write_text("[boards.x]\ncolour = 'red'\n")
    result = suite.run(USES_BOARD, "--hil-boards", "lab.toml", board="x")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: *lab.toml: board x: unknown key 'colour'*(from --hil-boards)"])


def test_list_shows_each_board_what_it_has_and_who_uses_it(suite: Suite) -> None:
    lock = BoardLock(load_boards(suite.pytester.path / "boards.toml").board("bbb01"))
    lock.acquire()
    try:
        result = suite.again("--hil-list-boards", board=None)
    finally:
        lock.release()
    assert result.ret == 0
    result.stdout.fnmatch_lines(
        [
            "9 boards in *boards.toml",
            "board *has *description *in use",
            "sim01 *console, shell, logic, module shepherd, power *embedded board, healthy *no: each run has its own",
            "qemu01 *console, shell, logic, module shepherd, power *virtual board, healthy *no: each run has its own",
            f"bbb01 *console, shell, logic, module shepherd, power *BeagleBone Green* by * (pid {os.getpid()}, since *",
        ]
    )
    result = suite.again("--hil-list-boards", board=None)
    result.stdout.fnmatch_lines(["bbb01 *BeagleBone Green, cape 2.4 * no"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["-n", "2"], "*2 xdist workers with one board (sim01)*"),
        (["--dist", "load", "--tx", "2*popen"], "*2 xdist workers with one board (sim01)*"),
    ],
)
def test_one_board_is_for_one_worker(suite: Suite, options: list[str], message: str) -> None:
    result = suite.run(USES_BOARD, *options)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([message])


def test_one_xdist_worker_runs_the_board(suite: Suite) -> None:
    suite.run("def test_it(shell): assert shell.run('uname').stdout == 'Linux\\n'", "-n", "1").assert_outcomes(passed=1)
