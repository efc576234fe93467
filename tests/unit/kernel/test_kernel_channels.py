"""The same crash through all the ways in which a kernel's words come to a file: one answer."""

from __future__ import annotations

import pytest

from pytest_shepherd_hil.kernel.lines import parse_line
from pytest_shepherd_hil.kernel.scan import scan_bytes, scan_stream
from tests.unit.kernel.kernel_console import OOPS_6_1, WARNING, judge

SAID = [line[15:] for line in OOPS_6_1.splitlines()[:-2]]
WARNED = [line[15:] for line in WARNING.splitlines()]
WITH_KERNEL_TIME = [
    "{time} bbb01 kernel: ",
    "{time}[  T93] bbb01.lan kernel: ",
    "<4>{time}  (1)[93:rmmod]",
    "{time} -(1)[93:rmmod]",
    "{time} .(1)[93:rmmod]",
    "{time}  [1:  kworker/1:1:   93] ",
    "{time} (CPU:1-pid:93:rmmod) ",
    "{time} c1 ",
    "{time} c1     93 ",
    "<4>{time}[ 1] ",
    "{time}[  T93@C1] ",
    "{time}[ 1] ",
    "01-02 03:04:05.678     0     0 E KERNEL  : {time} ",
    "{time} ",
]
WITHOUT = [
    "Jan 02 03:04:05.123456 bbb01 kernel: ",
    "Tue 2024-01-02 03:04:05 CET bbb01 kernel: ",
    "1704161045.123456 bbb01 kernel: ",
    "Jan  2 03:04:05 bbb01 kernel: <1>",
    "Jan  2 03:04:05 [kernel] ",
    "<4>1 2024-01-02T03:04:05.123456Z bbb01 kernel - - - ",
    '<4>1 2024-01-02T03:04:05.123456Z bbb01 kernel - - [meta sequenceId="7"] ',
    "01-02 03:04:05.678     0     0 W         : ",
    "01-02 03:04:05.678  root     0     0 W         : ",
    "[0.013700 0.000210] ",
    "Jan 02 03:04:05 ",
    "03:04:05.678901  ",
    "[Jan02 03:04] ",
    "[Tue Jan 02 03:04:05.678 2024] ",
]


def through(prefix: str, lines: list[str]) -> str:
    return "".join(
        prefix.format(time=f"[{61.1 + number / 1000:12.6f}]") + line + "\n" for number, line in enumerate(lines)
    )


@pytest.mark.parametrize("prefix", [*WITH_KERNEL_TIME, *WITHOUT])
@pytest.mark.parametrize(("lines", "function"), [(SAID, "pru0_comm_receive_msg"), (WARNED, "pru_rproc_stop")])
def test_each_channel_gives_the_same_crash(prefix: str, lines: list[str], function: str) -> None:
    text = through(prefix, lines)
    assert [one.lines for one in judge(text)] == [one.lines for one in scan_bytes(text.encode())]
    for incident, *others in (judge(text), scan_bytes(text.encode())):
        assert others == []
        assert incident.function == function
        assert incident.complete
        assert (incident.first_line, incident.last_line) == (0, len(lines) - 1)


@pytest.mark.parametrize("prefix", [*WITH_KERNEL_TIME, *WITHOUT])
def test_each_prefix_is_taken_off(prefix: str) -> None:
    line = parse_line(through(prefix, ["Internal error: : 1b [#1] SMP ARM"]).encode().rstrip(), 0)
    assert line.message == "Internal error: : 1b [#1] SMP ARM"
    assert (line.kernel_time_s == 61.1) == ("{time}" in prefix)


def test_records_of_json_are_read() -> None:
    record = '{"_TRANSPORT":"kernel","PRIORITY":"4","MESSAGE":"Bad \\"page\\" state","_HOSTNAME":"bbb01"}'
    assert parse_line(record.encode(), 0).message == 'Bad "page" state'
    others = record.replace('"kernel"', '"journal"')
    assert parse_line(others.encode(), 0).message == others
    assert parse_line(b'         "msg": "Call trace:"', 0).message == "Call trace:"


@pytest.mark.parametrize(
    "text",
    [
        "{time} bbb01 abrt-dump-oops[711]: {said}",
        "{time} bbb01 logger: {said}",
        "Jan 02 03:04:05 bbb01 abrt-dump-oops[711]: {said}",
        "Jan 02 03:04:05 bbb01 logger: {said}",
        "01-02 03:04:05.678  1234  1240 E Foo     : {said}",
        "01-02 03:04:05.678     0     0 I logd    : {said}",
        '{{"_TRANSPORT":"syslog","MESSAGE":"{said}"}}',
        "03:04:05 WARNING: disk",
    ],
)
def test_other_programs_in_the_same_channels_are_not_the_kernel(text: str) -> None:
    log = "".join(
        text.format(time=f"[{61 + number:12.6f}]", said=line) + "\n"
        for number, line in enumerate(["Kernel panic - not syncing: no", "kernel BUG at fs/x.c:1!", *SAID[1:4]])
    )
    assert judge(log) == scan_bytes(log.encode()) == []


JOURNAL = (
    b"""\
[   60.000000] bbb kernel: usb 1-1: new device
[   60.000001] kernel: Internal error: Oops: 5 [#1]
[   60.000002] bbb systemd[1]: says kernel: no
[   60.000003] prose about a kernel: it is one
no time, bbb kernel: x
"""
    + b"x" * 300
    + b"[   60.000004] bbb kernel: in the middle of a line\n[   60.000005] bbb kernel: last"
)
PLAIN = (
    JOURNAL.replace(b"] bbb kernel: usb", b"] usb")
    .replace(b"] kernel: Int", b"] Int")
    .replace(b"] bbb kernel: last", b"] last")
)


def test_the_host_is_taken_out_where_a_journal_puts_it_and_nowhere_else() -> None:
    messages, plain = ([parse_line(raw, 0).message for raw in text.split(b"\n")] for text in (JOURNAL, PLAIN))
    assert messages == plain
    assert messages[1] == "Internal error: Oops: 5 [#1]"


@pytest.mark.parametrize("size", [1, 2, 7, 20, 64, 127, 128, 129, 1000])
def test_a_journal_is_judged_alike_whatever_the_chunks(size: int) -> None:
    data = through("[   61.101000] bbb kernel: ", SAID).encode()
    chunks = [data[at : at + size] for at in range(0, len(data), size)]
    (incident,) = scan_stream(chunks)
    assert [incident] == scan_bytes(data)
    assert incident.function == "pru0_comm_receive_msg"
