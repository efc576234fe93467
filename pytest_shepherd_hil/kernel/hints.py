"""What follows from the facts of an incident, in plain words: facts first, the hint after, no guess as a fact."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import TYPE_CHECKING

from pytest_shepherd_hil.kernel.crash import NULL_PAGE
from pytest_shepherd_hil.kernel.guilty import SERIAL, is_asked_for, module_that_asked
from pytest_shepherd_hil.kernel.rules import size_of_pages

if TYPE_CHECKING:
    from pytest_shepherd_hil.kernel.incident import Crash, Frame

__all__ = [
    "TAINT",
    "cma_hints",
    "crash_hints",
    "is_secondary",
    "panic_hints",
    "reboot_hints",
    "remoteproc_hints",
    "taint_words",
]

TAINT = {
    "P": "proprietary module",
    "F": "module was force-loaded",
    "S": "kernel on an unsupported system",
    "R": "module was force-unloaded",
    "M": "machine check",
    "B": "bad page",
    "U": "user asked for it",
    "D": "the kernel had died before",
    "A": "ACPI table overridden",
    "W": "a warning came before",
    "C": "staging driver",
    "I": "firmware bug worked around",
    "O": "out-of-tree module",
    "E": "unsigned module",
    "L": "soft lockup before",
    "K": "live patch",
    "X": "distribution's own flag",
    "T": "randomized structure layout, or a technology preview of the distribution",
    "N": "kernel test ran",
    "J": "firmware was changed through fwctl",
    "H": "hardware that the distribution does not support",
}
"""Taint letters in words; ``G`` only says that no proprietary module is loaded."""

# What runs callbacks: the frame above one of these is a callback of that sort, and the way to stop it.
_CALLBACKS = (
    (re.compile(r"__hrtimer_run_queues|__run_hrtimer"), "timer", "hrtimer_cancel()"),
    (re.compile(r"call_timer_fn|expire_timers|__run_timers?|run_timer_softirq"), "timer", "timer_delete_sync()"),
    (re.compile(r"process_(?:one|scheduled)_works?"), "work", "cancel_work_sync()"),
    (re.compile(r"tasklet_(?:hi_)?action(?:_common)?"), "tasklet", "tasklet_kill()"),
    (re.compile(r"__?handle_irq_event_percpu|irq_thread(?:_fn)?"), "interrupt", "free_irq()"),
    (re.compile(r"rcu_do_batch"), "RCU", "rcu_barrier()"),
    (re.compile(r"kthread"), "thread", "kthread_stop()"),
)


def taint_words(letters: str) -> str:
    """Taint letters spelled out, ``O (out-of-tree module), D (…)``; without ``G``, which is no taint."""
    return ", ".join(f"{letter} ({TAINT.get(letter, 'unknown')})" for letter in letters if letter != "G")


def crash_hints(crash: Crash, guilty: Frame | None, earlier: int, *, survived: bool = False) -> tuple[str, ...]:
    """Hints for an Oops or another report with a structure, the first of this boot but for ``earlier`` ones.

    ``survived`` says that it is a mere warning: the code that gave it has gone on.
    """
    hints = _unload_hints(crash, survived=survived)
    if is_asked_for(crash):
        hints.append(_asked_for_hint(crash))
    elif crash.address is not None and crash.address < NULL_PAGE and crash.access == "execute":
        hints.append(f"The kernel jumped to {crash.address:#x}, as when a function pointer that is NULL is called.")
    elif crash.address is not None and crash.address < NULL_PAGE:
        module = guilty.module if guilty else None
        where = f"the DWARF of {module}.ko names the field" if module else "DWARF names the field"
        what = "a NULL pointer that is followed itself, or to its first field"
        if crash.address:
            what = f"a NULL base pointer plus the field offset {crash.address:#x}"
        hints.append(f"The faulting address {crash.address:#x} is below {NULL_PAGE}, as with {what}; {where}.")
    hints.extend(_secondary_hints(crash, earlier))
    return tuple(hints)


def _asked_for_hint(crash: Crash) -> str:
    """Who asked for a crash, as far as the trace tells."""
    if (asker := module_that_asked(crash)) is not None:
        return f"This crash was asked for: {asker.function} of module {asker.module} called SysRq c."
    if any(frame.function == "write_sysrq_trigger" for frame in crash.frames):
        who = f"{crash.comm} (pid {crash.pid}) wrote" if crash.comm else "somebody wrote"
        return f"This crash was asked for: {who} c to /proc/sysrq-trigger."
    if any(SERIAL.search(frame.function) for frame in crash.frames):
        return "This crash was asked for: SysRq c came in over a serial port (BREAK, then c)."
    return "This crash was asked for: SysRq c (echo c > /proc/sysrq-trigger, a keyboard, or BREAK c on a console)."


def _unload_hints(crash: Crash, *, survived: bool) -> list[str]:
    leaving = {module.name for module in crash.modules if module.unloading}
    places = [frame for frame in (crash.pc, crash.lr, *crash.frames[:3]) if frame is not None]
    module = next((frame.module for frame in places if frame.module in leaving), None)
    if module is None:
        return []
    who = crash.comm or "the process"
    callback = _callback(crash.frames, module)
    if callback is None:
        verb = "warned" if survived else "crashed"
        running = f"; {crash.comm} was running" if crash.comm else ""
        return [f"{module} {verb} during its own unload (flag '-' in 'Modules linked in'){running}."]
    index, runner, sort, stop = callback
    function = crash.frames[index].function
    inner = crash.frames[0].function
    there = "from which the warning came" if survived else "which is where it crashed"
    called = "" if inner == function else f" It had called {inner}, {there}."
    what = "warning" if survived else "crash"
    hints = [f"The {what} is in {module}'s {sort} callback: {function}, run from {runner}.{called}"]
    path = [frame.function for frame in crash.frames[index + 1 :] if frame.module == module]
    below = f": {who} was at that moment in {' <- '.join(path[:3])}" if path else ""
    flag = "flag '-' in 'Modules linked in'"
    hints.append(f"It happened while {module} was being unloaded ({flag}){below}.")
    if survived:  # nothing shows that what it reads was gone
        return hints
    torn = path and crash.address is not None
    when = "when what it reads was torn down" if torn else f"while {module} was being unloaded"
    hints.append(f"So the {sort} callback was still armed {when}: stop it ({stop}) before freeing what it reads.")
    return hints


def _callback(frames: tuple[Frame, ...], module: str) -> tuple[int, str, str, str] | None:
    """Where in the frames a callback of the module is: index, what runs it, its sort, what stops it."""
    for index, (frame, runner) in enumerate(pairwise(frames)):
        if frame.module != module or runner.module is not None:
            continue
        for pattern, sort, stop in _CALLBACKS:
            if pattern.fullmatch(runner.function):
                return index, runner.function, sort, stop
    return None


def is_secondary(crash: Crash, earlier: int) -> bool:
    """Whether the kernel had warned, or a part of it had died, before this crash."""
    return bool(_secondary_facts(crash, earlier))


def _secondary_hints(crash: Crash, earlier: int) -> list[str]:
    facts = _secondary_facts(crash, earlier)
    if not facts:
        return []
    return [f"Secondary, not the first report of this boot ({'; '.join(facts)}): look at the first one."]


def _secondary_facts(crash: Crash, earlier: int) -> list[str]:
    facts = []
    if crash.oops_number is not None and crash.oops_number > 1:
        facts.append(f"the kernel numbers it [#{crash.oops_number}]")
    facts.extend(f"taint {letter} says: {TAINT[letter]}" for letter in "DW" if letter in (crash.taint or ""))
    if earlier:
        facts.append(f"the console showed {earlier} before it since the board booted")
    return facts


def panic_hints(crash: Crash) -> tuple[str, ...]:
    """Hints for a kernel that does not go on."""
    where = "in interrupt context" if crash.in_interrupt else None
    return (f"The kernel panicked{f' {where}' if where else ''}: the board is gone until it reboots.",)


def cma_hints(pages: int | None, error: int | None, count: int) -> tuple[str, ...]:
    """Hints for a failed allocation of contiguous memory, the ``count``-th of this boot."""
    hints = []
    if pages is not None:
        hints.append(
            f"{pages} page{'' if pages == 1 else 's'} in one piece ({size_of_pages(pages)}) had been asked for: "
            "compare with CmaTotal and CmaFree in /proc/meminfo."
        )
    if error == -16:
        hints.append("Error -16 is EBUSY: no range of that size could be cleared of pages that are in use.")
    elif error == -12:
        hints.append("Error -12 is ENOMEM: the area has no free range of that size.")
    seen = f"It is number {count} since the board booted. " if count > 1 else ""
    hints.append(f"{seen}It may be a leak that grows with each reload: see whether CmaFree falls with each.")
    return tuple(hints)


def remoteproc_hints(message: str) -> tuple[str, ...]:
    """Hints for a PRU that did not boot and showed no cause."""
    if not message.endswith(": -12"):
        return ()
    loglevel = "on 4.19 that message is of level info and shows only at console loglevel 8 (/proc/sys/kernel/printk)"
    return (f"Error -12 is ENOMEM: it may come of a failed CMA allocation; {loglevel}.",)


def reboot_hints(request: str | None, before: str | None = None, past_s: float | None = None) -> tuple[str, ...]:
    """Hints for a boot that nobody had announced.

    Args:
        request: what the kernel said of a reboot that it was asked for.
        before: headline of the last report of a crash or a stall in that boot.
        past_s: seconds of kernel time from the end of that report to the last that was heard of that kernel.
    """
    asked = (f"The kernel had said {request!r} before it: somebody asked for this reboot.",) if request else ()
    if before is not None:
        heard = "" if past_s is None else f"; the kernel was last heard of {past_s:.1f} s after that"
        shown = "" if request else " The console showed no request to reboot, and no panic."
        return (f"The board restarted after '{before}'{heard}.{shown}", *asked)
    if asked:
        return asked
    return ("The console showed no request to reboot before it, and no panic: see to watchdog, reset and power.",)
