"""The shepherd kernel module as seen from outside: what it prints, what it leaves in sysfs, and how it fails."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from pytest_shepherd_hil.sim.kernel import ERR, INFO, WARNING
from pytest_shepherd_hil.sim.logs import CMA_AND_PRU, UNLOAD_PANIC, log_lines

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pytest_shepherd_hil.sim.life import Life
    from pytest_shepherd_hil.sim.machine import Machine
    from pytest_shepherd_hil.sim.tree import Tree

__all__ = ["DEFAULT_FAULT_AFTER", "FAULTS", "Shepherd"]

FAULTS = ("none", "racy", "cma", "pru")
DEFAULT_FAULT_AFTER = {"cma": 3, "pru": 3}
CMA_TOTAL_KB = 49152
CMA_IDLE_KB = 45056
CMA_USE_KB = 3811 * 4
PRU_FAULT_DELAY_S = 0.05
STEP_S = 0.002
MODES = ("harvester", "hrv_adc_read", "emulator", "emu_adc_read", "debug", "none")

_FOUND = (
    "init shepherd module!!!",
    "found shepherd device!!!",
    "Found PRU0 at phandle 0xB6",
    "Found PRU1 at phandle 0xB7",
)
_STARTED = (
    "PRUs started!",
    "mem-interface initialized, shared mem @ 0x9C900000, size = 15607808 bytes",
    "mem-interface reset to default",
    "msg-system initialized",
)
_SYNC = ("pru-sync-system initialized (wanted: hres, abs, hard)", "pru-sync-system started")
_TEST = "test msg-pipelines between kM and PRUs -> triggering roundtrip-messages for pipeline 1-3"
_ANSWERS = ((0, 1), (0, 2), (1, 3))
_REMOVED = (
    "shprd.k: sysfs exited",
    "shprd.sync: pru-sync-system paused",
    "shprd.k: msg-system paused",
    "shprd.sync: pru-sync-system exited",
    "shprd.k: msg-system exited",
    "shprd.k: mem-interface exited",
    "shprd.k: PRU0 shut down",
    "shprd.k: PRU1 shut down",
    "shprd.k: pru_rproc_put() done",
    "shprd.k: PRU-handles returned",
    "shprd.k: prusses returned",
    "shprd.k: platform-data 1 freed",
    "shprd.k: exited shepherd module!!!",
)


class Shepherd:
    """The module in one life of the board.

    Args:
        machine: the board.
        life: this boot.
        tree: where its sysfs appears.
        fault: one of :data:`FAULTS`.
        fault_after: at which unload (racy) or load (cma, pru) since boot; the fault's own default where None.
    """

    def __init__(self, machine: Machine, life: Life, tree: Tree, fault: str, fault_after: int | None) -> None:
        self._machine = machine
        self._life = life
        self._tree = tree
        self._fault = fault
        self._after = fault_after if fault_after is not None else DEFAULT_FAULT_AFTER.get(fault)
        self._lock = threading.Lock()
        self._loads = 0
        self._unloads = 0
        self._loaded = False
        self._probed = False
        self._tainted = False
        self._state = "idle"
        self._mode = MODES[0]
        self._start_time = "0"

    @property
    def loaded(self) -> bool:
        """Whether ``lsmod`` lists it."""
        return self._loaded

    @property
    def probed(self) -> bool:
        """Whether it also works: its sysfs is there and its PRUs run."""
        return self._probed

    @property
    def cma_free_kb(self) -> int:
        """Free CMA memory in kB; with fault ``cma`` each load leaks what it took."""
        if self._fault != "cma":
            return CMA_IDLE_KB - (CMA_USE_KB if self._probed else 0)
        share = (CMA_IDLE_KB - CMA_USE_KB // 2) // (self._after or 1)
        return CMA_IDLE_KB - share * min(self._loads, self._after or 1)

    def load(self) -> None:
        """``modprobe -a shepherd``. Loading what is loaded does nothing."""
        with self._lock:
            self._life.check()
            if self._loaded:
                return
            self._loads += 1
            faulty = self._fault in ("cma", "pru") and self._loads >= (self._after or 1)
            if not self._tainted:
                self._tainted = True
                self._life.kernel.printk(WARNING, "shepherd: loading out-of-tree module taints kernel.")
            self._loaded = True
            self._say("k", _FOUND)
            if faulty and self._fault == "cma":
                self._fail_to_allocate()
                return
            self._boot_prus()
            self._say("k", _STARTED)
            self._say("sync", _SYNC)
            self._say("k", ("msg-system started", _TEST))
            self._probed = True
            self._add_sysfs()
            self._machine.signals.sync_run()
            if faulty:
                threading.Thread(target=self._fail_to_answer, name="pru fault", daemon=True).start()
                return
            self._say("k", (f"[test passed] received answer from pru{pru} / pipeline {n}" for pru, n in _ANSWERS))

    def unload(self) -> None:
        """``modprobe -rf shepherd``; with fault ``racy`` it does not return."""
        with self._lock:
            self._life.check()
            if not self._loaded:
                return
            self._unloads += 1
            if self._fault == "racy" and self._unloads == (self._after or self._unloads):
                self._say_line(INFO, "shprd.k: sysfs exited")
                self._say_line(INFO, "shprd.k: mem-interface exited")
                self._machine.panic(self._life, log_lines(UNLOAD_PANIC))
                self._life.check()
            if self._probed:
                self._remove_sysfs()
                for text in _REMOVED:
                    self._say_line(INFO, text)
                self._machine.signals.sync_set(False)
                for number, name in ((1, "4a334000.pru"), (2, "4a338000.pru")):
                    self._life.kernel.printk(INFO, f"remoteproc remoteproc{number}: stopped remote processor {name}")
            else:
                self._say_line(INFO, _REMOVED[-1])
            self._probed = False
            self._loaded = False

    def modules(self) -> str:
        """``/proc/modules``."""
        users = 1 if self._loaded else 0
        lines = [
            f"pru_rproc 32768 {2 * users} - Live 0xbf18a000",
            "irq_pruss_intc 20480 1 pru_rproc, Live 0xbf17f000",
            f"pruss 16384 {1 + users} pru_rproc{',shepherd' if users else ''}, Live 0xbf175000",
            "wkup_m3_rproc 16384 1 - Live 0xbf16b000",
            "pm33xx 16384 0 - Live 0xbf161000",
            "wkup_m3_ipc 16384 2 pm33xx,wkup_m3_rproc, Live 0xbf157000",
            "pruss_soc_bus 16384 0 - Live 0xbf14d000",
            "uio_pdrv_genirq 16384 0 - Live 0xbf143000",
            "uio 20480 1 uio_pdrv_genirq, Live 0xbf138000",
            f"remoteproc 53248 {2 + users} pru_rproc,wkup_m3_rproc{',shepherd' if users else ''}, Live 0xbf11f000",
            "virtio 16384 1 remoteproc, Live 0xbf115000",
            "virtio_ring 28672 1 remoteproc, Live 0xbf108000",
        ]
        if self._loaded:
            lines.insert(0, "shepherd 40960 0 - Live 0xbf19a000 (O)")
        return "\n".join(lines) + "\n"

    def _say(self, part: str, texts: Iterable[str]) -> None:
        for text in texts:
            self._say_line(INFO, f"shprd.{part}: {text}")

    def _say_line(self, level: int, text: str) -> None:
        self._life.kernel.printk(level, text, newline=False)
        self._life.pause(STEP_S)

    def _boot_prus(self) -> None:
        for number, name in ((1, "4a334000.pru"), (2, "4a338000.pru")):
            remote = f"remoteproc remoteproc{number}: "
            firmware = f"am335x-pru{number - 1}-shepherd-fw"
            self._life.kernel.printk(INFO, f"{remote}powering up {name}")
            self._life.kernel.printk(INFO, f"{remote}Booting fw image {firmware}, size {70000 - 9000 * number}")
            self._life.kernel.printk(INFO, f"{remote}remote processor {name} is now up")
            self._life.pause(STEP_S)

    def _fail_to_allocate(self) -> None:
        recorded = log_lines(CMA_AND_PRU)
        first = next(i for i, line in enumerate(recorded) if line.text.startswith("cma:"))
        lines = recorded[first : first + 4]
        kernel = self._life.kernel
        start_s = kernel.time_s
        for line in lines:
            at_s = start_s + line.time_s - lines[0].time_s
            self._life.pause(at_s - kernel.time_s)
            shepherds = line.text.startswith("shprd")
            kernel.printk(INFO if line.text.startswith("cma:") else ERR, line.text, newline=not shepherds, at_s=at_s)

    def _fail_to_answer(self) -> None:
        recorded = log_lines(CMA_AND_PRU)
        first = next(i for i, line in enumerate(recorded) if line.text.startswith("shprd"))
        lines = recorded[first : first + 2]
        kernel = self._life.kernel
        start_s = kernel.time_s + PRU_FAULT_DELAY_S
        for line in lines:
            at_s = start_s + line.time_s - lines[0].time_s
            if self._life.over.wait(max(0.0, at_s - kernel.time_s)) or self._life.panicked:
                return
            kernel.printk(ERR, line.text, newline=False, at_s=at_s)

    def _add_sysfs(self) -> None:
        self._state, self._mode, self._start_time = "idle", MODES[0], "0"
        top = "/sys/shepherd/"
        add = self._tree.add
        add(top + "state", lambda: self._state + "\n", self._set_state)
        add(top + "mode", lambda: self._mode + "\n", self._set_mode)
        add(top + "time_start", lambda: self._start_time + "\n", self._set_start_time)
        add(top + "memory/address", lambda: f"{0x9C900000}\n")
        add(top + "memory/size", lambda: "15607808\n")
        add(top + "sync/error", lambda: "0\n")
        add("/sys/module/shepherd/initstate", lambda: "live\n")
        add("/sys/module/shepherd/refcnt", lambda: "0\n")
        add("/sys/module/shepherd/taint", lambda: "O\n")

    def _remove_sysfs(self) -> None:
        self._tree.remove("/sys/shepherd")

    def _set_state(self, data: bytes) -> None:
        word = data.decode("ascii", "replace").strip()
        now = self._life.kernel.time_s
        if word == "start" and self._state == "idle":
            self._state = "running"
            self._say_line(INFO, f"shprd.k: Starting PRU now ({int(now * 1e9)})")
        elif word == "stop":
            busy, self._state = self._state == "running", "idle"
            done = f"now ({int(now * 1e9)})" if busy else "not needed, already idle"
            self._say_line(INFO, f"shprd.k: Stopping/Resetting PRU {done}")
        else:
            raise OSError(16 if word == "start" else 22, "state")

    def _set_mode(self, data: bytes) -> None:
        word = data.decode("ascii", "replace").strip()
        if word not in MODES:
            raise OSError(22, "mode")
        if self._state != "idle":
            raise OSError(16, "mode")
        self._mode = word
        self._say_line(INFO, f"shprd.k: new mode = {MODES.index(word)} ({word})")

    def _set_start_time(self, data: bytes) -> None:
        word = data.decode("ascii", "replace").strip()
        if not word.isdigit():
            raise OSError(22, "time_start")
        self._start_time = word
        self._say_line(INFO, f"shprd.k: Setting start-timestamp to {word}")
