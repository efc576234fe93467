"""The board's console: reachable, this board's, and the same on the analyzer."""

from __future__ import annotations

import re
import secrets
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pytest_shepherd_hil.console.console import Console
    from pytest_shepherd_hil.logic.analyzer import LogicAnalyzer
    from pytest_shepherd_hil.shell import Shell


def test_what_the_kernel_prints_comes_out_of_the_console(shell: Shell, console: Console) -> None:
    word = secrets.token_hex(8)
    shell.run(f"echo '<4>hil: {word}' > /dev/kmsg")
    console.expect(rf"\[ *\d+\.\d+\].* hil: {word}", timeout_s=5)
    assert console.kernel_time is not None
    assert console.kernel_time > 0


def test_the_uart_line_on_the_analyzer_carries_what_the_console_says(
    shell: Shell, console: Console, logic: LogicAnalyzer
) -> None:
    words = [secrets.token_hex(8) for _ in range(5)]
    with logic.recording() as recording:
        for word in words:
            shell.run(f"echo '<4>hil: {word}' > /dev/kmsg")
        console.expect(words[-1] + r"\r?\n", timeout_s=5)
    said = [line.message for line in console.lines() if line.message.startswith("hil: ")]
    seen = recording.capture.uart("uart_tx").text
    assert [f"hil: {word}" for word in words] == [line for line in said if line[5:] in words]
    for line in said:
        assert re.search(rf"\] {re.escape(line)}\r?\n", seen), f"{line!r} is not on the wire:\n{seen}"


def test_the_console_and_the_uart_line_on_the_analyzer_agree(
    shell: Shell, console: Console, logic: LogicAnalyzer
) -> None:
    words = [secrets.token_hex(8) for _ in range(5)]
    with logic.console("uart_tx") as seen:
        for word in words:
            shell.run(f"echo '<4>hil: {word}' > /dev/kmsg")
        for view in (console, seen):
            view.expect(words[-1] + r"\r?\n", timeout_s=5)
    said, heard = ([line.text for line in view.lines() if line.text[-16:] in words] for view in (console, seen))
    assert [text[-16:] for text in heard] == words
    assert heard == said
