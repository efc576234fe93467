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


ASKED_FOR = """\
[  100.000000] sysrq: Trigger a crash
[  100.000100] Kernel panic - not syncing: sysrq triggered crash
[  100.000200] CPU: 0 PID: {pid} Comm: {comm} Not tainted 6.1.0-18-armmp #1  Debian 6.1.76-1
[  100.000300] Hardware name: Generic AM33XX (Flattened Device Tree)
[  100.000400]  unwind_backtrace from show_stack+0x18/0x1c
[  100.000500]  show_stack from dump_stack_lvl+0x40/0x4c
[  100.000600]  dump_stack_lvl from panic+0x118/0x328
[  100.000700]  panic from sysrq_handle_crash+0x1c/0x20
[  100.000800]  sysrq_handle_crash from __handle_sysrq+0x94/0x188
{way}[  100.002000] ---[ end Kernel panic - not syncing: sysrq triggered crash ]---
"""
SERIAL = """\
[  100.000900]  __handle_sysrq from serial8250_read_char+0xcc/0x178
[  100.001000]  serial8250_read_char from serial8250_rx_chars+0x18/0x30
[  100.001100]  serial8250_rx_chars from omap_8250_dma_handle_irq+0x120/0x164
"""
FILE = """\
[  100.000900]  __handle_sysrq from write_sysrq_trigger+0x5c/0x70
[  100.001000]  write_sysrq_trigger from proc_reg_write+0xa8/0xd4
[  100.001100]  proc_reg_write from vfs_write+0xc8/0x3a4
"""
OLD = """\
[  100.000000] SysRq : Trigger a crash
[  100.000100] Unable to handle kernel NULL pointer dereference at virtual address 00000000
[  100.000200] pgd = c0004000
[  100.000300] [00000000] *pgd=00000000
[  100.000400] Internal error: Oops: 805 [#1] PREEMPT SMP ARM
[  100.000500] CPU: 0 PID: 0 Comm: swapper/0 Not tainted 4.19.94-ti-r73 #1focal
[  100.000600] PC is at sysrq_handle_crash+0x24/0x34
[  100.000700] LR is at sysrq_handle_crash+0x18/0x34
[  100.000800] [<c0612264>] (sysrq_handle_crash) from [<c061d0d4>] (__handle_sysrq+0xa0/0x16c)
[  100.000900] [<c061d0d4>] (__handle_sysrq) from [<c062b018>] (serial8250_read_char+0x1b4/0x1f0)
[  100.001000] ---[ end trace 9358d1fc4259ae2f ]---
"""


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        (
            ASKED_FOR.format(pid=0, comm="swapper/0", way=SERIAL),
            "This crash was asked for: SysRq c came in over a serial port (BREAK, then c).",
        ),
        (
            ASKED_FOR.format(pid=812, comm="bash", way=FILE),
            "This crash was asked for: bash (pid 812) wrote c to /proc/sysrq-trigger.",
        ),
        (
            ASKED_FOR.format(pid=0, comm="swapper/0", way=""),
            "This crash was asked for: SysRq c (echo c > /proc/sysrq-trigger, a keyboard, or BREAK c on a console).",
        ),
        (OLD, "This crash was asked for: SysRq c came in over a serial port (BREAK, then c)."),
    ],
    ids=["serial port", "file", "unknown", "kernels that wrote to NULL"],
)
def test_a_crash_that_was_asked_for_is_nobodys_fault_but_sysrqs(text: str, hint: str) -> None:
    (incident,) = judge(text)
    assert incident.function == "sysrq_handle_crash"
    assert hint in incident.hints
    assert not any("NULL" in each for each in incident.hints)


def test_the_crash_is_named_where_the_trace_shows_its_neighbour() -> None:
    text = ASKED_FOR.format(pid=0, comm="swapper/0", way=SERIAL)
    (incident,) = judge(text.replace("sysrq_handle_crash+0x1c/0x20", "sysrq_reset_seq_param_set+0x0/0x90"))
    assert incident.function == "sysrq_handle_crash"


def test_a_module_that_asks_for_a_crash_is_named() -> None:
    way = FILE.replace("write_sysrq_trigger+0x5c/0x70", "demo_write+0x5c/0x70 [demo]")
    (incident,) = judge(ASKED_FOR.format(pid=812, comm="bash", way=way))
    assert (incident.function, incident.module) == ("demo_write", "demo")
    assert "This crash was asked for: demo_write of module demo called SysRq c." in incident.hints
