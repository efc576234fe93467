"""shepherd-hil console, as a person and as a script meet it."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import sys
import termios
from typing import IO, TYPE_CHECKING, Self

import pytest

from pytest_shepherd_hil import cli
from pytest_shepherd_hil.sim.process import SimProcess
from tests.plugin.conftest import bench_toml
from tests.suite import BOARDS
from tests.unit.commands.bench import COMMAND, WAIT_S, Terminal80, holding
from tests.unit.uart import Uart

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def uart() -> Iterator[Uart]:
    uart = Uart()
    yield uart
    uart.unplug()


@pytest.fixture
def boards(tmp_path: Path, uart: Uart) -> Path:
    path = tmp_path / "boards.toml"
    path.write_text(f'[boards.bench.console]\nport = "{uart.path}"\n')
    return path


@pytest.fixture
def person(boards: Path) -> Iterator[Terminal80]:
    """At a terminal, with the console open."""
    terminal = Terminal80("console", "bench", "--boards", str(boards))
    terminal.wait_for("Ctrl-C or Ctrl-] ends this\n")
    yield terminal
    terminal.close()


class Script:
    """The console in a pipe."""

    def __init__(self, *arguments: str) -> None:
        self.process = subprocess.Popen(
            [*COMMAND, "console", *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        assert self.process.stderr is not None
        self.stdin = self.process.stdin
        self._texts: dict[IO[bytes], bytes] = {self.process.stdout: b"", self.process.stderr: b""}

    def wait_for(self, wanted: bytes, *, stderr: bool = False) -> bytes:
        """All that a stream has said, once ``wanted`` is in it."""
        stream = list(self._texts)[stderr]
        while wanted not in self._texts[stream]:
            assert select.select([stream], [], [], WAIT_S)[0], f"{wanted!r} did not come: {self._texts}"
            data = os.read(stream.fileno(), 65536)
            assert data, f"{wanted!r} did not come: {self._texts}"
            self._texts[stream] += data
        return self._texts[stream]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        for stream in (self.stdin, *self._texts):
            with contextlib.suppress(BrokenPipeError):
                stream.close()


def test_a_person_sees_the_board_and_types_to_it(person: Terminal80, uart: Uart) -> None:
    uart.say(b"\r\nsim login: ")
    person.wait_for("sim login: ")
    person.type(b"root\r")
    assert uart.heard(5) == b"root\r"
    assert "root" not in person.text  # the board echoes, not we


@pytest.mark.parametrize("key", [b"\x03", b"\x1d", b"ls\x1d"])
def test_ctrl_c_and_ctrl_bracket_end_it_with_the_terminal_as_it_was(key: bytes, person: Terminal80) -> None:
    assert termios.tcgetattr(person.slave) != person.before
    person.type(key)
    assert person.end() == 0
    assert person.text.endswith("-- ended\n")
    assert termios.tcgetattr(person.slave) == person.before


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_ends_it_with_the_terminal_as_it_was(number: int, person: Terminal80) -> None:
    person.process.send_signal(number)
    assert person.end() == 0
    assert termios.tcgetattr(person.slave) == person.before


def test_a_console_that_would_command_the_terminal_is_shown_and_not_obeyed(person: Terminal80, uart: Uart) -> None:
    uart.say(b"\x1b[2J\x1b]0;pwned\x07\x1b[31mred\r\n")
    person.wait_for("red\n")
    assert "\x1b" not in person.text
    assert "\x07" not in person.text
    assert "\\x07red" in person.text


def test_raw_passes_everything_on(boards: Path, uart: Uart) -> None:
    with Script("bench", "--boards", str(boards), "--raw") as script:
        script.wait_for(b"ends this", stderr=True)
        uart.say(b"\x1b[31mred\r\n\xff\x00end")
        assert script.wait_for(b"end") == b"\x1b[31mred\r\n\xff\x00end"


@pytest.mark.parametrize("options", [[], ["--raw"]])
def test_timestamps_begin_each_line(options: list[str], boards: Path, uart: Uart) -> None:
    with Script("bench", "--boards", str(boards), "--timestamps", *options) as script:
        script.wait_for(b"ends this", stderr=True)
        uart.say(b"one\ntwo\n")
        lines = script.wait_for(b"two\n").splitlines()
    assert [(line[:1], line[13:]) for line in lines] == [(b"[", b"] one"), (b"[", b"] two")]


def test_a_pipe_is_sent_as_it_is_and_its_end_does_not_end_the_console(boards: Path, uart: Uart) -> None:
    with Script("bench", "--boards", str(boards)) as script:
        script.stdin.write(b"uname -a\nreboot\n")
        script.stdin.close()
        script.wait_for(b"ends this", stderr=True)
        assert uart.heard(16) == b"uname -a\nreboot\n"
        uart.say(b"still here\n")
        script.wait_for(b"still here\n")
        assert script.process.poll() is None


def test_who_has_read_enough_ends_it(boards: Path, uart: Uart) -> None:
    with Script("bench", "--boards", str(boards)) as script:
        script.wait_for(b"ends this", stderr=True)
        assert script.process.stdout is not None
        script.process.stdout.close()
        uart.say(b"nobody reads this\n")
        assert script.process.wait(WAIT_S) == 0


def test_a_port_that_goes_is_told_and_waited_for(tmp_path: Path) -> None:
    with SimProcess.start() as sim:
        (tmp_path / "boards.toml").write_text(bench_toml(sim))
        terminal = Terminal80("console", "bench", "--boards", str(tmp_path / "boards.toml"))
        terminal.wait_for("ends this\n")
        sim.control.unplug_uart()
        terminal.wait_for("waiting for it to come back, at most 120 s\n")
        assert "-- lost: board bench: console " in terminal.text
        terminal.type(b"x")
        terminal.wait_for("-- not sent: the port has gone\n")
        sim.control.plug_uart()
        terminal.wait_for(" is back\n")
        before = len(terminal.text)
        terminal.type(b"\r")
        terminal.wait_for("sim login: ", after=before)
        sim.control.unplug_uart()
        terminal.wait_for("waiting for it", after=before)
        terminal.type(b"\x1d")
        assert terminal.end() == 0
        terminal.close()


def test_while_a_run_holds_the_board_its_log_is_followed_and_then_the_console_is_live(
    boards: Path, uart: Uart, tmp_path: Path
) -> None:
    log = tmp_path / "console-bench.log"
    log.write_bytes(b"before\r\n")
    with holding(boards, "bench", log=log) as process, Script("bench", "--boards", str(boards)) as script:
        script.wait_for(b"before\n")
        said = script.wait_for(b"ends this", stderr=True)
        assert b"-- board bench is in use by " in said
        assert f"-- read-only: this is what it records in {log}".encode() in said
        assert process.stdin is not None
        print("while it runs", file=process.stdin, flush=True)
        script.wait_for(b"before\nwhile it runs\n")
        script.stdin.write(b"reboot\n")
        script.stdin.flush()
        script.wait_for(b"-- not sent: read-only while a run holds the board\n", stderr=True)
        process.kill()
        said = script.wait_for(b" baud; Ctrl-C ends this\n", stderr=True)
        assert b"-- the run has let go of the board\n" in said
        uart.say(b"live\n")
        script.wait_for(b"live\n")
        script.stdin.write(b"now\n")
        script.stdin.flush()
        assert uart.heard(4) == b"now\n"


def test_the_log_of_a_real_run_is_found(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "go")
    (tmp_path / "test_it.py").write_text(
        "def test_it(console):\n    console.send('\\r')\n    console.expect('login: ')\n    print(open('go').read())\n"
    )
    with SimProcess.start() as sim:
        (tmp_path / "boards.toml").write_text(bench_toml(sim))
        run = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--board", "bench", str(tmp_path)]
        with (
            subprocess.Popen(run, cwd=tmp_path, stdout=subprocess.PIPE, text=True) as pytest_run,
            (tmp_path / "go").open("w") as go,  # opens when the test does
            Script("bench", "--boards", str(tmp_path / "boards.toml")) as script,
        ):
            said = script.wait_for(b"this is what it records in ", stderr=True).decode()
            script.wait_for(b"sim login: ")
            go.close()
            script.wait_for(b"the run has let go of the board\n", stderr=True)
            out, _ = pytest_run.communicate(timeout=WAIT_S)
    assert f"(pid {pytest_run.pid}, since " in said
    assert "1 passed" in out


def test_a_run_whose_log_cannot_be_found_is_told_so(boards: Path) -> None:
    with holding(boards, "bench") as process, Script("bench", "--boards", str(boards)) as script:
        said = script.wait_for(b"waiting until it lets go of the board", stderr=True).decode()
        assert f"(pid {process.pid}, since " in said
        assert "read-only, and whoever has it has noted no console log" in said


def test_only_the_end_of_a_long_log_is_shown_from_the_beginning_of_a_line(boards: Path, tmp_path: Path) -> None:
    log = tmp_path / "console-bench.log"
    log.write_bytes(b"".join(b"line %06d\n" % number for number in range(10_000)))
    with holding(boards, "bench", log=log), Script("bench", "--boards", str(boards)) as script:
        shown = script.wait_for(b"line 009999\n").splitlines()
    assert 300 < len(shown) < 400
    assert shown[0].startswith(b"line 00")


def test_an_embedded_board_is_started_for_its_console() -> None:
    with Script("sim01", "--boards", str(BOARDS)) as script:
        script.wait_for(b"sim login: ")
        script.process.send_signal(signal.SIGINT)
        assert script.process.wait(WAIT_S) == 0
        assert b"was started for this console alone" in script.wait_for(b"ended\n", stderr=True)


def test_a_port_that_is_not_there_is_an_error_that_helps(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "boards.toml").write_text('[boards.bench.console]\nport = "/dev/ttyUSB77"\n')
    assert cli.main(["console", "bench", "--boards", str(tmp_path / "boards.toml")]) == 1
    assert "there is no such device; is the adapter plugged in?" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("board", "said"),
    [("bensh", "did you mean bench?"), ("blind", "board blind has no [boards.blind.console] in boards.toml")],
)
def test_what_cannot_begin_is_status_2(board: str, said: str, boards: Path, capsys: pytest.CaptureFixture[str]) -> None:
    boards.write_text(boards.read_text() + '[boards.blind.ssh]\nhost = "h"\n')
    assert cli.main(["console", board, "--boards", str(boards)]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: ")
    assert said in err
