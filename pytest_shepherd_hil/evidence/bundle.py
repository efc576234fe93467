"""The folders of evidence: one per run, one per failed test in it."""

from __future__ import annotations

import json
import os
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple

from pytest_shepherd_hil.errors import HilError, HostError
from pytest_shepherd_hil.evidence.text import console_text, incidents_text, transcript_text
from pytest_shepherd_hil.text import file_name, first_line

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from pytest_shepherd_hil.console.lines import ConsoleLine
    from pytest_shepherd_hil.console.log import ConsoleLog
    from pytest_shepherd_hil.evidence.sources import CrashSources
    from pytest_shepherd_hil.kernel.incident import Incident
    from pytest_shepherd_hil.logic.capture import Capture
    from pytest_shepherd_hil.shell import ShellCall

__all__ = ["EvidenceRun", "KeptPins", "TestEvidence"]


class KeptPins(NamedTuple):
    """A capture that has been written."""

    key: tuple[object, ...]
    """Tells whether there is anything new."""
    words: tuple[str, ...]
    covers: bool
    """Whether the incident lies in it."""


class EvidenceRun:
    """The folder of one test run on one board. Made at once, so that a full disk is known before the first test.

    Args:
        root: the folder that holds the runs (``--hil-evidence``).
        board: name of the board.
        sources: what symbols say of its crashes.

    Attributes:
        folder: the run's own folder.
        problems: what could not be written, in words.

    Raises:
        HostError: the folder cannot be made.
    """

    def __init__(self, root: Path, board: str, sources: CrashSources | None = None) -> None:
        self.board = board
        self.sources = sources
        self.problems: list[str] = []
        self.pins: dict[Path, KeptPins] = {}
        """What of the analyzer's is in each test's folder."""
        stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
        for attempt in range(100):
            suffix = f"-{attempt}" if attempt else ""
            self.folder = root / f"{stamp}-{file_name(board)}-{os.getpid()}{suffix}"
            try:
                root.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise _no_folder(root, error) from error
            try:
                self.folder.mkdir()
            except FileExistsError:
                continue
            except OSError as error:
                raise _no_folder(self.folder, error) from error
            return
        raise HostError(f"cannot make an evidence folder in {root}: 100 of this second's names are taken")

    @property
    def console_log(self) -> Path:
        """Where the raw console of the whole run goes."""
        return self.folder / f"console-{file_name(self.board)}.log"

    def write(self, name: str, text: str) -> None:
        """Write a file of the run's own folder."""
        TestEvidence(self, self.folder).write_file(name, text)

    def for_test(self, test: str) -> TestEvidence:
        """The folder for one failed test, made when something is written to it."""
        return TestEvidence(self, self.folder / file_name(test))


class TestEvidence:
    """The folder of one failed test. A file that cannot be written is noted in the run; the rest is still written."""

    __test__ = False

    def __init__(self, run: EvidenceRun, folder: Path) -> None:
        self._run = run
        self.folder = folder

    def write(
        self,
        *,
        test: str,
        log: ConsoleLog,
        lines: Sequence[ConsoleLine],
        incidents: Sequence[Incident],
        calls: Sequence[ShellCall],
        capture: Capture | None,
        baudrate: float = 115200,
        channel: str | None = None,
        began_ns: int | None = None,
    ) -> None:
        """Write all there is; what stands there from an earlier call for the same test is replaced.

        Args:
            test: the test's node id.
            log: knows the wall clock.
            lines: the console in the test's window.
            incidents: those charged to the test.
            calls: what the shell ran in the test's window.
            capture: what the analyzer has recorded, where it was running.
            baudrate: of the console, in bits a second.
            channel: the analyzer's that carries the console, where that is known.
            began_ns: when the test began, in ``time.monotonic_ns()``.
        """
        board, sources = self._run.board, self._run.sources
        if capture is not None:
            self._write_pins(test, lines, incidents, capture, baudrate, channel, began_ns)
        marks = {number for incident in incidents for number in range(incident.first_line, incident.last_line + 1)}
        self.write_file("console.txt", console_text(log, lines, marks))
        self.write_file("incident.txt", incidents_text(test, board, incidents, sources, self.pins))
        self.write_file("incident.json", _to_json(test, board, incidents, sources, self.pins))
        self.write_file("shell.txt", transcript_text(log, calls))

    @property
    def pins(self) -> tuple[str, ...]:
        """What the analyzer saw, in words: where the capture is and how it is tied to the console, and each channel."""
        kept = self._run.pins.get(self.folder)
        return kept.words if kept is not None else ()

    def _write_pins(
        self,
        test: str,
        lines: Sequence[ConsoleLine],
        incidents: Sequence[Incident],
        capture: Capture,
        baudrate: float,
        channel: str | None,
        began_ns: int | None,
    ) -> None:
        """Keep ``capture.sr`` and ``capture.svg``. Whatever is wrong with a capture, the rest is still written."""
        kept = self._run.pins.get(self.folder)
        key = (capture.first_sample, len(capture), [(found.first_line, found.last_line) for found in incidents])
        if kept is not None and kept.key == key:
            return
        title = incidents[0].headline(self._run.board) if incidents else f"{test} (board {self._run.board})"
        try:
            from pytest_shepherd_hil.evidence.pins import look

            found = look(
                capture,
                lines,
                incidents,
                title=title,
                test=test,
                baudrate=baudrate,
                channel=channel,
                began_ns=began_ns,
            )
            if kept is not None and kept.covers and not found.covers:
                return  # the incident has left the analyzer's memory since
            self.folder.mkdir(exist_ok=True)
            found.capture.save(self.folder / "capture.sr")
            self._run.pins[self.folder] = KeptPins(key, found.words, found.covers)
            self.write_file("capture.svg", found.picture)
        except (OSError, HilError) as error:
            self._note("capture.sr", error)
        except Exception as error:  # noqa: BLE001  a capture that cannot be read must not cost the test its verdict
            words = f"capture.sr cannot be shown: {type(error).__name__}: {first_line(error)}"
            self._run.pins[self.folder] = KeptPins(key, (words,), covers=False)
            self._note("capture.svg", HostError(words))

    def write_file(self, name: str, text: str) -> None:
        """Write one file; what stands there is replaced."""
        path = self.folder / name
        try:
            self.folder.mkdir(exist_ok=True)
            temporary = path.with_name(f".{name}.part")
            temporary.write_text(text, encoding="utf-8", errors="backslashreplace")
            temporary.replace(path)
        except OSError as error:
            self._note(name, error)

    def _note(self, name: str, error: OSError | HilError) -> None:
        reason = error.strerror if isinstance(error, OSError) else None
        problem = f"could not write {self.folder / name}: {reason or error}"
        if problem not in self._run.problems:
            self._run.problems.append(problem)


def _no_folder(folder: Path, error: OSError) -> HostError:
    return HostError(
        f"cannot make the evidence folder {folder}: {error.strerror}; choose another with --hil-evidence DIR"
    )


def _to_json(
    test: str, board: str, incidents: Sequence[Incident], sources: CrashSources | None, pins: Sequence[str]
) -> str:
    found = []
    for incident in incidents:
        source = sources.of(incident) if sources is not None else None
        extra = {"source": source.to_dict()} if source is not None else {}
        found.append({"headline": incident.headline(board), **incident.to_dict(), **extra})
    return json.dumps(
        {
            "version": 1,
            "test": test,
            "board": board,
            "written": datetime.fromtimestamp(time.time(), UTC).isoformat(timespec="milliseconds"),
            "incidents": found,
            **({"capture": list(pins)} if pins else {}),
        },
        indent=1,
    )
