"""Reads a crash report line by line; tolerant of lines that are missing, garbled or from somebody else."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pytest_shepherd_hil.kernel.incident import Crash, Frame, LoadedModule

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["NULL_PAGE", "CrashReader", "guilty_frame"]

NULL_PAGE = 4096
"""An address below this is a NULL base plus an offset."""

_MAX_FRAMES = 100
_MAX_REGISTERS = 64
_MAX_MODULES = 512

_FRAME = (
    r"(?P<{0}>[A-Za-z_.][\w.$]{{0,127}})(?:\+0x(?P<{0}_off>[0-9a-f]{{1,8}})/0x(?P<{0}_size>[0-9a-f]{{1,8}}))?"
    r"(?: \[(?P<{0}_mod>[\w-]{{1,64}})(?: [0-9a-f]{{1,64}})?\])?"
)
_SYM = _FRAME.format("sym")
_HEX = r"[0-9a-f]{1,16}"


def _place(match: re.Match[str], name: str = "sym") -> Frame:
    offset, size = match[f"{name}_off"], match[f"{name}_size"]
    return Frame(
        function=match[name],
        offset=int(offset, 16) if offset else None,
        size=int(size, 16) if size else None,
        module=match[f"{name}_mod"],
    )


class CrashReader:
    """Collects what the lines of one report say. The first word on a matter counts: what comes after the end of the
    report (other cpus stopping, the panic's own trace) does not overwrite it.
    """

    def __init__(self) -> None:
        self.what: str | None = None
        """What the kernel calls it: ``NULL pointer dereference``, ``page domain fault``."""
        self.address: int | None = None
        self.access: str | None = None
        self.oops_code: str | None = None
        self.oops_number: int | None = None
        self.pc: Frame | None = None
        self.lr: Frame | None = None
        self.registers: dict[str, int] = {}
        self.cpu: int | None = None
        self.pid: int | None = None
        self.comm: str | None = None
        self.taint: str | None = None
        self.kernel: str | None = None
        self.hardware: str | None = None
        self.modules: tuple[LoadedModule, ...] = ()
        self.frames: list[Frame] = []
        self.code: str | None = None
        self.end_trace: str | None = None
        self.panic_reason: str | None = None
        self.panic_ended = False
        """The kernel has said its very last word."""

    @property
    def ended(self) -> bool:
        """The report has come to its end trace; a panic may follow."""
        return self.end_trace is not None

    def crash(self) -> Crash:
        """What is known so far."""
        return Crash(
            address=self.address,
            access=self.access,
            oops_code=self.oops_code,
            oops_number=self.oops_number,
            pc=self.pc,
            lr=self.lr,
            registers=tuple(self.registers.items()),
            cpu=self.cpu,
            pid=self.pid,
            comm=self.comm,
            taint=self.taint,
            kernel=self.kernel,
            hardware=self.hardware,
            modules=self.modules,
            frames=tuple(self._frames()),
            code=self.code,
            end_trace=self.end_trace,
            panic_reason=self.panic_reason,
        )

    def add(self, message: str) -> bool:
        """Read one message; False where it is no line of a report."""
        message = message[:2048]
        for pattern, read in _READERS:
            if match := pattern.match(message):
                if read is not None:
                    read(self, match)
                return True
        return False

    def _frames(self) -> list[Frame]:
        """The frames, with the pc's exact place for the first one where it is the same function."""
        frames = list(self.frames)
        if self.pc is not None and (not frames or frames[0].function != self.pc.function):
            inside = [frame.function for frame in frames[:8]]
            if self.pc.function not in inside:
                frames.insert(0, self.pc)
        elif self.pc is not None:
            frames[0] = self.pc
        return frames

    def _push(self, frame: Frame) -> None:
        if len(self.frames) < _MAX_FRAMES:
            self.frames.append(frame)

    # --- one method for each shape of line

    def _fault(self, match: re.Match[str]) -> None:
        self.what = self.what or match["what"]
        if self.address is None and match["address"]:
            self.address = int(match["address"], 16)
        access = match.groupdict().get("access")
        if access and self.access is None:
            self.access = access

    def _pgd(self, match: re.Match[str]) -> None:
        if self.address is None:
            self.address = int(match["address"], 16)

    def _x86_access(self, match: re.Match[str]) -> None:
        if self.access is None:
            self.access = {"instruction fetch": "execute"}.get(match["access"], match["access"])

    def _number(self, match: re.Match[str]) -> None:
        if self.oops_number is not None:
            return
        self.oops_number = int(match["number"])
        self.oops_code = match["code"].lstrip(": ") or None
        code = re.fullmatch(r"(?:Oops: |: )?([0-9a-f]{1,8})", match["code"])
        if self.access is None and code and "ARM" in match["rest"].split():
            # ARM's fault status: Linux sets bit 31 for a prefetch abort; bit 11 is WnR of a data abort.
            status = int(code[1], 16)
            self.access = "execute" if status >> 31 else "write" if status >> 11 & 1 else "read"

    def _cpu(self, match: re.Match[str]) -> None:
        if self.cpu is not None:
            return
        self.cpu, self.pid, self.comm = int(match["cpu"]), int(match["pid"]), match["comm"]
        self.taint = "".join((match["taint"] or "").split())
        self.kernel = match["kernel"].strip() or None

    def _hardware(self, match: re.Match[str]) -> None:
        self.hardware = self.hardware or match["name"].strip() or None

    def _process(self, match: re.Match[str]) -> None:
        if self.pid is None:
            self.comm, self.pid = match["comm"], int(match["pid"])

    def _modules(self, match: re.Match[str]) -> None:
        if self.modules:
            return
        names = re.sub(r"\[last unloaded: [^\]]{0,200}\]?", "", match["names"]).split()[:_MAX_MODULES]
        found = (re.fullmatch(r"([\w-]{1,64})(?:\(([A-Z+-]{1,16})\))?", name) for name in names)
        self.modules = tuple(LoadedModule(entry[1], entry[2] or "") for entry in found if entry)

    def _pc(self, match: re.Match[str]) -> None:
        if self.pc is None and not self.ended:
            self.pc = _place(match)

    def _lr(self, match: re.Match[str]) -> None:
        if self.lr is None and not self.ended:
            self.lr = _place(match)

    def _registers(self, match: re.Match[str]) -> None:
        if self.ended:
            return
        for name, value in _REGISTER.findall(match.string[:256]):
            if len(self.registers) < _MAX_REGISTERS:
                self.registers.setdefault(name.lower(), int(value, 16))
        address = self.registers.get("pc")
        if self.pc is not None and self.pc.address is None and address is not None:
            self.pc = _with_address(self.pc, address)
        address = self.registers.get("lr")
        if self.lr is not None and self.lr.address is None and address is not None:
            self.lr = _with_address(self.lr, address)

    def _arm_frame(self, match: re.Match[str]) -> None:
        if self.ended or self.panic_ended:
            return
        groups = match.groupdict()
        callee, caller = _place(match, "callee"), _place(match, "caller")
        if groups.get("callee_at"):
            callee = _with_address(callee, int(groups["callee_at"], 16))
        if groups.get("caller_at"):
            caller = _with_address(caller, int(groups["caller_at"], 16))
        if not self.frames or self.frames[-1].function != callee.function:
            self._push(callee)
        self._push(caller)

    def _frame(self, match: re.Match[str]) -> None:
        if not self.ended and match["guess"] is None:
            self._push(_place(match))

    def _code(self, match: re.Match[str]) -> None:
        self.code = self.code or match["code"].strip()

    def _end_trace(self, match: re.Match[str]) -> None:
        self.end_trace = self.end_trace or match["id"]

    def _panic(self, match: re.Match[str]) -> None:
        self.panic_reason = self.panic_reason or match["reason"].strip()
        self.panic_ended = self.panic_ended or match["end"] is not None

    def _rebooting(self, _: re.Match[str]) -> None:
        self.panic_ended = self.panic_ended or self.panic_reason is not None


def _with_address(frame: Frame, address: int) -> Frame:
    return Frame(frame.function, frame.offset, frame.size, frame.module, address)


_REGISTER = re.compile(r"\b([a-zA-Z]{1,3}\d{0,2}|e?flags) ?: ?(?:\[<)?([0-9a-f]{8,16})\b")
_R = CrashReader

# Lines of a report that say nothing worth keeping.
_KNOWN = (
    r"Flags: |Control: |Stack: |Exception stack|Backtrace: ?$|Call [Tt]race:|Register [a-z0-9]{2,3} information:",
    r"Dumping ftrace buffer:|   \(ftrace buffer empty\)|8<--- cut here ---|-{4,16}\[ cut here \]|Workqueue: ",
    r"note: .{1,64} exited with |Kernel Offset: |CPU\d{1,4}: stopping|SMP: stopping secondary CPUs|Mem abort info:",
    r"  (?:ESR|EC|SET|EA|FSC|ISV|CM|user pgtable)\b|Data abort info:|pstate: |PKRU: | </?(?:IRQ|TASK|NMI|EOI)>",
    r"#PF: |PGD |Tainted: |CPU features: |Memory Limit: |Fixing recursive fault|Insufficient stack space",
    r"      (?:Not tainted|Tainted:)|\"echo 0 > /proc/sys/kernel/hung_task_timeout_secs\"|task:.{1,64} state:",
    r"rcu: \t|\t|\(detected by |Task dump for CPU|rcu:? .{1,40} kthread |NMI backtrace for cpu|Sending NMI",
    r"INFO: lockdep is turned off|irq event stamp: |(?:hard|soft)irqs last |Preemption disabled at:|in_atomic\(\): ",
    r"preempt_count: |RCU nest depth: |\d{1,2} locks? held by |no locks held by | #\d{1,2}: |Showing all locks held",
    r"raw: |page dumped because: |page:|flags: 0x|={20,80}$|Last potentially related work creation:|={4} backtrace",
    r".{1,20} +[RSDTtZXI] .{0,20}(?:stack:|running task)|\[<[0-9a-f]{1,16}>\] \(",
)

_TABLE: tuple[tuple[str, Callable[[CrashReader, re.Match[str]], None] | None], ...] = (
    # ARM: address and symbol of callee and caller, or (since 5.15) the symbols alone
    (
        (
            rf"\[<(?P<callee_at>{_HEX})>\] \({_FRAME.format('callee')}\) from "
            rf"\[<(?P<caller_at>{_HEX})>\] \({_FRAME.format('caller')}"
        ),
        _R._arm_frame,
    ),
    (rf" ?{_FRAME.format('callee')} from (?=\S{{1,128}}\+0x){_FRAME.format('caller')}$", _R._arm_frame),
    # the raw stack, registers that a frame saved
    (r"[0-9a-f]{4}:[ 0-9a-f]{8,96}$", None),
    (r" ?(?:r\d{1,2}|x\d{1,2}):[0-9a-f]{8,16}\b", None),
    # x86, ARM64, RISC-V; a question mark is the kernel's own guess
    (
        rf"(?:\[<{_HEX}>\])? ?(?: <(?:IRQ|NMI|TASK)>)? ?(?P<guess>\? ?)?(?=\S{{1,128}}\+0x){_SYM}(?: .{{0,200}})?$",
        _R._frame,
    ),
    (
        (
            r"(?:BUG: )?[Uu]nable to handle (?:kernel )?(?P<what>NULL pointer dereference|paging request|page fault|"
            r"[a-z -]{1,60}?)(?: in \w{1,16})? (?:at virtual address|at|for address:?) ?"
            r"(?:0x)?(?P<address>[0-9a-f]{1,16})?(?: when (?P<access>read|write|execute))?"
        ),
        _R._fault,
    ),
    (r"BUG: kernel (?P<what>NULL pointer dereference), address: (?P<address>[0-9a-f]{1,16})", _R._fault),
    (
        (
            r"Unhandled (?:fault|prefetch abort): (?P<what>[^()]{1,80}?) \(0x[0-9a-f]{1,8}\)"
            r" at 0x(?P<address>[0-9a-f]{1,16})"
        ),
        _R._fault,
    ),
    (r"\[(?P<address>[0-9a-f]{8,16})\] \*?pgd=", _R._pgd),
    (r"pgd = ", None),
    (r"#PF: \w{1,20} (?P<access>read|write|instruction fetch) access", _R._x86_access),
    (r"Internal error: (?P<code>.{0,80}?) \[#(?P<number>\d{1,6})\](?P<rest>.{0,80})", _R._number),
    (r"(?P<code>[A-Z]?[A-Za-z ,:-]{3,80}?: [0-9a-fx]{1,16}) \[#(?P<number>\d{1,6})\](?P<rest>.{0,80})", _R._number),
    (
        (
            r"CPU: (?P<cpu>\d{1,5}) (?:UID: \d{1,10} )?PID: (?P<pid>-?\d{1,10}) Comm: (?P<comm>.{1,64}?) "
            r"(?:Not tainted|Tainted:(?P<taint>[A-Z ]{1,60}?)) {1,8}(?P<kernel>\d{1,3}\..{0,200})"
        ),
        _R._cpu,
    ),
    (r"CPU: \d{1,5} (?:UID: \d{1,10} )?PID: -?\d{1,10} ", None),
    (r"Hardware name: (?P<name>.{0,200})", _R._hardware),
    (r"Modules linked in:(?P<names>.{0,2000})", _R._modules),
    (rf"PC is at {_SYM}", _R._pc),
    (rf"LR is at {_SYM}", _R._lr),
    (r"(?:PC|LR) is at ", None),
    (rf"pc : (?=\S{{1,128}}\+0x){_SYM}", _R._pc),
    (rf"lr : (?=\S{{1,128}}\+0x){_SYM}", _R._lr),
    (rf"E?R?IP: (?:[0-9a-f]{{4}}:)?(?:\[<{_HEX}>\] )?(?=\S{{1,128}}\+0x){_SYM}", _R._pc),
    (rf"(?:epc|ra) : (?=\S{{1,128}}\+0x){_SYM}", _R._pc),
    (r"(?:pc|lr|sp|ip|fp|r\d{1,2}|x\d{1,2}|psr) ?: ?(?:\[<)?[0-9a-f]{8,16}\b", _R._registers),
    (r"(?:E?R?SP|[ER][A-D]X|[ER][SD]I|[ER]BP|R\d{2}|CR\d|DR\d|FS|CS|EIP|RIP|ORIG_RAX|PKRU): ", _R._registers),
    (r"Process (?P<comm>.{1,64}?) \(pid: (?P<pid>\d{1,10}), ", _R._process),
    (r"(?:Code|Bad code|Unable to access opcode bytes).{0,40}?: (?P<code>.{1,400})", _R._code),
    (r"Code: {0,2}Bad ", None),
    (
        r"(?P<end>---\[ end )?Kernel panic - not syncing:? {0,2}(?P<reason>.{0,300}?)(?: \]---)?$",
        _R._panic,
    ),
    (r"---\[ end trace (?P<id>[0-9a-f]{1,32}) \]---", _R._end_trace),
    (r"Rebooting in \d{1,10} seconds", _R._rebooting),
    ("|".join(_KNOWN), None),
)
_READERS = tuple((re.compile(pattern), read) for pattern, read in _TABLE)

# Functions that only notice what their caller did: reporting, stopping, locking, and the string functions.
_MACHINERY = re.compile(
    r"(?:__)?(?:mem(?:set|cpy|move|cmp|chr|zero)\w{0,20}|str(?:n?len|n?cmp|[nl]?cpy|n?cat|n?chr|scpy|case\w{1,8})|"
    r"kasan_\w{1,40}|asan_\w{1,40}|sanitizer_\w{1,60}|ubsan_\w{1,40}|dump_stack\w{0,8}|dump_backtrace|show_stack|show_regs|"
    r"unwind_backtrace|dump_trace|print_\w{1,40}|warn\w{0,30}|report_\w{1,20}|panic|die|bad_page\w{0,10}|die_\w{1,20}|"
    r"check_panic_on_warn|nmi_panic|arm_notify_die|do_(?:DataAbort|PrefetchAbort|undefinstr|page_fault|error_trap|invalid_op)|"
    r"(?:dabt|und|pabt|irq|fiq)_(?:svc|usr|invalid)|exc_\w{1,30}|asm_exc_\w{1,30}|fixup_bug\w{0,8}|handle_bug|invalid_op|"
    r"schedule\w{0,12}|might_(?:sleep|fault|resched)\w{0,8}|spin_bug|spin_dump|rwlock_bug|do_raw_(?:spin|read|write)_\w{1,20}|"
    r"_?raw_(?:spin|read|write)_\w{1,30}|mutex_(?:un)?lock\w{0,30}|lock_(?:acquire|release)\w{0,10}|write_comp_data|"
    r"refcount_\w{1,30}|list_(?:add|del)\w{0,20}|fortify_\w{1,10}|preempt_schedule\w{0,12}|rcu_\w{1,30}|"
    r"io_schedule\w{0,10}|wait_for_comm\w{1,20}|rwsem_down_\w{1,20}|down_(?:read|write)\w{0,10}|"
    r"cond_resched\w{0,8}|sched_show_task|watchdog_\w{1,20}|check_hung_\w{1,20}|update_process_times|tick_\w{1,30})"
)
_INTERRUPT_ENTRY = re.compile(r"__irq_svc|el1h?_(?:64_)?irq|asm_sysvec_\w{1,40}|apic_timer_interrupt|ret_from_intr")
_SUFFIX = re.compile(r"\.(?:part|isra|constprop|cold|llvm|lto_priv)\b.{0,40}$")


def guilty_frame(crash: Crash, *, interrupted: bool = False) -> Frame | None:
    """The first place that is not the machinery which merely noticed the fault.

    With ``interrupted`` (stalls and lockups: the report comes out of the timer interrupt) the code below the interrupt.
    """
    frames = list(crash.frames) or [frame for frame in (crash.pc, crash.lr) if frame]
    if interrupted:
        for index, frame in enumerate(frames):
            if _INTERRUPT_ENTRY.fullmatch(frame.function) and frames[index + 1 :]:
                frames = frames[index + 1 :]
                break
    for frame in frames:
        if not _MACHINERY.fullmatch(frame.function):
            return _without_suffix(frame)
    return _without_suffix(frames[0]) if frames else None


def _without_suffix(frame: Frame) -> Frame:
    """``copy_process`` for ``copy_process.part.3``: the compiler's number is no name."""
    return Frame(_SUFFIX.sub("", frame.function), frame.offset, frame.size, frame.module, frame.address)
