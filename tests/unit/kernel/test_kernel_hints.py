"""What the judge adds to the facts: never more than they say."""

from __future__ import annotations

import pytest

from tests.unit.kernel.kernel_console import WARNING, judge, seed

ALIVE = "[  105.500000] usb 1-1: new high-speed USB device\n"
BOOT = "U-Boot SPL 2019.04-00002-g07d5700e21 (Mar 06 2020 - 11:24:55 -0600)\n"
TITLE = "kernel warning at drivers/remoteproc/pru_rproc.c:345 in pru_rproc_stop+0x84 [pru_rproc]"


def test_a_reboot_after_a_report_names_that_report_and_the_time_between() -> None:
    warning, reboot = judge(WARNING + ALIVE + BOOT)
    assert warning.title == TITLE
    (hint,) = reboot.hints
    assert hint.startswith(f"The board restarted after '{TITLE}'; the kernel was last heard of 5.5 s after that.")
    assert hint.endswith(" The console showed no request to reboot, and no panic.")


def test_a_reboot_that_was_asked_for_after_a_report_tells_both() -> None:
    *_, reboot = judge(WARNING + ALIVE + "[  106.000000] reboot: Restarting system\n" + BOOT)
    assert reboot.hints == (
        f"The board restarted after '{TITLE}'; the kernel was last heard of 6.0 s after that.",
        "The kernel had said 'reboot: Restarting system' before it: somebody asked for this reboot.",
    )


def test_a_reboot_after_nothing_names_no_cause() -> None:
    (reboot,) = judge(ALIVE + BOOT)
    assert reboot.hints == (
        "The console showed no request to reboot before it, and no panic: see to watchdog, reset and power.",
    )


def test_a_report_of_an_earlier_boot_is_no_cause_of_a_reboot() -> None:
    *_, reboot = judge(WARNING + ALIVE + BOOT + ALIVE + BOOT)
    assert reboot.hints[0].startswith("The console showed no request")


@pytest.mark.parametrize(
    ("address", "hint"),
    [
        ("000001c1", "is below 4096, as with a NULL base pointer plus the field offset 0x1c1;"),
        ("00000000", "is below 4096, as with a NULL pointer that is followed itself, or to its first field;"),
    ],
)
def test_an_address_near_null_is_compared_with_a_pointer_to_a_field(address: str, hint: str) -> None:
    (incident,) = judge(seed("unload-panic").replace("address 000001c1", f"address {address}"))
    assert any(hint in each for each in incident.hints)


def test_what_was_torn_down_is_only_told_of_a_fault_at_an_address() -> None:
    text = seed("unload-panic")
    bug = text.replace(text.splitlines()[0], "[  942.541300] kernel BUG at drivers/shepherd/comm.c:12!")
    bug = "\n".join(line for line in bug.splitlines() if "pgd" not in line)
    (incident,) = judge(bug)
    assert incident.kind == "bug"
    assert any("still armed while shepherd was being unloaded: stop it" in hint for hint in incident.hints)


@pytest.mark.parametrize(
    ("pages", "size"),
    [(1, "4 KiB at 4 KiB a page"), (32, "128 KiB at 4 KiB a page"), (3811, "14.9 MiB at 4 KiB a page")],
)
def test_the_size_of_pages_tells_the_page_that_it_goes_by(pages: int, size: str) -> None:
    (incident,) = judge(f"[  100.000000] cma: cma_alloc: alloc failed, req-size: {pages} pages, ret: -12")
    assert f"({size})" in incident.title
    assert f"in one piece ({size}) had been asked for" in incident.hints[0]


def test_a_panic_after_lost_first_lines_stands_behind_the_place() -> None:
    (incident,) = judge("\n".join(seed("unload-panic").splitlines()[4:]))
    assert incident.title == (
        "kernel oops in pru0_comm_receive_msg+0x28 [shepherd] while unloading shepherd, then panic"
        " (the first lines of its report are lost)"
    )
