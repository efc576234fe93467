"""The ``Code:`` line of a crash, disassembled: ARM, Thumb, ARM64, x86. Needs no file of symbols."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pytest_shepherd_hil.kernel.incident import Crash

__all__ = ["Instruction", "architecture", "disassemble", "engine_for"]

MAX_BYTES = 256
_WORD = re.compile(r"([(<]?)([0-9a-fA-F]{2}|[0-9a-fA-F]{4}|[0-9a-fA-F]{8})[)>]?")
_THUMB = 1 << 5
_ARM_WIDTHS = {"b": 1, "sb": 1, "h": 2, "sh": 2, "d": 8}


@dataclass(slots=True, frozen=True)
class Instruction:
    """One instruction of a ``Code:`` line."""

    offset: int
    """Bytes from the trapping instruction; negative for those before it."""
    raw: str
    """Its bytes in hex, in words as the kernel prints them."""
    text: str
    """In assembler."""
    trapping: bool
    width: int | None = None
    """Bytes that the instruction reads or writes in memory, where that is plain."""

    def __str__(self) -> str:
        return f"{self.raw:<12} {self.text}{'    <-- trapped here' if self.trapping else ''}"


def architecture(crash: Crash) -> str | None:
    """``arm``, ``arm64``, ``x86-64`` or ``x86-32``, as the names of registers show it; None if they do not."""
    names = {name.lower() for name, _ in crash.registers}
    if names & {"rip", "rax", "rsp"}:
        return "x86-64"
    if names & {"eip", "eax", "esp"}:
        return "x86-32"
    if names & {"x0", "x29", "pstate"}:
        return "arm64"
    if names & {"psr", "r0", "ip", "fp"} and not names & {"gp", "ra", "GPR00", "epc"}:
        return "arm"
    return None


def disassemble(crash: Crash) -> tuple[Instruction, ...]:
    """The ``Code:`` line's instructions; empty where there is none, or none that is whole.

    Raises:
        ImportError: capstone is not installed.
    """
    arch = architecture(crash)
    words = _words(crash.code or "")
    trap = next((index for index, (marked, _) in enumerate(words) if marked), None)
    if arch is None or trap is None:
        return ()
    size = len(words[trap][1])
    if any(len(word) != size for _, word in words) or size != {"arm": size, "arm64": 8}.get(arch, 2):
        return ()
    if arch.startswith("x86"):
        code = bytes.fromhex("".join(word for _, word in words))
        return _x86(code, trap, arch)
    psr = dict(crash.registers).get("psr", _THUMB if size == 4 else 0)
    thumb = arch == "arm" and bool(psr & _THUMB)
    if arch == "arm" and size != (4 if thumb else 8):
        return ()
    code = b"".join(bytes.fromhex(word)[::-1] for _, word in words)
    pc = dict(crash.registers).get("pc", 0) & ~1
    return _words_of(code, trap * size // 2, arch, pc, thumb=thumb)


def _words(code: str) -> list[tuple[bool, str]]:
    """The words of the line, and which one is marked; empty where any of them is damaged."""
    matches = [_WORD.fullmatch(word) for word in code.split()[:MAX_BYTES]]
    return [(bool(match[1]), match[2]) for match in matches if match] if all(matches) else []


@cache
def engine_for(arch: str, *, thumb: bool = False, over_data: bool = False) -> Any:
    """A disassembler that tells details of operands; ``over_data`` if it is to go on behind what is no code."""
    import capstone as cs  # type: ignore[import-untyped]

    arm = cs.CS_MODE_THUMB if thumb else cs.CS_MODE_ARM
    engine = cs.Cs(
        *{
            "arm": (cs.CS_ARCH_ARM, arm),
            "arm64": (cs.CS_ARCH_ARM64, cs.CS_MODE_ARM),
            "x86-64": (cs.CS_ARCH_X86, cs.CS_MODE_64),
            "x86-32": (cs.CS_ARCH_X86, cs.CS_MODE_32),
        }[arch]
    )
    engine.detail = True
    engine.skipdata = over_data
    return engine


def _words_of(code: bytes, trap: int, arch: str, pc: int, *, thumb: bool) -> tuple[Instruction, ...]:
    """Code of fixed width, or Thumb, which is read so that the trapping instruction begins where it is marked."""
    engine = engine_for(arch, thumb=thumb)
    unit = 2 if thumb else 4
    start = 0
    if thumb:
        starts = range(0, trap + 1, unit)
        start = next((start for start in starts if _reaches(engine, code, start, trap)), trap)
    found: list[Instruction] = []
    position = start
    while position < len(code):
        decoded = next(engine.disasm(code[position:], max(pc + position - trap, 0), 1), None)
        length = decoded.size if decoded else unit
        halves = [code[at : at + unit][::-1].hex() for at in range(position, position + length, unit)]
        text = (
            _text(decoded, None if pc else max(position - trap, 0) - (position - trap))
            if decoded
            else f".word 0x{code[position : position + unit][::-1].hex()}"
        )
        width = _width(decoded, arch) if decoded else None
        found.append(Instruction(position - trap, " ".join(halves), text, position == trap, width))
        position += length
    return tuple(found)


def _x86(code: bytes, trap: int, arch: str) -> tuple[Instruction, ...]:
    """Instructions of any length: those before the trapping one are read from where they end right at it."""
    engine = engine_for(arch)
    start = next((start for start in range(trap + 1) if _reaches(engine, code, start, trap)), trap)
    found = []
    for decoded in engine.disasm(code[start:], start):
        offset = decoded.address - trap
        text, width = _text(decoded, trap), _width(decoded, arch)
        found.append(Instruction(offset, decoded.bytes.hex(" "), text, offset == 0, width))
    if not any(instruction.trapping for instruction in found):
        found.append(Instruction(0, code[trap : trap + 8].hex(" "), "(bad)", trapping=True))
    return tuple(found)


def _reaches(engine: Any, code: bytes, start: int, trap: int) -> bool:
    position = start
    for _, size, _, _ in engine.disasm_lite(code[start:trap], 0):
        position += size
    return position == trap


def _text(decoded: Any, trap: int | None = None) -> str:
    """The instruction in assembler; where only the trapping one's place is known, jumps are told relative to that."""
    import capstone as cs

    operands = decoded.op_str
    if trap is not None and decoded.operands and {cs.CS_GRP_JUMP, cs.CS_GRP_CALL} & set(decoded.groups):
        last = decoded.operands[-1]
        if last.type == cs.CS_OP_IMM:
            distance = (last.imm - trap + (1 << 63)) % (1 << 64) - (1 << 63)
            operands = f"{operands.rpartition(',')[0]}{', ' if ',' in operands else ''}trap{distance:+#x}"
    return f"{decoded.mnemonic} {operands}".strip()


def _width(decoded: Any, arch: str) -> int | None:
    import capstone as cs

    if arch.startswith("x86"):
        sizes = [operand.size for operand in decoded.operands if operand.type == cs.CS_OP_MEM]
        return sizes[0] if sizes else None
    match = re.fullmatch(
        r"(?:ld|st)u?r(sb|sh|b|h|d)?(?:eq|ne|cs|cc|mi|pl|vs|vc|hi|ls|ge|lt|gt|le)?(?:\.w)?", decoded.mnemonic
    )
    if match is None:
        return None
    if match[1]:
        return _ARM_WIDTHS[match[1]]
    return 8 if arch == "arm64" and decoded.op_str.startswith("x") else 4
