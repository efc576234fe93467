"""Reads a crash report; tolerant of lines that are missing, garbled or from somebody else."""

from __future__ import annotations

import re
from itertools import compress
from typing import TYPE_CHECKING

from pytest_shepherd_hil.kernel.incident import Crash
from pytest_shepherd_hil.kernel.reading import READERS, Reading
from pytest_shepherd_hil.kernel.shapes import shape_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_shepherd_hil.kernel.reading import Read
    from pytest_shepherd_hil.kernel.rows import Row, Rows

__all__ = ["FLAGGED", "NULL_PAGE", "CrashReader"]

NULL_PAGE = 4096
"""An address below this is a NULL base plus an offset."""

_MAX_LINES = 1500
_MAX_CHARS = 1024
_MAX_READ = 2048
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
_MAX_NAMES = 200
_SHAPES_OF_A_CRASH = 3
_TRACED = frozenset({"frame", "guess", "arm"})
_REGISTERS = frozenset({READERS["registers"]})
_USER_MODE = re.compile(r"\bpsr: [0-9a-f]{6}[13579bdf]0\b")
"""ARM: the five bits of the mode are 0x10."""
_FRAMES = frozenset({READERS["frame"], READERS["arm"]})
FLAGGED = frozenset({"endtrace", "number", "panic", "reboot"})
"""Shapes of lines that change how far the report has come."""
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
        self._shapes: set[str] = set()
        self._said: list[tuple[Read, str] | list[Row]] = []
        self._count = 0
        self._read: tuple[int, Reading] | None = None

    def add(self, message: str) -> bool:
        """Take one message; False where it is no line of a report."""
        shape = shape_of(message)
        if shape is None:
            return False
        self.add_shape(shape, message)
        if shape in FLAGGED:
            self._flag(shape, message)
        return True

    def add_plain(self, message: str) -> bool:
        """Take one message that ends nothing; False, and nothing taken, where it is another."""
        shape = shape_of(message)
        if shape is None or shape in FLAGGED:
            return False
        self.add_shape(shape, message)
        return True

    def add_shape(self, shape: str, message: str) -> None:
        """Take one message of a known shape, for what it says."""
        if shape in _TRACED:
            self.traced = True
        self._shapes.add(shape)
        reader = READERS.get(shape)
        if reader is not None and self._count < _MAX_LINES:
            self._said.append((reader, message[:_MAX_READ]))
            self._count += 1

    def add_rows(self, rows: Rows, start: int, stop: int) -> None:
        """Take the ordinary frames, guesses and registers among these lines."""
        functions, registers = rows.functions[start:stop], rows.registers[start:stop]
        if not self.traced:
            self.traced = any(functions) or any(rows.guesses[start:stop])
        if any(registers):
            self._shapes.add("registers")
        if self._count + stop - start > _MAX_LINES:
            told = [index for index, some in enumerate(zip(functions, registers, strict=True)) if any(some)]
            if self._count + len(told) > _MAX_LINES:
                room = told[_MAX_LINES - self._count]
                functions, registers = functions[:room], registers[:room]
        if lines := list(filter(None, registers)):
            self._said.append((READERS["register block"], "\n".join(lines)))
            self._count += len(lines)
        if frames := list(compress(rows.rows[start:stop], functions)):
            self._said.append(frames)
            self._count += len(frames)

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
        if any("should_fail" in text or "__handle_sysrq" in text for text in self._texts()):
            return False
        frames = [*self._texts(_FRAMES)]
        if any(_REPORTERS.search(text, 0, _MAX_NAMES) for text in frames):
            return True
        shapes, traced = self._shapes, len(frames) >= _TRACE_FRAMES
        return self.ended or (
            bool(shapes & _OF_A_CRASH) and (traced or len(shapes & (_OF_A_CRASH | _BESIDES)) >= _SHAPES_OF_A_CRASH)
        )

    @property
    def of_a_process(self) -> bool:
        """Whether its registers are those of a process that ran code of its own, not the kernel's."""
        return any(_USER_MODE.search(text) for text in self._texts(_REGISTERS))

    def _texts(self, readers: frozenset[Read] | None = None) -> Iterator[str]:
        """What has been taken, of ordinary frames only the functions; all of it, or what these readers are to read."""
        for said in self._said:
            if isinstance(said, list):
                yield from (row[2] for row in said)
            elif readers is None or said[0] in readers:
                yield said[1]

    def reading(self) -> Reading:
        """What the lines so far say."""
        if self._read is None or self._read[0] != self._count:
            reading = Reading()
            for said in self._said:
                if isinstance(said, list):
                    reading.rows(said)
                else:
                    read, message = said
                    read(reading, message)
            reading.finish()
            self._read = (self._count, reading)
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
