"""Which field a NULL pointer was to be followed to: what is in scope at the crash, and what lies at the offset."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pytest_shepherd_hil.kernel.dwarf import name_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from elftools.dwarf.die import DIE
    from elftools.dwarf.dwarfinfo import DWARFInfo

    from pytest_shepherd_hil.kernel.dwarf import Deadline, Scope
    from pytest_shepherd_hil.kernel.loads import Origin

__all__ = ["FieldAt", "fields_at", "register_number", "registers_of"]

MAX_DEPTH = 16
_OP_REG0 = 0x50
_ALIASES = ("DW_TAG_typedef", "DW_TAG_const_type", "DW_TAG_volatile_type", "DW_TAG_restrict_type", "DW_TAG_atomic_type")
_RECORDS = ("DW_TAG_structure_type", "DW_TAG_union_type", "DW_TAG_class_type")
_ARM = (*(f"r{number}" for number in range(11)), "fp", "ip", "sp", "lr", "pc")
_X86_64 = ("AX", "DX", "CX", "BX", "SI", "DI", "BP", "SP")
_REGISTERS: Mapping[str, tuple[str, ...]] = {
    "arm": _ARM,
    "arm64": tuple(f"x{number}" for number in range(31)),
    "x86-64": (*(f"R{name}" for name in _X86_64), *(f"R{number:02d}" for number in range(8, 16))),
    "x86-32": ("EAX", "ECX", "EDX", "EBX", "ESP", "EBP", "ESI", "EDI"),
}
"""The kernel's names of registers by their numbers in DWARF."""


@dataclass(slots=True, frozen=True)
class FieldAt:
    """A field at the offset, and the pointer through which it would be reached.

    Attributes:
        pointer: the pointer in C: ``shared_mem``, or ``device->regs``.
        path: the field below it: ``pru0_msg_outbox.unread``.
        struct: the type that the pointer points to, ``struct shared_mem``.
        offset: of the field in the struct, in bytes.
        certain: the code says that it was this pointer, and no other in scope.
    """

    pointer: str
    path: str
    struct: str
    offset: int
    certain: bool


def registers_of(arch: str, registers: tuple[tuple[str, int], ...]) -> dict[int, int]:
    """What the registers held, by their numbers in DWARF."""
    names = {name.upper(): value for name, value in registers}
    found = {}
    for number, name in enumerate(_REGISTERS[arch]):
        alternatives = (name.upper(), f"R{number}") if arch != "x86-32" else (name,)
        value = next((names[known] for known in alternatives if known in names), None)
        if value is not None:
            found[number] = value
    return found


def register_number(arch: str, name: str) -> int | None:
    """The number in DWARF of a register, ``r0``, ``x0``, ``rax``."""
    match = re.fullmatch(r"[rx](\d+)", name)
    if match and (arch != "x86-64" or int(match[1]) >= 8):
        return int(match[1])
    names = [known.lower() for known in _REGISTERS[arch]]
    return names.index(name) if name in names else None


def fields_at(
    dwarf: DWARFInfo,
    scope: Scope,
    offset: int,
    *,
    width: int | None,
    registers: Mapping[int, int],
    origin: Origin | None,
    base: int | None,
    deadline: Deadline,
) -> list[FieldAt]:
    """The fields at an offset from a NULL pointer, of what is in scope.

    What the code says of the pointer decides: it was a variable in the register that was used, or that register had
    been loaded from a variable or from a member of a struct. Otherwise all pointers in scope count but those whose
    register held something else; where none of them fits, also pointers in what is in scope.

    Args:
        width: bytes of the access, where known: a field of another size is another one.
        registers: by their numbers in DWARF, as they were at this address.
        origin: where the pointer came from, as far as the code says.
        base: the number in DWARF of the register that held the pointer; None if that is not known.
    """
    known = [(variable, *_held(dwarf, scope, variable, registers)) for variable in _variables(scope, deadline)]
    proven = [variable for variable, register, value in known if value == 0 and (base is None or register == base)]
    found = [field for variable in proven for field in _behind(variable, offset, width, certain=True)]
    if not found and origin is not None and origin.address is not None:
        found = [
            field for variable, _, _ in known for field in _behind_address(variable, origin.address, offset, width)
        ]
    others = [variable for variable, _, value in known if value != 0]
    if not found and origin is not None and origin.member is not None:
        found = [field for each in others for field in _behind_members(each, offset, width, deadline, origin.member)]
    if not found:
        possible = [variable for variable, _, value in known if value is None]
        found = [field for each in possible for field in _behind(each, offset, width, certain=False)]
    if not found:
        found = [field for variable in others for field in _behind_members(variable, offset, width, deadline)]
    return _distinct(found)


def _distinct(found: list[FieldAt]) -> list[FieldAt]:
    return list({(field.pointer, field.path): field for field in found}.values())


# --- what is in scope


def _variables(scope: Scope, deadline: Deadline) -> Iterator[DIE]:
    """Parameters and variables, innermost first; of the file those too."""
    hidden: set[str | None] = {None}
    for block in reversed(scope.blocks):
        for child in block.iter_children():
            if child.tag in ("DW_TAG_formal_parameter", "DW_TAG_variable"):
                deadline.check()
                name = name_of(child)
                if name not in hidden:
                    hidden.add(name)
                    yield child


def _held(dwarf: DWARFInfo, scope: Scope, variable: DIE, registers: Mapping[int, int]) -> tuple[int | None, int | None]:
    """The register that a variable was in, and what it held; None where that is not known."""
    operations = _location(dwarf, scope, variable)
    if len(operations) == 1 and operations[0].op_name.startswith("DW_OP_reg"):
        number = operations[0].args[0] if operations[0].args else operations[0].op - _OP_REG0
        return number, registers.get(number)
    return None, None


def _location(dwarf: DWARFInfo | None, scope: Scope | None, variable: DIE) -> list[Any]:
    """The operations that tell where a variable is; without a place in the code, only of one that is always there."""
    from elftools.dwarf.dwarf_expr import DWARFExprParser

    location = variable.attributes.get("DW_AT_location")
    if location is None:
        return []
    expression: Any = location.value
    if not location.form.startswith(("DW_FORM_exprloc", "DW_FORM_block")):
        expression = (
            _valid_at(dwarf, scope, variable, location.value) if dwarf is not None and scope is not None else None
        )
    return DWARFExprParser(variable.cu.structs).parse_expr(expression) if expression else []


def _valid_at(dwarf: DWARFInfo, scope: Scope, variable: DIE, offset: int) -> list[int] | None:
    lists = dwarf.location_lists()
    if lists is None:
        return None
    low = scope.unit.get_top_DIE().attributes.get("DW_AT_low_pc")
    base = low.value if low is not None else 0
    entry: Any
    for entry in lists.get_location_list_at_offset(offset, variable):
        if hasattr(entry, "base_address"):
            base = entry.base_address
        elif hasattr(entry, "loc_expr") and hasattr(entry, "begin_offset"):
            shift = 0 if entry.is_absolute else base
            if entry.begin_offset + shift <= scope.address < entry.end_offset + shift:
                return list(entry.loc_expr)
    return None


# --- what lies behind a pointer


def _behind(variable: DIE, offset: int, width: int | None, *, certain: bool) -> Iterator[FieldAt]:
    target = _pointee(_type(variable))
    if target is not None:
        for path in _fields_of(target, offset, width):
            yield FieldAt(name_of(variable) or "?", path, _named(target), offset, certain)


def _behind_address(variable: DIE, address: int, offset: int, width: int | None) -> Iterator[FieldAt]:
    """Fields behind a pointer in memory: a variable, or a member of a variable that is a struct."""
    operations = _location(None, None, variable)
    if len(operations) != 1 or operations[0].op_name != "DW_OP_addr":
        return
    start = operations[0].args[0]
    kind = _type(variable)
    if start == address:
        yield from _behind(variable, offset, width, certain=True)
    if kind is None or kind.tag not in _RECORDS or not start <= address < start + _size(kind):
        return
    for member in _definition(kind).iter_children():
        target = _pointee(_type(member)) if member.tag == "DW_TAG_member" else None
        if target is not None and _start(member) == address - start:
            for path in _fields_of(target, offset, width):
                yield FieldAt(f"{name_of(variable)}.{name_of(member)}", path, _named(target), offset, certain=True)


def _behind_members(
    variable: DIE, offset: int, width: int | None, deadline: Deadline, at: int | None = None
) -> Iterator[FieldAt]:
    """Fields behind pointers that are members of a struct, or of the struct that a pointer points to.

    Args:
        at: the member's offset, where only one comes into question.
    """
    kind = _type(variable)
    target = _pointee(kind)
    record, arrow = (target, "->") if target is not None else (kind, ".")
    if record is None or record.tag not in _RECORDS:
        return
    for member in _definition(record).iter_children():
        deadline.check()
        inner = _pointee(_type(member)) if member.tag == "DW_TAG_member" else None
        if inner is not None and at in (None, _start(member)):
            for path in _fields_of(inner, offset, width):
                pointer = f"{name_of(variable)}{arrow}{name_of(member)}"
                yield FieldAt(pointer, path, _named(inner), offset, certain=False)


def _type(die: DIE) -> DIE | None:
    """The type of something, without its typedefs and qualifiers."""
    for _ in range(MAX_DEPTH):
        if "DW_AT_type" in die.attributes:
            die = die.get_DIE_from_attribute("DW_AT_type")
            if die.tag not in _ALIASES:
                return die
        elif "DW_AT_abstract_origin" in die.attributes:
            die = die.get_DIE_from_attribute("DW_AT_abstract_origin")
        elif "DW_AT_specification" in die.attributes:
            die = die.get_DIE_from_attribute("DW_AT_specification")
        else:
            return None
    return None


def _pointee(kind: DIE | None) -> DIE | None:
    """The struct or union that a pointer points to."""
    if kind is None or kind.tag != "DW_TAG_pointer_type":
        return None
    target = _type(kind)
    return target if target is not None and target.tag in _RECORDS else None


def _named(record: DIE) -> str:
    word = "union" if record.tag == "DW_TAG_union_type" else "struct"
    return f"{word} {name_of(record) or '(anonymous)'}"


def _definition(record: DIE) -> DIE:
    """A struct with its members, where the unit only declares it at this place."""
    if "DW_AT_declaration" not in record.attributes:
        return record
    name = name_of(record)
    for other in record.cu.get_top_DIE().iter_children():
        if other.tag == record.tag and "DW_AT_declaration" not in other.attributes and name_of(other) == name:
            return other
    return record


def _fields_of(record: DIE, offset: int, width: int | None) -> list[str]:
    """The fields of a struct at an offset: those of the access's width, or else all."""
    return (_paths(record, offset, width) if width else []) or _paths(record, offset, None)


def _paths(record: DIE, offset: int, width: int | None, depth: int = 0) -> list[str]:
    """The fields of a struct that begin at an offset, members of members included: ``outbox.unread``."""
    found = []
    if depth > MAX_DEPTH:
        return []
    for member in _definition(record).iter_children():
        if member.tag != "DW_TAG_member":
            continue
        kind = _type(member)
        start = _start(member)
        size = _size(kind)
        if kind is None or not start <= offset < start + size:
            continue
        name = name_of(member)
        inner = _inside(kind, offset - start, width, depth + 1)
        found += [f"{name}{below}" if name else below.removeprefix(".") for below in inner]
    return found


def _inside(kind: DIE, offset: int, width: int | None, depth: int) -> list[str]:
    if depth > MAX_DEPTH:
        return []
    if kind.tag in _RECORDS:
        return [f".{path}" for path in _paths(kind, offset, width, depth)]
    if kind.tag == "DW_TAG_array_type":
        element = _type(kind)
        size = _size(element)
        if element is None or size == 0:
            return []
        return [f"[{offset // size}]{below}" for below in _inside(element, offset % size, width, depth + 1)]
    if width is not None:
        return [""] if offset == 0 and width == _size(kind) else []
    return [f" (byte {offset})" if offset else ""]


def _start(member: DIE) -> int:
    for attribute, bits in (("DW_AT_data_member_location", 1), ("DW_AT_data_bit_offset", 8)):
        found = member.attributes.get(attribute)
        if found is not None and isinstance(found.value, int):
            return int(found.value) // bits
    return 0


def _size(kind: DIE | None, depth: int = 0) -> int:
    """In bytes; 0 where it is not known."""
    if kind is None or depth > MAX_DEPTH:
        return 0
    size = kind.attributes.get("DW_AT_byte_size")
    if size is not None:
        return int(size.value)
    if kind.tag in _RECORDS:
        other = _definition(kind)
        return int(other.attributes["DW_AT_byte_size"].value) if "DW_AT_byte_size" in other.attributes else 0
    if kind.tag == "DW_TAG_pointer_type":
        return int(kind.cu.header["address_size"])
    if kind.tag != "DW_TAG_array_type":
        return 0
    total = _size(_type(kind), depth + 1)
    for dimension in kind.iter_children():
        if dimension.tag == "DW_TAG_subrange_type":
            total *= _length(dimension)
    return total


def _length(dimension: DIE) -> int:
    count, last = dimension.attributes.get("DW_AT_count"), dimension.attributes.get("DW_AT_upper_bound")
    if count is not None and isinstance(count.value, int):
        return int(count.value)
    if last is not None and isinstance(last.value, int):
        return min(int(last.value) + 1, 1 << 31)
    return 0
