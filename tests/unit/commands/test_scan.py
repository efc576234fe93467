"""shepherd-hil scan, as a user meets it: a process of its own, real logs."""

from __future__ import annotations

import fcntl
import gzip
import json
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from typing import TYPE_CHECKING

import pytest

from tests.unit.commands.scan_process import COMMAND, ENVIRONMENT, TIMEOUT_S
from tests.unit.kernel.kernel_console import OOPS_6_1, WARNING, seed

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.unit.commands.scan_process import Result

QUIET = "".join(
    f"[{number * 0.3:12.6f}] usb 1-1: new high-speed USB device number {number}\n" for number in range(1, 200)
)
KEYS = {"file", "kind", "severity", "headline", "function", "module", "address", "signature", "first_line", "last_line"}
KEYS |= {"complete", "fatal", "hints"}
BOARDS = '[boards.b.console]\nport = "/dev/ttyS0"\n'
OWN = """
[rules.usb]
kind = "usb-noise"
severity = "warn"
pattern = '^usb 1-1: new .* number (?P<number>17)$'
title = "device {number} came"
example = "[   17.000000] usb 1-1: new high-speed USB device number 17"
"""


def test_a_quiet_log_is_clean(scan: Callable[..., Result], tmp_path: Path) -> None:
    (tmp_path / "quiet.log").write_text(QUIET)
    result = scan("quiet.log")
    assert (result.status, result.out, result.err) == (0, "no incident in 1 log\n", "")
    assert scan("quiet.log", "--format", "json").out == ""


def test_a_crash_is_told_with_headline_place_structure_hints_and_excerpt(
    scan: Callable[..., Result], tmp_path: Path
) -> None:
    (tmp_path / "crash.log").write_text(QUIET + seed("unload-panic"))
    result = scan("crash.log")
    lines = result.out.splitlines()
    first = QUIET.count("\n") + 1
    assert result.status == 1
    assert lines[0].startswith("crash.log:")
    assert int(lines[0].split(":")[1]) >= first
    assert ": fail: kernel oops, then panic: NULL pointer dereference at 0x1c1" in lines[0]
    assert any(line.startswith("  pc        pru0_comm_receive_msg+0x28 [shepherd]") for line in lines)
    assert any(line.startswith("  hint      ") and "while shepherd was being unloaded" in line for line in lines)
    assert any(line.startswith("  | ") and "Unable to handle kernel NULL pointer dereference" in line for line in lines)
    assert lines[-1] == "1 incident (1 fail) in 1 log"


def test_json_is_one_object_per_incident_and_line_with_lines_from_1(
    scan: Callable[..., Result], tmp_path: Path
) -> None:
    (tmp_path / "a.log").write_text(QUIET + OOPS_6_1 + QUIET)
    result = scan("a.log", "--format", "json")
    (incident,) = result.incidents
    assert incident.keys() >= KEYS
    assert (incident["file"], incident["kind"], incident["severity"]) == ("a.log", "oops", "fail")
    assert (incident["function"], incident["module"]) == ("pru0_comm_receive_msg", "shepherd")
    assert (incident["address"], incident["complete"], incident["fatal"]) == (0x1C4, True, True)
    text = (QUIET + OOPS_6_1 + QUIET).splitlines()
    assert "cut here" in text[incident["first_line"] - 1]
    assert "Rebooting in 5 seconds" in text[incident["last_line"] - 1]
    assert result.status == 1


def test_files_folders_stdin_and_gzip_are_read_alike(scan: Callable[..., Result], tmp_path: Path) -> None:
    inner = tmp_path / "logs" / "deep"
    inner.mkdir(parents=True)
    (inner / "b.log").write_text(OOPS_6_1)
    (tmp_path / "logs" / "a.log.gz").write_bytes(gzip.compress(OOPS_6_1.encode()))
    (tmp_path / "logs" / ".hidden.log").write_text(OOPS_6_1)
    (tmp_path / "logs" / "incident.json").write_text(OOPS_6_1)
    (tmp_path / "c").write_text(OOPS_6_1)
    result = scan("c", "logs", "-", "--format", "json", stdin=OOPS_6_1.encode())
    assert [each["file"] for each in result.incidents] == ["c", "logs/a.log.gz", "logs/deep/b.log", "(stdin)"]
    assert len({json.dumps({**each, "file": ""}) for each in result.incidents}) == 1
    packed = scan(
        "-", "--format", "json", stdin=gzip.compress(OOPS_6_1.encode()[:200]) + gzip.compress(OOPS_6_1.encode()[200:])
    )
    assert [each["signature"] for each in packed.incidents] == [result.incidents[0]["signature"]]


def test_what_cannot_be_read_is_named_and_the_rest_is_still_judged(scan: Callable[..., Result], tmp_path: Path) -> None:
    (tmp_path / "good.log").write_text(OOPS_6_1)
    (tmp_path / "cut.gz").write_bytes(gzip.compress(OOPS_6_1.encode() + os.urandom(100_000))[:-2000])
    (tmp_path / "empty").mkdir()
    result = scan("missing.log", "empty", "cut.gz", "good.log", "--format", "json")
    assert result.status == 2
    assert [each["file"] for each in result.incidents] == ["cut.gz", "good.log"]
    assert result.err.splitlines() == [
        "error: cannot read missing.log: No such file or directory",
        "error: there is no log in folder empty",
        "error: cannot read all of cut.gz: it is damaged gzip (its end is missing)",
    ]
    summary = scan("missing.log", "cut.gz", "good.log").out.splitlines()[-1]
    assert summary == "2 incidents (2 fail) in 1 log; 2 could not be read, or not to the end"
    assert scan("missing.log").out == "no incident; 1 could not be read, or not to the end\n"


def test_a_crash_after_another_is_marked(scan: Callable[..., Result], tmp_path: Path) -> None:
    (tmp_path / "a.log").write_text(WARNING + seed("unload-panic").replace("[#1]", "[#2]"))
    first, second = scan("a.log", "--format", "json").incidents
    assert (first["secondary"], second["secondary"]) == (False, True)
    text = scan("a.log").out
    assert text.count(", after an earlier crash or warning, kernel time ") == 1


def test_fail_on_decides_the_exit_status(scan: Callable[..., Result], tmp_path: Path) -> None:
    (tmp_path / "own.toml").write_text(OWN)
    (tmp_path / "a.log").write_text(QUIET)
    for fail_on, status in (("fail", 0), ("warn", 1), ("info", 1), ("never", 0)):
        assert scan("a.log", "--rules", "own.toml", "--fail-on", fail_on).status == status
    (tmp_path / "a.log").write_text(OOPS_6_1)
    assert scan("a.log", "--fail-on", "never").status == 0


def test_rules_of_a_file_are_added_changed_and_silenced(scan: Callable[..., Result], tmp_path: Path) -> None:
    (tmp_path / "usb.log").write_text(QUIET)
    (tmp_path / "warning.log").write_text(WARNING)
    (tmp_path / "own.toml").write_text(OWN)
    usb, warning = scan("usb.log", "warning.log", "--rules", "own.toml", "--format", "json").incidents
    assert (usb["kind"], usb["severity"], usb["headline"]) == ("usb-noise", "warn", "device 17 came")
    (tmp_path / "own.toml").write_text(f'[rules.{warning["rule"]}]\nseverity = "info"\n')
    (again,) = scan("warning.log", "--rules", "own.toml", "--format", "json").incidents
    assert again == {**warning, "severity": "info"}
    (tmp_path / "own.toml").write_text(f'[rules.{warning["rule"]}]\nseverity = "off"\n')
    assert scan("warning.log", "--rules", "own.toml").out == "no incident in 1 log\n"


def test_a_board_brings_its_rules(scan: Callable[..., Result], tmp_path: Path) -> None:
    (tmp_path / "a.log").write_text(QUIET)
    (tmp_path / "boards.toml").write_text(f"{BOARDS}{OWN.replace('[rules.', '[boards.b.rules.')}")
    assert scan("a.log").status == 0
    assert scan("a.log", "--board", "b", "--fail-on", "warn").status == 1
    unknown = scan("a.log", "--board", "c")
    assert (unknown.status, unknown.out) == (2, "")
    assert "unknown board 'c'" in unknown.err


def test_a_board_brings_its_symbols(scan: Callable[..., Result], tmp_path: Path) -> None:
    (tmp_path / "a.log").write_text(OOPS_6_1)
    module = '[boards.b.module]\nname = "shepherd"\nload = "true"\nunload = "true"\nsymbols = "build/shepherd.ko"\n'
    (tmp_path / "boards.toml").write_text(f"{BOARDS}{module}")
    (tmp_path / "build").mkdir()
    (tmp_path / "build" / "shepherd.ko").write_text("no ELF file")
    assert "  symbols   " not in scan("a.log").out
    result = scan("a.log", "--board", "b")
    assert result.status == 1
    assert re.search(r"(?m)^  symbols   \S*build/shepherd\.ko: is no ELF file$", result.out)


@pytest.mark.parametrize(
    ("table", "said"),
    [
        (
            "[rules.x]\nkind = 'k'\nseverity = 'fail'\nexample = 'a'\npattern = 'ab(c'\n",
            "rule 'x': pattern is no regular",
        ),
        ("[rules.x]\nkind = 'k'\nseverity = 'fail'\nexample = 'a'\npattern = 'ab(c'\n", "at column 3"),
        ("[rules.oops-nul]\nseverity = 'off'\n", "rule 'oops-nul': there is no such rule to change"),
        ("[rules.oops-null-pointer]\nseverity = 'of'\n", "severity = 'of' is none of fail, warn, info, off"),
        ("[rules.oops-null-pointer]\ntitle = 'x'\n", "'title' of a packaged rule cannot be changed"),
        ("[rules\n", "is not TOML"),
        ("[boards.x]\n", "unknown table or key 'boards'"),
    ],
)
def test_a_bad_rule_is_one_error_with_file_and_rule(
    scan: Callable[..., Result], tmp_path: Path, table: str, said: str
) -> None:
    (tmp_path / "own.toml").write_text(table)
    (tmp_path / "a.log").write_text(OOPS_6_1)
    result = scan("a.log", "--rules", "own.toml")
    assert (result.status, result.out) == (2, "")
    assert result.err.startswith("error: own.toml: ")
    assert said in result.err
    assert result.err.count("\n") == 1


def test_hostile_bytes_reach_neither_text_nor_json(scan: Callable[..., Result], tmp_path: Path) -> None:
    evil = OOPS_6_1.replace("Comm: rmmod", "Comm: r\x1b]0;x\x07\x9b31mod\u202e").replace("PC is at", "\x1b[2JPC is at")
    name = "a\x1b[31m\n.log"
    (tmp_path / name).write_bytes(evil.encode() + b"\xff\xfe\x00\n")
    for arguments in ((name,), (name, "--format", "json")):
        result = scan(*arguments)
        assert result.status == 1
        assert not set(result.raw) & (set(range(32)) - {10} | {127})
        assert "\x9b" not in result.out
        assert "\u202e" not in result.out


def test_colours_are_for_terminals_that_want_them(tmp_path: Path) -> None:
    (tmp_path / "a.log").write_text(OOPS_6_1)
    assert b"\x1b[1;31mfail" in on_terminal(tmp_path, "a.log")
    assert b"\x1b[1" not in on_terminal(tmp_path, "a.log", NO_COLOR="1")
    assert b"\x1b[1" not in on_terminal(tmp_path, "a.log", TERM="dumb")


def test_a_bar_shows_long_work_on_a_terminal_and_goes_again(tmp_path: Path) -> None:
    slow = QUIET.encode() * 3000  # without the texts of rules each line is looked at
    (tmp_path / "a.log").write_bytes(slow)
    (tmp_path / "own.toml").write_text(OWN)
    shown = on_terminal(tmp_path, "a.log", "--rules", "own.toml", "--fail-on", "never")
    assert b"% of " in shown
    assert re.search(rb"incidents? \(\d+ warn\) in 1 log\s*$", shown)
    assert b"% of " not in shown.rpartition(b"\x1b[K")[2]


def test_the_bar_fits_a_narrow_terminal(tmp_path: Path) -> None:
    (tmp_path / "a.log").write_bytes(QUIET.encode() * 3000)
    (tmp_path / "own.toml").write_text(OWN)
    shown = on_terminal(tmp_path, "a.log", "--rules", "own.toml", "--fail-on", "never", columns=20)
    bars = [part for part in re.split(rb"\r\x1b\[K|\r?\n", shown) if part.startswith((b"[#", b"[ "))]
    assert bars
    assert max(map(len, bars)) < 20


def on_terminal(folder: Path, *arguments: str, columns: int = 80, **environment: str) -> bytes:
    """What a terminal gets to see."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    kept = {name: value for name, value in ENVIRONMENT.items() if name not in ("NO_COLOR", "TERM", "COLUMNS")}
    env = {**kept, "TERM": "xterm", **environment}
    with subprocess.Popen(
        [*COMMAND, *arguments], cwd=folder, stdin=slave, stdout=slave, stderr=slave, env=env
    ) as process:
        os.close(slave)
        seen = b""
        while True:
            try:
                piece = os.read(master, 65536)
            except OSError:  # the terminal's other end is closed
                break
            if not piece:
                break
            seen += piece
        assert process.wait(TIMEOUT_S) in (0, 1)
    os.close(master)
    return seen


def test_an_ascii_terminal_gets_every_line(scan: Callable[..., Result], tmp_path: Path) -> None:
    (tmp_path / "a.log").write_text(OOPS_6_1)
    result = scan("a.log", PYTHONIOENCODING="ascii")
    assert result.status == 1
    assert result.err == ""


def test_memory_stays_flat_over_a_long_stream(tmp_path: Path) -> None:
    script = (
        "import resource, sys; from pytest_shepherd_hil.cli import main; status = main(['scan', '-']); "
        "print(status, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, file=sys.stderr)"
    )
    peaks = []
    for times in (2000, 12000):
        with subprocess.Popen(
            [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        ) as process:
            assert process.stdin is not None
            for _ in range(times):
                process.stdin.write(QUIET.encode())
            process.stdin.close()
            assert process.stderr is not None
            status, peak = process.stderr.read().split()[-2:]
        assert status == b"0"
        peaks.append(int(peak))
    assert peaks[1] - peaks[0] < 16 * 1024
