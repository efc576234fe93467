"""Reads a crash report; tolerant of lines that are missing, garbled or from somebody else."""

from __future__ import annotations

import re

from pytest_shepherd_hil.kernel.incident import Crash
from pytest_shepherd_hil.kernel.reading import READERS, Reading
from pytest_shepherd_hil.kernel.shapes import shape_of

__all__ = ["NULL_PAGE", "CrashReader"]

NULL_PAGE = 4096
"""An address below this is a NULL base plus an offset."""

_MAX_LINES = 1500
_MAX_CHARS = 1024
_MUTE = frozenset({"guess", "text"})
"""Shapes of which nothing is read."""
_OF_A_CRASH = frozenset({"pc", "modules", "process", "fault", "pgd", "access", "endtrace", "section", "lr"})
"""Shapes that a mere trace of the stack does not have."""
# Functions that only run where the kernel reports a fault of its own; a mere trace of the stack has none of them.
_REPORTERS = re.compile(
    r"\b(?:__asan_\w+|\w*k[acm]san_\w*report\w*|kasan_object_err|kfence_report_\w+|\w*ubsan_\w+|\w*panic|__?warn|warn_slowpath_\w+|"
    r"report_bug|do_(?:error_trap|invalid_op|trap|undefinstr|DataAbort|PrefetchAbort|page_fault|mem_abort)|bad_area\w*|no_context|"
    r"page_fault\w*|(?:asm_)?exc_(?:page_fault|general_protection|invalid_op|int3|divide_error)|general_protection|invalid_op|"
    r"oops_\w+|die|__dabt_svc|__und_svc|el1_(?:da|ia|sync|abort|dbg|undef)|el1h_64_sync\w*|do_trap_\w+|"
    r"spin_(?:dump|bug)|rwlock_bug|debug_check_no_\w+|__schedule_bug|___?might_\w+|lockdep_rcu_\w+|print_\w*(?:bug|cycle|deadlock)\w*|"
    r"register_lock_class|check_preemption_disabled|debug_print_object|bad_page|__stack_chk_fail|usercopy_\w+|"
    r"refcount_warn_\w+|__report_bad_irq|warn_alloc|oom_kill_process|slab_(?:err|bug)|object_err|print_address_description)\b"
)
_BESIDES = frozenset({"cpu", "registers", "code", "number"})
_TRACE_FRAMES = 2
_SHAPES_OF_A_CRASH = 3
_TRACED = frozenset({"frame", "guess", "arm"})
_FLAGGED = frozenset({"endtrace", "number", "panic", "reboot"})
_PANIC = re.compile(r"(?P<end>---\[ end )?Kernel panic - not syncing:? {0,2}(?P<reason>.{0,300}?)(?: \]---)?$")


class CrashReader:
    """Collects the lines of one report and tells what they say.

    The first word on a matter counts: what comes after the end of the report (other cpus stopping, the panic's own
    trace) does not overwrite it.
    """

    def __init__(self) -> None:
        self.panic_reason: str | None = None
        self.panic_ended = False
        """The kernel has said its very last word."""
        self.ended = False
        """The report has come to its end trace; a panic may follow."""
        self.numbered = False
        """It has shown its ``[#1]``."""
        self.traced = False
        """It has shown a frame."""
        self._lines: list[tuple[str, str]] = []
        self._read: tuple[int, Reading] | None = None

    def add(self, message: str) -> bool:
        """Take one message; False where it is no line of a report."""
        shape = shape_of(message)
        if shape is None:
            return False
        if shape in READERS and len(self._lines) < _MAX_LINES:
            self._lines.append((shape, message))
        if shape in _TRACED:
            self.traced = True
        elif shape in _FLAGGED:
            self._flag(shape, message)
        return True

    def add_plain(self, message: str) -> bool:
        """Take one message that ends nothing; False, and nothing taken, where it is another."""
        shape = shape_of(message)
        if shape in _MUTE:
            self.traced = self.traced or shape == "guess"
            return True
        if shape is None or shape in _FLAGGED:
            return False
        if len(self._lines) < _MAX_LINES:
            self._lines.append((shape, message))
        if not self.traced and shape in _TRACED:
            self.traced = True
        return True

    def _flag(self, shape: str, message: str) -> None:
        if shape == "endtrace":
            self.ended = True
        elif shape == "number":
            self.numbered = True
        elif shape == "panic" and (match := _PANIC.match(message, 0, _MAX_CHARS)):
            self.panic_reason = self.panic_reason or match["reason"].strip()
            self.panic_ended = self.panic_ended or match["end"] is not None
        elif shape == "reboot":
            self.panic_ended = self.panic_ended or self.panic_reason is not None

    @property
    def shows_a_crash(self) -> bool:
        """Whether these lines are of a crash, whatever began them, and not of a trace that somebody asked for."""
        if any("should_fail" in message or "__handle_sysrq" in message for _, message in self._lines):
            return False
        shapes = {shape for shape, _ in self._lines}
        if any(shape in ("frame", "arm") and _REPORTERS.search(message) for shape, message in self._lines):
            return True
        traced = sum(shape in ("frame", "arm") for shape, _ in self._lines) >= _TRACE_FRAMES
        return self.ended or (
            bool(shapes & _OF_A_CRASH) and (traced or len(shapes & (_OF_A_CRASH | _BESIDES)) >= _SHAPES_OF_A_CRASH)
        )

    def reading(self) -> Reading:
        """What the lines so far say."""
        if self._read is None or self._read[0] != len(self._lines):
            reading = Reading()
            for shape, message in self._lines:
                reader = READERS.get(shape)
                if reader is not None:
                    reader(reading, message[:2048])
            reading.finish()
            self._read = (len(self._lines), reading)
        return self._read[1]

    def crash(self, kind: str = "") -> Crash:
        """What is known so far; which trace is the one that counts depends on the kind of report."""
        reading = self.reading()
        return Crash(
            address=reading.address,
            access=reading.access,
            oops_code=reading.oops_code,
            oops_number=reading.oops_number,
            pc=reading.pc,
            lr=reading.lr,
            registers=tuple(reading.registers.items()),
            cpu=reading.cpu,
            pid=reading.pid,
            comm=reading.comm,
            taint=reading.taint,
            kernel=reading.kernel,
            hardware=reading.hardware,
            modules=reading.modules,
            frames=tuple(reading.frames(kind)),
            code=reading.code,
            end_trace=reading.end_trace,
            panic_reason=self.panic_reason,
        )
