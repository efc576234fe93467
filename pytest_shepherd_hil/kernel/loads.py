"""Where the pointer of the trapping instruction came from, read from the code before it: straight, or not at all."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pytest_shepherd_hil.kernel.disassembly import engine_for

if TYPE_CHECKING:
    from pytest_shepherd_hil.kernel.elf import Function, SymbolFile

__all__ = ["Origin", "origin_of"]

_LOADS = ("mov", "ldr", "ldr.w", "ldur", "ldrd", "ldp")
_OF_TWO = {"ldrd": 4, "ldp": 8}
"""Loads of two registers, and how far the second lies behind the first."""
LOOKED_AT = 40
"""Instructions before the trapping one that are looked at."""
_NAMES = {"sb": "r9", "sl": "r10", "fp": "r11", "ip": "r12"}
_CALLS_KEEP = re.compile(r"r(?:[4-9]|1[01])|x(?:19|2\d)|rbx|rbp|r1[2-5]|ebx|esi|edi|ebp")
_X86_FAMILY = re.compile(r"[re]?(?P<pair>[abcd]x|si|di|bp|sp)|(?P<byte>[abcd])[lh]|r(?P<number>\d+)[dwb]?")
_PC_RELATIVE = {2, 4}  # R_X86_64_PC32, R_X86_64_PLT32
_ADDRESSES = {
    "arm": {2, 43, 44, 47, 48},  # ABS32, MOVW_ABS_NC, MOVT_ABS, and the two for Thumb
    "arm64": {275, 277, 284, 285, 286},  # ADR_PREL_PG_HI21, ADD_ABS_LO12_NC, LDST16/32/64_ABS_LO12_NC
    "x86-64": {2, 4, 10, 11},
    "x86-32": {1},
}
"""For each architecture the types of relocation that put the address of data into code."""


@dataclass(slots=True, frozen=True)
class Origin:
    """What the trapping instruction read or wrote through.

    Attributes:
        register: that held the pointer, as in ``r0``, ``x0``, ``rax``.
        address: of the variable that the register had been loaded from, in the file's layout; None if not known.
        member: the offset in a struct, reached by another pointer, that the register had been loaded from.
    """

    register: str
    address: int | None = None
    member: int | None = None


def origin_of(file: SymbolFile, function: Function, offset: int) -> Origin | None:
    """The origin of the pointer of the instruction at an offset in a function; None where it has no plain one."""
    code = _Code(file, function, offset)
    base, _ = code.memory(code.trap)
    if base is None:
        return None
    at = code.writer(base, code.trap)
    if at is None or not code.is_load(at):
        return Origin(base)
    source, displacement = code.memory(at)
    address = code.target(at)
    if address is not None:
        return Origin(base, address)
    if source is None:
        return Origin(base)
    if file.arch == "arm" and source == "pc":  # the address of the variable itself: it is no pointer that was NULL
        return Origin(base)
    displacement += code.behind_first(at, base)
    start = code.address_in(source, at)
    return Origin(base, start + displacement) if start is not None else Origin(base, member=displacement)


class _Code:
    """The instructions of a function up to the trapping one."""

    def __init__(self, file: SymbolFile, function: Function, offset: int) -> None:
        self._file = file
        self._arch = file.arch
        self._thumb = function.thumb
        self._engine = engine_for(file.arch, thumb=function.thumb, over_data=True)
        code = file.code(function.start, offset + 16)
        self._code = [
            each for each in self._engine.disasm(code, function.start) if each.address <= function.start + offset
        ]
        self.trap = len(self._code) - 1 if self._code and self._code[-1].address == function.start + offset else -1
        self._relocations = file.relocations(function.start, function.start + max(function.size, offset + 16))

    def name(self, register: int) -> str:
        name = str(self._engine.reg_name(register) or "")
        if self._arch == "arm64":
            return re.sub(r"^w(\d+)$", r"x\1", {"fp": "x29", "lr": "x30"}.get(name, name))
        if self._arch == "arm":
            return _NAMES.get(name, name)
        match = _X86_FAMILY.fullmatch(name)
        if match is None:
            return name
        if match["number"]:
            return f"r{match['number']}"
        return ("r" if self._arch == "x86-64" else "e") + (match["pair"] or f"{match['byte']}x")

    def memory(self, at: int) -> tuple[str | None, int]:
        """Base register and displacement of an instruction's access; no register where there is none, or an index."""
        import capstone as cs  # type: ignore[import-untyped]

        if at < 0:
            return None, 0
        for operand in getattr(self._code[at], "operands", []):
            if operand.type == cs.CS_OP_MEM and operand.mem.base and not operand.mem.index:
                return self.name(operand.mem.base), int(operand.mem.disp)
        return None, 0

    def is_load(self, at: int) -> bool:
        """Whether an instruction loads a pointer from memory."""
        return self._code[at].mnemonic in _LOADS and (self.memory(at)[0] is not None or self.target(at) is not None)

    def behind_first(self, at: int, register: str) -> int:
        """How far behind its address an instruction loads a register from."""
        each = self._code[at]
        apart = _OF_TWO.get(each.mnemonic, 0)
        return apart if apart and self.name(each.operands[0].reg) != register else 0

    def writer(self, register: str, before: int) -> int | None:
        """The last instruction before one that writes a register; None where a call or a jump target hides it."""
        import capstone as cs

        for at in range(before - 1, max(before - 1 - LOOKED_AT, -1), -1):
            each = self._code[at]
            if each.id == 0:  # data
                return None
            if cs.CS_GRP_CALL in each.groups or each.mnemonic in ("bl", "blx", "call"):
                if not _CALLS_KEEP.fullmatch(register):
                    return None
                continue
            if register in {self.name(written) for written in each.regs_access()[1]}:
                return at
        return None

    def target(self, at: int) -> int | None:
        """The address that an instruction refers to by a relocation, or relative to itself."""
        each = self._code[at]
        for place, kind, symbol, addend in self._relocations:
            if each.address <= place < each.address + each.size and kind in _ADDRESSES[self._arch] and symbol:
                if self._arch == "x86-64" and kind in _PC_RELATIVE:
                    return int(symbol + (addend or 0) + each.address + each.size - place)
                return symbol + (addend if addend is not None else self._immediate(each))
        if self._file.linked and self._arch == "x86-64":
            base, displacement = self.memory(at)
            return int(each.address + each.size + displacement) if base == "rip" else None
        return None

    def address_in(self, register: str, before: int) -> int | None:
        """The address that a register holds before an instruction, where the code says it."""
        at = self.writer(register, before)
        if at is None:
            return None
        each = self._code[at]
        if each.mnemonic.startswith("movt"):
            low = self.writer(register, at)
            if low is None or not self._code[low].mnemonic.startswith("movw"):
                return None
            if self._file.linked:
                return self._immediate(each) << 16 | self._immediate(self._code[low])
            return self.target(low)
        if self._arch == "arm" and each.mnemonic.startswith("ldr") and self.memory(at)[0] == "pc":
            ahead = 4 if self._thumb else 8
            return self._literal((each.address + ahead & ~3) + self.memory(at)[1])
        if self._file.linked and self._arch == "arm64" and each.mnemonic == "adrp":
            return self._immediate(each)
        return self.target(at) if self._arch != "arm" else None

    def _literal(self, place: int) -> int | None:
        value = int.from_bytes(self._file.code(place, 4), "little")
        if self._file.linked:
            return value
        for at, kind, symbol, addend in self._relocations:
            if at == place and kind in _ADDRESSES[self._arch] and symbol:
                return symbol + (addend if addend is not None else value)
        return None

    @staticmethod
    def _immediate(each: Any) -> int:
        import capstone as cs

        values = [operand.imm for operand in each.operands if operand.type == cs.CS_OP_IMM]
        if values:
            return int(values[0])
        return int(next((operand.mem.disp for operand in each.operands if operand.type == cs.CS_OP_MEM), 0))
