"""What a crash report says, and what follows from it."""

from __future__ import annotations

from pytest_shepherd_hil.kernel.crash import CrashReader
from pytest_shepherd_hil.kernel.guilty import guilty_frame
from pytest_shepherd_hil.kernel.hints import cma_hints, taint_words
from pytest_shepherd_hil.kernel.incident import Crash, Frame, LoadedModule
from pytest_shepherd_hil.kernel.lines import parse_line
from tests.unit.kernel.kernel_console import OOPS_6_1, WARNING, judge, seed


def read(text: str) -> Crash:
    reader = CrashReader()
    for line in text.encode().splitlines():
        reader.add(parse_line(line, 0).message)
    return reader.crash()


def test_the_users_oops_is_read_in_full() -> None:
    crash = read(seed("unload-panic"))
    assert (crash.address, crash.access, crash.oops_code, crash.oops_number) == (0x1C1, "read", "Oops: 5", 1)
    assert crash.pc == Frame("pru0_comm_receive_msg", 0x28, 0x94, "shepherd", 0xBF19B018)
    assert crash.lr == Frame("coordinator_callback", 0x9C, 0x374, "shepherd", 0xBF19CA58)
    assert dict(crash.registers)["r6"] == 0x1C1
    assert dict(crash.registers)["psr"] == 0x20000193
    assert len(crash.registers) == 17
    assert (crash.cpu, crash.pid, crash.comm, crash.taint) == (0, 1726, "modprobe", "GO")
    assert (crash.kernel, crash.hardware) == ("4.19.94-ti-r73 #1focal", "Generic AM33XX (Flattened Device Tree)")
    assert crash.modules[0] == LoadedModule("shepherd", "O-")
    assert [module.name for module in crash.modules[-2:]] == ["virtio", "virtio_ring"]
    assert len(crash.modules) == 20
    assert [str(frame) for frame in crash.frames[:3]] == [
        "pru0_comm_receive_msg+0x28 [shepherd]",
        "coordinator_callback+0x9c [shepherd]",
        "__hrtimer_run_queues+0x1a4",
    ]
    assert str(crash.frames[-1]) == "ret_fast_syscall+0x0"
    assert len(crash.frames) == 28
    assert crash.code == "e34b4f1a e30061c1 e1a05000 e5943000 (e7d33006)"
    assert crash.end_trace == "9358d1fc4259ae2f"
    assert crash.panic_reason == "Fatal exception in interrupt"
    assert crash.in_interrupt


def test_frames_without_addresses_are_read() -> None:
    crash = read(OOPS_6_1)
    assert (crash.address, crash.access, crash.oops_code) == (0x1C4, "read", "1b")
    assert [frame.function for frame in crash.frames] == [
        "pru0_comm_receive_msg",
        "coordinator_callback",
        "__hrtimer_run_queues",
        "hrtimer_interrupt",
        "arch_timer_handler_virt",
        "__irq_svc",
        "mem_interface_exit",
        "shepherd_drv_remove",
        "sys_delete_module",
        "ret_fast_syscall",
    ]
    assert crash.frames[0].address == 0xBF0000A4
    assert crash.kernel == "6.1.0-18-armmp-lpae #1  Debian 6.1.76-1"


def test_the_fault_status_tells_read_write_and_execute() -> None:
    for code, access in (("5", "read"), ("805", "write"), ("80000005", "execute"), ("- BUG: 0", None)):
        text = f"Internal error: Oops{':' if access else ''} {code} [#1] PREEMPT SMP ARM"
        assert read(text).access == access
    arm64 = (("96000004", "read"), ("0000000096000046", "write"), ("0000000086000005", "execute"), ("f2000800", None))
    for code, access in arm64:
        assert read(f"Internal error: Oops: {code} [#1] PREEMPT SMP").access == access
    assert read("Oops: 0002 [#1] PREEMPT SMP").access is None
    assert read("Oops: 96000004 [#1] PREEMPT SMP").access is None


def test_a_stated_access_counts() -> None:
    assert read("Unable to handle kernel paging request at virtual address fee00001 when write").access == "write"


def test_other_cpus_that_stop_do_not_overwrite_the_report() -> None:
    tail = """\
[  943.4] CPU1: stopping
[  943.4] CPU: 1 PID: 0 Comm: swapper/1 Tainted: G      D           5.10.2 #10
[  943.4] [<80118054>] (unwind_backtrace) from [<80110ce4>] (show_stack+0x20/0x24)
"""
    text = seed("unload-panic")
    assert read(text + tail) == read(text)


def test_a_lost_frame_leaves_the_others_in_order() -> None:
    lines = seed("unload-panic").splitlines(keepends=True)
    frames = [i for i, line in enumerate(lines) if "] (" in line]
    whole = [frame.function for frame in read("".join(lines)).frames]
    for index in frames[:-1]:
        assert [frame.function for frame in read("".join(lines[:index] + lines[index + 1 :])).frames] == whole


def test_the_guilty_function_is_not_the_one_that_copied() -> None:
    crash = Crash(frames=(Frame("memset", 0x30, 0xA8), Frame("n_tty_set_termios.part.3", 0x154, 0x3C4)))
    assert guilty_frame(crash) == Frame("n_tty_set_termios", 0x154, 0x3C4)
    assert guilty_frame(Crash()) is None


def test_the_user_is_told_in_plain_words_what_the_log_means() -> None:
    (incident,) = judge(seed("unload-panic"))
    timer, unloading, armed, null, gone = incident.hints
    assert timer.startswith(
        "The crash is in shepherd's timer callback: coordinator_callback, run from __hrtimer_run_queues."
    )
    assert "while shepherd was being unloaded" in unloading
    assert "modprobe was at that moment in mem_interface_exit <- shepherd_drv_remove" in unloading
    assert "the timer callback was still armed when what it reads was torn down: stop it" in armed
    assert armed.endswith("before freeing what it reads.")
    assert "0x1c1 is below 4096, as with a NULL base pointer plus the field offset 0x1c1" in null
    assert "in interrupt" in gone
    assert gone.endswith("the board is gone until it reboots.")


def test_the_shape_of_6_1_gives_the_same_hints() -> None:
    (old,), (new,) = judge(seed("unload-panic")), judge(OOPS_6_1)
    assert new.hints[0] == old.hints[0]
    assert new.hints[2] == old.hints[2]


def test_no_unload_no_such_hint() -> None:
    (incident,) = judge(seed("unload-panic").replace("shepherd(O-)", "shepherd(O)"))
    assert not any("unload" in hint or "armed" in hint for hint in incident.hints)
    assert "unloading" not in incident.title
    (warning,) = judge(WARNING)
    assert warning.hints == ()


def test_a_cma_failure_says_how_much_was_asked_for() -> None:
    first, second = [incident for incident in judge(seed("cma-and-pru")) if incident.kind == "cma-alloc-failure"]
    assert "3811 pages in one piece (14.9 MiB at 4 KiB a page) had been asked for" in first.hints[0]
    assert "a leak that grows with each reload" in first.hints[-1]
    assert second.hints[-1].startswith("It is number 2 since the board booted.")
    assert len(cma_hints(None, None, 1)) == 1


def test_a_hidden_cma_message_is_hinted_at() -> None:
    (incident,) = judge("[ 2137.853633] remoteproc remoteproc1: Failed to process resources: -12")
    assert "loglevel 8" in incident.hints[0]


def test_taint_letters_are_spelled_out() -> None:
    assert taint_words("GO") == "O (out-of-tree module)"
    assert taint_words("PWD") == ("P (proprietary module), W (a warning came before), D (the kernel had died before)")
    assert taint_words("?") == "? (unknown)"
    assert taint_words("G") == taint_words("") == ""


def test_a_warning_during_an_unload_is_called_no_crash() -> None:
    text = """\
[   10.000000] ------------[ cut here ]------------
[   10.000001] WARNING: CPU: 0 PID: 1726 at drivers/demo.c:10 demo_exit+0x28/0x94 [demo]
[   10.000002] Modules linked in: demo(O-)
[   10.000003] CPU: 0 PID: 1726 Comm: modprobe Tainted: G           O      6.1.0 #1
[   10.000004]  demo_exit [demo] from sys_delete_module+0x2c/0x80
[   10.000005] ---[ end trace 0000000000000000 ]---
"""
    (incident,) = judge(text)
    assert incident.kind == "warning"
    assert any(hint.startswith("demo warned during its own unload") for hint in incident.hints)
    assert not any("crash" in hint for hint in incident.hints)
