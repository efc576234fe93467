"""Whose fault it is: the first function in a trace that did not merely notice what another had done."""

from __future__ import annotations

import re
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING

from pytest_shepherd_hil.kernel.incident import Frame
from pytest_shepherd_hil.kernel.machinery import is_beside, is_machinery, plain_name

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_shepherd_hil.kernel.incident import Crash

__all__ = ["SERIAL", "STALLS", "guilty_frame", "is_asked_for", "module_that_asked"]

STALLS = frozenset({"rcu-stall", "soft-lockup", "hard-lockup", "workqueue-lockup", "stack-overflow"})
"""Kinds whose report comes out of an interrupt that merely found the cpu where it was."""

SERIAL = re.compile(r"serial|uart|pl011|8250|tty_insert|sysrq_char|_rx(?:_|$)")
"""Functions of drivers of serial ports."""
_HANDLES_SYSRQ = frozenset({"__handle_sysrq", "handle_sysrq"})
_ASKED_FOR = "sysrq_handle_crash"
_ASKED_FOR_REASON = "sysrq triggered crash"
_INTERRUPT_ENTRY = re.compile(
    r"__irq_svc|el1h?_(?:64_)?irq\w*|asm_sysvec_\w+|(?:smp_)?(?:trace_)?apic_timer_interrupt\w*|ret_from_intr|"
    r"asm_common_interrupt|common_interrupt"
)
# All ways into one system call are one: of the architecture, of the compatible one, of the compiler's wrapper.
_WRAPPED_CALL = re.compile(
    r"(?:__(?:x64|ia32|x32|arm64|riscv|s390x?|powerpc)_(?=(?:compat_)?sys_)|__(?:se|do)_(?:compat_)?sys_|"
    r"(?:compat_)?(?:SyS|SYSC|C_SYSC)_|(?:compat_|k)?sys_(?!imageblit|fillrect|copyarea|off_)|_{2,4}sys_)(?P<name>\w+)"
)
_CROSS_CALL = re.compile(r"smp_call_function\w*")
# All flavours of waiting for a grace period are one bug, whatever the kernel's version calls them.
_GRACE_PERIOD = re.compile(r"synchronize_(?:rcu|s?rcu|net|sched)(?![a-z])")
_SORTS = {
    "debug_print_object": "debug-objects",
    "debug_check_no_obj_freed": "debug-objects",
    "usercopy_warn": "usercopy",
    "usercopy_abort": "usercopy",
    "proc_register": "proc-entry",
    "__lock_acquire": "locking",
    "lock_acquire": "locking",
    "lock_release": "locking",
    "__lock_release": "locking",
    "register_lock_class": "locking",
    "hlock_class": "locking",
    "check_wait_context": "locking",
}
"""Who names himself in the headline tells the sort of the report, see :func:`is_beside`."""
_REPORTS_A_STALL = re.compile(
    r"update_process_times|\w*nmi_\w*backtrace\w*|watchdog_\w+|rcu_\w+|\w*sched_show_task|tick_\w+|"
    r"\w+_cpu_backtrace\w*"
)
# Where a task came into the kernel.
_ENTERS_THE_KERNEL = re.compile(
    r"do_(?:fast_)?syscall_\w+|do_int80_\w+|x64_sys_call|ia32_sys_call|invoke_syscall|do_el0_svc|el0_svc\w*|"
    r"ret_fast_syscall|system_call\w*|syscall_\w+|entry_\w+|sysenter_\w+|tracesys\w*|do_trap_ecall_u|ret_from_\w+"
)
_HANDS_OUT_WORK = re.compile(
    r"call_timer_fn|__run_timers?|expire_timers|__run_hrtimer|__hrtimer_run_queues|hrtimer_run_softirq|"
    r"run_timer_softirq|tasklet_(?:hi_)?action\w*|\w*do_softirq\w*|handle_softirqs|run_ksoftirqd|irq_exit\w*|"
    r"process_one_work|process_scheduled_works|_?_?netif_receive_skb\w*|net_rx_action|__napi_poll|napi_poll|"
    r"process_backlog|__?handle_irq_event\w*|rcu_do_batch|rcu_core\w*|irq_thread\w*|kthread|smpboot_thread_fn|"
    r"cpu_startup_entry|start_secondary|nfnetlink_rcv_msg|rtnetlink_rcv_msg|_?_?sock_(?:send|recv)msg\w*|"
    r"sock_(?:do_ioctl|read_iter|write_iter)\w*|(?:do_)?(?:__)?sock_[gs]etsockopt|(?:____)?(?:__)?sys_[gs]etsockopt|_?_?vfs_(?:read|write|ioctl|iter_\w+|fsync\w*)|do_vfs_ioctl|"
    r"(?:__\w+_|k)?(?:compat_)?(?:sys|SyS|SYSC|C_SYSC|compat_SyS)_ioctl|new_sync_(?:read|write)|"
    r"call_(?:read|write)_iter|do_iter_\w+|full_proxy_\w+|(?:__)?mmap_region|__do_fault|do_fault\w*|__fput|"
    r"task_work_run|ops_exit_list|cleanup_net|do_one_initcall|really_probe|vfs_get_tree|do_dentry_open|vfs_open|"
    r"chrdev_open|(?:compat_)?blkdev_(?:driver_)?ioctl|splice_direct_to_actor|(?:direct_)?splice_actor|generic_smp_call_\w+|"
    r"(?:__)?flush_smp_call_\w+|irq_work_(?:single|run\w*)|worker_thread|kthread_worker_fn|io_wqe?_worker|io_worker_handle_work|"
    r"io_wq_submit_work|__usb_hcd_giveback_urb|usb_giveback_urb_bh|do_IRQ|handle_irq_desc|generic_handle_irq\w*|"
    r"run_irq_workd|__mmput|mmput|workqueue_softirq_\w+|bh_worker"
)


def is_asked_for(crash: Crash) -> bool:
    """Whether somebody asked for the crash through SysRq: that is all that ``sysrq_handle_crash`` does."""
    if (crash.panic_reason or "").startswith(_ASKED_FOR_REASON):
        return True
    return any(frame is not None and frame.function == _ASKED_FOR for frame in (crash.pc, *crash.frames))


def module_that_asked(crash: Crash) -> Frame | None:
    """The function of a module that called SysRq itself; a driver of a serial port only hands on what came in."""
    for frame, caller in pairwise(crash.frames):
        if plain_name(frame.function) in _HANDLES_SYSRQ and caller.module is not None:
            return None if SERIAL.search(caller.function) else caller
    return None


def guilty_frame(crash: Crash, kind: str = "", named: Frame | None = None) -> Frame | None:
    """The first place that is not the machinery which merely noticed the fault.

    ``named`` is the place that the headline of the report names. A return address at the very start of a function
    (``f+0x0/0x90``) is the end of the function before it and names nobody. Nor does a function that the compiler put
    into its caller: that is another compiler's choice, and one bug is to have one name.
    """
    if is_asked_for(crash):
        if (asker := module_that_asked(crash)) is not None:
            return _plain(asker)
        places = [frame for frame in (crash.pc, *crash.frames) if frame is not None]
        if (place := next((frame for frame in places if frame.function == _ASKED_FOR), None)) is not None:
            return place
        if any(plain_name(frame.function) in _HANDLES_SYSRQ for frame in places):  # the name of its neighbour is shown
            return Frame(_ASKED_FOR)
    frames = [frame for frame in crash.frames if not frame.inline]
    frames = frames or list(crash.frames) or [frame for frame in (crash.pc, crash.lr) if frame]
    if named is not None:
        kind = _SORTS.get(plain_name(named.function), kind)
        if kind == "kcsan" or not _is_passed(named, kind):
            return _plain(named)
        names = [frame.function for frame in frames]
        if named.function in names:
            frames = frames[names.index(named.function) + 1 :]
        return _first(frames, crash.pc, kind) or _plain(named)
    if kind in STALLS:
        return _of_stall(frames, crash)
    if kind == "hung-task":
        for frame in frames:
            if _GRACE_PERIOD.search(frame.function):
                return replace(frame, function="synchronize_rcu")
            if "rtnl_lock" in frame.function:  # one lock for all of the network: who holds it is another question
                return _plain(frame)
    return _first(frames, crash.pc, kind) or (None if kind == "panic" else _fallback(frames, crash.pc))


def _is_passed(frame: Frame, kind: str) -> bool:
    return is_machinery(frame.function, frame.module) or (frame.module is None and is_beside(frame.function, kind))


def _first(frames: Sequence[Frame], pc: Frame | None, kind: str = "") -> Frame | None:
    for frame in frames:
        if frame is pc and frame.module is not None:  # it was a module's own code that trapped, whatever it is called
            return _plain(frame)
        if _names_somebody(frame, pc) and not _is_passed(frame, kind):
            return _plain(frame)
    return None


def _fallback(frames: Sequence[Frame], pc: Frame | None) -> Frame | None:
    return next((_plain(frame) for frame in frames if _names_somebody(frame, pc)), None)


def _names_somebody(frame: Frame, pc: Frame | None) -> bool:
    return frame.offset != 0 or frame is pc or (pc is not None and (frame.function, pc.offset) == (pc.function, 0))


def _of_stall(frames: list[Frame], crash: Crash) -> Frame | None:
    """The function that stands for the endless loop, or for the recursion.

    Which one the interrupt happened to hit is chance. A module's function is the best answer; else the one that was
    called by what hands out work: a system call, a timer, a packet's arrival, a work queue.
    """
    inner = frames
    for index, frame in enumerate(frames):
        if _INTERRUPT_ENTRY.fullmatch(frame.function) and frames[index + 1 :]:
            if any(_REPORTS_A_STALL.fullmatch(reporter.function) for reporter in frames[:index]):
                inner = frames[index + 1 :]
                while inner[1:] and _INTERRUPT_ENTRY.fullmatch(inner[0].function):
                    inner = inner[1:]
            break
    in_module = next((f for f in inner if f.module is not None and _names_somebody(f, crash.pc)), None)
    if in_module is not None and not is_machinery(in_module.function, in_module.module):
        return _plain(in_module)
    waits = next((frame for frame in inner[:4] if _CROSS_CALL.fullmatch(plain_name(frame.function))), None)
    if waits is not None:  # it waits for another cpu: that it was called is all that is known
        return _plain(waits)
    last: Frame | None = None
    for frame in inner:
        name = plain_name(frame.function)
        if last is not None and (_HANDS_OUT_WORK.fullmatch(name) or _ENTERS_THE_KERNEL.fullmatch(name)):
            return _plain(last)
        if _names_somebody(frame, crash.pc) and not is_machinery(name, frame.module):
            last = frame
    return _first(inner, crash.pc) or _fallback(inner, crash.pc)


def _plain(frame: Frame) -> Frame:
    """The name of a function without what a compiler or an architecture has added to it.

    ``copy_process`` for ``copy_process.part.3``, ``sys_mount`` for ``__x64_sys_mount``, ``mount`` for ``SyS_mount``.
    """
    name = plain_name(frame.function)
    if match := _WRAPPED_CALL.fullmatch(name):
        name = name[match.start("name") :]
    elif _CROSS_CALL.fullmatch(name):
        name = "smp_call_function"
    elif match := re.match(r"_Z(?P<size>[1-9]\d?)", name):  # C++: the length of the name, then the name
        name = name[match.end() :][: int(match["size"])] or name
    return frame if name == frame.function else replace(frame, function=name)
