"""The folders of evidence: what is in them, and what becomes of a run that cannot write them."""

from __future__ import annotations

import json
import os
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from pytest_shepherd_hil.console.log import ConsoleLog
from pytest_shepherd_hil.errors import HostError
from pytest_shepherd_hil.evidence.bundle import EvidenceRun
from pytest_shepherd_hil.evidence.text import console_text, incident_text, transcript_text
from pytest_shepherd_hil.kernel.detector import Detector
from pytest_shepherd_hil.logic.capture import Capture
from pytest_shepherd_hil.shell import ShellCall, ShellResult
from tests.unit.kernel.kernel_console import OOPS_6_1, last_words, seed

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from pytest_shepherd_hil.kernel.incident import Incident

TEST = "tests/test_unload.py::test_unload[twice/../../x]"
UNSAFE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def heard(text: str) -> tuple[ConsoleLog, list[Incident]]:
    """A console that has said this, and what is wrong with it."""
    log, detector = ConsoleLog(), Detector()
    found = [incident for line in log.append(text.encode(), 1_000) for incident in detector.feed(line.line)]
    return log, last_words(found + detector.flush())


def write(
    run: EvidenceRun,
    text: str = OOPS_6_1,
    test: str = TEST,
    calls: Sequence[ShellCall] = (),
    capture: Capture | None = None,
) -> Path:
    log, incidents = heard(text)
    folder = run.for_test(test)
    folder.write(test=test, log=log, lines=log.lines(), incidents=incidents, calls=calls, capture=capture)
    return folder.folder


def capture_of(samples: bytes) -> Capture:
    return Capture(1_000_000, ("D0", "D1"), samples, {"D0": "uart_tx"})


# folders


def test_a_run_has_a_folder_that_says_when_and_which_board(tmp_path: Path) -> None:
    run = EvidenceRun(tmp_path / "deep" / "hil-evidence", "sim-racy")
    assert run.folder.is_dir()
    assert run.folder.parent == tmp_path / "deep" / "hil-evidence"
    assert re.fullmatch(rf"\d{{8}}T\d{{6}}Z-sim-racy-{os.getpid()}(-\d+)?", run.folder.name)
    assert run.console_log == run.folder / "console-sim-racy.log"
    assert list(run.folder.iterdir()) == []


def test_runs_of_one_second_have_folders_of_their_own(tmp_path: Path) -> None:
    folders = {EvidenceRun(tmp_path, "b").folder for _ in range(20)}
    assert len(folders) == 20
    assert {folder.name for folder in folders} == {folder.name for folder in tmp_path.iterdir()}


@pytest.mark.parametrize(
    "test", ["../../../etc/cron.d/x", "/etc/passwd", ".", "..", "", "t.py::t[\x00\n\x1b]", "x" * 5000, "板\ud83d"]
)
def test_a_hostile_node_id_stays_in_the_runs_folder(test: str, tmp_path: Path) -> None:
    run = EvidenceRun(tmp_path / "evidence", "b")
    folder = write(run, test=test)
    assert run.problems == []
    assert [found.resolve() for found in run.folder.iterdir()] == [folder.resolve()]
    assert not folder.name.startswith(".")
    assert [found.name for found in tmp_path.iterdir()] == ["evidence"]
    assert json.loads((folder / "incident.json").read_text())["test"] == test


def test_tests_with_like_names_have_folders_of_their_own(tmp_path: Path) -> None:
    run = EvidenceRun(tmp_path, "b")
    folders = {write(run, test=f"t.py::test[{parameter}]") for parameter in ("a b", "a/b", "a-b", "a:b", "a  b")}
    assert len(folders) == len(list(run.folder.iterdir())) == 5


def test_a_test_that_writes_nothing_has_no_folder(tmp_path: Path) -> None:
    run = EvidenceRun(tmp_path, "b")
    assert not run.for_test("t").folder.exists()


# files


def test_every_file_of_a_failed_test_is_there_and_nothing_else(tmp_path: Path) -> None:
    run = EvidenceRun(tmp_path, "b")
    folder = write(run, capture=capture_of(b"\x01\x00" * 50))
    names = {"console.txt", "incident.txt", "incident.json", "shell.txt", "capture.sr", "capture.svg"}
    assert {file.name for file in folder.iterdir()} == names
    assert run.problems == []


def test_without_an_analyzer_there_is_no_capture(tmp_path: Path) -> None:
    assert not (write(EvidenceRun(tmp_path, "b")) / "capture.sr").exists()


def test_the_capture_that_is_kept_is_the_one_that_was_made(tmp_path: Path) -> None:
    made = capture_of(bytes(number % 4 for number in range(1000)))
    kept = Capture.load(write(EvidenceRun(tmp_path, "b"), capture=made) / "capture.sr")
    assert (kept.samplerate, kept.samples) == (1_000_000, made.samples)
    assert kept.bit("uart_tx") == 0


def test_the_console_has_numbers_times_and_marks(tmp_path: Path) -> None:
    before = "[   60.000000] shprd.k: unloading\n"
    rows = (write(EvidenceRun(tmp_path, "b"), before + OOPS_6_1) / "console.txt").read_text().splitlines()
    assert len(rows) == 1 + 1 + len(OOPS_6_1.splitlines())
    assert re.fullmatch(r"     0 \d\d:\d\d:\d\d\.\d{3}   \[   60\.000000\] shprd\.k: unloading", rows[1])
    oops = next(row for row in rows if "Internal error" in row)
    assert re.fullmatch(r"     4 \d\d:\d\d:\d\d\.\d{3} ! \[   61\.101900\] Internal error: : 1b \[#1\] SMP ARM", oops)


def test_the_incident_is_told_in_words_with_its_whole_report(tmp_path: Path) -> None:
    text = (write(EvidenceRun(tmp_path, "bbb01")) / "incident.txt").read_text()
    assert text.startswith(f"test   {TEST}\nboard  bbb01\n")
    assert re.search(r"^kernel oops, then panic: .*pru0_comm_receive_msg\+0x20.* \(board bbb01\)$", text, re.MULTILINE)
    assert re.search(r"^  taint     O \(out-of-tree module\)$", text, re.MULTILINE)
    assert re.search(r"^  running   cpu 0, rmmod \(pid 93\)$", text, re.MULTILINE)
    for line in OOPS_6_1.splitlines()[3:20]:
        assert f"  | {line}" in text


def test_the_incident_is_data_that_a_program_can_read(tmp_path: Path) -> None:
    data: dict[str, Any] = json.loads((write(EvidenceRun(tmp_path, "bbb01")) / "incident.json").read_text())
    assert (data["version"], data["test"], data["board"]) == (1, TEST, "bbb01")
    (found,) = data["incidents"]
    assert (found["kind"], found["severity"], found["fatal"], found["complete"]) == ("oops", "fail", True, True)
    assert (found["function"], found["module"]) == ("pru0_comm_receive_msg", "shepherd")
    assert found["headline"].endswith("(board bbb01)")
    assert found["crash"]["pc"]["offset"] == 0x20
    assert found["crash"]["frames"][0]["function"] == "pru0_comm_receive_msg"


@pytest.mark.parametrize("name", ["unload-panic", "cma-and-pru"])
def test_the_users_own_logs_become_evidence(name: str, tmp_path: Path) -> None:
    folder = write(EvidenceRun(tmp_path, "b"), seed(name))
    data = json.loads((folder / "incident.json").read_text())
    kinds = [found["kind"] for found in data["incidents"]]
    assert kinds.count("oops" if name == "unload-panic" else "cma-alloc-failure") >= 1
    assert all(found["headline"] in (folder / "incident.txt").read_text() for found in data["incidents"])


def test_the_shells_transcript_says_what_ran_and_how_it_ended(tmp_path: Path) -> None:
    calls = [
        ShellCall("uname -r", 1_000, ShellResult("uname -r", "6.1.0\n", "", 0, 0.012)),
        ShellCall("modprobe x", 2_000, ShellResult("modprobe x", "", "FATAL: not found\n", 1, 0.5)),
        ShellCall("rmmod shepherd", 3_000, None, "board b: cut off\nits board died"),
        ShellCall("sleep 60", 4_000),
    ]
    rows = (write(EvidenceRun(tmp_path, "b"), calls=calls) / "shell.txt").read_text().splitlines()
    assert [re.sub(r"^\d\d:\d\d:\d\d\.\d{3} ", "", row) for row in rows] == [
        "$ uname -r",
        "    6.1.0",
        "    exit status 0 after 0.012 s",
        "$ modprobe x",
        "    stderr: FATAL: not found",
        "    exit status 1 after 0.500 s",
        "$ rmmod shepherd",
        "    board b: cut off",
        "    its board died",
        "$ sleep 60",
        "    was still running",
    ]


def test_a_test_that_ran_nothing_says_so() -> None:
    assert transcript_text(ConsoleLog(), []) == "nothing was run\n"


def test_a_later_phase_replaces_what_an_earlier_one_wrote(tmp_path: Path) -> None:
    run = EvidenceRun(tmp_path, "b")
    first = write(run, "\n".join(OOPS_6_1.splitlines()[:10]) + "\n")
    size = (first / "console.txt").stat().st_size
    assert write(run) == first
    assert (first / "console.txt").stat().st_size > size
    assert not list(first.glob(".*"))


# hostile boards


def test_no_file_has_what_a_terminal_would_obey(tmp_path: Path) -> None:
    hostile = "\x1b[2J\x1b]0;x\x07\x9b31m\u202e\r\x00"
    text = OOPS_6_1.replace("Internal error:", f"Internal error: {hostile}").replace("rmmod", f"rm{hostile}")
    calls = [
        ShellCall(f"cat {hostile}", 1, ShellResult("", hostile, hostile, 0, 0.1)),
        ShellCall("x", 2, None, hostile),
    ]
    folder = write(EvidenceRun(tmp_path, "b"), text, test=f"t[{hostile}]", calls=calls)
    for file in folder.iterdir():
        assert not UNSAFE.search(file.read_text()), file.name
        assert not UNSAFE.search(file.name)


def test_bytes_that_are_no_text_do_not_keep_evidence_from_being_written(tmp_path: Path) -> None:
    run = EvidenceRun(tmp_path, "b")
    folder = write(run, test="t[\udcff]", calls=[ShellCall("echo \udcff", 1, None, "\ud800")])
    assert run.problems == []
    assert r"\udcff" in (folder / "shell.txt").read_text()
    assert json.loads((folder / "incident.json").read_text())["test"] == "t[\udcff]"


def test_a_line_of_megabytes_does_not_swell_the_evidence() -> None:
    log, _ = heard("x" * 3_000_000 + "\n")
    assert all(len(row) < 4100 for row in console_text(log, log.lines(), ()).splitlines())


# what cannot be written


@pytest.mark.parametrize("under", ["file", "file/below", "dangling"])
def test_a_run_whose_folder_cannot_be_made_says_so_before_the_first_test(under: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    with pytest.raises(HostError) as caught:
        EvidenceRun(tmp_path / under, "b")
    assert re.match(
        rf"cannot make the evidence folder {re.escape(str(tmp_path / under))}.*: (File exists|Not a directory); "
        r"choose another with --hil-evidence DIR$",
        str(caught.value),
    )


def test_a_test_whose_folder_cannot_be_made_is_noted_for_every_file(tmp_path: Path) -> None:
    run = EvidenceRun(tmp_path, "b")
    run.for_test(TEST).folder.write_text("in the way")
    folder = write(run, capture=capture_of(b"\x00" * 8))
    assert folder.read_text() == "in the way"
    names = ["capture.sr", "console.txt", "incident.txt", "incident.json", "shell.txt"]
    assert len(run.problems) == 5
    for name, problem in zip(names, run.problems, strict=True):
        assert re.match(rf"could not write {re.escape(str(folder / name))}: (File exists|Not a directory)$", problem)


def test_one_file_that_cannot_be_written_does_not_cost_the_others(tmp_path: Path) -> None:
    run = EvidenceRun(tmp_path, "b")
    folder = run.for_test(TEST).folder
    folder.mkdir()
    (folder / ".console.txt.part").symlink_to("/dev/full")
    write(run)
    assert run.problems == [f"could not write {folder / 'console.txt'}: No space left on device"]
    assert json.loads((folder / "incident.json").read_text())["incidents"]
    write(run)
    assert len(run.problems) == 1, "said once"


def test_a_capture_that_cannot_be_written_is_noted_and_nothing_more(tmp_path: Path) -> None:
    run = EvidenceRun(tmp_path, "b")
    folder = run.for_test(TEST).folder
    (folder / "capture.sr").mkdir(parents=True)
    (folder / "capture.sr" / "in the way").touch()
    write(run, capture=capture_of(b"\x00" * 8))
    (problem,) = run.problems
    assert problem.startswith(f"could not write {folder / 'capture.sr'}: ")
    assert (folder / "incident.json").exists()


# words


def test_an_incident_in_words_says_what_is_cut_off_and_what_followed() -> None:
    _, (found,) = heard(OOPS_6_1)
    rows = incident_text(replace(found, complete=False, consequences=("Couldn't boot PRU0",), hints=("look there",)))
    assert rows[0].startswith(
        "  kind      oops, fatal: the kernel does not go on, cut off before its end, kernel time 61."
    )
    assert "  then      Couldn't boot PRU0" in rows
    assert "  hint      look there" in rows
    assert "  console" in rows
    assert any(re.fullmatch(r"  \| … \d+ more lines: console\.txt", row) for row in rows)
    assert rows[-1].endswith(OOPS_6_1.splitlines()[-1])
    assert len(rows) < 30


def test_a_short_report_is_shown_whole() -> None:
    _, (found, *_) = heard("[    1.000000] shprd.k: x\n" + OOPS_6_1)
    rows = incident_text(replace(found, lines=("one", "two")))
    assert rows[-2:] == ["  | one", "  | two"]
    assert "  console" not in incident_text(found, excerpt=False)
