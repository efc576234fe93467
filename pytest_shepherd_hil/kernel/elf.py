"""Files with symbols: a kernel module (``.ko``) or ``vmlinux``, laid out so that each address is one place.

A module is not linked: all its sections begin at 0, and its DWARF is full of places still to be filled in. Here each
section gets addresses of its own, and the DWARF is filled in accordingly, in a copy in memory.
"""

from __future__ import annotations

import mmap
import struct
import zlib
from bisect import bisect_right
from dataclasses import dataclass
from functools import cached_property
from io import BytesIO
from typing import IO, TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from elftools.dwarf.dwarfinfo import DWARFInfo

__all__ = ["Function", "SymbolError", "SymbolFile"]

MAX_MODULE_BYTES = 1 << 28
MAX_BYTES = 1 << 32
ARCHITECTURES = {"EM_ARM": "arm", "EM_AARCH64": "arm64", "EM_X86_64": "x86-64", "EM_386": "x86-32"}
_FILLED = {
    "arm": {2: 4},  # R_ARM_ABS32
    "arm64": {257: 8, 258: 4},  # R_AARCH64_ABS64, R_AARCH64_ABS32
    "x86-64": {1: 8, 10: 4, 11: 4},  # R_X86_64_64, R_X86_64_32, R_X86_64_32S
    "x86-32": {1: 4},  # R_386_32
}
"""For each architecture the types of relocation in DWARF, all of them absolute, and how many bytes each fills in."""
_ALLOC, _EXEC, _COMPRESSED = 0x2, 0x4, 0x800
_SHT_REL, _SHT_RELA = 9, 4
_STT_FUNC, _STT_SECTION, _STT_FILE = 2, 3, 4
_PAGE = 0x1000


class SymbolError(ValueError):
    """A file of symbols cannot be used: says which, and why."""


@dataclass(slots=True, frozen=True)
class Function:
    """A function of the file.

    Attributes:
        start: its address in the file's layout.
        size: in bytes, as the symbol table says.
        until: bytes to the next symbol, which is what the kernel prints as size; None for the last of its section.
        thumb: whether it is Thumb code.
    """

    name: str
    start: int
    size: int
    until: int | None
    thumb: bool = False

    def has_size(self, printed: int) -> bool:
        """Whether the kernel may print this size for it."""
        if self.until is None:  # up to the next section, wherever the loader put that
            return self.size <= printed < self.size + _PAGE
        return printed in (self.size, self.until)


class SymbolFile:
    """A ``.ko`` or ``vmlinux``.

    Attributes:
        arch: ``arm``, ``arm64``, ``x86-64`` or ``x86-32``.
        module: name of the module; None for a kernel.
        release: of the kernel that a module was built for; None for a kernel.
        linked: whether it is a kernel, and not a module.
        functions: by name. Static functions may share one.

    Raises:
        SymbolError: it cannot be read, is no ELF file, or has no symbols.
    """

    def __init__(self, path: Path) -> None:
        from elftools.common.exceptions import ELFError
        from elftools.elf.elffile import ELFFile

        self.path = path
        try:
            if path.stat().st_size > MAX_BYTES:
                raise SymbolError(f"{path}: has more than {MAX_BYTES >> 30} GiB")
            with path.open("rb") as file:
                if file.read(4) != b"\x7fELF":
                    raise SymbolError(f"{path}: is no ELF file{_PACKED.get(path.suffix, '')}")
                self.linked = ELFFile(file)["e_type"] != "ET_REL"
            if not self.linked and path.stat().st_size > MAX_MODULE_BYTES:
                raise SymbolError(f"{path}: has more than {MAX_MODULE_BYTES >> 20} MiB")
            self._data = self._map() if self.linked else bytearray(path.read_bytes())
            self._elf = ELFFile(self._stream())
            self._read()
        except OSError as error:
            raise SymbolError(f"{path}: cannot be read: {error.strerror or error}") from error
        except (ELFError, struct.error, ValueError, LookupError, AttributeError, OverflowError, MemoryError) as error:
            if isinstance(error, SymbolError):
                raise
            raise SymbolError(f"{path}: is no ELF file that can be read: {_said(error)}") from error

    def _read(self) -> None:
        machine = self._elf["e_machine"]
        if machine not in ARCHITECTURES:
            raise SymbolError(f"{self.path}: is for {machine}; known are {', '.join(ARCHITECTURES.values())}")
        self.arch = ARCHITECTURES[machine]
        self._order = "<" if self._elf.little_endian else ">"
        self._wide = self._elf.elfclass == 64
        self._sections: list[Any] = [section.header for section in self._elf.iter_sections()]
        self._names = [section.name for section in self._elf.iter_sections()]
        self._base = self._lay_out()
        info = self._modinfo()
        self.module = info.get("name", self.path.name.partition(".")[0]).replace("-", "_") if not self.linked else None
        self.release = info.get("vermagic", "").partition(" ")[0] or None
        self.functions = self._read_functions()
        if not self.functions:
            raise SymbolError(f"{self.path}: has no symbols: it was stripped")

    def _map(self) -> mmap.mmap:
        with self.path.open("rb") as file:
            return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)

    def _stream(self) -> IO[bytes]:
        return cast("IO[bytes]", self._data) if isinstance(self._data, mmap.mmap) else BytesIO(self._data)

    def _lay_out(self) -> list[int]:
        """The address of each section."""
        if self.linked:
            return [0] * len(self._sections)
        base, free = [], _PAGE
        for header in self._sections:
            base.append(free if header["sh_flags"] & _ALLOC else 0)
            if header["sh_flags"] & _ALLOC:
                free += (header["sh_size"] // _PAGE + 2) * _PAGE
        return base

    def _content(self, index: int) -> bytes:
        header = self._sections[index]
        return bytes(self._data[header["sh_offset"] : header["sh_offset"] + header["sh_size"]])

    def _modinfo(self) -> dict[str, str]:
        if ".modinfo" not in self._names:
            return {}
        entries = self._content(self._names.index(".modinfo")).decode("utf-8", "replace").split("\0")
        return dict(entry.split("=", 1) for entry in entries if "=" in entry)

    # --- symbols

    @cached_property
    def _symbols(self) -> list[tuple[int, int, int, int, int, bool]]:
        """Of each symbol: name, type, section, address, size, and whether it is Thumb code."""
        if ".symtab" not in self._names:
            return []
        shape = "IBBHQQ" if self._wide else "IIIBBH"
        found = []
        for entry in struct.iter_unpack(self._order + shape, self._content(self._names.index(".symtab"))):
            if self._wide:
                name, info, _, section, value, size = entry
            else:
                name, value, size, info, _, section = entry
            thumb = self.arch == "arm" and info & 0xF == _STT_FUNC and bool(value & 1)
            value -= thumb
            value += self._base[section] if section < len(self._base) else 0
            found.append((name, info & 0xF, section, value, size, thumb))
        return found

    def _read_functions(self) -> dict[str, list[Function]]:
        code = {index for index, header in enumerate(self._sections) if header["sh_flags"] & _EXEC}
        if ".symtab" not in self._names:
            return {}
        names = self._content(self._sections[self._names.index(".symtab")]["sh_link"])
        starts: dict[int, set[int]] = {}
        named = []
        for at, kind, section, value, size, thumb in self._symbols:
            if section not in code or kind in (_STT_SECTION, _STT_FILE):
                continue
            name = names[at : names.find(b"\0", at)].decode("utf-8", "replace")
            if not name or name.startswith(("$", ".L", "__UNIQUE_ID_")):  # $a, $d, $t, $x: no places, for kallsyms too
                continue
            starts.setdefault(section, set()).add(value)
            named.append((name, section, value, size, thumb))
        sorted_starts = {section: sorted(values) for section, values in starts.items()}
        functions: dict[str, list[Function]] = {}
        for name, section, value, size, thumb in named:
            following = sorted_starts[section]
            after = bisect_right(following, value)
            until = following[after] - value if after < len(following) else None
            functions.setdefault(name, []).append(Function(name, value, size, until, thumb))
        return functions

    # --- code

    def code(self, address: int, size: int) -> bytes:
        """Bytes of code at an address of this layout; fewer where the section ends."""
        index = self._code_section(address)
        if index is None:
            return b""
        start = address - self._start(index)
        return self._content(index)[start : start + size]

    def relocations(self, start: int, end: int) -> list[tuple[int, int, int, int | None]]:
        """What is still to be filled in between two addresses of code.

        Each with its place, type, the symbol's address (0 for one of another file) and the addend; that is None where
        it stands in the code itself.
        """
        section = self._code_section(start)
        if section is None or self.linked:
            return []
        found = []
        base = self._base[section]
        for index, header in enumerate(self._sections):
            if header["sh_type"] in ("SHT_REL", "SHT_RELA") and header["sh_info"] == section:
                for place, kind, symbol, addend in self._entries(index, header):
                    if start <= place + base < end:
                        found.append((place + base, kind, self._symbols[symbol][3], addend))
        return found

    def _code_section(self, address: int) -> int | None:
        for index, header in enumerate(self._sections):
            start = self._start(index)
            if header["sh_flags"] & _EXEC and start <= address < start + header["sh_size"]:
                return index
        return None

    def _start(self, index: int) -> int:
        return int(self._sections[index]["sh_addr"]) if self.linked else self._base[index]

    def _entries(self, index: int, header: Any) -> Iterator[tuple[int, int, int, int | None]]:
        """Place, type, number of the symbol and addend of each relocation of a section."""
        explicit = header["sh_type"] == "SHT_RELA"
        shape = ("QQ" if self._wide else "II") + (("q" if self._wide else "i") if explicit else "")
        shift, mask = (32, 0xFFFFFFFF) if self._wide else (8, 0xFF)
        for entry in struct.iter_unpack(self._order + shape, self._content(index)):
            yield entry[0], entry[1] & mask, entry[1] >> shift, entry[2] if explicit else None

    # --- DWARF

    @cached_property
    def dwarf(self) -> DWARFInfo:
        """Its DWARF, with the addresses of this layout.

        Raises:
            SymbolError: it has none, or none that can be read.
        """
        if not any(name in (".debug_info", ".zdebug_info") for name in self._names):
            raise SymbolError(
                f"{self.path}: has no DWARF: it was built without -g (CONFIG_DEBUG_INFO) or stripped "
                "(modules_install with INSTALL_MOD_STRIP); use the one from the build folder"
            )
        if not self.linked:
            self._fill_in()
        try:
            return type(self._elf)(self._stream()).get_dwarf_info(relocate_dwarf_sections=False)
        except Exception as error:  # whatever a broken file makes of the library
            raise SymbolError(f"{self.path}: its DWARF cannot be read: {_said(error)}") from error

    def _fill_in(self) -> None:
        try:
            self._unpack()
            for index, header in enumerate(self._sections):
                if header["sh_type"] in ("SHT_REL", "SHT_RELA") and self._is_debug(header["sh_info"]):
                    self._relocate(index, header)
        except (struct.error, zlib.error, LookupError) as error:
            raise SymbolError(f"{self.path}: its DWARF cannot be read: {error}") from error

    def _is_debug(self, index: int) -> bool:
        return self._names[index].startswith(".debug_") and self._names[index] != ".debug_frame"

    def _unpack(self) -> None:
        """Replace compressed sections by plain ones, at the end of the data."""
        assert isinstance(self._data, bytearray)
        table, size = self._elf["e_shoff"], self._elf["e_shentsize"]
        for index, header in enumerate(self._sections):
            if not (header["sh_flags"] & _COMPRESSED and self._names[index].startswith(".debug_")):
                continue
            packed = self._content(index)
            method = struct.unpack_from(self._order + "I", packed)[0]
            if method != 1:
                raise SymbolError(
                    f"{self.path}: its DWARF is compressed in a way that Python does not know: "
                    "objcopy --decompress-debug-sections FILE"
                )
            plain = zlib.decompress(packed[24 if self._wide else 12 :])
            flags = header["sh_flags"] & ~_COMPRESSED
            header["sh_offset"], header["sh_size"], header["sh_flags"] = len(self._data), len(plain), flags
            at = table + index * size
            word = self._order + ("Q" if self._wide else "I")
            for offset, value in zip(
                (8, 24, 32) if self._wide else (8, 16, 20), (flags, len(self._data), len(plain)), strict=True
            ):
                struct.pack_into(word, self._data, at + offset, value)
            self._data += plain

    def _relocate(self, index: int, header: Any) -> None:
        target = self._sections[header["sh_info"]]
        at, end = target["sh_offset"], target["sh_size"]
        sizes = _FILLED[self.arch]
        addresses = [symbol[3] for symbol in self._symbols]
        words = {4: struct.Struct(self._order + "I"), 8: struct.Struct(self._order + "Q")}
        for offset, kind, symbol, addend in self._entries(index, header):
            if kind == 0:
                continue
            size = sizes.get(kind)
            if size is None:
                raise SymbolError(
                    f"{self.path}: its DWARF has relocations of type {kind}, which is not known for {self.arch}"
                )
            if offset + size > end:
                raise SymbolError(f"{self.path}: a relocation of its DWARF lies outside of it")
            word = words[size]
            value = addend if addend is not None else word.unpack_from(self._data, at + offset)[0]
            word.pack_into(self._data, at + offset, (addresses[symbol] + value) & ((1 << 8 * size) - 1))


_PACKED = {
    ".xz": ": unpack it first (xz -dk)",
    ".gz": ": unpack it first (gzip -dk)",
    ".zst": ": unpack it first (zstd -d)",
}


def _said(error: BaseException) -> str:
    return str(error) or type(error).__name__
