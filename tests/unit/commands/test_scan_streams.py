"""What shepherd-hil scan is given to read, and where it writes: all that is odd, as a user meets it."""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import re
import shlex
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.unit.commands.scan_process import COMMAND, ENVIRONMENT, TIMEOUT_S
from tests.unit.kernel.kernel_console import OOPS_6_1

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.unit.commands.scan_process import Result


JOURNALCTL = "journalctl -k -o short-monotonic --file 'a b.log' | shepherd-hil scan -"
MAKEDUMPFILE = (
    "for the dump of a kernel: makedumpfile --dump-dmesg 'a b.log' dmesg.txt, then: shepherd-hil scan dmesg.txt"
)


@pytest.mark.parametrize(
    ("packed", "advice"),
    [
        (b"\x28\xb5\x2f\xfd\x24\x00", "it is compressed; use: zstd -dc 'a b.log' | shepherd-hil scan -"),
        (b"PK\x03\x04\x14\x00", "it is compressed; use: unzip -p 'a b.log' | shepherd-hil scan -"),
        (
            b"LPKSHHRH\x01\x00\x00\x00" + OOPS_6_1.encode(),
            f"it is a journal of systemd, no text; use {JOURNALCTL}",
        ),
        (
            b"\x7fELF\x01\x01\x01\x00",
            f"it is an ELF file (a dump of memory, a module or a program), no text; use {MAKEDUMPFILE}",
        ),
        (OOPS_6_1.encode("utf-16"), "it is UTF-16 text; use: iconv -f UTF-16 -t UTF-8 'a b.log' | shepherd-hil scan -"),
    ],
    ids=["zstd", "zip", "journal", "ELF", "utf-16"],
)
def test_a_log_that_cannot_be_seen_into_is_not_clean(
    scan: Callable[..., Result], tmp_path: Path, packed: bytes, advice: str
) -> None:
    (tmp_path / "a b.log").write_bytes(packed)
    result = scan("a b.log")
    assert (result.status, result.err) == (2, f"error: cannot read a b.log: {advice}\n")


@pytest.mark.parametrize(
    ("pack", "sort"),
    [(gzip.compress, "gzip"), (bz2.compress, "bzip2"), (lzma.compress, "xz")],
    ids=["gzip", "bzip2", "xz"],
)
def test_packed_logs_are_read_to_their_end_and_damaged_ones_as_far_as_they_go(
    scan: Callable[..., Result], tmp_path: Path, pack: Callable[[bytes], bytes], sort: str
) -> None:
    healthy = b"".join(b"[%12.6f] usb 1-1: number %d\n" % (i / 1000, i) for i in range(50_000))
    packed = pack(healthy) + pack(OOPS_6_1.encode())
    (tmp_path / "a.log").write_bytes(packed)
    (tmp_path / "cut.log").write_bytes(packed + pack(os.urandom(300_000))[:-2000])
    for result in (scan("a.log", "--format", "json"), scan("-", "--format", "json", stdin=packed)):
        assert (result.status, result.err, [each["first_line"] for each in result.incidents]) == (1, "", [50_001])
    cut = scan("cut.log", "--format", "json")
    assert (cut.status, [each["first_line"] for each in cut.incidents]) == (2, [50_001])
    assert cut.err == f"error: cannot read all of cut.log: it is damaged {sort} (its end is missing)\n"
    (tmp_path / "noise.log").write_bytes(packed[:64] + os.urandom(5_000))
    assert scan("noise.log").err.startswith(f"error: cannot read all of noise.log: it is damaged {sort} (")


def test_a_journal_as_text_is_judged_as_the_console(scan: Callable[..., Result], tmp_path: Path) -> None:
    (tmp_path / "console.log").write_text(OOPS_6_1)
    journal = re.sub(r"(?m)^(\[.{12}\]) ", r"\1 beaglebone kernel: ", OOPS_6_1)
    (tmp_path / "journal.log").write_text("[   60.000000] beaglebone systemd[1]: Started it.\n" + journal)
    (expected,) = scan("console.log", "--format", "json").incidents
    (incident,) = scan("journal.log", "--format", "json").incidents
    moved = {"file": "console.log", "first_line": 1, "last_line": expected["last_line"]}
    assert incident | moved == expected
    assert incident["first_line"] == 2


@pytest.mark.parametrize("start", [b"\x00\x00\x00", b"\x1b[2J\x1b[H", b"\xff\xfe\x80PK\x03\x04\n", b"BZh \n", b"7z\n"])
def test_garbage_before_the_first_line_makes_no_log_unreadable(
    scan: Callable[..., Result], tmp_path: Path, start: bytes
) -> None:
    (tmp_path / "a.log").write_bytes(start + OOPS_6_1.encode())
    assert scan("a.log").status == 1


def test_noise_before_the_first_line_is_no_utf_16(scan: Callable[..., Result], tmp_path: Path) -> None:
    (tmp_path / "a.log").write_bytes(b"\xff\xfe\x00\x00\n" + OOPS_6_1.encode())
    assert scan("a.log").status == 1


def test_an_empty_log_is_clean_and_said_to_be_empty(scan: Callable[..., Result], tmp_path: Path) -> None:
    (tmp_path / "a.log").write_bytes(b"")
    for arguments, title in ((("a.log",), "a.log"), (("-", "--format", "json"), "(stdin)")):
        result = scan(*arguments)
        assert (result.status, result.err) == (0, f"note: {title} is empty\n")


def test_an_empty_name_is_not_this_folder(scan: Callable[..., Result], tmp_path: Path) -> None:
    (tmp_path / "a.log").write_text(OOPS_6_1)
    result = scan("")
    assert (result.status, result.out) == (2, "no incident; 1 could not be read, or not to the end\n")
    assert result.err.startswith("error: cannot read '': an empty name")


def test_odd_files_and_folders(scan: Callable[..., Result], tmp_path: Path) -> None:
    folder = tmp_path / "logs"
    folder.mkdir()
    (folder / "a.log").write_text(OOPS_6_1)
    (folder / "again").symlink_to(folder)
    (folder / "gone.log").symlink_to("nowhere")
    os.mkfifo(folder / "pipe.log")
    result = scan("logs", "--format", "json")
    assert (result.status, [each["file"] for each in result.incidents]) == (1, ["logs/a.log"])
    assert scan("logs/gone.log").err == "error: cannot read logs/gone.log: No such file or directory\n"
    os.mkfifo(tmp_path / "fifo")
    with subprocess.Popen(["sh", "-c", "cat logs/a.log > fifo"], cwd=tmp_path) as writer:
        assert scan("fifo").status == 1
        assert writer.wait(TIMEOUT_S) == 0


def test_a_file_name_that_is_no_utf_8_is_still_json(scan: Callable[..., Result], tmp_path: Path) -> None:
    name = os.fsdecode(b"a\xff.log")
    (tmp_path / name).write_text(OOPS_6_1)
    (incident,) = scan(name, "--format", "json").incidents
    assert incident["file"] == "a\\xff.log"
    assert scan(name).out.startswith("a\\xff.log:1: fail: ")


def test_closed_and_full_streams(tmp_path: Path) -> None:
    (tmp_path / "a.log").write_text(OOPS_6_1)

    def shell(rest: str) -> tuple[int, bytes]:
        command = f"{shlex.join(COMMAND)} {rest}"
        done = subprocess.run(
            ["sh", "-c", command], cwd=tmp_path, env=ENVIRONMENT, stderr=subprocess.PIPE, timeout=TIMEOUT_S, check=False
        )
        return done.returncode, done.stderr

    assert shell("- <&-") == (2, b"error: cannot read (stdin): it is closed\n")
    assert shell("a.log >&-") == (1, b"")
    assert shell("a.log missing >/dev/null 2>&-")[0] == 2
    assert shell("a.log >/dev/full") == (2, b"error: cannot write the output: No space left on device\n")


def test_control_c_ends_it_without_a_traceback(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    with subprocess.Popen(
        [*COMMAND, "fifo"], cwd=tmp_path, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        with (tmp_path / "fifo").open("wb"):  # it is read from now on: the command has got as far as its input
            process.send_signal(signal.SIGINT)
            assert process.communicate(timeout=TIMEOUT_S) == (b"", b"")
        assert process.returncode == 130


def test_a_packed_log_of_nothing_does_not_fill_the_memory(tmp_path: Path) -> None:
    with gzip.open(tmp_path / "bomb.gz", "wb", 1) as file:
        for _ in range(300):
            file.write(b"[   12.345678] usb 1-1: nothing\n" * 32_000)
    script = (
        "import sys; from pytest_shepherd_hil.cli import main; status = main(['scan', 'bomb.gz']); "
        "print(status, open('/proc/self/status').read())"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        env=ENVIRONMENT,
        capture_output=True,
        timeout=TIMEOUT_S,
        check=True,
    )
    assert done.stdout.startswith(b"no incident in 1 log\n0 ")
    peak_kb = re.search(rb"VmHWM:\s*(\d+) kB", done.stdout)
    assert peak_kb is not None
    assert int(peak_kb[1]) < 100 * 1024


def test_who_stops_reading_gets_no_traceback(tmp_path: Path) -> None:
    (tmp_path / "a.log").write_text(OOPS_6_1 * 200)
    command = f"{shlex.join(COMMAND)} a.log | head -n 1"
    done = subprocess.run(
        command, shell=True, cwd=tmp_path, capture_output=True, timeout=TIMEOUT_S, check=True, env=ENVIRONMENT
    )
    assert done.stderr == b""
