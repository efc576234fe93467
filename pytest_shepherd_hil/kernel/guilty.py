"""Whose fault it is: the first function in a trace that did not merely notice what another had done."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pytest_shepherd_hil.kernel.incident import Frame
from pytest_shepherd_hil.kernel.machinery import is_machinery, plain_name

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_shepherd_hil.kernel.incident import Crash

__all__ = ["STALLS", "guilty_frame"]

STALLS = frozenset({"rcu-stall", "soft-lockup", "hard-lockup", "workqueue-lockup", "stack-overflow"})
"""Kinds whose report comes out of an interrupt that merely found the cpu where it was."""

_INTERRUPT_ENTRY = re.compile(
    r"__irq_svc|el1h?_(?:64_)?irq\w*|asm_sysvec_\w+|(?:smp_)?(?:trace_)?apic_timer_interrupt\w*|ret_from_intr|"
    r"asm_common_interrupt|common_interrupt"
)
# Where a task came into the kernel: everything inside of it belongs to one system call.
_SYSTEM_CALL = re.compile(
    r"(?:__)?(?:x64_|ia32_|arm64_|riscv_|s390x?_|se_|do_)?(?:compat_)?(?:sys|SyS|SYSC|C_SYSC|compat_SyS|compat_SYSC)_(?P<name>\w+)"
)
_GENERIC_CALLS = frozenset(
    """
    ioctl read write readv writev pread64 pwrite64 preadv pwritev connect accept accept4 bind sendmsg sendto recvmsg
    recvfrom sendmmsg recvmmsg setsockopt getsockopt socket listen shutdown close open openat mount mmap mmap_pgoff
    getdents getdents64 splice sendfile sendfile64 lseek fsync poll
    """.split()  # noqa: SIM905  a list of 36 strings reads worse
)
# All flavours of waiting for a grace period are one bug, whatever the kernel's version calls them.
_GRACE_PERIOD = re.compile(r"_{0,2}synchronize_(?:rcu|sched|srcu)(?:_expedited)?")
_REPORTS_A_STALL = re.compile(
    r"update_process_times|\w*nmi_\w*backtrace\w*|watchdog_\w+|rcu_\w+|\w*sched_show_task|tick_\w+|"
    r"\w+_cpu_backtrace\w*"
)
_HANDS_OUT_WORK = re.compile(
    r"call_timer_fn|__run_timers?|expire_timers|__run_hrtimer|__hrtimer_run_queues|tasklet_(?:hi_)?action\w*|"
    r"process_one_work|process_scheduled_works|_?_?netif_receive_skb\w*|net_rx_action|__napi_poll|"
    r"__?handle_irq_event\w*|rcu_do_batch|irq_thread\w*|kthread|smpboot_thread_fn|cpu_startup_entry|do_idle|"
    r"nfnetlink_rcv\w*|rtnetlink_rcv\w*|genl_\w*rcv\w*|netlink_rcv_skb|sock_sendmsg\w*|__sock_sendmsg|"
    r"sock_(?:recvmsg|do_ioctl|setsockopt)\w*|vfs_(?:read|write|ioctl|fsync\w*)|do_vfs_ioctl|"
    r"new_sync_(?:read|write)|__vfs_(?:read|write)|call_(?:read|write)_iter|do_iter_\w+|full_proxy_\w+|"
    r"mmap_region|__mmap_region|__do_fault|do_fault\w*|__fput|task_work_run|ops_exit_list|cleanup_net|"
    r"do_one_initcall|really_probe|mount_\w+|vfs_get_tree|do_dentry_open|vfs_open|chrdev_open"
)


def guilty_frame(crash: Crash, kind: str = "", named: Frame | None = None) -> Frame | None:
    """The first place that is not the machinery which merely noticed the fault.

    ``named`` is the place that the headline of the report names. A return address at the very start of a function
    (``f+0x0/0x90``) is the end of the function before it and names nobody.
    """
    frames = list(crash.frames) or [frame for frame in (crash.pc, crash.lr) if frame]
    if named is not None:
        if not is_machinery(named.function):
            return _plain(named)
        names = [frame.function for frame in frames]
        if named.function in names:
            frames = frames[names.index(named.function) + 1 :]
        return _first(frames, crash.pc) or _plain(named)
    if kind in STALLS:
        return _of_stall(frames, crash)
    if kind == "hung-task":
        waits = next((frame for frame in frames if _GRACE_PERIOD.fullmatch(plain_name(frame.function))), None)
        if waits is not None:
            return Frame("synchronize_rcu", waits.offset, waits.size, waits.module, waits.address, waits.context)
    return _first(frames, crash.pc) or (None if kind == "panic" else _fallback(frames, crash.pc))


def _first(frames: Sequence[Frame], pc: Frame | None) -> Frame | None:
    for frame in frames:
        if _names_somebody(frame, pc) and not is_machinery(frame.function):
            return _plain(frame)
    return None


def _fallback(frames: Sequence[Frame], pc: Frame | None) -> Frame | None:
    return next((_plain(frame) for frame in frames if _names_somebody(frame, pc)), None)


def _names_somebody(frame: Frame, pc: Frame | None) -> bool:
    return frame.offset != 0 or frame is pc


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
    if in_module is not None and not is_machinery(in_module.function):
        return _plain(in_module)
    last: Frame | None = None
    if inner and inner[0].function.startswith("smp_call_function"):
        return _plain(inner[0])  # it waits for another cpu: that it was called is all that is known
    for frame in inner:
        name = plain_name(frame.function)
        call = _SYSTEM_CALL.fullmatch(name)
        if call is not None and call["name"] not in _GENERIC_CALLS:
            return _plain(frame)
        if last is not None and (call is not None or _HANDS_OUT_WORK.fullmatch(name)):
            return _plain(last)
        if not is_machinery(name):
            last = frame
    return _first(inner, crash.pc) or _fallback(inner, crash.pc)


def _plain(frame: Frame) -> Frame:
    """``copy_process`` for ``copy_process.part.3``: the compiler's number is no name."""
    name = plain_name(frame.function)
    return (
        frame
        if name == frame.function
        else Frame(name, frame.offset, frame.size, frame.module, frame.address, frame.context)
    )
