"""The kernel module: loads, answers, unloads, and does so again and again."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pytest_shepherd_hil.console.console import Console
    from pytest_shepherd_hil.logic.analyzer import LogicAnalyzer
    from pytest_shepherd_hil.module import KernelModule
    from pytest_shepherd_hil.shell import Shell


def test_module_loads(kernel_module: KernelModule) -> None:
    kernel_module.load()
    assert kernel_module.is_loaded


def test_state_in_sysfs_is_idle_after_loading(kernel_module: KernelModule, shell: Shell) -> None:
    kernel_module.load()
    assert shell.run("cat /sys/shepherd/state").stdout.strip() == "idle"


def test_both_prus_run_while_the_module_is_loaded(kernel_module: KernelModule, shell: Shell) -> None:
    kernel_module.load()
    states = shell.run("cat /sys/class/remoteproc/remoteproc1/state /sys/class/remoteproc/remoteproc2/state").stdout
    assert states.split() == ["running", "running"]


def test_prus_answer_after_loading(kernel_module: KernelModule, console: Console) -> None:
    kernel_module.reload()
    for pipeline in (1, 2, 3):
        console.expect(rf"\[test passed\] received answer from pru\d / pipeline {pipeline}", timeout_s=10)


def test_module_unloads(kernel_module: KernelModule) -> None:
    kernel_module.load()
    kernel_module.unload()
    assert not kernel_module.is_loaded


def test_sync_line_stands_still_once_the_module_is_unloaded(kernel_module: KernelModule, logic: LogicAnalyzer) -> None:
    kernel_module.load()
    with logic.recording():
        kernel_module.unload()
    assert len(logic.capture(seconds=0.3).edges("sync")) == 0


@pytest.mark.module_reload(cycles=20)
def test_module_survives_twenty_reloads(kernel_module: KernelModule, shell: Shell) -> None:
    assert kernel_module.is_loaded
    assert shell.run("cat /sys/shepherd/state").stdout.strip() == "idle"
