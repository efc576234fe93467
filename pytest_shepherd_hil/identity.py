"""What runs on a board: its kernel, the module under test and the firmware of its coprocessors."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pytest_shepherd_hil.errors import HilError
from pytest_shepherd_hil.text import first_line, printable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_shepherd_hil.shell import Shell

__all__ = ["Boot", "boots_text", "look_at"]

_MARK = "=== "
_MOST_LINES = 40
_ASK_S = 15.0


@dataclass(slots=True)
class Boot:
    """One boot of a board, as far as its shell tells.

    Attributes:
        boot_id: the kernel's own name for this boot.
        cause: how it came about: ``found running``, ``power cycle``, …
        facts: lines by topic: kernel, module, firmware, …
        module_loaded: whether the module under test is loaded; None where no module is named.
    """

    boot_id: str | None
    cause: str
    facts: dict[str, list[str]] = field(default_factory=dict)
    module_loaded: bool | None = None


def look_at(shell: Shell, boot_id: str | None, cause: str, module: str | None) -> Boot:
    """Ask a board that has booted what it is. A board that does not say is no error.

    Args:
        boot_id: as the board gave it.
        cause: why it has booted.
        module: name of the module under test.
    """
    boot = Boot(boot_id, cause)
    try:
        said = shell.run(_script(module), timeout_s=_ASK_S, check=False).stdout
    except HilError as error:
        boot.facts["not known"] = [first_line(error)]
        return boot
    topic: list[str] = []
    for line in said.splitlines():
        if line.startswith(_MARK):
            topic = boot.facts.setdefault(line.removeprefix(_MARK), [])
        elif line.strip() and len(topic) < _MOST_LINES:
            topic.append(printable(line.strip()))
    loaded = boot.facts.pop("loaded", [])
    if module is not None:
        boot.module_loaded = module.replace("-", "_") in loaded
    return boot


def boots_text(board: str, boots: Sequence[Boot]) -> str:
    """``board.txt``: every boot of a run."""
    lines = [f"board  {board}"]
    for number, boot in enumerate(boots, 1):
        lines += ["", f"boot {number}: {boot.cause}", f"  boot id: {printable(str(boot.boot_id))}"]
        if boot.module_loaded is not None:
            lines.append(f"  module: {'loaded' if boot.module_loaded else 'not loaded'}")
        for topic, said in boot.facts.items():
            lines.append(f"  {printable(topic)}:")
            lines += [f"    {line}" for line in said]
    return "\n".join(lines) + "\n"


def _script(module: str | None) -> str:
    """One command that asks everything; what a board lacks (modinfo, firmware, …) it just does not say."""
    asks = [
        f"echo '{_MARK}kernel'; cat /proc/version /proc/cmdline",
        f"echo '{_MARK}system'; grep PRETTY_NAME /etc/os-release",
        f"echo '{_MARK}firmware'; for p in /sys/class/remoteproc/*; do cat $p/name $p/firmware $p/state; done",
        "sha256sum /lib/firmware/*pru*",
        f"echo '{_MARK}reset reason'; grep . /sys/class/watchdog/*/bootstatus",
    ]
    if module is not None:
        name = shlex.quote(module.replace("-", "_"))
        asks += [
            f"echo '{_MARK}module {name}'; modinfo {shlex.quote(module)}",
            f"grep . /sys/module/{name}/version /sys/module/{name}/srcversion",
            f"echo '{_MARK}loaded'; grep '^{name} ' /proc/modules | while read -r module rest; do echo $module; done",
        ]
    return "; ".join(f"{{ {ask}; }} 2>/dev/null" for ask in asks)
