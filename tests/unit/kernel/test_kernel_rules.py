"""Rules are data: their examples, their errors, and the messages of shepherd's whole history."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_shepherd_hil.kernel.kinds import KINDS
from pytest_shepherd_hil.kernel.lines import MAX_LINE_BYTES, parse_line
from pytest_shepherd_hil.kernel.rules import Rule, RuleError, load_rules
from tests.requirements import SHARED, require
from tests.unit.kernel.kernel_console import RULES, judge

if TYPE_CHECKING:
    from pathlib import Path

# The table of facts/kernel-console.md, as what a message contains. What is in neither row is info: no incident.
FAIL = (
    "Couldn't boot PRU",
    "PRU did not answer to trigger-request in time",
    "timestamp-jump detected",
    "zero timestamp",
    "is out of bound (7 ns) -> BUG",
    "needs shared-mem of PRU but got NULL",
    "missed a sync-trigger",
    "out of limits",
    "kmalloc failed",
    "mem corruption?",
    "was harmed",
    "FIFO of msg-system is full",
    "received invalid c",
    "annot create sysfs",
    "compensation_steps too high",
    "not properly mapped",
    "BUF_IV_INP not available",
    "OCMC not available",
    "outside of cache",
)
PRU_ERRORS = (
    "msg.id from kernel",
    "still full -> backpressure",
    "timestamp is faulty",
    "dead canary",
    "Sync not idle",
    "content of msg failed",
    "read back from ADC",
    "general error",
    "ringbuffer is depleted",
    "sample-buffer not full",
)
WARN = (
    "upcoming TS of PRU deviates",
    "error ABOVE 2ms",
    "init requested",
    "start requested",
    "pause requested",
    "reset requested",
    "sync-fw was removed",
    "Not yet able to parse",
    "Response -> back",
    # errors of the module that the table does not name: reported, but the test decides
    "Could not get PRU",
    "Couldn't find PRUs",
    "Couldn't shutdown PRU",
    "Unable to parse device node",
    "Unable to allocate platform data",
    "Unable to register rpmsg driver",
    "of_match_device failed",
    "rpmsg_send failed",
    "reset sync-trigger",
)

HEALTHY = """\
WARNING: Caches not enabled
INFO:    BL31: v2.9(release):v2.9.0
NOTICE:  BL31: Built : 10:00:00, Nov 22 2023
DEBUG: all went well
ODEBUG: selftest passed
BTF_INFO: vmlinux
INFO: lockdep is turned off.
rcu: INFO: Stall ended before state dump start
INFO: NMI handler (perf_event_nmi_handler) took too long to run: 1.234 msecs
Kernel command line: console=ttyO0,115200n8 oops=panic panic_on_warn=1 panic=86400 nmi_watchdog=panic errors=panic
sysctl: kernel.soft_panic=0
XFS (loop4): WARNING: Reset corrupted AGFL on AG 0. 4 blocks leaked. Please unmount and run xfs_repair.
Spectre V2 : WARNING: Unprivileged eBPF is enabled with eIBRS on, data leaks possible via Spectre v2 BHB attacks!
warning: `capget' uses deprecated v2 capabilities in a way that may be insecure
fbcon: WARNING: this is deprecated
mount: WARNING: the mand mount option is being deprecated and will be removed in v5.15!
traps: a.out[123] general protection fault ip:55d sp:7ff error:0 in a.out[55d+1000]
a.out[123]: segfault at 0 ip 0000 sp 0000 error 4 in a.out
Nov 22 10:00:00 host openvpn[123]: WARNING: this configuration may cache passwords in memory
cma: Reserved 48 MiB at 0x9c800000
registered panic notifier
ramoops: using module parameters
pstore: Registered ramoops as persistent store backend
[Firmware Bug]: TSC_DEADLINE disabled due to Errata
ACPI BIOS Error (bug): Could not resolve symbol
please report a bug to bugs@example.org
NMI watchdog: enabled on all CPUs, permanently consumes one hw-PMU counter.
omap_wdt: OMAP Watchdog Timer Rev 0x01: initial timeout 60 sec
rcu: Preemptible hierarchical RCU implementation.
rcu: RCU calculated value of scheduler-enlistment delay is 10 jiffies.
shepherd: loading out-of-tree module taints kernel.
Disabling lock debugging due to kernel taint
ALSA: seq fatal error: cannot create timer (-22)
remoteproc remoteproc1: Direct firmware load for am335x-pru0-fw failed with error -2
remoteproc remoteproc1: Booting fw image am335x-pru0-fw, size 77364
remoteproc remoteproc1: remote processor 4a334000.pru is now up
PM: Cannot get wkup_m3_ipc handle
shprd.k: [test passed] received answer from pru0 / pipeline 1
shprd.pru0: (re)starting main-routine
shprd.sync: error BELOW 1ms -> relax PI-tuning
$ dmesg | grep Oops
root@bbb:~# echo 'Internal error: Oops: 5 [#1] SMP ARM'
root@bbb:~# echo "Unable to handle kernel NULL pointer dereference at virtual address 0" > /tmp/x
hil: fence 8d3f begin tests/test_panic.py::test_oops Kernel panic - not syncing: no
tests/test_oops.py::test_Internal_error PASSED
Kernel Oops and panic are what this board is for
WARNING: this is only prose
BUG: please report it to us
INFO: task list follows
"""


@pytest.mark.parametrize("rule", list(RULES), ids=lambda rule: rule.id)
def test_each_rule_finds_its_example(rule: Rule) -> None:
    hit = RULES.match(parse_line(rule.example.encode(), 0).message)
    assert hit is not None
    assert hit.rule.id == rule.id
    assert rule.kind in KINDS
    assert "{" not in hit.render(rule.title)


@pytest.mark.parametrize(
    "rule", [rule for rule in RULES if rule.report != "boot" and rule.id != "remains"], ids=lambda rule: rule.id
)
def test_each_example_is_an_incident_of_its_kind(rule: Rule) -> None:
    (incident,) = judge(rule.example)
    assert (incident.kind, incident.severity, incident.rule) == (rule.kind, rule.severity, rule.id)
    assert incident.title
    assert not incident.open


@pytest.mark.parametrize("rule", list(RULES), ids=lambda rule: rule.id)
def test_no_rule_matches_what_a_person_types(rule: Rule) -> None:
    message = parse_line(rule.example.encode(), 0).message
    for echo in (f"$ dmesg | grep '{message}'", f"root@bbb:~# echo {message}", f"# {message}", f"test said: {message}"):
        if rule.report == "boot" and echo.startswith("#"):
            continue
        assert judge(echo) == []


@pytest.mark.parametrize("line", HEALTHY.splitlines())
def test_healthy_lines_are_silent(line: str) -> None:
    assert judge(line) == []
    assert judge(f"[   12.345678] {line}") == []


def _instances() -> list[tuple[str, str]]:
    instances = []
    for row in (SHARED / "facts" / "shepherd-kernel-messages.tsv").read_text(encoding="utf-8").splitlines()[1:]:
        level, message = row.split("\t")[2:4]
        message = message.replace("\\n", "").replace("%c", "0").removeprefix("%s").replace("%s", "pru").rstrip()
        message = re.sub(r"%(?:\.2)?0?2?(?:hh|ll)?[duxXpf]x?", "7", message)
        if level.startswith("dev_"):
            message = f"shepherd 4a300000.pruss:shepherd: {message}"
        instances.append((level, message))
    return instances


@require("shared")
def test_every_message_of_shepherds_history_has_the_severity_of_the_table() -> None:
    wrong = []
    instances = _instances()
    for _, message in instances:
        is_pru = re.match(r"shprd\.pru\d: ", message) is not None
        if any(part in message for part in WARN):
            expected = "warn"
        elif any(part in message for part in FAIL) or (is_pru and any(part in message for part in PRU_ERRORS)):
            expected = "fail"
        else:
            expected = "none"
        hit = RULES.match(message)
        if (hit.rule.severity if hit else "none") != expected:
            wrong.append((message, expected, hit.rule.id if hit else None))
    assert wrong == []
    assert len(instances) == 368


def test_a_line_of_64_kib_costs_little() -> None:
    for unit in ("shprd.k: ", "x", "Internal error: ", "BUG: ", " ", "shprd.k: canary ", "WARNING: a/", "12 ", "a b: "):
        message = (unit * MAX_LINE_BYTES)[:MAX_LINE_BYTES]
        start = time.process_time()
        RULES.match(message)
        assert time.process_time() - start < 0.25, unit


@given(rule=st.sampled_from(list(RULES)), cut=st.integers(0, 60), extra=st.text(max_size=5))
def test_the_prefilter_changes_no_answer(rule: Rule, cut: int, extra: str) -> None:
    message = parse_line(rule.example.encode(), 0).message
    for mutant in (message[:cut] + extra + message[cut:], message[:cut] + message[cut + 1 :], extra + message):
        hit = RULES.match(mutant)
        first = next((other for other in RULES if other.search(mutant)), None)
        assert (hit.rule if hit else None) is first


def _write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "my-rules.toml"
    path.write_text(text, encoding="utf-8")
    return path


GOOD = """\
[rules.mine]
kind = "my-kind"
severity = "warn"
pattern = '''^mydev: error (?P<code>\\d+)'''
title = "mydev failed with {code}"
example = "[    1.000000] mydev: error 7"
"""


def test_a_users_rule_finds_its_line(tmp_path: Path) -> None:
    rules = load_rules(_write(tmp_path, GOOD))
    hit = rules.match("mydev: error 12")
    assert hit is not None
    assert hit.render(hit.rule.title) == "mydev failed with 12"
    assert rules["mine"].kind == "my-kind"
    assert len(rules) == 1


@pytest.mark.parametrize("pattern", ["mydev: error", "^mydev|^other", "(?i)MYDEV", "^my(dev): error|x", "(.)dev: \\w+"])
def test_a_pattern_of_any_form_is_searched(tmp_path: Path, pattern: str) -> None:
    text = GOOD.replace("^mydev: error (?P<code>\\d+)", pattern).replace("with {code}", "")
    for rules in (load_rules(_write(tmp_path, text)), load_rules(_write(tmp_path, GOOD.replace("mine", "a") + text))):
        assert rules.match("mydev: error 7") is not None
        assert rules.match("yourdevice: fine") is None


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('severity = "warn"', 'severity = "bad"', r"rule 'mine': severity = 'bad' is none of fail, warn, info"),
        ('severity = "warn"\n', "", r"rule 'mine': severity is missing"),
        ("title", "titel", r"rule 'mine': unknown key 'titel'; did you mean 'title'\?"),
        ("(?P<code>", "(?P<code", r"rule 'mine': pattern is no regular expression: .* at column \d+"),
        ("^mydev: error (", "^mydev: error ((", r"at column 15"),
        ("{code}", "{cod}", r"rule 'mine': title has \{cod\}, but the pattern has no group of that name"),
        ("{code}", "{code", r"rule 'mine': title = "),
        ("{code}", "{code:d}", r"rule 'mine': title = "),
        ("error 7", "is fine", r"rule 'mine': its pattern does not match its own example"),
        ('kind = "my-kind"', "kind = 3", r"rule 'mine': kind = 3 has the wrong type"),
        ("[rules.mine]", "[rule.mine]", r"unknown table or key 'rule'"),
        ("[rules.mine]", "[rules.'a b']", r"rule 'a b': an id has only"),
        ("[rules.mine]", "[rules.mine", r"is not TOML: "),
        ('kind = "my-kind"', 'kind = "x"\nreport = "no"', r"report = 'no' is none of oops, panic, trace, boot"),
        ('kind = "my-kind"', 'kind = "x"\nwithin_s = 0', r"within_s and within_lines are greater than 0"),
        ('kind = "my-kind"', 'kind = "x"\nconsequence_of = [1]', r"consequence_of is a list of kinds"),
        ('kind = "my-kind"', 'kind = "x"\nnot = "["', r"not is no regular expression: .* at column 1"),
    ],
)
def test_a_bad_rule_is_one_clear_error(tmp_path: Path, old: str, new: str, said: str) -> None:
    path = _write(tmp_path, GOOD.replace(old, new))
    with pytest.raises(RuleError, match=said) as caught:
        load_rules(path)
    assert str(caught.value).startswith(f"{path}: ")


def test_a_missing_file_is_a_rule_error(tmp_path: Path) -> None:
    with pytest.raises(RuleError, match="cannot be read"):
        load_rules(tmp_path / "none.toml")


def test_the_fast_no_never_says_no_to_a_line_that_a_rule_matches() -> None:
    for rule in RULES:
        assert RULES.may_match(parse_line(rule.example.encode(), 0).message), rule.id


@given(st.text(max_size=40))
def test_the_fast_no_agrees_with_the_rules(text: str) -> None:
    if any(rule.search(text) for rule in RULES):
        assert RULES.may_match(text)


def test_a_healthy_line_passes_the_fast_no() -> None:
    assert not RULES.may_match("usb 1-1: new high-speed USB device number 2 using musb-hdrc")
    assert not RULES.may_match("shprd.k: [test passed] received answer from pru0 / pipeline 1")
