"""Power by commands of this host: what they do, and how one that fails shows."""

from __future__ import annotations

import os
import re
import signal
import time
from typing import TYPE_CHECKING

import pytest

from pytest_shepherd_hil.boards import PowerConfig
from pytest_shepherd_hil.errors import BoardError, PowerError
from pytest_shepherd_hil.power import CommandPower
from tests.unit.uart import open_files

if TYPE_CHECKING:
    from pathlib import Path


def cycle(**config: object) -> None:
    CommandPower(PowerConfig.model_validate(config), board="b").cycle()


def failure(**config: object) -> str:
    before = open_files()
    with pytest.raises(PowerError) as caught:
        cycle(**config)
    assert open_files() == before
    assert isinstance(caught.value, BoardError)
    return str(caught.value)


def test_a_command_that_works_says_nothing(tmp_path: Path) -> None:
    cycle(cycle=f"echo cycled >> '{tmp_path}/power'; echo chatter")
    assert (tmp_path / "power").read_text() == "cycled\n"


def test_off_comes_before_on_and_the_board_stays_off_between(tmp_path: Path) -> None:
    stamp = f"date +%s.%N >> '{tmp_path}/times'"
    cycle(off=f"echo off >> '{tmp_path}/power'; {stamp}", on=f"{stamp}; echo on >> '{tmp_path}/power'", off_s=0.2)
    assert (tmp_path / "power").read_text() == "off\non\n"
    off, on = map(float, (tmp_path / "times").read_text().split())
    assert on - off >= 0.2


def test_power_that_did_not_go_off_is_not_switched_on(tmp_path: Path) -> None:
    text = failure(off="exit 1", on=f"touch '{tmp_path}/on'", off_s=0)
    assert text == "board b: power command `exit 1` ended with exit status 1"
    assert not (tmp_path / "on").exists()


def test_a_cycle_command_is_preferred_to_off_and_on(tmp_path: Path) -> None:
    cycle(cycle=f"touch '{tmp_path}/cycled'", off="exit 1", on="exit 1")
    assert (tmp_path / "cycled").exists()


def test_a_command_that_fails_is_quoted_with_status_and_output() -> None:
    text = failure(cycle="echo 'no such hub'; echo 'on stderr' >&2; exit 3")
    assert text.splitlines() == [
        "board b: power command `echo 'no such hub'; echo 'on stderr' >&2; exit 3` ended with exit status 3",
        "  | no such hub",
        "  | on stderr",
    ]


def test_a_command_that_does_not_exist_says_so() -> None:
    text = failure(cycle="no-such-uhubctl -a cycle")
    assert "ended with exit status 127" in text
    assert re.search(r"\n  \| .*no-such-uhubctl", text)


def test_of_much_output_the_last_lines_are_shown() -> None:
    lines = failure(cycle="seq 100000; exit 1").splitlines()
    assert lines[1:] == [f"  | {number}" for number in range(99_991, 100_001)]


def test_hostile_output_is_shown_harmlessly() -> None:
    text = failure(cycle=r"printf '\033[2J\033[31mred\007 \377\n'; exit 1")
    assert text.splitlines()[1:] == ["  | red\\x07 \ufffd"]


def test_a_command_gets_no_keyboard() -> None:
    cycle(cycle="! read line", timeout_s=10)


def test_a_command_that_hangs_is_killed_in_its_time_and_quoted() -> None:
    started = time.monotonic()
    text = failure(cycle="echo waiting for hub; sleep 60", timeout_s=0.3)
    assert text.splitlines() == [
        "board b: power command `echo waiting for hub; sleep 60` did not end within 0.3 s; it was killed",
        "  | waiting for hub",
    ]
    assert 0.3 <= time.monotonic() - started < 5


def test_what_a_hanging_command_started_is_killed_too(tmp_path: Path) -> None:
    failure(cycle=f"sleep 60 & echo $! > '{tmp_path}/pid'; wait", timeout_s=0.3)
    pid = int((tmp_path / "pid").read_text())
    deadline = time.monotonic() + 5
    while running(pid) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not running(pid)


def test_a_grandchild_that_escaped_and_holds_the_pipe_is_not_waited_for(tmp_path: Path) -> None:
    started = time.monotonic()
    text = failure(cycle=f"setsid sh -c 'echo $$ > {tmp_path}/pid; exec sleep 60' & sleep 60", timeout_s=0.5)
    assert "did not end within 0.5 s" in text
    assert time.monotonic() - started < 5
    os.kill(int((tmp_path / "pid").read_text()), signal.SIGKILL)


def test_a_command_that_leaves_something_running_has_ended(tmp_path: Path) -> None:
    started = time.monotonic()
    cycle(cycle=f"sleep 60 & echo $! > '{tmp_path}/pid'", timeout_s=30)
    assert time.monotonic() - started < 10
    os.kill(int((tmp_path / "pid").read_text()), signal.SIGKILL)


def test_a_command_that_never_stops_talking_is_killed_in_its_time() -> None:
    started = time.monotonic()
    lines = failure(cycle="yes on", timeout_s=0.3).splitlines()
    assert "did not end within 0.3 s" in lines[0]
    assert lines[2:] == ["  | on"] * 9
    assert time.monotonic() - started < 5


def test_a_command_that_closes_its_output_is_still_waited_for(tmp_path: Path) -> None:
    cycle(cycle=f"exec >&- 2>&-; sleep 0.3; touch '{tmp_path}/done'", timeout_s=30)
    assert (tmp_path / "done").exists()


def running(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as stat:  # noqa: PTH123
            return stat.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
