"""What the detector finds: one incident is one cause, with its consequences folded in."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import StrEnum

__all__ = ["Crash", "Frame", "Incident", "LoadedModule", "Severity"]


class Severity(StrEnum):
    """What an incident does to the test in which it happened."""

    FAIL = "fail"
    """Fails the test."""
    WARN = "warn"
    """Is reported."""
    INFO = "info"
    """Is recorded."""


@dataclass(slots=True, unsafe_hash=True)
class Frame:
    """One place in the code, as the kernel prints it: ``function+0x28/0x94 [module]``.

    Nobody changes one. It is not ``frozen`` because a crash has many, and frozen ones are made seven times as slowly.
    """

    function: str
    offset: int | None = None
    """Bytes from the start of the function."""
    size: int | None = None
    """Bytes the whole function has."""
    module: str | None = None
    """The module it is in; None for the kernel itself."""
    address: int | None = None
    context: str | None = None
    """``irq`` or ``nmi`` for code that had interrupted what comes after it; None for a task's own code."""
    inline: bool = False
    """The compiler had put it into the function of the next frame."""

    def __str__(self) -> str:
        place = self.function if self.offset is None else f"{self.function}+{self.offset:#x}"
        return place if self.module is None else f"{place} [{self.module}]"


@dataclass(slots=True, unsafe_hash=True)
class LoadedModule:
    """An entry of ``Modules linked in:``; not ``frozen`` for the same reason as :class:`Frame`."""

    name: str
    flags: str = ""
    """Taint letters and state: ``O`` out of tree, ``E`` unsigned, ``+`` being loaded, ``-`` being unloaded."""

    @property
    def unloading(self) -> bool:
        return "-" in self.flags

    @property
    def loading(self) -> bool:
        return "+" in self.flags


@dataclass(slots=True, frozen=True)
class Crash:
    """What an Oops tells about itself. Everything is None or empty where the console did not show it."""

    address: int | None = None
    """The faulting address."""
    access: str | None = None
    """``read``, ``write`` or ``execute``, where the kernel says which."""
    oops_code: str | None = None
    """What stands after ``Internal error:``, e.g. ``Oops: 5``."""
    oops_number: int | None = None
    """The number in ``[#1]``: 1 is the first since boot."""
    pc: Frame | None = None
    lr: Frame | None = None
    registers: tuple[tuple[str, int], ...] = ()
    cpu: int | None = None
    pid: int | None = None
    comm: str | None = None
    """Name of the process that was running."""
    taint: str | None = None
    """Taint letters without the blanks, e.g. ``GO``; empty for ``Not tainted``."""
    kernel: str | None = None
    """Kernel release and build."""
    hardware: str | None = None
    modules: tuple[LoadedModule, ...] = ()
    frames: tuple[Frame, ...] = ()
    """The call trace, innermost first."""
    code: str | None = None
    """The ``Code:`` line; the trapping word in parentheses."""
    end_trace: str | None = None
    panic_reason: str | None = None
    """What stands after ``Kernel panic - not syncing:``."""

    @property
    def in_interrupt(self) -> bool:
        return self.panic_reason is not None and "in interrupt" in self.panic_reason


@dataclass(slots=True, frozen=True)
class Incident:
    """One thing that went wrong, as far as the console has shown it.

    The detector gives out the same incident again, under the same ``id``, when more of it has come.
    """

    id: int
    """Counts from 1 for each detector, with a gap for what turns out to be none. A later incident with the same id
    replaces the earlier one."""
    rule: str
    """The id of the rule that found it."""
    kind: str
    """One of the kinds in ``design.md``, or one of a user's own rules."""
    severity: Severity
    title: str
    """What a person would call it, without the board: ``kernel oops, then panic: NULL pointer dereference at …``."""
    signature: str
    """Equal for two runs of one bug, different for two bugs: no addresses, pids, cpus or offsets in it."""
    first_line: int
    """Number of its first line in the console log, from 0."""
    last_line: int
    """Number of its last line so far."""
    kernel_time_s: float | None
    """Kernel time of its first line, seconds since boot."""
    open: bool
    """Its report is still being printed: what it says may still change."""
    complete: bool
    """The report came to its own end; False for one that was cut off."""
    fatal: bool
    """The kernel does not go on after it."""
    function: str | None = None
    """The guilty function, where the report names one."""
    module: str | None = None
    address: int | None = None
    crash: Crash | None = None
    hints: tuple[str, ...] = ()
    """What follows from the facts, in plain words."""
    lines: tuple[str, ...] = ()
    """The lines of its report, as printed (bounded in number)."""
    consequences: tuple[str, ...] = ()
    """Messages that this incident caused and that are not incidents of their own."""
    secondary: bool = False
    """The kernel had warned, or a part of it had died, before this crash: look at the first one."""

    def headline(self, board: str | None = None) -> str:
        """The first line of a failure message."""
        return f"{self.title} (board {board})" if board else self.title

    def to_dict(self) -> dict[str, object]:
        """The same as plain data, fit for JSON."""
        return asdict(self)
