"""The recorded logs that fuzzing begins with: the virtual board's, the user's, and the corpus where it is."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

from pytest_shepherd_hil.kernel.rules import load_rules
from tests.requirements import SHARED
from tests.unit.kernel.kernel_console import OOPS_6_1, WARNING, seed

__all__ = ["corpus_logs", "recorded_logs", "rule_examples"]

_RECORDED = Path(__file__).parents[1] / "data" / "kernel"
_CORPUS = SHARED / "corpus" / "kernel-logs.jsonl"
_MAX_BYTES = 24_000
"""Of a longer log the beginning and the end are taken: a log that is small is judged more often in the same time."""


@cache
def recorded_logs() -> tuple[bytes, ...]:
    """The logs that lie in the repository, the smaller ones first."""
    logs = [path.read_bytes() for path in sorted(_RECORDED.glob("*.log"))]
    logs += [seed(name).encode() for name in ("unload-panic", "cma-and-pru")]
    logs += [OOPS_6_1.encode(), WARNING.encode()]
    return tuple(sorted(map(_shortened, logs), key=len))


@cache
def corpus_logs() -> tuple[bytes, ...]:
    """The logs of the corpus, the smaller ones first; none where it is absent."""
    if not _CORPUS.is_file():
        return ()
    with _CORPUS.open(encoding="utf-8") as file:
        return tuple(sorted((_shortened(json.loads(line)["text"].encode()) for line in file), key=len))


@cache
def rule_examples() -> tuple[bytes, ...]:
    """One line for each packaged rule, which finds it."""
    return tuple(rule.example.encode() + b"\n" for rule in load_rules())


def _shortened(log: bytes) -> bytes:
    return log if len(log) <= _MAX_BYTES else log[: _MAX_BYTES // 2] + log[-_MAX_BYTES // 2 :]
