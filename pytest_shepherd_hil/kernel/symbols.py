"""What files with symbols say of a crash: lines of source, inlined functions, the field at a NULL pointer's offset.

A module is only believed if it fits: the functions of the crash are in it, with the sizes that the kernel printed.
"""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from pytest_shepherd_hil.kernel.crash import NULL_PAGE
from pytest_shepherd_hil.kernel.disassembly import architecture, disassemble
from pytest_shepherd_hil.kernel.dwarf import Deadline, SourceMap
from pytest_shepherd_hil.kernel.elf import SymbolError, SymbolFile
from pytest_shepherd_hil.kernel.fields import fields_at, register_number, registers_of
from pytest_shepherd_hil.kernel.loads import origin_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    from pytest_shepherd_hil.kernel.disassembly import Instruction
    from pytest_shepherd_hil.kernel.dwarf import SourceLine
    from pytest_shepherd_hil.kernel.elf import Function
    from pytest_shepherd_hil.kernel.fields import FieldAt
    from pytest_shepherd_hil.kernel.incident import Crash, Frame

__all__ = ["CrashSource", "Place", "SymbolError", "Symbols"]

BUDGET_S = 5.0
"""How long one crash may take."""
MAX_FIELDS = 3
_ENTRY = re.compile(
    r"__(?:irq|dabt|pabt|und|fiq)_(?:svc|usr)|el[01]h?_?(?:64_)?(?:32_)?(?:irq|fiq|sync|error|da|inv|dbg)\w*|"
    r"asm_(?:exc|sysvec|common)_?\w*|error_entry|common_interrupt|ret_from_intr|(?:async_)?page_fault|general_protection|"
    r"\w*apic_timer_interrupt|invalid_op|divide_error"
)
"""What stands in a trace between a handler and the place that was interrupted, which is exact and no return address."""
_T = TypeVar("_T")


@dataclass(slots=True, frozen=True)
class Place:
    """A frame's place in the source.

    Attributes:
        frame: as the kernel printed it.
        lines: innermost first: the line itself and, if its function is inlined, the line that it was called from, …
            The last is in the function that the frame names.
    """

    frame: Frame
    lines: tuple[SourceLine, ...]

    def __str__(self) -> str:
        own = self.lines[-1]
        inlined = ", ".join(f"{line.function} at {line.short}" for line in reversed(self.lines[:-1]))
        return f"{own.short}{f' (inlined there: {inlined})' if inlined else ''}"


@dataclass(slots=True, frozen=True)
class CrashSource:
    """What is known of a crash with symbols; whatever is not known is None or empty.

    Attributes:
        frames: one for each frame of the crash.
        fields: what lies at the faulting address if a pointer was NULL; several where it could be any of them.
        code: the ``Code:`` line disassembled.
        problems: what could not be found out, and why, each in a line.
    """

    pc: Place | None = None
    lr: Place | None = None
    frames: tuple[Place | None, ...] = ()
    fields: tuple[FieldAt, ...] = ()
    code: tuple[Instruction, ...] = ()
    problems: tuple[str, ...] = ()

    def place(self, frame: Frame) -> Place | None:
        """The place of one of the crash's frames, of its pc or of its lr."""
        return next((place for place in (self.pc, self.lr, *self.frames) if place and place.frame == frame), None)

    def to_dict(self) -> dict[str, object]:
        """The same as plain data, fit for JSON; frames are those of the crash, in its order."""
        return {
            "pc": _lines_of(self.pc),
            "lr": _lines_of(self.lr),
            "frames": [_lines_of(place) for place in self.frames],
            "fields": [asdict(field) for field in self.fields],
            "code": [asdict(instruction) for instruction in self.code],
            "problems": list(self.problems),
        }

    @property
    def field_hint(self) -> str | None:
        """What lies at the offset, in words."""
        fields: dict[str, list[str]] = {}
        for field in self.fields:
            fields.setdefault(f"{field.path} of {field.struct}", []).append(field.pointer)
        names = [f"{name} (pointer {' or '.join(pointers)})" for name, pointers in fields.items()]
        if not names:
            return None
        return f"{' or '.join(names)}{'' if self.fields[0].certain else ', going by the pointers in scope there'}"


def _lines_of(place: Place | None) -> list[dict[str, object]] | None:
    return [asdict(line) for line in place.lines] if place is not None else None


class Symbols:
    """Files with symbols, read when a crash asks for them.

    Args:
        paths: of ``.ko`` files with DWARF and of ``vmlinux``.
        budget_s: how long one crash may take, in s.
    """

    def __init__(self, paths: Iterable[Path], budget_s: float = BUDGET_S) -> None:
        self._paths = tuple(paths)
        self._budget_s = budget_s
        self._files: list[SymbolFile] | None = None
        self._maps: dict[Path, SourceMap] = {}
        self._broken: list[str] = []

    def explain(self, crash: Crash) -> CrashSource:
        """What the symbols and the ``Code:`` line say of a crash. Never raises: what went wrong is in ``problems``."""
        problems: list[str] = []
        nothing: tuple[Instruction, ...] = ()
        code = _attempt(lambda: disassemble(crash), nothing, "the Code: line cannot be disassembled", problems)
        if not self._paths:
            return CrashSource(code=code, problems=tuple(problems))
        source = _attempt(lambda: self._explain(crash, code, problems), CrashSource(), "symbols", problems)
        return CrashSource(source.pc, source.lr, source.frames, source.fields, code, tuple(problems))

    def _explain(self, crash: Crash, code: Sequence[Instruction], problems: list[str]) -> CrashSource:
        deadline = Deadline(self._budget_s)
        files, refused = {}, []
        for opened in self._open():
            reason = _misfit(opened, crash)
            if reason is None:
                files[opened.module] = opened
            elif reason:
                refused.append((opened, reason))
        problems += self._broken
        problems += [f"{bad.path}: {reason}" for bad, reason in refused if bad.module not in files]

        def place(frame: Frame | None, *, exact: bool) -> Place | None:
            file = files.get(frame.module) if frame is not None else None
            if frame is None or file is None:
                return None
            what = f"{file.path}: {frame}"
            return _attempt(lambda: self._place(file, frame, deadline, exact=exact), None, what, problems)

        pc = place(crash.pc, exact=True)
        frames = []
        for index, frame in enumerate(crash.frames):
            exact = frame == crash.pc or (index > 0 and _ENTRY.fullmatch(crash.frames[index - 1].function) is not None)
            frames.append(pc if frame == crash.pc else place(frame, exact=exact))
        lr = place(crash.lr, exact=False)
        file = files.get(crash.pc.module) if crash.pc is not None else None
        found: list[FieldAt] = []
        if file is not None:
            what = f"{file.path}: the field at the faulting address"
            found = _attempt(lambda: self._fields(file, crash, code, deadline), [], what, problems)
        return CrashSource(pc, lr, tuple(frames), tuple(found[:MAX_FIELDS]))

    def _open(self) -> list[SymbolFile]:
        if self._files is None:
            self._files = []
            for path in self._paths:
                self._files += _attempt(partial(_opened, path), [], str(path), self._broken)
        return self._files

    def _map(self, file: SymbolFile) -> SourceMap:
        if file.path not in self._maps:
            self._maps[file.path] = SourceMap(file.dwarf)
        return self._maps[file.path]

    def _place(self, file: SymbolFile, frame: Frame, deadline: Deadline, *, exact: bool) -> Place | None:
        address = _address(file, frame, exact=exact)
        if address is None:
            return None
        scope = self._map(file).scope(address, deadline)
        lines = self._map(file).lines(scope, frame.function, deadline) if scope is not None else ()
        return Place(frame, lines) if lines else None

    def _fields(self, file: SymbolFile, crash: Crash, code: Sequence[Instruction], deadline: Deadline) -> list[FieldAt]:
        if crash.address is None or crash.address >= NULL_PAGE or crash.pc is None or crash.access == "execute":
            return []
        function = _function(file, crash.pc)
        if function is None or crash.pc.offset is None:
            return []
        scope = self._map(file).scope(function.start + crash.pc.offset, deadline)
        if scope is None:
            return []
        origin = origin_of(file, function, crash.pc.offset)
        base = register_number(file.arch, origin.register) if origin is not None else None
        return fields_at(
            file.dwarf,
            scope,
            crash.address,
            width=next((instruction.width for instruction in code if instruction.trapping), None),
            registers=registers_of(file.arch, crash.registers),
            origin=origin,
            base=base,
            deadline=deadline,
        )


def _opened(path: Path) -> list[SymbolFile]:
    return [SymbolFile(path)]


def _attempt(work: Callable[[], _T], otherwise: _T, what: str, problems: list[str]) -> _T:
    """Do what may fail in any way: files of symbols are made by many compilers, and read by a library."""
    try:
        return work()
    except SymbolError as error:
        problem = str(error)
    except ImportError as error:
        problem = f"{what}: {error.name or error} is not installed: pip install pyelftools capstone"
    except Exception as error:  # noqa: BLE001
        problem = f"{what}: cannot be read: {type(error).__name__}: {error}"
    if problem not in problems:
        problems.append(problem)
    return otherwise


def _function(file: SymbolFile, frame: Frame) -> Function | None:
    """The one function of the file that a frame names; None where there are several, or none."""
    fitting = [function for function in file.functions.get(frame.function, []) if _fits(function, frame)]
    return fitting[0] if len({function.start for function in fitting}) == 1 else None


def _address(file: SymbolFile, frame: Frame, *, exact: bool) -> int | None:
    """Where a frame is in the file; None where it names no one place."""
    function = _function(file, frame)
    if function is None or frame.offset is None:
        return None
    return function.start + frame.offset - (0 if exact or frame.offset == 0 else 1)


def _fits(function: Function, frame: Frame) -> bool:
    return frame.size is None or function.has_size(frame.size)


def _misfit(file: SymbolFile, crash: Crash) -> str | None:
    """Why a file is not what crashed; None if it fits, empty if the crash has nothing of it.

    One frame of several that does not fit is a damaged line of the log; the pc decides.
    """
    printed = [
        frame for frame in (crash.pc, crash.lr, *crash.frames) if frame is not None and frame.module == file.module
    ]
    frames = list(dict.fromkeys(frame for frame in printed if frame.size is not None))
    if not frames:
        return ""
    arch = architecture(crash)
    if arch is not None and arch != file.arch:
        return f"does not fit the crash: it is for {file.arch}, and this is {arch}"
    wrong = [
        frame
        for frame in frames
        if not any(_fits(function, frame) for function in file.functions.get(frame.function, []))
    ]
    if not wrong or (2 * len(wrong) < len(frames) and crash.pc not in wrong):
        return None
    frame = wrong[0]
    has = file.functions.get(frame.function)
    if has is None:
        what = f"it has no function {frame.function}"
    else:
        sizes = " or ".join(f"{function.until or function.size:#x}" for function in has)
        what = f"{frame.function} has {frame.size:#x} bytes in the crash and {sizes} in the file"
    built = (
        f"; it was built for {file.release}, and the kernel is {crash.kernel}" if file.release and crash.kernel else ""
    )
    return f"does not fit the crash: {what}{built}; give the file of the very build that was loaded"
