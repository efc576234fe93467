"""The shapes of the lines in a crash report: what a line is, told by one look, without reading what it says."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from pytest_shepherd_hil.kernel.firsts import may_begin

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["ADDRESS", "FUNCTION", "PLACE", "shape_of"]

FUNCTION: Final = r"[A-Za-z_.][\w.$]{0,127}"
PLACE: Final = FUNCTION + r"\+0x[0-9a-f]{1,8}/0x[0-9a-f]{1,8}"
"""``function+0x28/0x94``"""
ADDRESS: Final = r"(?:\[<(?:[0-9a-f]{1,16}| {0,4}\(null\))>\]|\[[0-9a-f]{8,16}\]|\([0-9a-f]{8,16}\)|[0-9a-f]{16})"

# Shape, the characters with which such a line begins, a text that it has, and its pattern: the first that matches
# decides. The text only saves time.
_SHAPES: Final = (
    ("guess", " ", "+0x", r" {1,2}\? [A-Za-z_.][\w.$]{0,127}\+0x[0-9a-f]{1,8}/0x[0-9a-f]"),
    ("frame", " ", "+0x", r" {1,2}[A-Za-z_.][\w.$]{0,127}\+0x[0-9a-f]{1,8}/0x[0-9a-f]"),
    ("guess", " \t", "+0x", rf"[ \t]{{1,40}}+(?:<[A-Z#]{{2,8}}> {{1,2}})?(?:{ADDRESS} ?){{0,2}}\? {{0,4}}{PLACE}"),
    ("frame", " \t", "+0x", rf"[ \t]{{1,40}}+(?:<[A-Z#]{{2,8}}> {{1,2}})?(?:{ADDRESS} ?){{0,2}}{PLACE}"),
    ("guess", "[", "+0x", rf"(?:{ADDRESS} ?){{1,2}}(?: ?<[A-Z#]{{2,8}}> ?)?\? {PLACE}"),
    ("frame", "[", "+0x", rf"(?:{ADDRESS} ?){{1,2}}(?: ?<[A-Z#]{{2,8}}> ?)?{PLACE}"),
    ("arm", " ", " from ", rf" {FUNCTION}(?: \[[\w-]{{1,64}}\])? from {FUNCTION}"),
    ("arm", "[", "", r"\[<[0-9a-f]{1,16}>\] \("),
    ("inline", " \t", " [inline]", rf"[ \t]{{1,40}}+(?:{ADDRESS} ?)?{FUNCTION} [\w./+-]{{1,200}}:\d{{1,6}} \[inline\]"),
    ("marker", " \t<", "", r"[ \t]{0,8}+</?(?:IRQ|TASK|NMI|EOI|SOFTIRQ|#DF|#DB|#NMI|ENTRY_TRAMPOLINE|UNK)>"),
    ("trace", "CBs", "", r"(?:Call [Tt]race|Backtrace|stack backtrace) ?:"),
    ("section", "AFaf", "", r"(?:[Aa]llocated|[Ff]reed) (?:by |in |at )"),
    ("became", ".w", "which became ", r"(?:\.\.\. )?which became \S{1,32} at:"),
    ("aside", "P", "", r"Preemption disabled at"),
    (
        "section",
        "UL",
        "",
        r"Last Breaking-Event-Address|Uninit was |Local variable |Last potentially related work creation|Last call_rcu",
    ),
    ("section", "-", "", r"-> #\d"),
    ("section", "CT", "", r"CPU\d{1,5}: stopping|Task dump for CPU"),
    ("section", "t", "", r"the existing dependency chain|the dependencies between|to a "),
    ("takes", "", "/", r"\S{1,32}/\d{1,10} (?:is trying to |just changed |\[|is freeing |is leaving )"),
    ("lock", " (", "{", r" {0,8}+(?:#\d{1,4}: {1,8}+)?\(.{1,120}?\{[^}]{1,16}\}"),
    ("lock", " 0123456789abcdef", "){", r" {0,2}+[0-9a-f]{8,16} \(.{1,120}\)\{"),
    ("cpu", "CP", "", r"CPU: \d{1,5} (?:UID: \d{1,10} )?PID: |Pid: \d{1,10}, comm: "),
    ("cpu", "C", "", r"CPU: \d{1,5} {2,4}(?:Not t|T)ainted|CPU:? {1,4}\d{1,5}$"),
    ("cpu", "W", "CPU", r"WARNING: .{0,300}?CPU(?:: |#)\d"),
    ("cpu", " ", "ainted", r" {4,8}(?:Not tainted[ -]{0,40}|Tainted: ?[A-Z -]{1,60}) \d{1,2}\.\d"),
    ("cpu", "R", "ainted", r"REGS: [0-9a-f]{8,16} TRAP: "),
    ("hardware", "H", "", r"Hardware name: "),
    (
        "pc",
        "PERTp",
        "+0x",
        (
            rf"(?:PC is at|pc is at|PC:(?: {ADDRESS})?|TPC: <|EIP is at|"
            rf"[ER]?IP:?(?: ?[0-9a-f]{{4}}:)?(?: {{0,2}}{ADDRESS}){{0,2}}) {{0,2}}{PLACE}"
        ),
    ),
    ("pc", "I", "+0x", rf"IP: (?:[0-9a-f]{{4}}:)?(?:{ADDRESS} ?)?{PLACE}"),
    ("pc", "Nep ", "+0x", rf"(?:NIP (?:\[[0-9a-f]{{8,16}}\] ){{1,2}}| ?e?pc {{0,3}}: (?:[0-9a-f]{{8,16}} )?){PLACE}"),
    ("pc", "K", "+0x", rf"Krnl PSW : [0-9a-f ]{{16,40}}\({PLACE}"),
    (
        "lr",
        "Llr ",
        "+0x",
        rf"(?:LR is at |LR (?:\[[0-9a-f]{{8,16}}\] ){{1,2}}|lr ?: | {{0,2}}ra {{0,4}}: (?:[0-9a-f]{{8,16}} )?){PLACE}",
    ),
    ("inlinepc", "ERI", " [inline]", rf"[ER]?IP: (?:[0-9a-f]{{4}}:)?{FUNCTION} [\w./+-]{{1,200}}:\d{{1,6}} \[inline\]"),
    ("registers", "plsrxif", "", r"(?:pc|lr|sp|ip|fp|r\d{1,2}|x\d{1,2}|psr) ?: ?(?:\[<)?[0-9a-f]{8,16}\b"),
    (
        "registers",
        "ERCDFOPGSX",
        ": ",
        r"(?:[ER]?(?:[A-D]X|SI|DI|BP|SP)|EFLAGS|ORIG_RAX|R\d{2}|[CD]R\d|[DEFGS]S|PKRU|EIP|RIP): ",
    ),
    ("registers", " egts", "", r" {0,2}+(?:e?pc|ra|gp|t\d|s\d{1,2}|a\d|status) ?: [0-9a-f]{8,16} "),
    ("registers", "NLGMC", "", r"(?:NIP|LR|GPR\d{1,2}|MSR|CFAR): "),
    ("registers", "D", "", r"DE?AR: [0-9a-fA-F]{8,16}\b"),
    ("process", "T", " = ", r"TASK = [0-9a-fA-F]{8,16}\["),
    ("process", "P", " (pid: ", r"Process .{1,64} \(pid: \d"),
    ("modules", "M", "", r"Modules linked in:"),
    ("code", "CBUI", "", r"(?:Code|Bad code|Unable to access opcode bytes|Instruction dump).{0,40}?:"),
    ("access", "#", "", r"#PF: "),
    ("fault", "UuBk", "", r"(?:BUG: )?(?:[Uu]nable to handle |[Kk]ernel NULL |kernel tried to )|Unhandled "),
    ("fault", "pN", "", r"paging request at |NULL pointer dereference at "),
    ("fault", "CF", "", r"CPU \d{1,5} Unable to handle |Failing address: [0-9a-f]"),
    ("pgd", "[", "pgd=", r"\[[0-9a-f]{8,16}\] \*?pgd="),
    ("number", "", "[#", r"[A-Za-z][\w ,.:()'/-]{2,160}?\[#\d{1,6}\]"),
    ("endtrace", "-", "", r"---\[ end trace "),
    ("panic", "K-", "", r"(?:---\[ end )?Kernel panic - not syncing"),
    ("reboot", "R", "", r"Rebooting in \d{1,10} seconds"),
    ("text", "8-", "", r"8<--- cut here ---|-{3,16}\[ cut here \]|-{5,90}$"),
    ("text", "=~", "", r"[=~]{5,100}$"),
    ("text", "0123456789abcdef", "", r"[0-9a-f]{4}: {1,80}[0-9a-f]|[0-9a-f]{2,4}[0-9a-f]{4,14}(?::|  )[ 0-9a-f]{4,}"),
    ("text", "0123456789", "", r"\d{1,3} locks? held by |\d{1,9} (?:total )?(?:page|slot|swap)"),
    ("text", "[", "", r"\[ {0,8}(?:\d{1,10}|pid) {0,8}\] {1,8}(?:\d|uid|tgid)"),
)

# How lines begin that belong to a report and say nothing that is kept.
_TEXT: Final = """\
 |\t|>|*|...|"echo 0 > |DMA|Normal |Normal:|HighMem |HighMem:|Node |Mem-Info:|active_anon:|lowmem_reserve|Free swap|
Total swap|Swap cache |Tasks state |oom-kill:|oom_reaper|Memory cgroup |Unreclaimable slab|memory: usage|
memory+swap|kmem: usage|Flags: |Control: |Stack: |Stack:|Stack from |Exception stack|Backtrace: |Register |
Dumping ftrace buffer|Kernel Offset: |CPU features: |Memory Limit: |Memory limit|SMP: stopping|Workqueue: |
Tainted: |Not tainted |PKRU: |PGD |P4D |PUD |PMD |PTE |Oops: |Mem abort info:|Data abort info:|
Fixing recursive fault|Insufficient stack space|Task stack: |IRQ stack: |Overflow stack: |Last Breaking|Krnl |User |
ESR: |note: |pstate: |pgd = |swapper pgtable|user pgtable|NMI backtrace for |Sending NMI |Showing |
Shutting down cpus|INFO: lockdep is turned off|INFO: Slab |INFO: Object |INFO: Freed |INFO: Allocated |
in_atomic(): |preempt_count: |RCU nest depth: |no locks held by |hardirqs last |softirqs last |irq event stamp|
rcu_scheduler_active|other info |but task is already |but this task |but there are no |and this task |
and interrupts |which lock |which would |which has |because of |the code is fine|turning off the locking|
the shortest |lock-class|lock acquired|Possible |Chain exists |stack pointer|task: |task.stack|raw: |flags: |page:|
page dumped|page_owner |page last |page allocated |page has been |head:|memcg:|mapping:|aops:|anon flags|
The buggy address |This frame has |Memory state around|Write of size|Read of size|Write at addr|Read at addr|
Pointer tag|Object |Redzone |Padding |Bytes b4 |Bytes |Byte|FAULT_FLAG|FAULT_INJECTION|name fail|value changed|
Value changed|Reported by |write to |read to |race at |write (marked) |index |shift exponent|signed integer|
unsigned integer|load of |member access|left shift|storage size|variable length |division of |negation of |
null pointer|Invalid access at|Out-of-bounds |Use-after-free |Memory corruption|Corrupted memory|Invalid free |
kfence-#|original |unreferenced object|backtrace|hex dump|comm |Kernel memory |The following |Disabling IRQ #|
handlers:|Disabling lock debugging|Kernel logic |HARDWARE ERROR|Freeing |usercopy: |binder_|kasan: |KASAN: |rcu: |
RCU |rcu_|All QSes seen|(detected by |(t=|caller is |inconsistent |CPU: |Internal error: |dump_stack|refcount_t: |
(ftrace buffer empty)|PID = |Cannot dump|Unwind |unwind |Supervisor |BUG: |WARNING: |INFO: |[ INFO: |[ BUG: |
UBSAN: |PANIC: |invalid opcode|divide error|Slab cache|alloc |workqueue |pool |delayed: |in-flight: |pending: |pwq |
worker |mce: |[Hardware Error]|sysrq: |Task:|ODEBUG: |DEBUG_LOCKS_WARN_ON|usb 1-1: BOGUS|Use struct |proc_dir_entry|
kobject_add|sysfs: cannot|task:|Trace; |Bad page|RBP:|Fatal exception|Attempted to|---[ end |-----------|
*** DEADLOCK|Aborting|Restarting""".replace("|\n", "|").split("|")

_KEY: Final = 2
_MAX_KEYS: Final = 4096
_Look = tuple[str, "Callable[[str], re.Match[str] | None]", str]


class _Looks(dict[str, tuple[tuple[_Look, ...], tuple[str, ...]]]):
    """For the first two characters of a message: the shapes that it may have, in order, and beginnings of plain text.

    Found out when it is first asked for; bounded, since a console says what it likes.
    """

    def __missing__(self, key: str) -> tuple[tuple[_Look, ...], tuple[str, ...]]:
        first = key[:1]
        if first not in _KNOWN:
            return (), ()
        if len(self) >= _MAX_KEYS:
            self.clear()
        looks = tuple(
            (text, pattern.match, shape)
            for shape, chars, text, pattern in _PATTERNS
            if (first in chars and may_begin(pattern, key)) or (not chars and first.isalnum())
        )
        texts = tuple(text for text in _TEXT if text.startswith(key) or key.startswith(text))
        found = self[key] = (looks, texts)
        return found


_KNOWN: Final = frozenset({*map(chr, range(33, 127)), " ", "\t"})
_PATTERNS: Final = tuple((shape, chars, text, re.compile(f"^(?:{pattern})")) for shape, chars, text, pattern in _SHAPES)
_LOOKS: Final = _Looks()
_PLACE: Final = re.compile(PLACE)
_TASK: Final = re.compile(r"\S{1,32} {1,32}[RSDTtZXI] .{0,24}(?:stack:|running task| \d{1,8} {1,8}\d)")
"""A task in a list of tasks: its name, its state."""


def shape_of(message: str) -> str | None:
    """What sort of line of a report a message is; None where it is none.

    ``frame``, ``arm``, ``inline`` are of a trace, ``guess`` is what the kernel only found on the stack; ``endtrace``,
    ``panic``, ``reboot`` end something; ``text`` is the rest.
    """
    looks, texts = _LOOKS[message[:_KEY]]
    for text, match, shape in looks:
        if text in message and match(message):
            return shape
    if message.startswith(texts) or (message[:1].isalnum() and _TASK.match(message)):
        return "text"
    return "frame" if "+0x" in message and _PLACE.match(message) else None
