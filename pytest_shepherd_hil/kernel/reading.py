"""What the lines of a crash report say, shape by shape."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING

from pytest_shepherd_hil.kernel.guilty import STALLS
from pytest_shepherd_hil.kernel.incident import Frame, LoadedModule
from pytest_shepherd_hil.kernel.trace import Trace
from pytest_shepherd_hil.kernel.wording import (
    ARM64_ABORTS,
    ARM_FRAME,
    ARM_FRAME_NEW,
    AT,
    CODE,
    CPU_AT_END,
    CPU_LINES,
    DOING,
    END_TRACE,
    FAULT,
    INLINE,
    LOADED,
    MARK,
    NAMED_TAINT,
    NON_CANONICAL,
    NUMBER,
    PC,
    POWERPC_ACCESS,
    POWERPC_STORES,
    POWERPC_TASK,
    PROCESS,
    REGISTER,
    RISCV_CAUSE,
    RISCV_CAUSES,
    TAINTS,
    UNHANDLED,
    USER_PC,
    X86_ACCESS,
)

if TYPE_CHECKING:
    from pytest_shepherd_hil.kernel.rows import Row

__all__ = ["READERS", "Read", "Reading"]

_MAX_REGISTERS = 64
_MAX_CHARS = 256
_MAX_MODULES = 512
_MAX_TRACES = 16


def _place(match: re.Match[str], name: str = "sym", context: str | None = None) -> Frame:
    offset, size = match[f"{name}_off"], match[f"{name}_size"]
    return Frame(
        match[name],
        int(offset, 16) if offset else None,
        int(size, 16) if size else None,
        match[f"{name}_mod"],
        None,
        context,
    )


def _with_address(frame: Frame, address: int) -> Frame:
    return Frame(frame.function, frame.offset, frame.size, frame.module, address, frame.context, frame.inline)


class Reading:
    """What the lines of one report say, while they are read."""

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
        self.takes: list[Frame] = []
        """Where lockdep says that the lock is being taken, and the one that is held was."""
        self.holds: list[Frame] = []
        """Where lockdep says that a lock had been taken which is held."""
        self.code: str | None = None
        self.end_trace: str | None = None
        self._register_lines: list[str] = []
        self._ended = False
        self._of_user_space = False
        """x86 ends a trace with the registers and the code of the process that had called the kernel."""
        self._context: str | None = None
        self._taking = 0
        self._aside = False
        self._traces = [Trace("")]
        self._pc_in: Trace | None = None
        self._pc_at = 0

    def frames(self, kind: str = "") -> list[Frame]:
        """The trace that counts, with the pc's exact place in it."""
        trace = self._counting(kind)
        frames = list(trace.frames)
        if self.pc is None or kind == "hung-task":  # the pc that a hung task's report shows is another cpu's
            return frames
        if frames and frames[0].function == self.pc.function:
            frames[0] = self.pc
        elif self.pc.function not in [frame.function for frame in frames[:8]]:
            inside = self._pc_in is trace and self.oops_number is None
            frames.insert(self._pc_at if inside else 0, self.pc)
        elif self._pc_in is trace and self.oops_number is None and self._pc_at and kind in STALLS:
            frames.insert(self._pc_at, self.pc)
        if self.lr is not None and self._lr_is_left_out(frames):
            frames.insert(1, self.lr)
        return frames

    def _lr_is_left_out(self, frames: list[Frame]) -> bool:
        """ARM64's unwinder goes by frame records: who called a function that keeps none is only in lr."""
        if self.lr is None or "x29" not in self.registers or frames[:1] != [self.pc]:
            return False
        return self.lr.function not in [frame.function for frame in frames[:2]]

    def safe_place(self) -> list[Frame]:
        """Where lockdep saw the lock being taken in an interrupt: with this the other order is a deadlock."""
        return next((trace.frames for trace in self._traces if trace.label == "became" and trace.shows_any), [])

    def _counting(self, kind: str) -> Trace:
        traces = [trace for trace in self._traces if trace.label not in ("section", "became") and trace.shows_any]
        if not traces and kind in STALLS:  # 32-bit ARM's dump of a task has no headline of its own
            traces = [trace for trace in self._traces if trace.label == "section" and trace.shows_any]
        if not traces:
            return self._traces[0]
        labelled = [trace for trace in traces if trace.label]
        if kind == "lockdep":
            return next((trace for trace in traces if trace.label == "stack"), (labelled or traces)[0])
        if kind == "hung-task":
            return (labelled or traces)[0]
        if kind in STALLS:
            found = [trace for trace in traces if not trace.has(_STALL_REPORTER)] or traces
            return next((trace for trace in found if not trace.shows_a_switch), found[0])
        if kind == "bad-page":
            return traces[0]
        return (labelled or traces)[0]

    def _push(self, frame: Frame) -> None:
        self._traces[-1].push(frame)

    # --- one method for each shape of line

    def fault(self, message: str) -> None:
        if self.access is None and (done := DOING.search(message)):
            self.access = done[1]
        if message.startswith("Failing address: "):
            self.address = int(message[17:33].split()[0], 16) if self.address is None else self.address
        elif match := FAULT.match(message):
            groups = match.groupdict()
            self.what = self.what or groups["what"] or groups["what2"]
            address = groups["address"]
            if self.address is None and address:
                self.address = int(address, 16)
            self.access = self.access or groups["access"]
        elif match := UNHANDLED.match(message):
            self.what = self.what or match["what"]
            if self.address is None and match["address"]:
                self.address = int(match["address"], 16)

    def pgd(self, message: str) -> None:
        if self.address is None:
            self.address = int(message[1 : message.index("]")], 16)

    def access_line(self, message: str) -> None:
        if self.access is None and (match := X86_ACCESS.match(message)):
            self.access = {"instruction fetch": "execute"}.get(match["access"], match["access"])

    def number(self, message: str) -> None:
        if self.oops_number is not None:
            return
        match = NUMBER.match(message)
        if match is None:
            return
        self.oops_number = int(match["number"])
        text = match["code"].removeprefix("Internal error: ").removeprefix(": ").strip()
        self.oops_code = text or None
        if self.address is None and (where := NON_CANONICAL.search(message)):
            self.address = int(where[1], 16)
        code = re.fullmatch(r"(?:Oops: )?([0-9a-f]{1,16})", text)
        if self.access is not None or code is None:
            return
        status = int(code[1], 16)
        if "ARM" in match["rest"].split():
            # ARM's fault status: Linux sets bit 31 for a prefetch abort; bit 11 is WnR of a data abort.
            self.access = "execute" if status >> 31 else "write" if status >> 11 & 1 else "read"
        elif match["code"].startswith("Internal error: ") and status >> 26 in ARM64_ABORTS:
            # ARM64's syndrome: the class of the exception, and bit 6 is WnR of a data abort.
            self.access = ARM64_ABORTS[status >> 26] or ("write" if status >> 6 & 1 else "read")

    def cpu_line(self, message: str) -> None:
        self._of_user_space = False
        if self.cpu is not None and self.kernel is not None:
            return
        match = next((match for pattern in CPU_LINES if (match := pattern.match(message))), None)
        if match is None:
            return
        groups = match.groupdict()
        if groups.get("cpu2"):
            groups["cpu"], groups["pid"] = groups["cpu2"], groups["pid2"]
        if self.cpu is None and groups.get("cpu"):
            self.cpu = int(groups["cpu"])
        if self.comm is None and groups.get("pid"):
            self.pid, self.comm = int(groups["pid"]), groups.get("comm")
        if self.kernel is not None or not groups.get("kernel"):
            return
        taint = match["taint"] or ""
        self.taint = "".join(NAMED_TAINT.findall(taint) if "]=" in taint else TAINTS.findall(taint))
        kernel = match["kernel"].strip()
        self.kernel = (kernel[1:].replace(")", "", 1) if kernel.startswith("(") else kernel) or None

    def hardware_line(self, message: str) -> None:
        self.hardware = self.hardware or message[15:215].strip() or None

    def process(self, message: str) -> None:
        if message.startswith("TASK"):
            if (task := POWERPC_TASK.match(message)) and self.pid is None:
                self.comm, self.pid = task["comm"], int(task["pid"])
                self.cpu = int(task["cpu"]) if self.cpu is None and task["cpu"] else self.cpu
        elif self.pid is None and (match := PROCESS.match(message)):
            self.comm, self.pid = match["comm"], int(match["pid"])

    def modules_line(self, message: str) -> None:
        if self.modules:
            return
        names = re.sub(r"\[last unloaded: [^\]]{0,200}\]?", "", message[18:]).split()[:_MAX_MODULES]
        found = (LOADED.fullmatch(name) for name in names)
        self.modules = tuple(LoadedModule(entry[1], entry[2] or "") for entry in found if entry)

    def pc_line(self, message: str) -> None:
        self._of_user_space = False
        if self.pc is None and not self._ended and (match := PC.match(message)):
            self.pc = _place(match)
            self._pc_in = self._traces[-1]
            self._pc_at = len(self._pc_in)

    def lr_line(self, message: str) -> None:
        if self.lr is None and not self._ended and (match := PC.match(message)):
            self.lr = _place(match)

    def registers_line(self, message: str) -> None:
        if USER_PC.match(message):
            self._of_user_space = True
        if not self._ended and not self._of_user_space and len(self._register_lines) < _MAX_REGISTERS:
            self._register_lines.append(message[:_MAX_CHARS])

    def registers_block(self, lines: str) -> None:
        """Many of x86 at once, with a line end between two lines."""
        if not self._ended and not self._of_user_space:
            room = _MAX_REGISTERS - len(self._register_lines)
            self._register_lines += [line.rstrip()[:_MAX_CHARS] for line in lines.split("\n", room)[:room]]

    def finish(self) -> None:
        """All lines have been read."""
        if self._register_lines:
            text = "\n".join(self._register_lines)
            found: list[tuple[str, str]] = REGISTER.findall(text)
            names = [name.lower() for name, _ in found]
            if len(set(names)) < len(names):  # the first word on each counts
                first = {name: index for index, name in reversed([*enumerate(names)])}
                found, names = [found[first[name]] for name in dict.fromkeys(names)], [*dict.fromkeys(names)]
            self.registers = {
                name: int(value, 16) for name, (_, value) in zip(names[:_MAX_REGISTERS], found, strict=False)
            }
            if self.access is None and "cause: " in text:
                causes = (RISCV_CAUSES.get(int(cause, 16)) for cause in RISCV_CAUSE.findall(text))
                self.access = next(filter(None, causes), None)
            if self.access is None and (store := POWERPC_ACCESS.search(text)):
                self.access = "write" if int(store["status"], 16) & POWERPC_STORES[store["name"]] else "read"
            if self.cpu is None and (last := CPU_AT_END.search(text)):
                self.cpu = int(last[1])
        if self.address is None:
            self.address = self.registers.get("dar", self.registers.get("dear"))
        if self.pc is not None and (address := self.registers.get("pc")) is not None:
            self.pc = _with_address(self.pc, address)
        if self.lr is not None and (address := self.registers.get("lr")) is not None:
            self.lr = _with_address(self.lr, address)

    def trace(self, message: str) -> None:
        self._begin("stack" if message.startswith("stack") else "trace")

    def section(self, _: str) -> None:
        self._begin("section")

    def became(self, _: str) -> None:
        self._begin("became")

    def aside(self, _: str) -> None:
        self._aside = True

    def _begin(self, label: str) -> None:
        if len(self._traces) < _MAX_TRACES:
            self._traces.append(Trace(label))
        self._context = None
        self._aside = False

    def marker(self, message: str) -> None:
        name = message.strip("\t <>")
        if name.startswith("/"):
            self._context = None
        elif name in ("IRQ", "NMI", "SOFTIRQ"):
            self._context = "nmi" if name == "NMI" else "irq"
        elif name in ("EOI", "TASK"):
            self._context = None

    def arm_frame(self, message: str) -> None:
        if self._ended:
            return
        match = ARM_FRAME.match(message) or ARM_FRAME_NEW.match(message)
        if match is None:
            return
        groups = match.groupdict()
        callee, caller = _place(match, "callee"), _place(match, "caller")
        if groups.get("callee_at"):
            callee = _with_address(callee, int(groups["callee_at"], 16))
        if groups.get("caller_at"):
            caller = _with_address(caller, int(groups["caller_at"], 16))
        if self._traces[-1].outermost != callee.function:
            self._push(callee)
        self._push(caller)

    def frame(self, message: str) -> None:
        if self._taking:
            self._takes(message)
        if self._ended or self._aside:
            self._aside = False
            return
        if "<" in message and (mark := MARK.match(message)):
            self.marker(mark[1])
        self._traces[-1].push((message, self._context))

    def rows(self, rows: list[Row]) -> None:
        """Ordinary frames, one after the other."""
        if self._ended or self._aside:
            self._aside = False
            rows = [] if self._ended else rows[1:]
        if rows:
            self._traces[-1].push_rows(rows, self._context)

    def inline(self, message: str) -> None:
        if not self._ended and (match := INLINE.match(message)):
            self._push(Frame(match[1], context=self._context, inline=True))

    def inline_pc(self, message: str) -> None:
        if self.pc is None and not self._ended and (match := INLINE.search(message)):
            self._push(Frame(match[1], inline=True))

    def takes_line(self, message: str) -> None:
        if "trying to acquire" in message:
            self._taking = 2

    def lock(self, message: str) -> None:
        if self._taking:
            self._takes(message)
        elif len(self.holds) < _MAX_TRACES and (match := AT.search(message)):
            self.holds.append(_place(match))

    def _takes(self, message: str) -> None:
        if match := AT.search(message):
            self.takes.append(_place(match))
            self._taking -= 1

    def code_line(self, message: str) -> None:
        if self.code is None and not self._of_user_space and (match := CODE.match(message)):
            self.code = match["code"].strip()

    def end_trace_line(self, message: str) -> None:
        self._ended = True
        if self.end_trace is None and (match := END_TRACE.match(message)):
            self.end_trace = match["id"]

    def panic(self, _: str) -> None:
        if any(len(trace) for trace in self._traces):
            self._ended = True


# The threads that report or wait for a stall; it is not theirs.
_STALL_REPORTER = frozenset(
    {"rcu_gp_kthread", "rcu_gp_fqs_loop", "rcu_exp_gp_kthread", "rcu_tasks_kthread", "khungtaskd"}
)

Read = Callable[[Reading, str], None]
_R = Reading
READERS: dict[str, Read] = {
    "frame": _R.frame,
    "arm": _R.arm_frame,
    "inline": _R.inline,
    "inlinepc": _R.inline_pc,
    "marker": _R.marker,
    "trace": _R.trace,
    "section": _R.section,
    "became": _R.became,
    "aside": _R.aside,
    "takes": _R.takes_line,
    "lock": _R.lock,
    "cpu": _R.cpu_line,
    "hardware": _R.hardware_line,
    "pc": _R.pc_line,
    "lr": _R.lr_line,
    "registers": _R.registers_line,
    "register block": _R.registers_block,
    "process": _R.process,
    "modules": _R.modules_line,
    "code": _R.code_line,
    "access": _R.access_line,
    "fault": _R.fault,
    "pgd": _R.pgd,
    "number": _R.number,
    "endtrace": _R.end_trace_line,
    "panic": _R.panic,
}
