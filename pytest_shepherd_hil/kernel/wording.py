"""How the lines of a crash report say what they say: patterns with a group for each fact."""

from __future__ import annotations

import re

from pytest_shepherd_hil.kernel.shapes import ADDRESS, FUNCTION
from pytest_shepherd_hil.kernel.trace import PLACE_GROUPS, SYM

__all__ = [
    "ARM64_ABORTS",
    "ARM_FRAME",
    "ARM_FRAME_NEW",
    "AT",
    "CODE",
    "CPU_AT_END",
    "CPU_LINES",
    "DOING",
    "END_TRACE",
    "FAULT",
    "INLINE",
    "LOADED",
    "MARK",
    "NAMED_TAINT",
    "NON_CANONICAL",
    "NUMBER",
    "PC",
    "POWERPC_ACCESS",
    "POWERPC_STORES",
    "POWERPC_TASK",
    "PROCESS",
    "REGISTER",
    "RISCV_CAUSE",
    "RISCV_CAUSES",
    "TAINTS",
    "UNHANDLED",
    "USER_PC",
    "X86_ACCESS",
]

MARK = re.compile(r"[ \t]{0,40}<([A-Z#]{2,8})>")
ARM_FRAME = re.compile(
    rf"\[<(?P<callee_at>[0-9a-f]{{1,16}})>\] \({PLACE_GROUPS.format('callee')}\) from "
    rf"\[<(?P<caller_at>[0-9a-f]{{1,16}})>\] \({PLACE_GROUPS.format('caller')}"
)
ARM_FRAME_NEW = re.compile(
    rf" ?{PLACE_GROUPS.format('callee')} from (?=\S{{1,128}}\+0x){PLACE_GROUPS.format('caller')}$"
)
INLINE = re.compile(rf"(?:[ \t]{{1,40}}|[ER]?IP: (?:[0-9a-f]{{4}}:)?)(?:{ADDRESS} ?)?({FUNCTION}) [\w./+-]{{1,200}}:\d")
AT = re.compile(rf", at: (?:{ADDRESS} ?)?{SYM}")
PC = re.compile(rf"[^+]{{0,60}}?(?=[A-Za-z_.][\w.$]{{0,127}}\+0x){SYM}")
USER_PC = re.compile(r"[ER]IP: 00(?:33|23|73):")
"""The selectors of user code: 64 bits, 32 bits on a kernel of 64, 32 bits."""
REGISTER = re.compile(
    r"\b([a-zA-Z]{1,3}[0-9]{0,2}|e?flags|EFLAGS|DEAR) ?: ?(?:[0-9a-f]{4}:)?(?:\[<)?([0-9a-fA-F]{8,16})\b", re.ASCII
)
FAULT = re.compile(
    r"(?:BUG: |CPU \d{1,5} )?(?:[Uu]nable to handle (?:kernel )?|[Kk]ernel tried to |[Kk]ernel (?=NULL))?"
    r"(?:(?P<what>NULL pointer dereference|paging request|page fault)|(?P<what2>[a-zA-Z][\w -]{1,60}?))"
    r"(?: in \w{1,16}| on (?:read|write|instruction fetch))?"
    r"(?:,? (?:at virtual address|at address|at|for address|address)(?::|) ?(?:0x)?(?P<address>[0-9a-f]{1,16})\b|$)"
    r"(?: when (?P<access>read|write|execute))?"
)
UNHANDLED = re.compile(
    r"Unhandled (?:fault|prefetch abort): (?P<what>[^()]{1,80}?) \(0x[0-9a-f]{1,8}\)"
    r"(?: at 0x(?P<address>[0-9a-f]{1,16}))?"
)
X86_ACCESS = re.compile(r"#PF: \w{1,20} (?P<access>read|write|instruction fetch)\b")
NUMBER = re.compile(r"(?P<code>.{0,160}?) ?\[#(?P<number>\d{1,6})\](?P<rest>.{0,80})")
ARM64_ABORTS = {0x20: "execute", 0x21: "execute", 0x24: "", 0x25: ""}
"""Classes of exceptions: instruction aborts, and data aborts; each from a lower level and from the same."""
NON_CANONICAL = re.compile(r"non-canonical address 0x([0-9a-f]{1,16})")
_CPU = re.compile(
    r"CPU: (?P<cpu>\d{1,5}) (?:UID: \d{1,10} )?PID: (?P<pid>-?\d{1,10}) Comm: (?P<comm>.{1,64}?) "
    r"(?:Kdump: loaded )?(?:Not tainted[ -]{0,40}?|Tainted: ?(?P<taint>(?:\[\w\]=\w{1,40},?|[A-Z -]){1,60}?)) {1,8}"
    r"(?P<kernel>(?:\d{1,3}\.|[a-z]).{0,200})"
)
# Red Hat's kernels have more letters, which stand as dashes where they are not set.
_TAINT_BUILD = r"(?:Not tainted[ -]{0,40}?|Tainted: ?(?P<taint>[A-Z -]{1,60}?)) {1,8}(?P<kernel>\(?\d{1,3}\..{0,200})"
# Up to 3.8, arm's before 3.0, and a hung task's.
_PID = re.compile(r"Pid: (?P<pid>\d{1,10}), comm: (?P<comm>.{1,64}?) (?:xid: #\d{1,10}, )?" + _TAINT_BUILD)
_OLD_CPU = re.compile(rf"CPU:? {{1,4}}(?P<cpu>\d{{1,5}})(?: {{2,4}}{_TAINT_BUILD}|$)")
_BUILD = re.compile(r" {4,8}" + _TAINT_BUILD)
_WARNED = re.compile(
    r"WARNING: (?:CPU: (?P<cpu>\d{1,5}) PID: (?P<pid>-?\d{1,10}) at|.{1,300}"
    r", CPU#(?P<cpu2>\d{1,5}): (?P<comm>.{1,64})/(?P<pid2>\d{1,10})$)"
)
_POWERPC = re.compile(r"REGS: [0-9a-f]{8,16} TRAP: [0-9a-f]{1,4} {1,8}" + _TAINT_BUILD)
CPU_LINES = (_CPU, _PID, _OLD_CPU, _BUILD, _WARNED, _POWERPC)
TAINTS = re.compile(r"[A-Z]")
NAMED_TAINT = re.compile(r"\[(\w)\]=")
# What PowerPC says of a data access: bit 6 of DSISR, bit 8 of ESR (counted from the left) is a store.
POWERPC_ACCESS = re.compile(r"\bDE?AR: [0-9a-fA-F]{8,16},? (?P<name>DSISR|ESR): ?(?P<status>[0-9a-fA-F]{8,16})\b")
POWERPC_STORES = {"DSISR": 1 << 25, "ESR": 1 << 23}
CPU_AT_END = re.compile(r"EFLAGS: [0-9a-f]{8} {1,3}CPU: (\d{1,5})$", re.MULTILINE)
DOING = re.compile(r" on (read|write) at ")
RISCV_CAUSE = re.compile(r"\bcause: ([0-9a-f]{1,16})\b")
RISCV_CAUSES = {1: "execute", 5: "read", 7: "write", 12: "execute", 13: "read", 15: "write"}
PROCESS = re.compile(r"Process (?P<comm>.{1,64}?) \(pid: (?P<pid>\d{1,10})")
POWERPC_TASK = re.compile(
    r"TASK = [0-9a-fA-F]{8,16}\[(?P<pid>\d{1,10})\] '(?P<comm>.{1,64}?)'(?:.{0,80}\bCPU: (?P<cpu>\d{1,5}))?"
)
LOADED = re.compile(r"([\w-]{1,64})(?:\(([A-Z+-]{1,16})\))?")
CODE = re.compile(r"(?:Code|Bad code|Unable to access opcode bytes|Instruction dump).{0,40}?: (?P<code>.{1,400})")
END_TRACE = re.compile(r"---\[ end trace (?P<id>[0-9a-f]{1,32}) \]---")
