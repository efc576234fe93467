"""What symbols say of a crash, on files that a real compiler has just made."""

from __future__ import annotations

import random
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_shepherd_hil.kernel.dwarf import Deadline, SourceMap
from pytest_shepherd_hil.kernel.elf import SymbolError, SymbolFile
from pytest_shepherd_hil.kernel.incident import Crash, Frame
from pytest_shepherd_hil.kernel.symbols import CrashSource, Symbols
from tests.requirements import require

if TYPE_CHECKING:
    from collections.abc import Sequence

pytestmark = require("arm-linux-gnueabihf-gcc")
CROSS = "arm-linux-gnueabihf-"
KERNEL = ("-O2", "-g", "-marm", "-ffreestanding", "-fno-common", "-fno-pic")

SOURCE = """\
typedef unsigned char u8;
typedef unsigned int u32;
struct message { u8 id; u8 unread; u32 value[3]; } __attribute__((packed));
struct shared {
    u32 state;
    u8 converter[409];
    struct message inbox;
    struct message outbox;
    union { u32 word; u8 byte; };
    struct { u32 first; u32 flag : 3; } last[4];
} __attribute__((packed));
struct device { u32 number; struct shared *registers; };

static struct shared *shared;
extern void sleep(void);

void set(struct shared *to) { shared = to; }

static inline __attribute__((always_inline)) int unread(struct message *box)
{
    return *(volatile u8 *)&box->unread;
}

int receive(void)
{
    sleep();
    return unread(&shared->outbox);
}

int parameter(struct shared *given, struct device *other)
{
    return *(volatile u32 *)&given->last[2].first;
}

int member(struct device *device)
{
    sleep();
    return *(volatile u32 *)&device->registers->word;
}

__attribute__((section(".text.unlikely"))) int caller(void)
{
    sleep();
    int found = receive();
    sleep();
    return found + 1;
}
"""


def compiled(folder: Path, *options: str, name: str = "fault.ko", source: str = SOURCE) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "fault.c").write_text(source)
    command = [f"{CROSS}gcc", *KERNEL, "-c", "fault.c", "-o", name, *options]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    return folder / name


@pytest.fixture(scope="module")
def ko(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compiled(tmp_path_factory.mktemp("ko"))


def trap(path: Path, function: str, *instructions: str) -> Frame:
    """Where the last of such instructions of a function is, as the kernel would print it."""
    listing = subprocess.run(
        [f"{CROSS}objdump", "-d", f"--disassemble={function}", path], check=True, capture_output=True, text=True
    ).stdout
    code = [line.split("\t") for line in listing.splitlines() if line.count("\t") >= 2]
    start = int(code[0][0].strip(" :"), 16)
    offset = next(int(line[0].strip(" :"), 16) for line in reversed(code) if line[2].strip() in instructions) - start
    (known,) = SymbolFile(path).functions[function]
    return Frame(function, offset, known.until or known.size, path.name.partition(".")[0])


def crash(pc: Frame, address: int, code: str = "", **registers: int) -> Crash:
    held = {"pc": 0xBF000000, "psr": 0x60000013, **registers}
    return Crash(address=address, pc=pc, frames=(pc,), registers=tuple(held.items()), code=code)


def explain(crashed: Crash, *paths: Path, budget_s: float = 30) -> CrashSource:
    return Symbols(paths, budget_s).explain(crashed)


# --- lines


@pytest.mark.parametrize("options", [(), ("-gdwarf-4",), ("-gz=zlib",), ("-mthumb",), ("-O1",)], ids=" ".join)
def test_lines_and_inlined_functions_are_those_of_addr2line(tmp_path: Path, options: Sequence[str]) -> None:
    path = compiled(tmp_path, *options)
    file = SymbolFile(path)
    source, deadline = SourceMap(file.dwarf), Deadline(30)
    for name in ("receive", "parameter", "member", "set", "caller"):
        (function,) = file.functions[name]
        section = ".text.unlikely" if name == "caller" else ".text"
        first = min(
            known.start for (known,) in file.functions.values() if (known.name == "caller") == (name == "caller")
        )
        for offset in range(0, function.size, 2):
            address = f"{function.start - first + offset:#x}"
            command = [f"{CROSS}addr2line", "-i", "-f", "-e", str(path), "-j", section, address]
            said = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
            expected = [
                (inlined, Path(place.split(" ")[0]).name) for inlined, place in zip(said[::2], said[1::2], strict=True)
            ]
            scope = source.scope(function.start + offset, deadline)
            assert scope is not None
            assert [(line.function, str(line)) for line in source.lines(scope, name, deadline)] == expected


def test_a_return_address_is_the_line_of_the_call_and_a_pc_its_own(ko: Path) -> None:
    pc = trap(ko, "receive", "ldrb")
    caller = trap(ko, "caller", "bl")
    listed = replace(caller, offset=(caller.offset or 0) + 4)  # after the last call, which is on another line
    source = explain(replace(crash(pc, 0), frames=(pc, listed)), ko)
    assert [str(place) for place in source.frames] == [
        f"fault.c:{line('unread(&shared->outbox)')} (inlined there: unread at fault.c:{line('(volatile u8 *)&box')})",
        f"fault.c:{line('sleep();', 4)}",
    ]


def test_what_an_exception_interrupted_is_exact(ko: Path) -> None:
    (known,) = SymbolFile(ko).functions["caller"]
    caller = trap(ko, "caller", "bl")
    assert caller.offset is not None
    handler, entry = Frame("handler", 4, 8), Frame("__irq_svc", 0x58, 0x94)
    interrupted = replace(crash(handler, 0), frames=(handler, entry, caller))
    called = replace(crash(handler, 0), frames=(handler, Frame("worker", 4, 8), caller))
    exact, returned = (explain(each, ko).frames[2] for each in (interrupted, called))
    assert str(exact) == f"fault.c:{line('sleep();', 4)}"
    assert str(returned) != str(exact)
    assert known.size == caller.size


def line(text: str, occurrence: int = 1) -> int:
    """The number of the line of the source with this text."""
    return [number for number, code in enumerate(SOURCE.splitlines(), 1) if text in code][occurrence - 1]


# --- fields


def test_the_field_behind_a_static_pointer_is_found_through_nested_packed_structs(ko: Path) -> None:
    pc = trap(ko, "receive", "ldrb")
    (field,) = explain(crash(pc, 428), ko).fields
    assert (field.pointer, field.path, field.struct, field.offset) == ("shared", "outbox.unread", "struct shared", 428)
    assert field.certain


def test_a_pointer_whose_register_was_zero_is_certain(ko: Path) -> None:
    pc = trap(ko, "parameter", "ldr")
    (field,) = explain(crash(pc, 461, r0=0, r1=0xC0001000), ko).fields
    assert (field.pointer, field.path, field.certain) == ("given", "last[2].first", True)


def test_a_pointer_whose_register_was_not_zero_is_none_of_it(ko: Path) -> None:
    pc = trap(ko, "parameter", "ldr")
    fields = explain(crash(pc, 461, r0=0xC0002000, r1=0xC0001000), ko).fields
    assert [(field.pointer, field.certain) for field in fields] == [("shared", False)]


def test_a_pointer_in_a_struct_is_found(ko: Path) -> None:
    pc = trap(ko, "member", "ldr")
    fields = explain(crash(pc, 441, "e5933000 e5930004 (e59301b9)", r3=0), ko).fields
    assert [(field.pointer, field.path) for field in fields] == [("device->registers", "word")]


def test_a_union_has_the_field_of_the_size_that_was_read(ko: Path) -> None:
    pc = trap(ko, "receive", "ldrb")
    for code, width, path in (("e5932000 (e5d231b9)", 1, "byte"), ("e5932000 (e59231b9)", 4, "word")):
        source = explain(crash(pc, 441, code), ko)
        assert source.code[-1].width == width
        assert [field.path for field in source.fields] == [path]
    unknown = explain(crash(pc, 441), ko)
    assert [field.path for field in unknown.fields] == ["word", "byte"]


@pytest.mark.parametrize("options", [(), ("-mthumb",), ("-O1",), ("-fno-section-anchors",)], ids=" ".join)
def test_of_several_pointers_it_is_the_one_that_the_code_had_loaded(tmp_path: Path, options: Sequence[str]) -> None:
    more = "static struct shared *first, *second, *third;\n"
    more += "void keep(struct shared *to) { first = to; second = to + 1; third = to + 2; }\n"
    more += "int others(void) { sleep(); return first->state + *(volatile u8 *)&second->converter[5]; }\n"
    path = compiled(tmp_path, *options, source=SOURCE + more)
    pc = trap(path, "others", "ldrb", "ldrb.w")
    (field,) = explain(crash(pc, 9), path).fields
    assert (field.pointer, field.path, field.certain) == ("second", "converter[5]", True)


def test_an_address_that_is_no_offset_names_no_field(ko: Path) -> None:
    pc = trap(ko, "receive", "ldrb")
    assert explain(crash(pc, 0xC0001234), ko).fields == ()
    assert explain(crash(pc, 4000), ko).fields == ()


# --- files that do not fit, or are none


def test_another_size_is_another_module(ko: Path) -> None:
    pc = trap(ko, "receive", "ldrb")
    wrong = replace(pc, size=(pc.size or 0) + 4)
    source = explain(crash(wrong, 428), ko)
    assert (source.pc, source.frames, source.fields) == (None, (None,), ())
    (problem,) = source.problems
    assert problem.startswith(f"{ko}: does not fit the crash: receive has {wrong.size:#x} bytes in the crash and ")
    assert problem.endswith(f"{pc.size:#x} in the file; give the file of the very build that was loaded")


def test_a_function_that_is_missing_is_another_module(ko: Path) -> None:
    source = explain(crash(Frame("transmit", 4, 8, "fault"), 428), ko)
    assert "does not fit the crash: it has no function transmit" in source.problems[0]


def test_another_architecture_is_another_module(ko: Path) -> None:
    pc = trap(ko, "receive", "ldrb")
    (problem,) = explain(Crash(pc=pc, frames=(pc,), registers=(("RAX", 0), ("RIP", 1))), ko).problems
    assert problem.endswith("does not fit the crash: it is for arm, and this is x86-64")


def test_one_damaged_frame_of_many_does_not_cost_the_others(ko: Path) -> None:
    pc = trap(ko, "receive", "ldrb")
    caller = trap(ko, "caller", "bl")
    source = explain(replace(crash(pc, 428), frames=(pc, replace(caller, function="ca#ler"), caller)), ko)
    assert [place is not None for place in source.frames] == [True, False, True]


def test_another_modules_crash_is_no_problem(ko: Path) -> None:
    assert explain(crash(Frame("receive", 4, 8, "other"), 428), ko).problems == ()


def test_a_stripped_file_is_named_with_what_to_do(ko: Path, tmp_path: Path) -> None:
    stripped = tmp_path / "fault.ko"
    subprocess.run([f"{CROSS}strip", "-g", ko, "-o", stripped], check=True)
    source = explain(crash(trap(ko, "receive", "ldrb"), 428), stripped)
    assert source.problems[0].startswith(f"{stripped}: has no DWARF: it was built without -g")
    assert len(source.problems) == 1
    subprocess.run([f"{CROSS}strip", ko, "-o", stripped], check=True)
    with pytest.raises(SymbolError, match="stripped"):
        SymbolFile(stripped)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.txt", b"hello", "is no ELF file"),
        ("a.ko.xz", b"\xfd7zXZ", "xz -dk"),
        ("a.ko", b"\x7fELF\1\1", "no ELF file that"),
    ],
)
def test_what_is_no_file_of_symbols_is_refused_in_words(tmp_path: Path, name: str, content: bytes, said: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    (problem,) = explain(crash(Frame("receive", 4, 8, "a"), 4), path).problems
    assert problem.startswith(f"{path}: ")
    assert said in problem


def test_a_file_that_is_missing_is_one_line_and_the_code_is_still_there(tmp_path: Path) -> None:
    source = explain(crash(Frame("receive", 4, 8, "a"), 4, "e5932000 (e5d231c1)"), tmp_path / "no.ko")
    assert source.problems == (f"{tmp_path / 'no.ko'}: cannot be read: No such file or directory",)
    assert source.code[-1].text == "ldrb r3, [r2, #0x1c1]"


def test_damaged_files_never_raise(ko: Path, tmp_path: Path) -> None:
    good = ko.read_bytes()
    pc = trap(ko, "receive", "ldrb")
    dice = random.Random(4)
    path = tmp_path / "fault.ko"
    for _ in range(60):
        data = bytearray(good[: dice.randrange(len(good))] if dice.random() < 0.3 else good)
        for _ in range(dice.randrange(1, 40)):
            data[dice.randrange(len(data))] = dice.randrange(256)
        path.write_bytes(data)
        source = explain(crash(pc, 428), path, budget_s=5)
        assert source.pc is not None or source.problems or source.frames == (None,) or source.frames == ()


def test_time_is_bounded(ko: Path) -> None:
    source = explain(crash(trap(ko, "receive", "ldrb"), 428), ko, budget_s=0)
    assert source.pc is None
    assert source.problems == ("reading symbols was given up after 0 s",)


# --- a linked kernel


def test_a_linked_file_is_the_kernel(tmp_path: Path) -> None:
    (tmp_path / "more.c").write_text("void sleep(void) { }\n")
    path = compiled(tmp_path, name="fault.o")
    command = [f"{CROSS}gcc", *KERNEL, "-nostdlib", "-static", "-Wl,-Ttext=0xc0008000,-e,receive", "more.c", path.name]
    subprocess.run([*command, "-o", "vmlinux"], cwd=tmp_path, check=True, capture_output=True)
    pc = replace(trap(tmp_path / "vmlinux", "receive", "ldrb"), module=None)
    source = explain(crash(pc, 428), tmp_path / "vmlinux")
    assert source.pc is not None
    assert source.pc.lines[-1].line == line("unread(&shared->outbox)")
    assert [field.path for field in source.fields] == ["outbox.unread"]


# --- the Code: line


ARM = {"pc": 0xC0008000, "psr": 0x60000013}
CODES = [
    ({**ARM, "r0": 0}, "e92d4010 e5903000 (e5d301c4)", ["push {r4, lr}", "ldr r3, [r0]", "ldrb r0, [r3, #0x1c4]"]),
    ({**ARM, "psr": 0x60000033}, "b510 f8d3 2000 (f893 31c1)", []),
    ({**ARM, "psr": 0x60000033}, "b510 681b f8d3 2000 (6819) 4770", ["push {r4, lr}", "ldr r3, [r3]"]),
    ({"x0": 0, "x1": 1}, "d503201f f9400001 (b9401020)", ["nop", "ldr x1, [x0]", "ldr w0, [x1, #0x10]"]),
    (
        {"rsp": 1, "rax": 0},
        "55 48 89 e5 48 8b 05 00 00 00 00 <0f> b6 80 af 01 00 00 c3",
        ["push rbp", "mov rbp, rsp"],
    ),
    (
        {"EIP": 1, "EAX": 0},
        "55 89 e5 <8b> 40 10 c3",
        ["push ebp", "mov ebp, esp", "mov eax, dword ptr [eax + 0x10]"],
    ),
]


@pytest.mark.parametrize(("registers", "code", "texts"), CODES)
def test_code_is_disassembled_with_the_trapping_instruction_marked(
    registers: dict[str, int], code: str, texts: list[str]
) -> None:
    instructions = explain(Crash(registers=tuple(registers.items()), code=code)).code
    assert [instruction.text for instruction in instructions][: len(texts)] == texts
    if texts:
        (trapping,) = [instruction for instruction in instructions if instruction.trapping]
        marked = code.split("(")[-1].split("<")[-1][:2]
        assert trapping.raw.startswith(marked) or trapping.raw.startswith(code.partition("(")[2][:4])
        assert str(trapping).endswith("<-- trapped here")


@pytest.mark.parametrize(
    ("registers", "code", "text"),
    [
        ({"rsp": 1}, "<75> 0e 90 90", "jne trap+0x10"),
        ({"rsp": 1}, "eb fc <90>", "jmp trap-0x4"),
        ({"psr": 0x60000013}, "eafffffe (e5d301c4)", "b trap-0x4"),
        ({"psr": 0x60000013, "pc": 0xBF000010}, "eafffffe (e5d301c4)", "b #0xbf00000c"),
    ],
)
def test_a_jump_is_told_by_what_is_known_of_its_place(registers: dict[str, int], code: str, text: str) -> None:
    assert explain(Crash(registers=tuple(registers.items()), code=code)).code[0].text == text


@pytest.mark.parametrize(
    "code", ["e5d3", "e59x3000 (e5d301c4)", "e5d301c4", "", "(e5d3) 01c4", "<0f>", "(e5d301c4) e5d3"]
)
def test_code_that_is_damaged_is_left_alone(code: str) -> None:
    source = explain(Crash(registers=tuple(ARM.items()), code=code))
    assert source.problems == ()
    assert source.code == ()
