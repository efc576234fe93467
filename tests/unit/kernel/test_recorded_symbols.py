"""Symbols of the very modules that crashed on x86-64 and ARM64, on what the kernels said of it."""

from __future__ import annotations

import lzma
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_shepherd_hil.cli import main
from pytest_shepherd_hil.kernel.scan import scan_bytes
from pytest_shepherd_hil.kernel.symbols import Symbols
from pytest_shepherd_hil.virtual.sources import HERE

if TYPE_CHECKING:
    from pytest_shepherd_hil.kernel.incident import Crash, Incident

LOGS = Path(__file__).parents[2] / "data" / "kernel"
CODE = HERE / "module"
MACHINES = ("amd64", "arm64")
PLACES = [
    ("null-read", "READ_ONCE(nobody)->value"),
    ("null-write", "WRITE_ONCE(READ_ONCE(nobody)->value, 1)"),
    ("paging-request", "seen = READ_ONCE(area["),
    ("use-after-free", "READ_ONCE(freed->next)->value"),
    ("bug", "BUG();"),
    ("warn", "WARN(1,"),
    ("warn-irq", "WARN_ON(1)"),
    ("undefined-instruction", "asm volatile"),
    ("list-corruption", "list_del("),
    ("refcount-underflow", "refcount_dec_and_test("),
    ("atomic-sleep", "msleep(20)"),
    ("hung-task", "schedule_timeout_uninterruptible("),
    ("page-alloc-failure", "alloc_pages(GFP_KERNEL, BLOCK_ORDER)"),
    ("oom", "alloc_page(GFP_KERNEL)"),
]
TRAPS = {
    ("amd64", "null-read"): "mov eax, dword ptr [rax + 0x2c]",
    ("amd64", "null-write"): "mov dword ptr [rax + 0x2c], 1",
    ("amd64", "use-after-free"): "mov eax, dword ptr [rax + 0x2c]",
    ("amd64", "paging-request"): "mov eax, dword ptr [rdi + 0x1000]",
    ("amd64", "bug"): "ud2",
    ("amd64", "division-by-zero"): "div rcx",
}


@pytest.fixture(scope="module")
def modules(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The modules, unpacked, by machine."""
    unpacked = {}
    for machine in MACHINES:
        unpacked[machine] = tmp_path_factory.mktemp(machine) / "hilfault.ko"
        packed = LOGS / "modules" / f"{machine}-hilfault.ko.xz"
        unpacked[machine].write_bytes(lzma.decompress(packed.read_bytes()))
    return unpacked


def log_of(machine: str, name: str) -> Path:
    return LOGS / f"{machine}-hilfault-{name}.log"


def incident_in(machine: str, name: str) -> Incident:
    """The first incident of a recorded log."""
    found = {each.id: each for each in scan_bytes(log_of(machine, name).read_bytes())}
    return next(iter(found.values()))


def crash_in(machine: str, name: str) -> Crash:
    crash = incident_in(machine, name).crash
    assert crash is not None
    return crash


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize(("name", "text"), PLACES, ids=[name for name, _ in PLACES])
def test_frames_are_the_lines_that_made_the_fault(modules: dict[str, Path], machine: str, name: str, text: str) -> None:
    incident = incident_in(machine, name)
    assert incident.crash is not None
    source = Symbols([modules[machine]]).explain(incident.crash)
    assert source.problems == ()
    places = dict(zip(incident.crash.frames, source.frames, strict=True))
    ours = {frame: place for frame, place in places.items() if frame.module == "hilfault"}
    assert {place is not None and place.lines[-1].function == frame.function for frame, place in ours.items()} == {True}
    own = next(place.lines[-1] for frame, place in ours.items() if place and frame.function == incident.function)
    assert text in (CODE / own.file).read_text().splitlines()[own.line - 1]
    written = [place.lines[-1] for frame, place in ours.items() if place and frame.function == "trigger_write"]
    for line in written:
        assert "fault->inject(amount)" in (CODE / line.file).read_text().splitlines()[line.line - 1]
    assert written or name == "warn-irq"


@pytest.mark.parametrize("machine", MACHINES)
def test_functions_that_were_inlined_are_named(modules: dict[str, Path], machine: str) -> None:
    crash = crash_in(machine, "list-corruption")
    source = Symbols([modules[machine]]).explain(crash)
    place = next(place for place in source.frames if place and place.frame.function == "hilfault_list_corruption")
    assert [line.function for line in place.lines][-2:] == ["list_del", "hilfault_list_corruption"]


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("name", ["null-read", "null-write"])
def test_the_field_behind_the_null_pointer_is_named(modules: dict[str, Path], machine: str, name: str) -> None:
    crash = crash_in(machine, name)
    (field,) = Symbols([modules[machine]]).explain(crash).fields
    assert (field.pointer, field.struct, field.path, field.offset) == ("nobody", "struct victim", "value", 0x2C)
    assert field.certain


@pytest.mark.parametrize(("machine", "name"), TRAPS)
def test_the_trapping_instruction_is_marked(machine: str, name: str) -> None:
    code = Symbols([]).explain(crash_in(machine, name)).code
    (trapping,) = [instruction for instruction in code if instruction.trapping]
    assert (trapping.offset, trapping.text) == (0, TRAPS[machine, name])
    assert len(code) > 3


@pytest.mark.parametrize("machine", MACHINES)
def test_a_trace_without_the_kernels_own_code_shows_no_trapping_instruction(machine: str) -> None:
    assert Symbols([]).explain(crash_in(machine, "atomic-sleep")).code == ()


def test_the_module_of_another_machine_is_refused(modules: dict[str, Path]) -> None:
    for machine, other in (MACHINES, MACHINES[::-1]):
        source = Symbols([modules[other]]).explain(crash_in(machine, "null-read"))
        (problem,) = source.problems
        assert "does not fit the crash: it is for" in problem
        assert (source.pc, source.fields, set(source.frames)) == (None, (), {None})


@pytest.mark.parametrize("machine", MACHINES)
def test_the_module_of_another_build_is_refused(modules: dict[str, Path], machine: str) -> None:
    crash = crash_in(machine, "null-read")
    assert crash.pc is not None
    assert crash.pc.size is not None
    grown = replace(crash.pc, size=crash.pc.size + 0x10)
    frames = tuple(grown if frame == crash.pc else frame for frame in crash.frames)
    source = Symbols([modules[machine]]).explain(replace(crash, pc=grown, frames=frames))
    (problem,) = source.problems
    assert "hilfault_null_read has" in problem
    assert source.pc is None


@pytest.mark.parametrize("machine", MACHINES)
def test_scan_shows_line_field_and_instruction(
    modules: dict[str, Path], machine: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["scan", str(log_of(machine, "null-write")), "--symbols", str(modules[machine])]) == 1
    text = capsys.readouterr().out
    assert "[hilfault] at hilfault/memory.c:35\n" in text
    assert "field offset 0x2c: value of struct victim (pointer nobody)." in text
    assert "  trapped   " in text
