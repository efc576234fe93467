"""How well the judge of kernel consoles would do on logs it has never seen, as far as the corpus can tell.

Its words for machinery (``machinery.py``) are what grew with the logs. So, beside the plain count of the corpus:

- leave one out: each log is judged without the words that no other log needs
- halves: a random half is judged without the words that only logs of this half need, five times

Words that no log needs come from the kernel's sources and stay. What is left of hindsight (shapes of lines, rules) is
not measured by this. Then damage: each sort of it at three strengths, over all crashes, and over the healthy logs.

    python benchmarks/judge.py [damage]
"""

from __future__ import annotations

import json
import random
import re
import sys
import zlib
from collections import defaultdict
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from pytest_shepherd_hil.kernel import guilty, machinery, report  # noqa: E402
from pytest_shepherd_hil.kernel.incident import Severity  # noqa: E402
from pytest_shepherd_hil.kernel.rules import load_rules  # noqa: E402
from pytest_shepherd_hil.kernel.scan import scan_bytes  # noqa: E402
from tests.unit.kernel.damage import DAMAGE  # noqa: E402

CORPUS = ROOT.parent / "shared" / "corpus" / "kernel-logs.jsonl"
RULES = load_rules()
Row = dict[str, Any]


def fails(data: bytes) -> list[Any]:
    return [incident for incident in scan_bytes(data, RULES) if incident.severity is Severity.FAIL]


def names(row: Row) -> set[str]:
    alternatives = row["alt"] if isinstance(row["alt"], list) else []
    return {row["frame"], *(str(title).rpartition(" in ")[2] for title in alternatives)}


def is_right(row: Row) -> bool:
    found = fails(row["text"].encode())
    return bool(found) and found[0].function in names(row)


def set_words(words: list[str]) -> None:
    machinery._MACHINERY = machinery._pattern(words)  # type: ignore[misc]
    machinery._IN_MODULES = machinery._pattern([word.removeprefix("*") for word in words])  # type: ignore[misc]
    machinery.is_machinery.cache_clear()


def used_words(rows: list[Row]) -> dict[str, set[str]]:
    """For each word the logs in which it matched a function that was asked about."""
    asked: dict[str, set[str]] = defaultdict(set)
    known = machinery.is_machinery
    current = ""

    def ask(function: str, module: str | None = None) -> bool:
        answer = known(function, module)
        if answer:
            asked[machinery.plain_name(function)].add(current)
        return answer

    for place in (guilty, report):
        place.is_machinery = ask  # type: ignore[attr-defined]
    for row in rows:
        current = row["id"]
        is_right(row)
    for place in (guilty, report):
        place.is_machinery = known  # type: ignore[attr-defined]
    users: dict[str, set[str]] = {}
    for word in machinery._WORDS:
        pattern = re.compile(word.replace("*", r"\w*"))
        users[word] = {log for function, logs in asked.items() if pattern.fullmatch(function) for log in logs}
    return users


def generalization(rows: list[Row]) -> None:
    words = list(machinery._WORDS)
    users = used_words(rows)
    right = {row["id"] for row in rows if is_right(row)}
    print(f"guilty function: {len(right)} of {len(rows)} = {len(right) / len(rows):.1%}")
    alone = 0
    for row in rows:
        own = {word for word, logs in users.items() if logs == {row["id"]}}
        if own and row["id"] in right:
            set_words([word for word in words if word not in own])
            alone += not is_right(row)
    left = len(right) - alone
    print(f"leave one out:   {left} of {len(rows)} = {left / len(rows):.1%}")
    shares = []
    for seed in range(5):
        half = random.Random(seed).sample(rows, len(rows) // 2)
        unseen = {row["id"] for row in half}
        set_words([word for word, logs in users.items() if not logs or logs - unseen])
        shares.append(sum(map(is_right, half)) / len(half))
    set_words(words)
    print(f"unseen halves:   {' '.join(f'{share:.1%}' for share in shares)}, mean {sum(shares) / len(shares):.1%}")


def damage(rows: list[Row]) -> None:
    crashes = [row for row in rows if row["is_crash"]]
    healthy = [row for row in rows if not row["is_crash"]]
    for name, (function, strength, _) in DAMAGE.items():
        for factor in (1,) if name.startswith("wrap") else (0.3, 1, 3):
            much = min(strength * factor, 0.8)
            much = strength if name.startswith("wrap") else much

            def found(row: Row, much: float = much, name: str = name, function: Any = function) -> bool:
                source = random.Random(zlib.crc32(f"{name} {much} {row['id']}".encode()))
                return bool(fails(function(row["text"].encode(), much, source)))

            hits, alarms = sum(map(found, crashes)), sum(map(found, healthy))
            print(f"{name:12} {much:<7.4g} found {hits} of {len(crashes)}, false alarms {alarms} of {len(healthy)}")


def main() -> None:
    with CORPUS.open(encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    crashes = [row for row in rows if row["is_crash"]]
    found = sum(bool(fails(row["text"].encode())) for row in crashes)
    alarms = sum(bool(fails(row["text"].encode())) for row in rows if not row["is_crash"])
    print(f"crashes found:   {found} of {len(crashes)}; false alarms {alarms} of {len(rows) - len(crashes)}")
    generalization([row for row in crashes if row["frame"] and not row["corrupted"]])
    if "damage" in sys.argv[1:]:
        damage(rows)


if __name__ == "__main__":
    main()
