"""boards.toml: what loads, and what each fault of it says."""

from __future__ import annotations

import re
import unicodedata
from pathlib import Path

import pytest

from pytest_shepherd_hil.boards import BoardConfig, BoardsFile, find_boards_file, load_boards, parse_samplerate
from pytest_shepherd_hil.errors import ConfigError

OWN = Path(__file__).parents[2] / "boards.toml"

DESIGN = """
[boards.bbb01]
description = "BeagleBone Green, cape 2.4"
[boards.bbb01.ssh]
host = "bbb01.local"
user = "ubuntu"
sudo = true
[boards.bbb01.console]
port = "/dev/serial/by-id/usb-FTDI_TTL232R-3V3_FT000000-if00-port0"   # pin 4 and 5 of J1
baudrate = 115200
[boards.bbb01.logic]
driver = "fx2lafw"
samplerate = "4 MHz"
channels = { D0 = "uart_tx", D1 = "sync" }       # D0 on pin 5 of J1
[boards.bbb01.module]
name = "shepherd"
load = "modprobe -a shepherd"
unload = "modprobe -rf shepherd"
[boards.bbb01.power]
cycle = "uhubctl -l 1-1 -p 3 -a cycle"
"""
CONSOLE = '[boards.b.console]\nport = "/dev/ttyS0"\n'

NAME_FORM = "use up to 64 letters, digits, '_', '-', '.', and begin with a letter or digit"


def write(folder: Path, content: str | bytes) -> Path:
    path = folder / "boards.toml"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def load(folder: Path, content: str | bytes) -> BoardsFile:
    return load_boards(write(folder, content))


def board(folder: Path, content: str) -> BoardConfig:
    (found,) = load(folder, content)
    return found


def faults(folder: Path, content: str | bytes) -> list[str]:
    """What loading the file says, line by line, each without the file's name, which must be there."""
    path = write(folder, content)
    with pytest.raises(ConfigError) as caught:
        load_boards(path)
    text = str(caught.value)
    shown = [character for character in text if character != "\n" and unicodedata.category(character)[0] == "C"]
    assert shown == [], "an error shows what a terminal would obey"
    lines = text.splitlines()
    assert all(str(path) in line for line in lines)
    assert all(len(line) < len(str(path)) + 800 for line in lines)
    return [line.removeprefix(f"{path}: ") for line in lines]


# what loads


def test_the_boards_of_this_repository_load() -> None:
    boards = load_boards(OWN)
    assert {board.name for board in boards} >= {"sim01", "sim-racy", "sim-cma", "sim-pru", "bbb01"}
    simulated = boards.board("sim-racy").sim
    assert simulated is not None
    assert simulated.fault == "racy"


def test_the_board_of_the_design_loads_as_it_stands_there(tmp_path: Path) -> None:
    config = board(tmp_path, DESIGN)
    assert (config.name, config.description) == ("bbb01", "BeagleBone Green, cape 2.4")
    assert config.ssh is not None
    assert (config.ssh.host, config.ssh.port, config.ssh.user, config.ssh.sudo) == ("bbb01.local", 22, "ubuntu", True)
    assert config.console is not None
    assert config.console.port is not None
    assert config.console.port.endswith("FT000000-if00-port0")
    assert config.console.baudrate == 115200
    assert config.logic is not None
    assert (config.logic.driver, config.logic.samplerate) == ("fx2lafw", 4_000_000)
    assert config.logic.channels == {"D0": "uart_tx", "D1": "sync"}
    assert config.module is not None
    assert (config.module.name, config.module.load) == ("shepherd", "modprobe -a shepherd")
    assert config.module.unload == "modprobe -rf shepherd"
    assert config.power is not None
    assert config.power.cycle == "uhubctl -l 1-1 -p 3 -a cycle"
    assert config.has == {"shell", "console", "logic", "module", "power"}


def test_boards_come_in_the_order_of_the_file(tmp_path: Path) -> None:
    boards = load(tmp_path, "".join(f"[boards.{name}.sim]\n" for name in ("zeta", "alpha", "mid")))
    assert [board.name for board in boards] == ["zeta", "alpha", "mid"]
    assert len(boards) == 3


@pytest.mark.parametrize(
    ("tables", "has"),
    [
        ("[boards.b.sim]\n", {"shell", "console", "power"}),
        ('[boards.b.sim]\n[boards.b.logic]\ndriver = "sim"\n', {"shell", "console", "power", "logic"}),
        (CONSOLE, {"console"}),
        ('[boards.b.ssh]\nhost = "h"\n', {"shell"}),
        ("[boards.b.logic]\n", {"logic"}),
        (CONSOLE + '[boards.b.power]\noff = "o"\non = "i"\n', {"console", "power"}),
        (CONSOLE + '[boards.b.module]\nname = "m"\n', {"console", "module"}),
    ],
)
def test_a_board_has_what_its_tables_say(tmp_path: Path, tables: str, has: set[str]) -> None:
    assert board(tmp_path, tables).has == has


def test_a_file_written_on_windows_loads(tmp_path: Path) -> None:
    content = b"\xef\xbb\xbf" + CONSOLE.replace("\n", "\r\n").encode()
    assert [board.name for board in load(tmp_path, content)] == ["b"]


def test_an_empty_file_has_no_boards(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"unknown board 'x': .*boards\.toml has no \[boards\.x\]; it has no boards"):
        load(tmp_path, "").board("x")


# files that cannot be read


def test_a_missing_file_says_so(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=re.escape(f"cannot read {tmp_path / 'no.toml'}: No such file or directory")):
        load_boards(tmp_path / "no.toml")


def test_a_folder_in_its_place_says_so(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"cannot read .*: Is a directory"):
        load_boards(tmp_path)


def test_an_unreadable_file_says_so() -> None:
    # what the kernel refuses to anybody, root too
    with pytest.raises(ConfigError, match=r"cannot read /proc/self/mem: Input/output error"):
        load_boards(Path("/proc/self/mem"))


def test_a_path_through_a_file_says_so(tmp_path: Path) -> None:
    path = write(tmp_path, "")
    with pytest.raises(ConfigError, match=r"cannot read .*: Not a directory"):
        load_boards(path / "boards.toml")


def test_bytes_that_are_not_utf8_say_where(tmp_path: Path) -> None:
    (fault,) = faults(tmp_path, b'[boards.b]\ndescription = "Gr\xfcn"\n')
    assert fault.endswith("boards.toml is not UTF-8 text: invalid start byte at byte 28")


@pytest.mark.parametrize(
    ("content", "place"),
    [
        ("[boards.b]\nname: b\n", "(at line 2, column 5)"),
        ("[boards.b\n", "(at line 1, column 10)"),
        ('[boards.b]\n[boards.b]\ndescription = "x"\n', "(at line 2, column 10)"),
        ('[boards.b]\ndescription = "\x1b[31mred"\n', "(at line 2, column 16)"),
        ('[boards.b]\ndescription = "never ends', "(at end of document)"),
        ("x = " + "[" * 100_000, "it nests too deep"),
        ("x = " + "1" * 5000, "Exceeds the limit"),
    ],
)
def test_what_is_not_toml_says_where(tmp_path: Path, content: str, place: str) -> None:
    (fault,) = faults(tmp_path, content)
    assert "boards.toml is not TOML" in fault
    assert place in fault


# what no board can have


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("[board.b.sim]\n", "unknown key 'board' at the top; did you mean 'boards'?"),
        ("[Boards.b.sim]\n", "unknown key 'Boards' at the top; did you mean 'boards'?"),
        ("zzz = 1\n", "unknown key 'zzz' at the top; valid here: boards, rules"),
        ("boards = 5\n", "'boards' must be a table, as in [boards.bbb01], not a number"),
        ("[[boards]]\n", "'boards' must be a table, as in [boards.bbb01], not an array"),
        ("[boards]\nb = 'x'\n", "board b: must be a table [boards.b], not a string"),
        ("[boards]\nb = true\n", "board b: must be a table [boards.b], not a boolean"),
        ("[boards.b]\nname = 'c'\n", "board b: key 'name': a board's name is its table's: [boards.b]"),
        ("[boards.b]\n", "board b: give it at least one of the tables ssh, console, logic, sim, virtual"),
        (
            "[boards.b.module]\nname = 'm'\n",
            "board b: give it at least one of the tables ssh, console, logic, sim, virtual",
        ),
        (CONSOLE + "[boards.b]\ndescripton = 'x'\n", "board b: unknown key 'descripton'; did you mean 'description'?"),
        (CONSOLE + "[boards.b.consol]\n", "board b: unknown key 'consol'; did you mean 'console'?"),
        (CONSOLE + "baud = 9600\n", "board b: unknown key 'console.baud'; did you mean 'baudrate'?"),
        (CONSOLE + "BAUDRATE = 9600\n", "board b: unknown key 'console.BAUDRATE'; did you mean 'baudrate'?"),
        (CONSOLE + "wombat = 1\n", "board b: unknown key 'console.wombat'; valid here: port, logic, baudrate"),
        ("[boards.b.ssh]\nhost = 'h'\nusr = 'u'\n", "board b: unknown key 'ssh.usr'; did you mean 'user'?"),
        ("[boards.b.sim]\nfaults = 'racy'\n", "board b: unknown key 'sim.faults'; did you mean 'fault'?"),
        ("[boards.b.ssh]\nport = 22\n", "board b: key 'ssh.host' is missing"),
        (
            "[boards.b.console]\nbaudrate = 9600\n",
            "board b: key 'console': give 'port', a serial port, or 'logic', a channel of the logic analyzer",
        ),
        (
            "[boards.b.console]\nlogic = 'D0'\n",
            "board b: key 'console.logic': 'D0' is a channel of the logic analyzer, and there is no [boards.b.logic]",
        ),
        (
            "[boards.b.console]\nlogic = 'rx'\n[boards.b.logic]\nchannels = { D0 = 't' }\n",
            (
                "board b: key 'console.logic': 'rx' is none of the channels in [boards.b.logic], which has D0 (t); "
                "valid here: D0, t"
            ),
        ),
        ("[boards.b.logic]\nring_s = 5\nring_mb = 5\n", "board b: key 'logic': give either 'ring_s' or 'ring_mb'"),
        (
            "[boards.b.logic]\nring_s = 3600\nsamplerate = '24 MHz'\n",
            "board b: key 'logic': 'ring_s': 3600 s at 24000000 Hz are 82397 MiB; at most 16384 can be kept",
        ),
        (
            "[boards.b.logic]\ndriver = 'replay'\n",
            "board b: key 'logic': driver 'replay' needs 'file', a recording to be played",
        ),
        ("[boards.b.logic]\nfile = 'x.sr'\n", "board b: key 'logic': 'file' and 'loop' are for driver 'replay'"),
        (
            "[boards.b.logic]\ndriver = 'replay'\nfile = 'x.sr'\nsamplerate = 1000\n",
            "board b: key 'logic': a replayed file has its own samplerate: remove 'samplerate'",
        ),
        (
            "[boards.b.logic]\ndriver = 'probe'\n",
            "board b: key 'logic': driver 'probe' needs 'conn', the path of its socket",
        ),
        (
            "[boards.b.logic]\ndriver = 'sim'\n",
            "board b: key 'logic.driver': 'sim' is the probe of a board with [boards.b.sim]",
        ),
        (
            "[boards.b.sim]\n[boards.b.logic]\ndriver = 'demo'\n",
            "board b: key 'logic.driver': 'demo': this board brings its own probe, driver 'sim'",
        ),
        ("[boards.b]\nssh = 'h'\n", "board b: key 'ssh': must be a table, not a string"),
        ("[boards.b]\nconsole = 2024-11-22\n", "board b: key 'console': must be a table, not date"),
        ("[boards.b.logic]\nchannels = ['D0']\n", "board b: key 'logic.channels': must be a table, not an array"),
        ("[boards.b.logic]\nchannels = {}\n", "board b: key 'logic.channels': must not be empty"),
        (
            "[boards.b.logic]\nchannels = { D0 = 1 }\n",
            "board b: key 'logic.channels.D0': input should be a valid string, not 1",
        ),
        ("[boards.b.console]\nport = 5\n", "board b: key 'console.port': input should be a valid string, not 5"),
        (
            "[boards.b.console]\nport = ''\n",
            "board b: key 'console.port': string should have at least 1 character, not ''",
        ),
        (
            CONSOLE + "baudrate = '9600'\n",
            "board b: key 'console.baudrate': input should be a valid integer, not '9600'",
        ),
        (CONSOLE + "baudrate = true\n", "board b: key 'console.baudrate': input should be a valid integer, not True"),
        (
            CONSOLE + "baudrate = 1\n",
            "board b: key 'console.baudrate': input should be greater than or equal to 50, not 1",
        ),
        (
            "[boards.b.ssh]\nhost = 'h'\nport = 65536\n",
            "board b: key 'ssh.port': input should be less than or equal to 65535, not 65536",
        ),
        ("[boards.b.ssh]\nhost = 'h'\nsudo = 1\n", "board b: key 'ssh.sudo': input should be a valid boolean, not 1"),
        (
            "[boards.b.ssh]\nhost = 'h'\nconnect_timeout_s = 0\n",
            "board b: key 'ssh.connect_timeout_s': input should be greater than 0, not 0",
        ),
        (
            "[boards.b.ssh]\nhost = 'h'\nconnect_timeout_s = nan\n",
            "board b: key 'ssh.connect_timeout_s': input should be less than or equal to 3600, not nan",
        ),
        (
            "[boards.b.ssh]\nhost = 'h'\nconnect_timeout_s = inf\n",
            "board b: key 'ssh.connect_timeout_s': input should be less than or equal to 3600, not inf",
        ),
        (
            "[boards.b.sim]\nfault = 'rcy'\n",
            "board b: key 'sim.fault': input should be 'none', 'racy', 'cma' or 'pru', not 'rcy'",
        ),
        (
            "[boards.b.sim]\nfault_after = 0\n",
            "board b: key 'sim.fault_after': input should be greater than or equal to 1, not 0",
        ),
        (
            CONSOLE + "[boards.b.power]\noff = 'o'\n",
            "board b: key 'power': give 'cycle', or both 'off' and 'on', or a 'backend'",
        ),
        (CONSOLE + "[boards.b.power]\n", "board b: key 'power': give 'cycle', or both 'off' and 'on', or a 'backend'"),
        (
            CONSOLE + "[boards.b.power]\ncycle = ''\n",
            "board b: key 'power.cycle': string should have at least 1 character, not ''",
        ),
        (
            "[boards.b.logic]\nsamplerate = 'fast'\n",
            "board b: key 'logic.samplerate': 'fast' is not a samplerate; write it as 4_000_000 or '4 MHz'",
        ),
        (
            "[boards.b.sim]\n[boards.b.ssh]\nhost = 'h'\n",
            "board b: the sim brings its own ssh: remove [boards.b.ssh]",
        ),
        (
            "[boards.b.sim]\n" + CONSOLE,
            "board b: the sim brings its own console: remove [boards.b.console]",
        ),
        (
            "[boards.b.sim]\n[boards.b.power]\ncycle = 'c'\n[boards.b.ssh]\nhost = 'h'\n",
            "board b: the sim brings its own ssh, power: remove [boards.b.ssh], [boards.b.power]",
        ),
        (
            "[boards.b.virtual]\n[boards.b.ssh]\nhost = 'h'\n",
            "board b: the virtual board brings its own ssh: remove [boards.b.ssh]",
        ),
        (
            "[boards.b.virtual]\n[boards.b.sim]\n",
            "board b: it is either embedded or virtual: give it one of the tables sim, virtual",
        ),
        (
            "[boards.b.virtual]\nsnapshots = true\n",
            "board b: unknown key 'virtual.snapshots'; did you mean 'snapshot'?",
        ),
    ],
)
def test_one_fault_is_one_line_with_board_key_and_cure(tmp_path: Path, content: str, expected: str) -> None:
    assert faults(tmp_path, content) == [expected]


def test_a_misspelt_module_name_is_pointed_to_the_key_name(tmp_path: Path) -> None:
    found = faults(tmp_path, CONSOLE + "[boards.b.module]\nnam = 'm'\n")
    assert found == [
        "board b: key 'module.name' is missing",
        "board b: unknown key 'module.nam'; did you mean 'name'?",
    ]


def test_several_faults_are_one_line_each_through_the_whole_file(tmp_path: Path) -> None:
    content = """
    wombat = 1
    [boards.a.ssh]
    hots = "h"
    port = 0
    [boards.'../x'.sim]
    [boards.b]
    [boards.c.console]
    port = 1
    [boards.fine.sim]
    """
    assert faults(tmp_path, content) == [
        "unknown key 'wombat' at the top; valid here: boards, rules",
        "board a: key 'ssh.host' is missing",
        "board a: key 'ssh.port': input should be greater than or equal to 1, not 0",
        "board a: unknown key 'ssh.hots'; did you mean 'host'?",
        f"'../x' cannot be a board's name; {NAME_FORM}",
        "board b: give it at least one of the tables ssh, console, logic, sim, virtual",
        "board c: key 'console.port': input should be a valid string, not 1",
    ]


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("../x", "'../x'"),
        ("..", "'..'"),
        (".hidden", "'.hidden'"),
        ("-v", "'-v'"),
        ("a b", "'a b'"),
        ("a/b", "'a/b'"),
        ("", "''"),
        ("bbb01\\n", r"'bbb01\n'"),
        ("\\u001b[31m", r"'\x1b[31m'"),
        ("\\u202exy", r"'\u202exy'"),
        ("b\\u00fc", "'bü'"),
        ("x" * 65, f"'{'x' * 65}'"),
        ("x" * 100_000, f"'{'x' * 99}… (100002 characters)"),
    ],
)
def test_a_hostile_board_name_is_refused_and_shown_harmlessly(tmp_path: Path, name: str, shown: str) -> None:
    (fault,) = faults(tmp_path, f'[boards."{name}".sim]\n')
    assert fault.startswith(f"{shown} cannot be a board's name; ")


def test_a_name_of_64_characters_is_a_name(tmp_path: Path) -> None:
    assert board(tmp_path, f"[boards.{'x' * 64}.sim]\n").name == "x" * 64


@pytest.mark.parametrize(
    "content",
    [
        '[boards.b.sim]\n"\\u001b[31m" = 1\n',
        '"\\u001b[31m" = 1\n',
        '"\\u009b31m\\n\\u202e" = 1\n',
        '[boards.b.console]\nport = ["\\u001b[31m"]\n',
        '[boards.b.logic]\nsamplerate = "\\u001b[31m\\n"\n',
        '[boards.b.logic]\nchannels = { "\\u001b[31m" = 1 }\n',
        '[boards.b.sim]\nfault = "\\u001b]0;x\\u0007"\n',
        f"[boards.b.sim]\nfault = '{'x' * 100_000}'\n",
        f"[boards.b.logic]\nsamplerate = '{'9' * 100_000} MHz'\n",
        f"[boards.b.sim]\n{'k' * 100_000} = 1\n",
        "[boards.b.console]\nport = " + "[" * 50 + "]" * 50 + "\n",
    ],
)
def test_a_hostile_file_cannot_reach_the_terminal_through_an_error(tmp_path: Path, content: str) -> None:
    assert len(faults(tmp_path, content)) >= 1  # faults() itself looks for what a terminal obeys


def test_a_hostile_folder_name_cannot_reach_the_terminal_either(tmp_path: Path) -> None:
    folder = tmp_path / "\x1b[31m\nred"
    folder.mkdir()
    for content in ("zzz = 1", "nonsense", b"\xff"):
        with pytest.raises(ConfigError) as caught:
            load(folder, content)
        assert "\x1b" not in str(caught.value)
        assert "\n" not in str(caught.value)


# samplerates


@pytest.mark.parametrize(
    ("value", "rate"),
    [
        (4_000_000, 4_000_000),
        (1, 1),
        ("4 MHz", 4_000_000),
        ("4MHz", 4_000_000),
        ("4M", 4_000_000),
        ("4 mhz", 4_000_000),
        ("8.2 MHz", 8_200_000),
        ("0.5 kHz", 500),
        ("500k", 500_000),
        ("500 kSa/s", 500_000),
        ("1 GHz", 1_000_000_000),
        ("250 Hz", 250),
        (" 24 MS/s ", 24_000_000),
        ("1.000001 MHz", 1_000_001),
    ],
)
def test_a_samplerate_may_be_written_as_people_write_it(value: object, rate: int) -> None:
    assert parse_samplerate(value) == rate


@pytest.mark.parametrize(
    "value",
    [
        0,
        -1,
        True,
        4e6,
        None,
        "",
        "MHz",
        "4 XHz",
        "4 MHz!",
        "-4 MHz",
        "0.3 Hz",
        "1.5 Hz",
        "1e6",
        "4,5 MHz",
        "4 MHz 5",
        10**30,
        "11 GHz",
        "9" * 5000 + " GHz",
        "inf",
        "nan",
        ["4 MHz"],
    ],
)
def test_nonsense_is_no_samplerate(value: object) -> None:
    with pytest.raises(ValueError, match="is not a samplerate; write it as 4_000_000 or '4 MHz'"):
        parse_samplerate(value)


# finding a board, finding the file


@pytest.mark.parametrize(
    ("wanted", "hint"),
    [
        ("sim02", "did you mean sim01"),
        ("SIM-RACY", "did you mean sim-racy"),
        ("BBB01", "did you mean bbb01"),
        ("sim_cma", "did you mean sim-cma"),
        ("wombat", "it has sim01, sim-racy, sim-cma, sim-pru, "),
    ],
)
def test_an_unknown_board_names_the_nearest(wanted: str, hint: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_boards(OWN).board(wanted)
    text = str(caught.value)
    assert text.startswith(f"unknown board '{wanted}': {OWN} has no [boards.{wanted}]; ")
    assert hint in text


def test_a_hostile_name_on_the_command_line_is_shown_harmlessly() -> None:
    with pytest.raises(ConfigError) as caught:
        load_boards(OWN).board("\x1b[2J\u202e" + "x" * 10_000)
    assert re.search(r"[\x00-\x1f\x7f-\x9f\u202e]", str(caught.value)) is None
    assert len(str(caught.value)) < 1000


def test_the_file_is_found_by_walking_up(tmp_path: Path) -> None:
    deep = tmp_path / "a" / "b" / "c"
    deep.mkdir(parents=True)
    far = write(tmp_path, "")
    assert find_boards_file(deep) == far
    near = write(tmp_path / "a", "")
    assert find_boards_file(deep) == near
    assert find_boards_file(tmp_path) == far


def test_a_folder_called_boards_toml_is_not_the_file(tmp_path: Path) -> None:
    far = write(tmp_path, "")
    (tmp_path / "a" / "boards.toml").mkdir(parents=True)
    assert find_boards_file(tmp_path / "a") == far


def test_where_there_is_no_file_none_is_found(tmp_path: Path) -> None:
    assert find_boards_file(tmp_path) is None


@pytest.mark.parametrize(
    ("value", "paths"),
    [
        ("'build/shepherd.ko'", ["{here}/build/shepherd.ko"]),
        ("['a.ko', '/boot/vmlinux']", ["{here}/a.ko", "/boot/vmlinux"]),
        ("'~/a.ko'", ["{home}/a.ko"]),
    ],
)
def test_symbols_are_found_from_the_files_own_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: str, paths: list[str]
) -> None:
    monkeypatch.setenv("HOME", "/home/someone")
    module = board(tmp_path, f"{CONSOLE}[boards.b.module]\nname = 'm'\nsymbols = {value}\n").module
    assert module is not None
    assert [str(path) for path in module.symbols] == [
        path.format(here=tmp_path, home="/home/someone") for path in paths
    ]


@pytest.mark.parametrize("value", ["1", "''", "['a.ko', 1]", "[['a.ko']]"])
def test_symbols_that_are_no_file_names_are_one_fault(tmp_path: Path, value: str) -> None:
    (fault,) = faults(tmp_path, f"{CONSOLE}[boards.b.module]\nname = 'm'\nsymbols = {value}\n")
    assert fault.startswith("board b: key 'module.symbols': must be a file name or an array of file names, not ")


@pytest.mark.parametrize(
    ("tables", "said"),
    [
        ("rules = 1\n", "'rules' must be tables [rules.<id>], not a number"),
        ("[boards.b]\nrules = 1\n", "board b: 'rules' must be tables [boards.b.rules.<id>], not a number"),
        ("[rules]\nx = 1\n", "rule 'x': is not a table; write it as [rules.x]"),
        (
            "[boards.b.rules.oops-null-pointer]\nseverity = 'fial'\n",
            "board b: rule 'oops-null-pointer': severity = 'fial' is none of fail, warn, info, off",
        ),
    ],
)
def test_a_bad_rule_is_one_fault_with_board_and_rule(tmp_path: Path, tables: str, said: str) -> None:
    assert faults(tmp_path, f"{tables}{CONSOLE}")[:1] == [said]
