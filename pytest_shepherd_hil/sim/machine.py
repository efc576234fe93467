"""The board itself: power, boot, panic, hang, reset, and what comes in over its UART."""

from __future__ import annotations

import contextlib
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from pytest_shepherd_hil.rig.signals import Signals
from pytest_shepherd_hil.rig.uart import Source, Uart
from pytest_shepherd_hil.sim import sysrq
from pytest_shepherd_hil.sim.kernel import EMERG, INFO, NOTICE, WARNING, Kernel
from pytest_shepherd_hil.sim.life import Life, PowerLost
from pytest_shepherd_hil.sim.login import Login
from pytest_shepherd_hil.sim.system import COMMAND_LINE, VERSION, System

if TYPE_CHECKING:
    import socket
    from collections.abc import Sequence
    from pathlib import Path

    from pytest_shepherd_hil.sim.logs import LogLine
    from pytest_shepherd_hil.sim.network import Network

__all__ = ["Machine", "MachineConfig"]

OFF_S = 0.05
SHUT_DOWN_S = 0.05
BREAK_VALID_S = 5.0
BOOT_LOADER_SHARE = 0.25
BOOT_LOADER = (
    b"\r\nU-Boot SPL 2019.04-00002-gc9b3922522 (Aug 24 2020 - 16:42:18 -0500)\r\nTrying to boot from MMC1\r\n"
    b"\r\nU-Boot 2019.04-00002-gc9b3922522 (Aug 24 2020 - 16:42:18 -0500)\r\n\r\nCPU  : AM335X-GP rev 2.1\r\n"
)
START_KERNEL = b"\r\nStarting kernel ...\r\n\r\n"
BOOT_FIRST = (
    "Booting Linux on physical CPU 0x0",
    VERSION,
    "OF: fdt: Machine model: TI AM335x BeagleBone Green",
    "cma: Reserved 48 MiB at 0x9c800000",
    "Kernel command line: " + COMMAND_LINE,
)
BOOT_LATER = (
    (INFO, "CPU: ARMv7 Processor [413fc082] revision 2 (ARMv7), cr=10c5387d"),
    (INFO, "pruss 4a300000.pruss: creating PRU cores and other child platform devices"),
    (INFO, "remoteproc remoteproc1: 4a334000.pru is available"),
    (INFO, "remoteproc remoteproc2: 4a338000.pru is available"),
    (INFO, "EXT4-fs (mmcblk0p1): mounted filesystem with ordered data mode. Opts: (null)"),
    (WARNING, "PM: Cannot get wkup_m3_ipc handle"),
    (NOTICE, "random: crng init done"),
)


@dataclass(frozen=True, slots=True)
class MachineConfig:
    """What kind of board it is.

    Attributes:
        fault: what goes wrong with its module: ``none``, ``racy``, ``cma``, ``pru``.
        fault_after: at which unload or load since boot; the fault's own default where None.
        baudrate: of its UART, in bits a second.
        boot_time_s: from power to login prompt.
    """

    fault: str = "none"
    fault_after: int | None = None
    baudrate: int = 115200
    boot_time_s: float = 0.3


class Ssh(Protocol):
    """The board's SSH server."""

    def prepare(self, machine: Machine) -> None:
        """Make it ready to serve; may take its time. Called at each boot."""

    def serve(self, life: Life, end: socket.socket) -> None:
        """Serve one connection, given the life it belongs to and the server's end of it, in threads of its own."""


class Machine:
    """A board. All methods may be called from any thread.

    Args:
        config: what kind of board.
        uart_link: where the symlink to its UART is to be.
        network: its cable.
        ssh: what serves SSH connections.
    """

    def __init__(
        self,
        config: MachineConfig,
        uart_link: Path,
        network: Network,
        ssh: Ssh,
    ) -> None:
        self.config = config
        self.signals = Signals()
        self.uart = Uart(uart_link, config.baudrate, self._receive)
        self._network = network
        self._ssh = ssh
        self._lock = threading.RLock()
        self._epoch = 0
        self._life: Life | None = None
        self._system: System | None = None
        self._login: Login | None = None
        self._break_until = 0.0
        self._ramoops = ""

    def start(self) -> None:
        """Bring up the hardware and switch it on."""
        self.uart.start()
        self._network.start()
        self.power_on()

    def close(self) -> None:
        """Switch off for good."""
        self.power_off()
        self.uart.close()
        self._network.close()

    def system(self, life: Life) -> System:
        """The files of ``life``.

        Raises:
            PowerLost: it is over.
        """
        with self._lock:
            if self._life is not life or self._system is None:
                raise PowerLost
            return self._system

    def power_on(self) -> None:
        """Apply power; nothing happens if it is on."""
        with self._lock:
            if self._life is None:
                self.signals.power(True)
                self._begin()

    def power_off(self) -> None:
        """Cut the power."""
        with self._lock:
            self._end()
            self._break_until = 0.0
            self._ramoops = ""  # memory forgets without power
            self.uart.discard(Source.KERNEL, Source.USER)
            self.signals.power(False)
            self._network.board_gone()

    def power_cycle(self) -> None:
        """Off, and on again after 50 ms."""
        with self._lock:
            self.power_off()
            time.sleep(OFF_S)
            self.power_on()

    def reset(self, life: Life | None = None) -> None:
        """Boot anew at once, as after a watchdog, a SysRq or a brown-out; if ``life`` is given, only while it lasts."""
        with self._lock:
            if self._life is None or (life is not None and life is not self._life):
                return
            self._end()
            self.uart.discard(Source.USER)
            self._network.board_gone()
            self._begin()

    def shut_down(self, life: Life, *, power_off: bool) -> None:
        """``reboot`` or ``poweroff``, which return at once: connections are closed, the kernel says so, it happens."""
        threading.Thread(target=self._shut_down, args=(life, power_off), name="shut down", daemon=True).start()

    def _shut_down(self, life: Life, power_off: bool) -> None:
        with contextlib.suppress(PowerLost):
            life.pause(SHUT_DOWN_S)
            with self._lock:
                if self._life is not life or life.frozen.is_set():
                    return
                self._network.end_all(reset=False)
                life.kernel.printk(EMERG, "reboot: Power down" if power_off else "reboot: Restarting system")
                if not power_off:
                    self.reset(life)
                    return
                self._end()
                self._network.board_gone()
                self.signals.power(False)

    def panic(self, life: Life, report: Sequence[LogLine]) -> None:
        """User space and network are dead from here on; the kernel prints ``report`` at its own relative times."""
        with self._lock:
            if self._life is not life or life.panicked:
                return
            life.panicked = True
            self._network.board_silent()  # first: what unwinds once user space is frozen must not reach the wire
            life.frozen.set()
            self.uart.discard(Source.USER)
            self.signals.sync_stick()
        threading.Thread(target=self._print_panic, args=(life, report), name="panic", daemon=True).start()

    def panic_now(self, report: Sequence[LogLine]) -> bool:
        """Panic, if there is a kernel that can."""
        life = self._life
        if life is None or life.panicked:
            return False
        self.panic(life, report)
        return True

    def hang(self) -> bool:
        """User space and network stop; the kernel lives. False without power."""
        with self._lock:
            if self._life is None:
                return False
            self._network.board_silent()
            self._life.frozen.set()
            return True

    def send_break(self) -> None:
        """A BREAK on the UART: the next byte within 5 s is a SysRq command."""
        self._break_until = time.monotonic() + BREAK_VALID_S

    def kernel(self) -> Kernel | None:
        """The kernel that runs, if there is power."""
        life = self._life
        return None if life is None else life.kernel

    def sysrq(self, life: Life, key: bytes) -> None:
        """What a SysRq command does."""
        sysrq.handle(self, life, key)

    def status(self) -> dict[str, object]:
        """Power, boot and panic as they are now."""
        with self._lock:
            life = self._life
            return {
                "power": "off" if life is None else "on",
                "booted": life is not None and life.booted.is_set(),
                "boot_id": None if life is None else life.boot_id,
                "epoch": self._epoch,
                "kernel_time_s": None if life is None else life.kernel.time_s,
                "panicked": life is not None and life.panicked,
                "hung": life is not None and life.frozen.is_set() and not life.panicked,
            }

    def _begin(self) -> None:
        self._epoch += 1
        life = Life(self._epoch, Kernel(lambda data: self._wire(life, data, Source.KERNEL)))
        self._life = life
        self._system = System(self, life, self.config.fault, self.config.fault_after, self._ramoops)
        self._login = Login(self, life, lambda data: self._wire(life, data, Source.USER))
        self._network.board_booting()
        threading.Thread(target=self._boot, args=(life,), name=f"boot {life.epoch}", daemon=True).start()

    def _end(self) -> None:
        life, self._life, self._system = self._life, None, None
        if life is not None:
            self._ramoops = life.kernel.last_words() if life.panicked else ""
            life.over.set()
            life.frozen.clear()
            self.signals.sync_set(False)
        if self._login is not None:
            self._login.close()
            self._login = None

    def _boot(self, life: Life) -> None:
        with contextlib.suppress(PowerLost):
            self._wire(life, BOOT_LOADER, Source.KERNEL)
            life.pause(self.config.boot_time_s * BOOT_LOADER_SHARE)
            self._wire(life, START_KERNEL, Source.KERNEL)
            kernel = life.kernel
            kernel.start_clock()
            for text in BOOT_FIRST:
                kernel.printk(EMERG if text in BOOT_FIRST[:4] else INFO, text, at_s=0.0)
            step_s = self.config.boot_time_s * (1 - BOOT_LOADER_SHARE) / len(BOOT_LATER)
            for level, text in BOOT_LATER:
                life.pause(step_s)
                kernel.printk(level, text)
            self._ssh.prepare(self)
            with self._lock:
                if self._life is not life or life.frozen.is_set():
                    return
                self._network.board_up(lambda end: self._ssh.serve(life, end))
                if self._login is not None:
                    self._login.start()
                life.booted.set()

    def _wire(self, life: Life, data: bytes, source: Source) -> None:
        """Send, unless whoever wants to is dead."""
        if not life.over.is_set() and not (source is Source.USER and life.frozen.is_set()):
            self.uart.send(data, source)

    def _print_panic(self, life: Life, report: Sequence[LogLine]) -> None:
        kernel = life.kernel
        start_s = kernel.time_s
        timeout_s = life.sysctl["panic"]
        for line in report:
            at_s = start_s + line.time_s - report[0].time_s
            if life.over.wait(max(0.0, at_s - kernel.time_s)):
                return
            if timeout_s != 0 and line.text.startswith("---[ end Kernel panic"):
                break  # as in the kernel: this line is what it says when it will not reboot
            kernel.printk(EMERG, line.text, at_s=at_s)
        if timeout_s > 0:
            kernel.printk(EMERG, f"Rebooting in {timeout_s} seconds..")
            if life.over.wait(timeout_s):
                return
        if timeout_s != 0:
            self.reset(life)

    def _receive(self, data: bytes) -> None:
        with self._lock:
            life, login = self._life, self._login
            if life is None:
                return
            key = b""
            if self._break_until > time.monotonic():
                key, data = data[:1], data[1:]
            self._break_until = 0.0
        if key:
            self.sysrq(life, key)
        if data and login is not None and life.booted.is_set() and not life.frozen.is_set():
            login.feed(data)
