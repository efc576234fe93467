"""Lines in, incidents out: the user's two logs, the other shapes of a crash, and what makes a console lie."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_shepherd_hil.kernel.detector import Detector
from pytest_shepherd_hil.kernel.incident import Incident, Severity
from pytest_shepherd_hil.kernel.lines import parse_line
from tests.unit.kernel.kernel_console import (
    OOPS_6_1,
    RULES,
    WARNING,
    judge,
    judge_chunks,
    judge_lines,
    last_words,
    seed,
)

PANIC = seed("unload-panic")
CMA = seed("cma-and-pru")
HEADLINE = (
    "kernel oops, then panic: NULL pointer dereference at 0x1c1 in pru0_comm_receive_msg+0x28 [shepherd]"
    " while unloading shepherd"
)
FENCE = "[{time:12.6f}] hil: fence 8d3f begin tests/test_panic.py::test_oops Kernel panic - not syncing"
NO_PANIC = "".join(line for line in PANIC.splitlines(keepends=True) if "Kernel panic" not in line)
BOOT = """\

U-Boot SPL 2019.04-00002-g07d5700e21 (Mar 06 2020 - 11:24:55 -0600)
Trying to boot from MMC2


U-Boot 2019.04-00002-g07d5700e21 (Mar 06 2020 - 11:24:55 -0600), Build: jenkins-github_Bootloader-Builder-137

Starting kernel ...

[    0.000000] Booting Linux on physical CPU 0x0
[    0.000000] Linux version 4.19.94-ti-r73 (voodoo@x3-am57xx) (gcc version 8.3.0) #1focal SMP PREEMPT
[    0.000000] CPU: ARMv7 Processor [413fc082] revision 2 (ARMv7), cr=10c5387d
[    0.000000] Kernel command line: console=ttyO0,115200n8 panic=5
[    1.234567] usb 1-1: new high-speed USB device
"""


def feed(detector: Detector, text: str, first: int = 0) -> list[Incident]:
    lines = enumerate(text.encode().splitlines(), first)
    return [incident for number, raw in lines for incident in detector.feed(parse_line(raw, number))]


def kinds(incidents: list[Incident]) -> list[str]:
    return [incident.kind for incident in incidents]


# --- the user's own logs


def test_the_users_panic_is_one_fatal_oops() -> None:
    (incident,) = judge(PANIC)
    assert incident.headline("sim-racy") == f"{HEADLINE} (board sim-racy)"
    assert (incident.kind, incident.severity, incident.rule) == ("oops", Severity.FAIL, "oops-unable-to-handle")
    assert (incident.fatal, incident.complete, incident.open) == (True, True, False)
    assert (incident.function, incident.module, incident.address) == ("pru0_comm_receive_msg", "shepherd", 0x1C1)
    assert (incident.first_line, incident.last_line, incident.kernel_time_s) == (0, 96, 942.5413)
    assert list(incident.lines) == PANIC.splitlines()
    assert incident.signature == "oops pru0_comm_receive_msg [shepherd] NULL pointer dereference"


def test_the_first_line_of_an_oops_is_given_out_at_once() -> None:
    detector = Detector(RULES)
    (first,) = feed(detector, PANIC.splitlines()[0])
    assert (first.open, first.id, first.title) == (True, 1, "kernel oops: NULL pointer dereference at 0x1c1")
    assert detector.pending
    assert not detector.settling
    rest = feed(detector, "\n".join(PANIC.splitlines()[1:]), 1)
    assert [(incident.id, incident.open) for incident in rest] == [(1, False)]
    assert not detector.pending
    assert detector.flush() == []


def test_an_oops_without_panic_ends_on_the_next_line_of_somebody_else() -> None:
    detector = Detector(RULES)
    feed(detector, NO_PANIC)
    assert detector.settling
    (incident,) = feed(detector, "[  950.000000] usb 1-1: new high-speed USB device", 97)
    assert (incident.open, incident.complete, incident.fatal) == (False, True, False)
    assert incident.title == HEADLINE.replace(", then panic", "")


def test_silence_ends_a_report_as_it_stands() -> None:
    (complete,) = judge(NO_PANIC)
    assert (complete.complete, complete.fatal) == (True, False)
    (cut,) = judge("\n".join(PANIC.splitlines()[:30]))
    assert (cut.complete, cut.fatal, cut.function) == (False, False, "pru0_comm_receive_msg")


def test_the_second_log_holds_one_pru_timeout_and_twice_the_same_cma_failure() -> None:
    incidents = judge(CMA)
    timeout, first, second = [incident for incident in incidents if incident.severity is Severity.FAIL]
    warnings = [incident for incident in incidents if incident.severity is Severity.WARN]
    assert len(warnings) == 4
    assert len(incidents) == 7
    assert (timeout.kind, timeout.title) == ("pru-timeout", "PRU did not answer to trigger-request in time")
    assert timeout.consequences == ("shprd.k: forwards timestamp-jump detected (sync-loop, 300 ms)",)
    for incident in (first, second):
        assert incident.kind == "cma-alloc-failure"
        size = "3811 pages (14.9 MiB at 4 KiB a page)"
        assert incident.title == f"CMA allocation failed: {size}, error -16 -> PRU0 not booted"
        assert incident.consequences == (
            "pru-rproc 4a334000.pru: failed to allocate dma memory: len 0xee2800",
            "remoteproc remoteproc1: Failed to process resources: -12",
            "shprd.k: Couldn't boot PRU0",
        )
        assert incident.last_line == incident.first_line + 3
    assert first.signature == second.signature
    assert first.id != second.id


@given(
    text=st.sampled_from([PANIC, CMA, OOPS_6_1, WARNING, BOOT + PANIC + BOOT]),
    end=st.sampled_from(["\n", "\r\n", "\r\r\n"]),
    cuts=st.lists(st.integers(0, 20_000), max_size=30),
)
@settings(max_examples=50, deadline=None)
def test_chunking_does_not_change_the_incidents(text: str, end: str, cuts: list[int]) -> None:
    data = text.replace("\n", end).encode()
    edges = [0, *sorted(cut for cut in cuts if cut < len(data)), len(data)]
    cut_up = judge_chunks(data[start:stop] for start, stop in pairwise(edges))
    whole = judge_chunks([data])
    assert [(i.to_dict() | {"lines": 0}) for i in cut_up] == [(i.to_dict() | {"lines": 0}) for i in whole]
    expected = judge_chunks([text.encode()])
    assert [(i.id, i.title, i.open, i.first_line, i.last_line) for i in whole] == [
        (i.id, i.title, i.open, i.first_line, i.last_line) for i in expected
    ]


@pytest.mark.parametrize("dropped", range(len(PANIC.splitlines())))
def test_the_panic_is_found_whichever_line_is_lost(dropped: int) -> None:
    lines = PANIC.splitlines()
    del lines[dropped]
    (incident,) = judge("\n".join(lines))
    assert incident.kind == "oops"
    assert incident.fatal
    assert incident.function == "pru0_comm_receive_msg"
    assert incident.address == 0x1C1
    assert incident.signature == "oops pru0_comm_receive_msg [shepherd] NULL pointer dereference"


@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_a_damaged_panic_is_still_found(data: st.DataObject) -> None:
    raw = bytearray(PANIC.encode())
    for position in data.draw(st.lists(st.integers(0, len(raw) - 1), max_size=40)):
        raw[position] = data.draw(st.integers(0, 255))
    incidents = last_words(judge_chunks([bytes(raw)]))
    assert {"oops", "panic"} & set(kinds(incidents))


@given(st.binary(max_size=400))
@settings(max_examples=200, deadline=None)
def test_any_bytes_are_judged_without_an_exception(raw: bytes) -> None:
    judge_chunks([PANIC.encode()[:2000] + raw + b"\n" + CMA.encode()])


# --- other shapes


def test_the_shape_of_6_1_has_the_same_headline_and_signature() -> None:
    (incident,) = judge(OOPS_6_1)
    assert incident.title == (
        "kernel oops, then panic: NULL pointer dereference at 0x1c4 in pru0_comm_receive_msg+0x20 [shepherd]"
        " while unloading shepherd"
    )
    assert incident.signature == judge(PANIC)[0].signature
    assert (incident.first_line, incident.complete, incident.fatal) == (0, True, True)
    assert incident.lines[0].endswith("8<--- cut here ---")


def test_a_warning_begins_at_its_cut_and_is_not_fatal() -> None:
    (incident,) = judge(WARNING)
    assert (incident.kind, incident.first_line, incident.last_line) == ("warning", 0, 7)
    assert incident.title == "kernel warning at drivers/remoteproc/pru_rproc.c:345 in pru_rproc_stop+0x84 [pru_rproc]"
    assert (incident.complete, incident.fatal, incident.function) == (True, False, "pru_rproc_stop")


def test_a_panic_on_warn_is_the_warning_and_fatal() -> None:
    text = WARNING.replace("---[ end trace 9358d1fc4259ae2f ]---", "Kernel panic - not syncing: panic_on_warn set ...")
    (incident,) = judge(text)
    assert (incident.kind, incident.fatal) == ("warning", True)
    assert incident.title.endswith(", then panic: panic_on_warn set ...")


def test_a_panic_without_an_oops_is_a_panic() -> None:
    text = """\
[    5.000000] Kernel panic - not syncing: Attempted to kill init! exitcode=0x0000000b
[    5.000100] CPU: 0 PID: 1 Comm: init Not tainted 4.19.94-ti-r73 #1focal
[    5.000200] [<c0112264>] (unwind_backtrace) from [<c010d0d4>] (show_stack+0x20/0x24)
[    5.000300] ---[ end Kernel panic - not syncing: Attempted to kill init! exitcode=0x0000000b ]---
"""
    (incident,) = judge(text)
    assert (incident.kind, incident.fatal, incident.complete) == ("panic", True, True)
    assert incident.title == "kernel panic: Attempted to kill init! exitcode=0x0000000b"
    other = judge(text.replace("000b", "0100"))[0]
    assert other.signature == incident.signature


def test_a_kernel_bug_and_its_oops_are_one() -> None:
    text = "[  942.5] kernel BUG at drivers/x/y.c:12!\n[  942.6] Internal error: Oops - BUG: 0 [#1] SMP ARM\n"
    (incident,) = judge(text + "\n".join(PANIC.splitlines()[4:]))
    assert (incident.kind, incident.fatal) == ("bug", True)
    assert incident.title.startswith("kernel BUG at drivers/x/y.c:12 in pru0_comm_receive_msg+0x28 [shepherd]")


@pytest.mark.parametrize(
    ("line", "kind", "title"),
    [
        (
            "cma: cma_alloc: reserved: alloc failed, req-size: 256 pages, ret: -12",
            "cma-alloc-failure",
            "CMA allocation failed: 256 pages (1.0 MiB at 4 KiB a page), error -12",
        ),
        (
            "cma: __cma_alloc: reserved: alloc failed, req-size: 1 pages, ret: -16",
            "cma-alloc-failure",
            "CMA allocation failed: 1 pages (4 KiB at 4 KiB a page), error -16",
        ),
        (
            "remoteproc remoteproc1: dma_alloc_coherent err: 15607808",
            "cma-alloc-failure",
            "DMA allocation failed: 15607808 bytes",
        ),
        ("remoteproc remoteproc2: Boot failed: -22", "remoteproc-failure", "remoteproc2: Boot failed: -22"),
        ("shprd.k: Couldn't boot PRU1", "remoteproc-failure", "PRU1 not booted"),
        (
            "shprd.pru0: received timestamp is faulty (val=3)",
            "pru-fault",
            "PRU0: received timestamp is faulty (val=3)",
        ),
        (
            "shprd.k: FIFO of msg-system is full - lost oldest msg!",
            "shepherd-fault",
            "shepherd: FIFO of msg-system is full - lost oldest msg!",
        ),
    ],
)
def test_a_single_line_is_an_incident_at_once(line: str, kind: str, title: str) -> None:
    detector = Detector(RULES)
    (incident,) = feed(detector, f"[  100.000000] {line}")
    assert (incident.kind, incident.title, incident.open, incident.complete) == (kind, title, False, True)
    assert not detector.pending


# --- one cause, one incident


def test_a_remoteproc_failure_takes_in_the_pru_that_did_not_boot() -> None:
    (incident,) = judge(
        "[  100.000000] remoteproc remoteproc1: Boot failed: -22\n[  100.100000] shprd.k: Couldn't boot PRU0"
    )
    assert incident.title == "remoteproc1: Boot failed: -22 -> PRU0 not booted"


def test_what_comes_too_late_is_an_incident_of_its_own() -> None:
    assert kinds(judge("\n".join([*CMA.splitlines()[8:10], "[ 2141.000000] shprd.k: Couldn't boot PRU0"]))) == [
        "cma-alloc-failure",
        "remoteproc-failure",
    ]


def test_without_kernel_times_consequences_are_told_by_the_number_of_lines() -> None:
    lines = [line.partition("] ")[2] for line in CMA.splitlines()[8:12]]
    assert kinds(judge("\n".join(lines))) == ["cma-alloc-failure"]
    assert kinds(judge("\n".join([*lines[:3], *["all is well"] * 30, lines[3]]))) == [
        "cma-alloc-failure",
        "remoteproc-failure",
    ]


def test_a_storm_of_timestamp_jumps_is_one_incident_of_bounded_size() -> None:
    lines = [
        f"[{100 + i / 10:12.6f}] shprd.k: forwards timestamp-jump detected (sync-loop, {i} ms)" for i in range(2000)
    ]
    out = judge_lines([line.encode() for line in lines])
    assert len(last_words(out)) == 1
    assert len(out) == 51


# --- what makes a console lie


def test_lines_of_others_in_a_report_do_not_end_it() -> None:
    lines = []
    for number, line in enumerate(PANIC.splitlines()):
        lines += [line, FENCE.format(time=942.6), f"systemd[1]: line {number}", ""]
    (incident,) = judge("\n".join(lines))
    assert incident.title == HEADLINE
    assert (incident.complete, incident.last_line) == (True, 4 * 96)
    assert len(incident.lines) == 97


def test_a_single_line_fault_in_a_report_is_not_lost() -> None:
    lines = PANIC.splitlines()
    lines.insert(40, "[  942.700000] shprd.k: FIFO of msg-system is full - lost oldest msg!")
    assert kinds(judge("\n".join(lines))) == ["oops", "shepherd-fault"]


def test_a_report_without_an_end_is_given_up_after_many_lines_of_others() -> None:
    detector = Detector(RULES)
    feed(detector, "\n".join(PANIC.splitlines()[:20]))
    (incident,) = feed(detector, "\n".join(f"[  950.{i:06d}] all is well {i}" for i in range(300)))
    assert (incident.open, incident.complete) == (False, False)
    assert not detector.pending


def test_memory_stays_bounded_in_a_report_that_never_ends() -> None:
    detector = Detector(RULES)
    out = feed(detector, PANIC.splitlines()[0])
    frame = PANIC.splitlines()[-8].partition("] ")[2]
    out += [i for n in range(20_000) for i in detector.feed(parse_line(frame.encode(), n))] + detector.flush()
    assert all(len(incident.lines) <= 400 for incident in out)
    assert all(incident.crash is None or len(incident.crash.frames) <= 101 for incident in out)


def test_a_console_log_shown_again_is_no_news() -> None:
    text = CMA + "[ 2300.000000] all is well\nroot@bbb:~# dmesg\n" + CMA + PANIC + "root@bbb:~# \n"
    assert kinds(judge(text)) == kinds(judge(CMA))


def test_the_last_lines_shown_again_within_a_second_are_no_news() -> None:
    assert len(judge(CMA + "root@bbb:~# dmesg | tail -4\n" + "\n".join(CMA.splitlines()[-4:]))) == len(judge(CMA))


def test_a_boot_shown_again_is_no_reboot() -> None:
    text = "[  900.000000] all is well\nroot@bbb:~# dmesg\n" + BOOT[BOOT.index("[    0.0") :]
    assert judge(text) == []
    assert kinds(judge(text + PANIC)) == ["oops"]


def test_a_damaged_time_does_not_blind_the_judge() -> None:
    lines = ["[  941.000000] all is well", "[ 9941.100000] all is well", "[  941.200000] all is well"]
    assert [incident.title for incident in judge("\n".join([*lines, PANIC]))] == [HEADLINE]


def test_an_old_log_with_greater_times_does_not_blind_the_judge() -> None:
    old = "\n".join(f"[ 9{i:03d}.000000] all is well" for i in range(100))
    text = f"[  940.000000] up\nroot@bbb:~# cat kern.log\n{old}\nroot@bbb:~# \n[  941.000000] up\n"
    assert [incident.title for incident in judge(text + PANIC)] == [HEADLINE]


def test_a_line_glued_to_the_one_before_is_found() -> None:
    assert [incident.title for incident in judge(f"[    1.000000] shprd.k: PRUs started{PANIC}")] == [HEADLINE]


def test_an_echo_of_a_whole_oops_is_no_oops() -> None:
    assert judge("\n".join(f"root@bbb:~# echo '{line}'" for line in PANIC.splitlines())) == []


def test_a_panic_that_comes_after_a_fence_is_still_of_its_oops() -> None:
    lines = PANIC.splitlines()
    lines[-2:-2] = [FENCE.format(time=943.30), FENCE.format(time=943.31)]
    detector = Detector(RULES)
    out = feed(detector, "\n".join(lines)) + detector.flush()
    assert {incident.id for incident in out} == {1}
    assert (out[-1].title, out[-1].open, out[-1].fatal) == (HEADLINE, False, True)


def test_a_reboot_long_after_a_log_was_shown_again_is_a_reboot() -> None:
    text = "[  900.000000] all is well\nroot@bbb:~# dmesg | head -1\n[    0.000000] Booting Linux on physical CPU 0x0\n"
    assert kinds(judge(f"{text}root@bbb:~# \n{BOOT[BOOT.index('[    0.0') :]}")) == ["unexpected-reboot"]


def test_a_panic_long_after_a_warning_is_an_incident_of_its_own() -> None:
    panic = "[  160.000000] Kernel panic - not syncing: VFS: Unable to mount root fs on unknown-block(0,0)"
    assert kinds(judge(f"{WARNING}{panic}")) == ["warning", "panic"]
    without_end = "".join(WARNING.splitlines(keepends=True)[:-1])
    assert kinds(judge(f"{without_end}{panic}")) == ["warning", "panic"]


def test_a_fault_of_a_process_is_not_called_an_oops() -> None:
    text = (
        "8<--- cut here ---\nUnhandled fault: external abort on non-linefetch (0x1018) at 0xb6fc5000\npgd = 1a431801\n"
    )
    (incident,) = judge(text)
    assert incident.title == "unhandled fault: external abort on non-linefetch at 0xb6fc5000"
    assert not incident.complete


@pytest.mark.parametrize("cut", [1, 2, 3, 4, 10, 60, 93, 94, 95])
def test_a_report_that_silence_had_cut_goes_on_under_its_id(cut: int) -> None:
    detector = Detector(RULES)
    lines = PANIC.splitlines()
    out = feed(detector, "\n".join(lines[:cut])) + detector.flush()
    assert not out[-1].open
    out += feed(detector, "\n".join(lines[cut:]), cut) + detector.flush()
    (incident,) = last_words(out)
    assert (incident.title, incident.complete, len(incident.lines)) == (HEADLINE, True, 97)


# --- boots


def test_the_first_boot_is_no_incident() -> None:
    assert judge(BOOT) == []


def test_a_boot_in_the_middle_of_a_run_is_one_unexpected_reboot() -> None:
    (incident,) = judge("[  940.000000] all is well\n" + BOOT)
    assert (incident.kind, incident.severity, incident.fatal) == ("unexpected-reboot", Severity.FAIL, True)
    assert "U-Boot SPL 2019.04" in incident.title
    other = judge("[  840.000000] all is well\n" + BOOT[BOOT.index("[    0.0") :])[0]
    assert (other.kind, other.signature) == (incident.kind, incident.signature)


def test_a_reboot_that_somebody_asked_for_says_so() -> None:
    (incident,) = judge("[  940.000000] reboot: Restarting system\n" + BOOT)
    assert "reboot: Restarting system" in incident.hints[0]


def test_a_command_that_brings_the_board_down_is_followed_by_a_reboot() -> None:
    for command in ("cat /sys/shepherd/state", "cat /var/log/kern.log", "reboot -f", "dmesg -w"):
        assert kinds(judge(f"[  940.000000] up\nroot@bbb:~# {command}\n{BOOT}")) == ["unexpected-reboot"]


def test_each_reboot_is_an_incident_of_its_own() -> None:
    assert kinds(judge(BOOT * 3)) == ["unexpected-reboot"] * 2


def test_an_announced_boot_is_no_incident_and_the_next_one_is() -> None:
    detector = Detector(RULES)
    feed(detector, BOOT)
    detector.new_epoch()
    assert feed(detector, "[    9.000000] last words of the old boot\n" + BOOT) == []
    assert kinds(feed(detector, BOOT)) == ["unexpected-reboot"]


def test_a_loader_that_starts_twice_while_a_boot_is_announced_is_no_incident() -> None:
    detector = Detector(RULES)
    feed(detector, BOOT)
    detector.new_epoch()
    assert feed(detector, BOOT.splitlines()[1] + "\n" + BOOT) == []


def test_an_announced_boot_without_banners_is_known_by_its_time() -> None:
    detector = Detector(RULES)
    feed(detector, "[  940.000000] all is well")
    detector.new_epoch()
    assert feed(detector, "[    3.000000] all is well again") == []
    assert kinds(feed(detector, "[   40.000000] shprd.k: Couldn't boot PRU0")) == ["remoteproc-failure"]


def test_nothing_counts_after_a_panic_until_the_board_boots() -> None:
    later = "[  990.000000] shprd.k: Couldn't boot PRU0\n"
    assert kinds(judge(PANIC + later)) == ["oops"]
    assert kinds(judge(PANIC + BOOT + CMA)) == ["oops", *kinds(judge(CMA))]


def test_a_reboot_after_a_panic_is_its_consequence() -> None:
    (incident,) = judge(PANIC + BOOT)
    assert incident.title == HEADLINE
    assert incident.consequences[0].startswith("the board rebooted: U-Boot SPL 2019.04")


def test_a_reboot_in_the_middle_of_an_oops_makes_it_fatal() -> None:
    (incident,) = judge("\n".join(PANIC.splitlines()[:30]) + BOOT)
    assert (incident.kind, incident.fatal, incident.complete) == ("oops", True, False)
    assert incident.title.startswith("kernel oops, then a reboot: NULL pointer dereference at 0x1c1")


def test_a_power_cycle_in_the_middle_of_an_oops_only_cuts_it() -> None:
    detector = Detector(RULES)
    feed(detector, "\n".join(PANIC.splitlines()[:30]))
    detector.new_epoch()
    (incident,) = feed(detector, BOOT)
    assert (incident.open, incident.fatal, incident.complete) == (False, False, False)


def test_a_second_oops_is_marked_secondary() -> None:
    second = NO_PANIC.replace("[  94", "[  99").replace("[#1]", "[#2]").replace("G           O ", "G      D    O ")
    first, other = judge(NO_PANIC + second)
    assert not any("Secondary" in hint for hint in first.hints)
    (hint,) = [hint for hint in other.hints if hint.startswith("Secondary")]
    assert "[#2]" in hint
    assert "taint D" in hint
