"""A run with several boards: what uses one runs on each, and what one board does is not the other's fault."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tests.suite import Suite

BOARDS = """
[boards.one.sim]
[boards.one.module]
name = "shepherd"
[boards.two.sim]
fault = "racy"
[boards.two.module]
name = "shepherd"
"""
BOTH = ("--board", "one", "--board", "two")
ALTERNATE = """
def pytest_collection_modifyitems(items):
    items.sort(key=lambda item: item.originalname)  # first test on each board, then the second: the sort is stable
"""
GIVEN_UP = """
    import time
    def test_1(board):
        if board.name == "two":
            board.hardware.panic()
            time.sleep(60)
    def test_2(shell): shell.run("true")
    def test_3(shell): shell.run("true")
    """


@pytest.fixture(autouse=True)
def two_boards(suite: Suite) -> None:
    suite.boards(BOARDS)


def collected(suite: Suite, *options: str) -> list[str]:
    """The tests that pytest would run, in their order."""
    result = suite.again("--collect-only", "-q", *options, board=None)
    return [line.rpartition("::")[2] for line in result.outlines if "::" in line]


def passed(lines: Iterable[str]) -> list[str]:
    return [line.rpartition("::")[2] for line in lines if line.startswith("PASSED ")]


SOURCE = """
import pytest

@pytest.fixture
def prepared(kernel_module): return kernel_module

@pytest.fixture(scope="class", params=["slow", "fast"])
def clock(request): return request.param

def test_host(): pass
def test_shell(shell): assert shell.run("uname").stdout == "Linux\\n"
@pytest.mark.parametrize("number", [1, 2])
def test_number(board, number): pass
def test_prepared(prepared): pass
@pytest.mark.module_reload
def test_marked(): pass
@pytest.mark.parametrize("kind", ["calm", pytest.param("wild", marks=pytest.mark.expect_incident("oops"))])
def test_marked_parameter(kind): pass
class TestClock:
    @pytest.mark.usefixtures("board")
    def test_clock(self, clock): pass
"""
ON_EACH = [
    *("test_shell[{}]", "test_number[1-{}]", "test_number[2-{}]", "test_prepared[{}]", "test_marked[{}]"),
    *("test_marked_parameter[calm-{}]", "test_marked_parameter[wild-{}]"),
    *("test_clock[slow-{}]", "test_clock[fast-{}]"),
]


def test_what_uses_a_board_runs_on_each_and_the_rest_once(suite: Suite) -> None:
    suite.write(SOURCE)
    expected = ["test_host"] + [form.format(board) for board in ("one", "two") for form in ON_EACH]
    assert collected(suite, *BOTH) == expected
    assert collected(suite, *BOTH, "-p", "no:xdist") == expected
    assert collected(suite, *BOTH, "-n", "2") == expected
    assert collected(suite, *BOTH, "-k", "two and clock") == ["test_clock[slow-two]", "test_clock[fast-two]"]


def test_with_one_board_the_names_stay_as_they_are(suite: Suite) -> None:
    suite.write(SOURCE)
    names = [form.replace("[{}]", "").replace("-{}", "") for form in ON_EACH]
    assert collected(suite, "--board", "one") == ["test_host", *names]
    assert collected(suite, "--board", "one", "--board", "one") == ["test_host", *names]


def test_each_board_is_its_own(suite: Suite) -> None:
    result = suite.run(
        """
        BOOTS = {}
        def test_host(): pass
        def test_boot(board, shell):
            BOOTS[board.name] = shell.run("cat /proc/sys/kernel/random/boot_id").stdout.strip()
            assert board.boot_id == BOOTS[board.name]
        def test_console(board, console, shell):
            shell.run("echo hello > /dev/kmsg")
            console.expect("hello")
            assert board.boot_id == BOOTS[board.name]
            assert len(set(BOOTS.values())) == len(BOOTS)
        """,
        *BOTH,
        "-v",
        board=None,
    )
    result.assert_outcomes(passed=5)
    assert result.ret == 0
    result.stdout.fnmatch_lines(["hil: board one", "hil: board two", "hil: one: put back *", "hil: two: put back *"])
    consoles = (suite.pytester.path / "hil-evidence").glob("*/console-*.log")
    assert sorted(path.name for path in consoles) == ["console-one.log", "console-two.log"]


def test_fixtures_of_wider_scope_are_set_up_for_each_board(suite: Suite) -> None:
    result = suite.run(
        """
        import pytest

        @pytest.fixture(scope="session")
        def of_the_host():
            print("host begins")
            yield
            print("host ends")

        @pytest.fixture(scope="module")
        def of_the_board(board, of_the_host):
            print(board.name, "begins")
            yield board.name
            print(board.name, "ends")

        def test_first(of_the_board, board): assert of_the_board == board.name
        def test_last(of_the_board, board): assert of_the_board == board.name
        """,
        *BOTH,
        "-s",
        *("-p", "no:xdist"),
        board=None,
    )
    result.assert_outcomes(passed=4)
    told = [line.rpartition(".")[2] for line in result.outlines if line.endswith((" begins", " ends"))]
    assert told == ["host begins", "one begins", "one ends", "two begins", "two ends", "host ends"]


def test_what_a_fixture_of_wider_scope_does_at_its_end_is_the_last_tests_affair(suite: Suite) -> None:
    result = suite.run(
        """
        import pytest

        @pytest.fixture(scope="module")
        def loaded(board):
            board.module().load()
            yield board.name
            board.module().unload()  # on board two this is a panic

        def test_first(loaded, board, kernel_module):
            assert loaded == board.name
            assert kernel_module.is_loaded
        def test_last(loaded, board): assert loaded == board.name
        def test_host(): pass
        """,
        "--board",
        "two",
        "--board",
        "one",
        "-rA",
        board=None,
    )
    result.assert_outcomes(passed=5, errors=1)
    result.stdout.fnmatch_lines(["*_ ERROR at teardown of test_last[[]two] _*", "kernel oops, then panic: *"])
    result.stdout.no_fnmatch_line("*outside of any test*")


@pytest.mark.parametrize("scope", ["function", "module", "session"])
def test_a_teardown_that_fails_leaves_nothing_to_the_next_boards_tests(suite: Suite, scope: str) -> None:
    suite.pytester.makeconftest("def pytest_runtest_logfinish(nodeid): print('test is over')")
    result = suite.run(
        f"""
        import pytest

        @pytest.fixture(scope="session")
        def of_the_board(board):
            print(board.name, "begins")
            yield
            print(board.name, "ends")

        @pytest.fixture(scope="{scope}")
        def cannot_end(board, of_the_board):
            yield
            if board.name == "one":
                raise RuntimeError("no end")

        def test_it(cannot_end): pass
        """,
        *BOTH,
        "-s",
        board=None,
    )
    result.assert_outcomes(passed=2, errors=1)
    told = re.findall(r"((?:one|two) (?:begins|ends)|test is over)$", result.stdout.str(), re.MULTILINE)
    assert told == ["one begins", "one ends", "test is over", "two begins", "two ends", "test is over"]
    result.stdout.fnmatch_lines(["*_ ERROR at teardown of test_it[[]one] _*", "*RuntimeError: no end"])


def test_two_teardowns_that_fail_are_both_said(suite: Suite) -> None:
    result = suite.run(
        """
        import pytest

        @pytest.fixture(scope="session")
        def wide(board):
            yield
            assert board.name == "two", "of the wide one"

        @pytest.fixture
        def narrow(wide, board):
            yield
            assert board.name == "two", "of the narrow one"

        def test_it(narrow): pass
        """,
        *BOTH,
        board=None,
    )
    result.assert_outcomes(passed=2, errors=1)
    result.stdout.fnmatch_lines_random(["*AssertionError: of the narrow one", "*AssertionError: of the wide one"])


def test_a_board_that_dies_meanwhile_leaves_the_test_on_the_other_alone(suite: Suite) -> None:
    suite.pytester.makeconftest(ALTERNATE)
    result = suite.run(
        """
        import time
        BOARDS = {}

        def test_1(board): BOARDS[board.name] = board
        def test_2(board, shell):
            if board.name == "one":
                BOARDS["two"].hardware.panic()
                deadline = time.monotonic() + 30
                while BOARDS["two"].dead is None:
                    assert time.monotonic() < deadline
                    time.sleep(0.02)
                time.sleep(0.2)
            assert board.dead is None
            shell.run("true")
        def test_3(board, shell): shell.run("true")
        """,
        *BOTH,
        "-rA",
        board=None,
    )
    result.assert_outcomes(passed=6)
    assert passed(result.outlines) == [f"test_{number}[{board}]" for number in (1, 2, 3) for board in ("one", "two")]
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(
        [
            "hil: two: back after *",
            "outside of any test: kernel oops, then panic: * (board two)",
            "  (outside of tests, board two)",
        ]
    )
    result.stdout.no_fnmatch_line("hil: one: back after *")


def test_late_words_are_their_own_boards_affair(suite: Suite) -> None:
    suite.pytester.makeconftest(ALTERNATE)
    result = suite.run(
        """
        import time
        BOARDS = {}

        def test_1(board, shell):
            BOARDS[board.name] = board
            time.sleep(2)
        def test_2(board, shell):
            if board.name == "one":
                BOARDS["two"].hardware.printk("shprd.k: mem corruption?", age_s=0.8)
                time.sleep(0.3)
        """,
        *BOTH,
        "-rA",
        board=None,
    )
    result.assert_outcomes(passed=4, failed=1)
    words = ["*_ test_1[[]two] (late words of the board) _*", "shepherd: mem corruption? (board two)"]
    result.stdout.fnmatch_lines(words)


def test_a_board_that_is_given_up_costs_its_own_tests_only(suite: Suite) -> None:
    suite.pytester.makeconftest(ALTERNATE)
    result = suite.run(
        GIVEN_UP,
        *BOTH,
        "--hil-keep-dead",
        "-rA",
        board=None,
    )
    result.assert_outcomes(passed=3, failed=1, errors=2)
    assert passed(result.outlines) == ["test_1[one]", "test_2[one]", "test_3[one]"]
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    reason = "board two is left as it died (--hil-keep-dead): kernel oops, then panic: *"
    result.stdout.fnmatch_lines([f"hil: {reason}", reason, f"{reason} (as before)"])


def test_what_one_board_was_expected_to_do_does_not_keep_the_other_from_stopping_its_test(suite: Suite) -> None:
    result = suite.run(
        """
        import time
        def test_it(board):
            if board.name == "one":
                with board.expect_incident("oops"):
                    board.hardware.panic()
                    time.sleep(60)
                return
            board.hardware.panic()  # the first incident of this board, as it was of the other
            time.sleep(60)
            print("WENT ON")
        """,
        *BOTH,
        board=None,
    )
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.no_fnmatch_line("WENT ON")


def test_a_test_that_was_made_for_no_board_is_told_what_to_do(suite: Suite) -> None:
    result = suite.run(
        """
        import pytest, unittest
        def test_dynamic(request): request.getfixturevalue("shell")
        @pytest.mark.usefixtures("board")
        class TestOld(unittest.TestCase):
            def test_case(self): pass
        def test_next(shell): shell.run("true")
        """,
        *BOTH,
        board=None,
    )
    result.assert_outcomes(passed=2, failed=1, errors=1)
    words = "this run has 2 boards (one, two), and this test was made for none of them, *usefixtures('board')*"
    result.stdout.fnmatch_lines([words, words])


def test_last_failed_knows_on_which_board(suite: Suite) -> None:
    suite.write("def test_it(board): assert board.name == 'one'\n")
    pytester = suite.pytester
    pytester.runpytest_subprocess(*BOTH, timeout=60).assert_outcomes(passed=1, failed=1)
    result = pytester.runpytest_subprocess(*BOTH, "--lf", "-v", timeout=60)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*test_it[[]two] FAILED*"])


def test_two_names_of_one_board_are_a_usage_error(suite: Suite) -> None:
    table = "[boards.{0}]\n[boards.{0}.ssh]\nhost = 'bbb01.local'\nuser = 'ubuntu'\n"
    suite.boards(table.format("left") + table.format("right"))
    result = suite.run("def test_it(board): pass\n", "--board", "left", "--board", "right", board=None)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(
        ["ERROR: --board left and --board right are one board: both are reached through ssh bbb01.local:22"]
    )
