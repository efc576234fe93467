"""Rules of users, in a run with a board."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.suite import BOARDS

if TYPE_CHECKING:
    from tests.suite import Suite

OWN = """
[{table}.adc-overrun]
kind = "adc-overrun"
severity = "fail"
pattern = '^adc: (?P<what>overrun)$'
title = "ADC {{what}}"
example = "adc: overrun"
"""
SAYS_OVERRUN = """
    def test_overrun(shell):
        shell.run("echo adc: overrun > /dev/kmsg")
"""
BOOM = """
    def test_reload(kernel_module):
        for _ in range(8):
            kernel_module.reload()
"""


@pytest.mark.parametrize("table", ["rules", "boards.sim01.rules"])
def test_a_rule_of_boards_toml_fails_the_test_in_which_it_matches(suite: Suite, table: str) -> None:
    suite.boards(BOARDS.read_text() + OWN.format(table=table))
    result = suite.run(SAYS_OVERRUN)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["ADC overrun (board sim01)*", "*kind      adc-overrun*"])
    assert suite.incidents("test_overrun")[0]["rule"] == "adc-overrun"


def test_a_rule_of_another_board_is_none_of_this_one(suite: Suite) -> None:
    suite.boards(BOARDS.read_text() + OWN.format(table="boards.sim-racy.rules"))
    suite.run(SAYS_OVERRUN).assert_outcomes(passed=1)


def test_a_board_silences_and_changes_rules_of_the_ini_file(suite: Suite) -> None:
    suite.boards()
    (suite.pytester.path / "own").mkdir()
    (suite.pytester.path / "own" / "rules.toml").write_text(OWN.format(table="rules"))
    suite.pytester.makeini("[pytest]\nhil_rules = own/rules.toml\n")
    suite.run(SAYS_OVERRUN).assert_outcomes(failed=1)
    for severity in ("warn", "off"):
        suite.boards(f"{BOARDS.read_text()}\n[boards.sim01.rules.adc-overrun]\nseverity = '{severity}'\n")
        result = suite.run(SAYS_OVERRUN)
        result.assert_outcomes(passed=1)
        assert ("ADC overrun" in result.stdout.str()) is (severity == "warn")


def test_a_silenced_rule_is_still_told_where_the_kernel_died_of_it(suite: Suite) -> None:
    suite.boards(f"{BOARDS.read_text()}\n[rules.oops-unable-to-handle]\nseverity = 'off'\n")
    result = suite.run(BOOM, board="sim-racy")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*kernel oops, then panic: NULL pointer dereference*"])


@pytest.mark.parametrize("where", ["--hil-rules", "ini"])
def test_a_bad_rule_ends_the_run_before_it_begins(suite: Suite, where: str) -> None:
    suite.boards()
    (suite.pytester.path / "mine.toml").write_text(OWN.format(table="rules").replace("(?P<what>overrun)", "(over"))
    options = []
    if where == "ini":
        suite.pytester.makeini("[pytest]\nhil_rules = mine.toml\n")
    else:
        options = ["--hil-rules", "mine.toml"]
    result = suite.run(SAYS_OVERRUN, *options)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    (error,) = [line for line in result.stderr.lines if line.startswith("ERROR")]
    assert "mine.toml: rule 'adc-overrun': pattern is no regular expression: " in error
    assert "at column 7" in error
    assert "hil_rules" in error or "--hil-rules" in error


def test_a_bad_rule_of_a_board_names_the_file_the_board_and_the_rule(suite: Suite) -> None:
    suite.boards(BOARDS.read_text() + "[boards.sim01.rules.oops-null-pointer]\nseverty = 'off'\n")
    result = suite.run(SAYS_OVERRUN)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(
        ["ERROR: *boards.toml: board sim01: rule 'oops-null-pointer': 'severty' of a packaged*"]
    )
