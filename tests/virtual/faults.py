"""The real faults that the virtual board's modules make, and what the judge has to say of each."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["HILFAULT", "SHEPHERD", "Fault"]

TRIGGER = "/sys/kernel/debug/hilfault/trigger"


@dataclass(frozen=True)
class Fault:
    """A fault and its incident.

    Attributes:
        name: of the fault, as ``hilfault`` or ``shepherd`` calls it.
        module: which makes it.
        commands: what to run on the board; the last one may never return.
        kind: of the one incident that comes of it; None where nothing is wrong.
        function: the guilty one; None where the kernel names none.
        guilty: the module that the guilty function is in.
        fatal: whether the board is gone then.
    """

    name: str
    module: str
    commands: tuple[str, ...]
    kind: str | None
    function: str | None = None
    guilty: str | None = None
    fatal: bool = False


def _hilfault(
    name: str,
    kind: str | None,
    function: str | None = None,
    *,
    before: str = "",
    amount: int | None = None,
    fatal: bool = False,
) -> Fault:
    order = name if amount is None else f"{name} {amount}"
    commands = ("modprobe hilfault", *([before] if before else []), f"echo {order} > {TRIGGER}")
    return Fault(name, "hilfault", commands, kind, function, "hilfault" if function else None, fatal)


_SOON_STUCK = "echo 2 > /proc/sys/kernel/watchdog_thresh"
_SOON_STALLED = "echo 3 > /sys/module/rcupdate/parameters/rcu_cpu_stall_timeout"
_SOON_HUNG = "echo 1 > /proc/sys/kernel/hung_task_check_interval_secs; echo 2 > /proc/sys/kernel/hung_task_timeout_secs"

HILFAULT = (
    _hilfault("null-read", "oops", "hilfault_null_read"),
    _hilfault("null-write", "oops", "hilfault_null_write"),
    _hilfault("paging-request", "oops", "hilfault_paging_request"),
    _hilfault("use-after-free", "oops", "hilfault_use_after_free"),
    _hilfault("bug", "bug", "hilfault_bug"),
    _hilfault("warn", "warning", "hilfault_warn"),
    _hilfault("warn-irq", "warning", "hilfault_warn_irq_callback"),
    _hilfault("atomic-sleep", "atomic-sleep", "hilfault_atomic_sleep"),
    _hilfault("list-corruption", "list-corruption", "hilfault_list_corruption"),
    _hilfault("refcount-underflow", "refcount", "hilfault_refcount_underflow"),
    _hilfault("soft-lockup", "soft-lockup", "hilfault_soft_lockup", before=_SOON_STUCK, amount=9),
    _hilfault("rcu-stall", "rcu-stall", "hilfault_rcu_stall", before=_SOON_STALLED, amount=6),
    _hilfault("hung-task", "hung-task", "hilfault_hung_task", before=_SOON_HUNG, amount=5),
    _hilfault("page-alloc-failure", "page-alloc-failure", "hilfault_page_alloc_failure"),
    _hilfault("oom", "oom", "hilfault_oom"),
    _hilfault("stack-overflow", "oops", "hilfault_stack_overflow"),
    _hilfault("division-by-zero", "bug", "hilfault_division_by_zero"),
    _hilfault("undefined-instruction", "oops", "hilfault_undefined_instruction"),
    _hilfault("panic", "panic", "hilfault_panic", fatal=True),
    _hilfault("sysrq-crash", "panic", None, fatal=True),
    _hilfault("reboot", "unexpected-reboot", None, fatal=True),
    _hilfault("printk-flood", None),
    _hilfault("printk-no-newline", None),
)


def _shepherd(
    name: str, commands: tuple[str, ...], kind: str, function: str | None = None, *, fatal: bool = False
) -> Fault:
    return Fault(name, "shepherd", commands, kind, function, "shepherd" if function else None, fatal)


SHEPHERD = (
    _shepherd(
        "racy_exit",
        ("for i in 1 2 3 4 5 6 7 8; do modprobe shepherd racy_exit=1; sleep 0.3; modprobe -r shepherd; done",),
        "oops",
        "pru0_comm_receive_msg",
        fatal=True,
    ),
    _shepherd(
        "leak_cma",
        (
            (
                "for i in 1 2 3 4 5 6 7 8; do modprobe shepherd leak_cma=1 || break; "
                "dmesg | grep -q 'alloc failed' && break; modprobe -r shepherd; done"
            ),
        ),
        "cma-alloc-failure",
    ),
    _shepherd("mute_pru", ("modprobe shepherd mute_pru=1; sleep 3",), "pru-timeout"),
    _shepherd("timestamp_jump", ("modprobe shepherd timestamp_jump=1; sleep 3",), "shepherd-fault"),
    _shepherd("fill_fifo", ("modprobe shepherd fill_fifo=1; sleep 3",), "shepherd-fault"),
)
