"""shepherd-hil rules, as a user meets it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pytest_shepherd_hil.cli import main
from pytest_shepherd_hil.kernel.kinds import KINDS
from pytest_shepherd_hil.kernel.rules import KEYS, load_rules, read_rule

BOARD = '[boards.b.console]\nport = "/dev/ttyS0"\n'
OWN = """
kind = "own"
severity = "warn"
pattern = '^adc: (?P<what>overrun)$'
title = "ADC {what}"
example = "[   17.000000] adc: overrun"
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_every_packaged_rule_is_listed_with_kind_severity_and_example(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["rules"]) == 0
    listed = capsys.readouterr().out.splitlines()
    for rule in load_rules():
        at = listed.index(f"{rule.id}  ({rule.kind}, {rule.severity})")
        block = listed[at : at + 12]
        assert any(line.startswith("  pattern  ") for line in block)
        assert any(line.startswith("  example  ") and line[11:60] == rule.example[:49] for line in block)


def test_json_has_one_rule_on_a_line_in_the_order_of_trying(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["rules", "--format", "json"]) == 0
    listed = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(rule["id"], rule["pattern"], rule["example"]) for rule in listed] == [
        (rule.id, rule.pattern.pattern, rule.example) for rule in load_rules()
    ]


def test_json_has_every_key_of_a_rule_under_the_name_that_a_file_of_rules_has(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["rules", "--format", "json"]) == 0
    for row, rule in zip(map(json.loads, capsys.readouterr().out.splitlines()), load_rules(), strict=True):
        assert set(row) == {"id", *KEYS}
        rule_id = row.pop("id")
        assert read_rule("printed", rule_id, {key: value for key, value in row.items() if value}) == rule


def test_text_tells_when_a_rule_is_part_of_another_incident(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["rules"]) == 0
    listed = capsys.readouterr().out
    assert "  follows  pru-timeout, shepherd-timestamp within 2 s: then it is part of that incident\n" in listed
    assert "then it is part of that incident and adds 'PRU{pru} not booted'\n" in listed
    assert "  same as  hard-lockup, workqueue-lockup, hung-task, rcu-stall within 60 s: once more" in listed
    assert "  lasts    reported again while it lasts" in listed
    assert "  remains  of a report whose first lines are lost" in listed


def test_rules_of_all_boards_of_one_board_and_of_a_file_come_in_layers(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "boards.toml").write_text(
        f"[rules.adc]{OWN}{BOARD}[boards.b.rules.adc]\nseverity = 'fail'\n"
        "[boards.b.rules.oops-null-pointer]\nseverity = 'off'\n[boards.other.sim]\n"
    )
    (folder / "mine.toml").write_text("[rules.oops-null-pointer]\nseverity = 'info'\n")

    def severities(*arguments: str) -> tuple[str | None, str]:
        assert main(["rules", "--format", "json", *arguments]) == 0
        listed = {rule["id"]: rule for rule in map(json.loads, capsys.readouterr().out.splitlines())}
        return listed.get("adc", {}).get("severity"), listed["oops-null-pointer"]["severity"]

    assert severities() == (None, "fail")
    assert severities("--board", "other") == ("warn", "fail")
    assert severities("--board", "b") == ("fail", "off")
    assert severities("--rules", "mine.toml") == (None, "info")
    assert severities("--rules", "mine.toml", "--board", "other") == ("warn", "info")
    assert severities("--rules", "mine.toml", "--board", "b") == ("fail", "off")


def test_a_rule_of_ones_own_is_tried_first(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "mine.toml").write_text(f"[rules.adc]{OWN}")
    assert main(["rules", "--rules", "mine.toml"]) == 0
    assert capsys.readouterr().out.startswith("adc  (own, warn)\n  says     ADC {what}\n")


def test_an_error_names_file_rule_and_column(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "mine.toml").write_text(f"[rules.adc]{OWN.replace('(?P<what>overrun)', '(?P<what')}")
    assert main(["rules", "--rules", "mine.toml"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: mine.toml: rule 'adc': pattern is no regular expression: ")
    assert "at column 11" in err


def test_a_board_may_change_a_rule_that_a_file_brings(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "boards.toml").write_text(f"{BOARD}[boards.b.rules.adc]\nseverity = 'fail'\n")
    (folder / "mine.toml").write_text(f"[rules.adc]{OWN}")
    assert main(["rules", "--board", "b", "--rules", "mine.toml"]) == 0
    assert capsys.readouterr().out.startswith("adc  (own, fail)\n")
    assert main(["rules", "--board", "b"]) == 2
    assert "boards.toml: board b: rule 'adc': there is no such rule to change" in capsys.readouterr().err


def test_boards_without_a_board_is_a_mistake(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["rules", "--boards", "x.toml"]) == 2
    assert capsys.readouterr().err == "error: --boards FILE says nothing without --board NAME\n"


def test_the_readme_has_each_kind_once_in_its_table() -> None:
    readme = (Path(__file__).parents[3] / "README.md").read_text(encoding="utf-8")
    table = readme.partition("### What counts as an incident")[2].partition("One cause is one incident")[0]
    listed = [word for row in table.splitlines() if row.startswith("| ") for word in row.split("`")[1::2]]
    assert sorted(listed) == sorted(KINDS)
