"""The closed list of incident kinds; users' rules may add their own."""

from __future__ import annotations

from typing import Final

__all__ = ["KINDS"]

KINDS: Final = (
    "oops",
    "panic",
    "bug",
    "warning",
    "kasan",
    "kmsan",
    "kcsan",
    "kfence",
    "ubsan",
    "lockdep",
    "rcu-stall",
    "soft-lockup",
    "hard-lockup",
    "workqueue-lockup",
    "hung-task",
    "atomic-sleep",
    "refcount",
    "list-corruption",
    "bad-page",
    "page-alloc-failure",
    "oom",
    "memory-leak",
    "general-protection",
    "alignment-trap",
    "machine-check",
    "irq-nobody-cared",
    "netdevice-stuck",
    "vfs-busy",
    "mount-failure",
    "cma-alloc-failure",
    "remoteproc-failure",
    "pru-timeout",
    "pru-fault",
    "shepherd-fault",
    "unexpected-reboot",
    "console-lost",
)
