"""What DWARF says of an address: its place in the source, inlined functions, and what is in scope there."""

from __future__ import annotations

import posixpath
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pytest_shepherd_hil.kernel.elf import SymbolError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from elftools.dwarf.compileunit import CompileUnit
    from elftools.dwarf.die import DIE
    from elftools.dwarf.dwarfinfo import DWARFInfo
    from elftools.dwarf.lineprogram import LineProgram

__all__ = ["Deadline", "Scope", "SourceLine", "SourceMap", "name_of"]

MAX_INLINED = 32
MAX_SHOWN = 60
"""Characters of a path; of a longer one only its last parts are shown."""
SHOWN_PARTS = 3


class Deadline:
    """How long reading symbols may take: past it, each further step raises :class:`SymbolError`."""

    def __init__(self, budget_s: float) -> None:
        self._budget_s = budget_s
        self._end = time.monotonic() + budget_s

    def check(self) -> None:
        if time.monotonic() > self._end:
            raise SymbolError(f"reading symbols was given up after {self._budget_s:g} s")


@dataclass(slots=True, frozen=True)
class SourceLine:
    """A line of source, and the function it is in."""

    function: str
    file: str
    """As the compiler was called: relative to its working directory, or absolute."""
    line: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"

    @property
    def short(self) -> str:
        """The same without the beginning of a long absolute path."""
        if len(self.file) <= MAX_SHOWN or not self.file.startswith("/"):
            return str(self)
        return f"…/{'/'.join(self.file.split('/')[-SHOWN_PARTS:])}:{self.line}"


@dataclass(slots=True, frozen=True)
class Scope:
    """Where in the tree of a compile unit an address is: from the unit itself to the innermost block around it."""

    unit: CompileUnit
    blocks: tuple[DIE, ...]
    address: int


class SourceMap:
    """The DWARF of a file, asked for single addresses: only the compile units that are asked for are read."""

    def __init__(self, dwarf: DWARFInfo) -> None:
        self._dwarf = dwarf
        self._rows: dict[int, list[tuple[int, int, int, int]]] = {}
        self._spans: list[tuple[int, int, CompileUnit]] | None = None

    def scope(self, address: int, deadline: Deadline) -> Scope | None:
        """The blocks around an address; None where no compile unit has it."""
        unit = self._unit(address, deadline)
        if unit is None:
            return None
        blocks = []
        block: DIE | None = unit.get_top_DIE()
        while block is not None:
            deadline.check()
            blocks.append(block)
            inner = (child for child in self._parts(block, deadline) if self._covers(child, address))
            block = next(inner, None)
        return Scope(unit, tuple(blocks), address)

    def lines(self, scope: Scope, function: str, deadline: Deadline) -> tuple[SourceLine, ...]:
        """The place of an address, innermost first: where it is inlined, then where that was called from, …

        Args:
            function: that it is in, for code of which the compiler has told no more than the lines.
        """
        program = self._dwarf.line_program_for_CU(scope.unit)
        if program is None:
            return ()
        row = self._row(scope.unit, program, scope.address, deadline)
        if row is None:
            return ()
        files = _Files(scope.unit, program)
        file, line = row
        found = []
        for block in reversed(scope.blocks):
            if block.tag not in ("DW_TAG_subprogram", "DW_TAG_inlined_subroutine"):
                continue
            found.append(SourceLine(name_of(block) or "?", files.name(file), line))
            if block.tag == "DW_TAG_subprogram" or len(found) == MAX_INLINED:
                break
            file, line = _number(block, "DW_AT_call_file"), _number(block, "DW_AT_call_line")
        return tuple(found) or (SourceLine(function, files.name(file), line),)

    # --- compile units and blocks

    def _unit(self, address: int, deadline: Deadline) -> CompileUnit | None:
        aranges = self._dwarf.get_aranges()
        offset = aranges.cu_offset_at_addr(address) if aranges is not None and aranges.entries else None
        if offset is not None:
            return self._dwarf.get_CU_at(offset)
        if self._spans is None:  # without .debug_aranges, as clang leaves it out
            self._spans = [span for unit in self._dwarf.iter_CUs() for span in self._unit_spans(unit, deadline)]
        return next((unit for low, high, unit in self._spans if low <= address < high), None)

    def _unit_spans(self, unit: CompileUnit, deadline: Deadline) -> list[tuple[int, int, CompileUnit]]:
        deadline.check()
        return [(low, high, unit) for low, high in self._ranges(unit.get_top_DIE())]

    def _parts(self, block: DIE, deadline: Deadline) -> Iterator[DIE]:
        wanted: tuple[str, ...] = ("DW_TAG_inlined_subroutine", "DW_TAG_lexical_block")
        if block.tag == "DW_TAG_compile_unit":
            wanted = ("DW_TAG_subprogram",)
        for child in block.iter_children():
            if child.tag in wanted:
                deadline.check()
                yield child

    def _covers(self, block: DIE, address: int) -> bool:
        return any(low <= address < high for low, high in self._ranges(block))

    def _ranges(self, block: DIE) -> list[tuple[int, int]]:
        unit: Any = block.cu
        low = block.attributes.get("DW_AT_low_pc")
        high = block.attributes.get("DW_AT_high_pc")
        if low is not None and high is not None:
            end = high.value if high.form == "DW_FORM_addr" else low.value + high.value
            return [(low.value, end)]
        ranges = block.attributes.get("DW_AT_ranges")
        lists = self._dwarf.range_lists()
        if ranges is None or lists is None:
            return []
        base = _number(block.cu.get_top_DIE(), "DW_AT_low_pc")
        found = []
        entry: Any
        for entry in lists.get_range_list_at_offset(ranges.value, unit):
            if hasattr(entry, "base_address"):
                base = entry.base_address
            else:
                shift = 0 if entry.is_absolute else base
                found.append((entry.begin_offset + shift, entry.end_offset + shift))
        return found

    # --- lines

    def _row(self, unit: CompileUnit, program: LineProgram, address: int, deadline: Deadline) -> tuple[int, int] | None:
        """File and line of an address, from the line table."""
        rows = self._rows.get(unit.cu_offset)
        if rows is None:
            rows = []
            before = None
            for entry in program.get_entries():
                state = entry.state
                if state is None:
                    continue
                if before is not None and before.address < state.address:
                    rows.append((before.address, state.address, before.file, before.line))
                before = None if state.end_sequence else state
            self._rows[unit.cu_offset] = rows
            deadline.check()
        return next(((file, line) for low, high, file, line in rows if low <= address < high), None)


class _Files:
    """The file table of a line program."""

    def __init__(self, unit: CompileUnit, program: LineProgram) -> None:
        self._header = program.header
        self._first = 0 if program.header["version"] >= 5 else 1
        folder = unit.get_top_DIE().attributes.get("DW_AT_comp_dir")
        self._folder = _text(folder.value) if folder is not None else ""

    def name(self, index: int) -> str:
        entries = self._header["file_entry"]
        if not 0 <= index - self._first < len(entries):
            return "?"
        entry = entries[index - self._first]
        path = posixpath.join(self._directory(entry.dir_index), _text(entry.name))
        path = posixpath.normpath(posixpath.join(self._folder, path))
        inside = self._folder.rstrip("/") + "/"
        return path[len(inside) :] if self._folder and path.startswith(inside) else path

    def _directory(self, index: int) -> str:
        directories = self._header["include_directory"]
        if self._first:
            index -= 1
        return _text(directories[index]) if 0 <= index < len(directories) else ""


def name_of(die: DIE) -> str | None:
    """The name of a function, variable or type, also where another entry has it."""
    for _ in range(8):
        name = die.attributes.get("DW_AT_name")
        if name is not None:
            return _text(name.value)
        for reference in ("DW_AT_abstract_origin", "DW_AT_specification"):
            if reference in die.attributes:
                die = die.get_DIE_from_attribute(reference)
                break
        else:
            return None
    return None


def _number(die: DIE, attribute: str) -> int:
    found = die.attributes.get(attribute)
    return found.value if found is not None and isinstance(found.value, int) else 0


def _text(value: object) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
