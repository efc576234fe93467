"""Options and markers, with their help texts. Imports nothing: it is read in every pytest run."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest

__all__ = ["MARKERS", "ON_INCIDENT", "add_options", "list_wanted", "wanted_boards"]

MARKERS = {
    "module_reload": (
        "module_reload(cycles=1, module=None): unload and load the kernel module (the board's own, or MODULE) "
        "that many times before the test, watched"
    ),
    "expect_incident": (
        "expect_incident(kind, function=None, match=None, count=1): the test passes only if such an incident happens; "
        "a fatal one ends the test"
    ),
}
"""What ``pytest --markers`` says of each; it begins with the marker's right form."""

ON_INCIDENT = ("fail", "abort-run", "report")

BOARD_HELP = "run the tests that need a board on board NAME of boards.toml; given several times: on each of them"
BOARDS_HELP = "the file that describes the boards; default: the nearest boards.toml in the rootdir or above it"
EVIDENCE_HELP = "folder for what is kept of each run and failure (default: hil-evidence in the rootdir)"
RULES_HELP = "file of rules for the kernel console, on top of the packaged ones; see `shepherd-hil rules`"
INCIDENT_HELP = (
    "what an incident on the board does: fail the test in which it happened, at once (default); abort-run: that, and "
    "end the run; report: only be reported"
)
KEEP_HELP = "leave a board whose kernel has died as it died, for a person to look at; the tests that remain for it fail"
WAIT_HELP = "wait up to SECONDS for a board that another run uses, instead of failing at once"
LIST_HELP = "show the boards of boards.toml, what each has and whether it is in use, and exit"


def add_options(parser: pytest.Parser) -> None:
    """Everything but the short form ``--board``, which is a plugin of its own."""
    group = parser.getgroup("hil", "hardware in the loop (pytest-shepherd-hil)")
    group.addoption("--hil-board", dest="hil_board", action="append", metavar="NAME", help=BOARD_HELP)
    group.addoption("--hil-boards", dest="hil_boards", metavar="FILE", help=BOARDS_HELP)
    group.addoption("--hil-evidence", dest="hil_evidence", metavar="DIR", help=EVIDENCE_HELP)
    group.addoption("--hil-rules", dest="hil_rules", metavar="FILE", help=RULES_HELP)
    group.addoption("--hil-on-incident", dest="hil_on_incident", choices=ON_INCIDENT, help=INCIDENT_HELP)
    group.addoption("--hil-keep-dead", dest="hil_keep_dead", action="store_true", help=KEEP_HELP)
    group.addoption("--hil-wait", dest="hil_wait", type=_seconds, default=0.0, metavar="SECONDS", help=WAIT_HELP)
    group.addoption("--hil-list-boards", dest="hil_list_boards", action="store_true", help=LIST_HELP)
    parser.addini("hil_boards", BOARDS_HELP)
    parser.addini("hil_evidence", EVIDENCE_HELP)
    parser.addini("hil_rules", RULES_HELP)
    parser.addini("hil_on_incident", INCIDENT_HELP)


def _seconds(text: str) -> float:
    """A time from the command line.

    Raises:
        ValueError: it is none.
    """
    seconds = float(text)
    if not 0 <= seconds < float("inf"):
        raise ValueError(text)
    return seconds


_seconds.__name__ = "number of seconds"  # as argparse names what it is not


def wanted_boards(config: pytest.Config) -> list[str]:
    """The boards of ``--board``, each once, in the order in which they were given."""
    return list(dict.fromkeys(config.getoption("hil_board") or []))


def list_wanted(config: pytest.Config) -> bool:
    return bool(config.getoption("hil_list_boards"))
