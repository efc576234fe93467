"""Every real fault, live: the right test fails for the right reason, and the next one finds a healthy board."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.requirements import VIRTUAL_BOARD, require_all
from tests.virtual.faults import HILFAULT, SHEPHERD, Fault

if TYPE_CHECKING:
    from tests.suite import Suite

pytestmark = require_all(*VIRTUAL_BOARD)
FAULTS = [fault for fault in (*HILFAULT, *SHEPHERD) if fault.kind is not None]
RUN_S = 100

TESTS = """
import pytest

COMMANDS = {commands!r}

@pytest.fixture(scope="session")
def boots():
    return []

def test_before(board, boots):
    boots.append(board.boot_id)

def test_fault(shell):
    for command in COMMANDS:
        shell.run(command, check=False, timeout_s=60)

def test_after(board, boots, shell):
    assert board.boot_id not in boots
    assert shell.run("cat /proc/sys/kernel/random/boot_id").stdout.strip() == board.boot_id
    assert "fault" not in shell.run("cat /proc/modules").stdout
"""


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_fault_fails_its_test_and_the_next_finds_a_healthy_board(suite: Suite, fault: Fault) -> None:
    suite.write(TESTS.format(commands=fault.commands))
    result = suite.again(board="qemu01", timeout_s=RUN_S)
    result.assert_outcomes(passed=2, failed=1)
    result.stdout.fnmatch_lines(["hil: qemu01: back after *"])
    assert list(suite.evidence) == ["test_fault"]
    first = suite.incidents("test_fault")[0]
    assert (first["kind"], first["severity"]) == (fault.kind, "fail")
    assert (first["function"], first["module"]) == (fault.function, fault.guilty)
    assert first["fatal"] is fault.fatal
    assert {other["kind"] for other in suite.incidents("test_fault")} == {fault.kind}
    log = (suite.evidence["test_fault"] / "console.txt").read_text()
    assert fault.function is None or fault.function in log


def test_flood_of_messages_is_no_incident_and_none_is_lost(suite: Suite) -> None:
    result = suite.run(
        """
        def test_flood(shell, console):
            shell.run("modprobe hilfault; echo printk-flood 500 > /sys/kernel/debug/hilfault/trigger")
            console.expect("hilfault: line 500 of 500", timeout_s=30)
            seen = [line.message for line in console.lines() if " of 500" in line.message]
            assert len(seen) == 500
        """,
        board="qemu01",
    )
    result.assert_outcomes(passed=1)


def test_words_without_a_newline_come_out_in_the_test_that_made_them(suite: Suite) -> None:
    result = suite.run(
        """
        def test_late(shell):
            shell.run("modprobe hilfault; echo printk-no-newline > /sys/kernel/debug/hilfault/trigger")

        def test_next(board):
            assert [line for line in board.log.lines(0) if "a line that does not end" in line.message]
        """,
        board="qemu01",
    )
    result.assert_outcomes(passed=2)


def test_the_modules_own_lists_are_those_that_are_tested_here(suite: Suite) -> None:
    """What the kernel was built without is said, and nothing pretends to test it."""
    result = suite.run(
        f"""
        def test_lists(shell):
            folder = "/sys/kernel/debug/hilfault"
            shell.run("modprobe hilfault")
            named = [line.split()[0] for line in shell.run(f"cat {{folder}}/faults").stdout.splitlines()]
            assert sorted(named) == {sorted(fault.name for fault in HILFAULT)!r}
            missing = shell.run(f"cat {{folder}}/not_built").stdout.lower()
            for checker in ("kasan", "ubsan", "kfence", "lockdep", "atomic"):
                assert checker in missing
        """,
        board="qemu01",
    )
    result.assert_outcomes(passed=1)
