"""Symbols of our own modules, on the crashes that these modules really had."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_shepherd_hil.cli import main
from pytest_shepherd_hil.kernel.dwarf import Deadline, SourceMap
from pytest_shepherd_hil.kernel.elf import SymbolFile
from pytest_shepherd_hil.kernel.scan import scan_bytes
from pytest_shepherd_hil.kernel.symbols import Symbols
from pytest_shepherd_hil.virtual.sources import HERE
from tests.requirements import VIRTUAL_BOARD, require_all

if TYPE_CHECKING:
    from pytest_shepherd_hil.kernel.incident import Incident
    from pytest_shepherd_hil.virtual.build import Build
    from tests.suite import Suite

pytestmark = require_all(*VIRTUAL_BOARD)
LOGS = Path(__file__).parents[1] / "data" / "kernel"
CODE = HERE / "module"
PLACES = [
    ("hilfault-null-read", "READ_ONCE(nobody)->value"),
    ("hilfault-null-write", "WRITE_ONCE(READ_ONCE(nobody)->value, 1)"),
    ("hilfault-bug", "BUG();"),
    ("hilfault-warn", "WARN"),
    ("hilfault-undefined-instruction", "asm"),
    ("hilfault-paging-request", ""),
    ("hilfault-use-after-free", ""),
    ("hilfault-list-corruption", "list_del("),
    ("hilfault-refcount-underflow", "refcount_"),
    ("shepherd-racy_exit", "READ_ONCE(shared_mem->pru0_msg_outbox.unread)"),
]


def crash_in(name: str) -> Incident:
    """The incident of a recorded log that has a crash."""
    found = {each.id: each for each in scan_bytes((LOGS / f"{name}.log").read_bytes())}
    return next(each for each in found.values() if each.crash is not None and each.crash.frames)


@pytest.mark.parametrize(("name", "text"), PLACES, ids=[name for name, _ in PLACES])
def test_frames_of_a_real_crash_are_the_lines_that_made_it(build: Build, name: str, text: str) -> None:
    incident = crash_in(name)
    assert incident.crash is not None
    source = Symbols(build.modules.values()).explain(incident.crash)
    assert source.problems == ()
    for frame, place in zip(incident.crash.frames, source.frames, strict=True):
        if frame.module in build.modules and frame.offset is not None:
            assert place is not None, frame
            assert place.lines[-1].function == frame.function
            assert (CODE / place.lines[-1].file).is_file()
    guilty = next(place for place in source.frames if place and place.frame.function == incident.function)
    own = guilty.lines[-1]
    assert text in (CODE / own.file).read_text().splitlines()[own.line - 1]


@pytest.mark.parametrize("name", ["hilfault-bug", "hilfault-warn", "hilfault-warn-irq"])
def test_a_place_that_the_kernel_prints_itself_is_the_same(build: Build, name: str) -> None:
    incident = crash_in(name)
    assert incident.crash is not None
    source = Symbols(build.modules.values()).explain(incident.crash)
    guilty = next(place for place in source.frames if place and place.frame.function == incident.function)
    assert f" at {guilty.lines[-1]}" in " ".join(incident.lines)


@pytest.mark.parametrize(
    ("name", "pointer", "path"),
    [
        ("shepherd-racy_exit", "shared_mem", "pru0_msg_outbox.unread"),
        ("hilfault-null-read", "nobody", "value"),
        ("hilfault-null-write", "nobody", "value"),
    ],
)
def test_the_field_behind_the_null_pointer_is_named(build: Build, name: str, pointer: str, path: str) -> None:
    crash = crash_in(name).crash
    assert crash is not None
    (field,) = Symbols(build.modules.values()).explain(crash).fields
    assert (field.pointer, field.path, field.offset, field.certain) == (pointer, path, crash.address, True)


def test_every_address_of_our_modules_has_the_lines_that_addr2line_has(build: Build) -> None:
    for path in build.modules.values():
        file = SymbolFile(path)
        source, deadline = SourceMap(file.dwarf), Deadline(60)
        functions = [each for known in file.functions.values() for each in known if each.size]
        first = min(each.start for each in functions)
        text = [each for each in functions if each.start - first < 0x1000 * 0x100]
        checked = 0
        for section in (".text", ".exit.text"):
            listing = subprocess.run(
                ["arm-linux-gnueabihf-nm", "-f", "sysv", path], check=True, capture_output=True, text=True
            ).stdout
            fields = [[cell.strip() for cell in row.split("|")] for row in listing.splitlines() if row.count("|") == 6]
            starts = {cells[0]: int(cells[1], 16) for cells in fields if cells[6] == section and cells[3] == "FUNC"}
            wanted = [
                (starts[each.name] + at, each.start + at, each.name)
                for each in text
                if each.name in starts
                for at in range(0, each.size, 4)
            ]
            command = ["arm-linux-gnueabihf-addr2line", "-a", "-i", "-f", "-e", str(path), "-j", section]
            asked = "\n".join(f"{place:#x}" for place, _, _ in wanted)
            said = subprocess.run(command, input=asked, check=True, capture_output=True, text=True).stdout
            blocks = [block.splitlines()[1:] for block in f"\n{said}".split("\n0x")[1:]]
            for (_, address, name), block in zip(wanted, blocks, strict=True):
                scope = source.scope(address, deadline)
                lines = source.lines(scope, name, deadline) if scope is not None else ()
                expected = [
                    (function, Path(place.split(" ")[0]).name.replace(":?", ":0"))
                    for function, place in zip(block[::2], block[1::2], strict=True)
                ]
                assert [(line.function, f"{Path(line.file).name}:{line.line}") for line in lines] == expected
                checked += 1
        assert checked > 500


def test_scan_shows_the_lines(build: Build, capsys: pytest.CaptureFixture[str]) -> None:
    log, symbols = str(LOGS / "shepherd-racy_exit.log"), str(build.modules["shepherd"])
    assert main(["scan", log, "--symbols", symbols]) == 1
    text = capsys.readouterr().out
    assert "  pc        pru0_comm_receive_msg+0x18 [shepherd] at shepherd/mem_interface.c:" in text
    assert "offset 0x1c1: pru0_msg_outbox.unread of struct shared_mem (pointer shared_mem)." in text
    assert "  trapped   ldrb r3, [r2, #0x1c1]\n" in text
    assert main(["scan", log, "--symbols", str(build.modules["hilfault"])]) == 1
    assert "symbols" not in capsys.readouterr().out


def test_evidence_of_a_live_crash_has_lines_field_and_code(suite: Suite) -> None:
    result = suite.run(
        """
        def test_reload(kernel_module):
            for _ in range(8):
                kernel_module.reload()
        """,
        board="qemu-racy",
    )
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            "  pc        pru0_comm_receive_msg+0x* at shepherd/mem_interface.c:*",
            "  lr        coordinator_callback+0x* at shepherd/coordinator.c:*",
            "*: pru0_msg_outbox.unread of struct shared_mem (pointer shared_mem).",
        ]
    )
    evidence = suite.evidence["test_reload"]
    report = (evidence / "incident.txt").read_text()
    assert "ldrb r3, [r2, #0x1c1]    <-- trapped here" in report
    source = json.loads((evidence / "incident.json").read_text())["incidents"][0]["source"]
    assert source["pc"][0]["function"] == "pru0_comm_receive_msg"
    assert source["fields"][0]["path"] == "pru0_msg_outbox.unread"
    assert source["problems"] == []
