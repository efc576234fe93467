"""Whose fault it is: what is machinery, and which function stands for which sort of report."""

from __future__ import annotations

import pytest

from pytest_shepherd_hil.kernel.guilty import guilty_frame
from pytest_shepherd_hil.kernel.incident import Crash, Frame
from pytest_shepherd_hil.kernel.machinery import is_beside, is_machinery
from tests.unit.kernel.kernel_console import judge


def trace(*functions: str) -> Crash:
    return Crash(frames=tuple(Frame(function, 0x10, 0x100) for function in functions))


def guilty(kind: str, *functions: str, named: str | None = None) -> str | None:
    frame = guilty_frame(trace(*functions), kind, Frame(named) if named else None)
    return frame.function if frame else None


@pytest.mark.parametrize(
    "function",
    [
        "dump_stack_lvl", "__warn", "panic", "_printk", "dev_err", "vsnprintf", "do_page_fault", "asm_exc_page_fault",
        "kasan_report", "__asan_load8", "__ubsan_handle_shift_out_of_bounds", "fortify_panic", "usercopy_abort",
        "_raw_spin_lock_irqsave", "__mutex_lock", "down_read", "lock_acquire", "rwsem_down_write_slowpath",
        "schedule_timeout", "wait_for_completion", "io_schedule", "flush_workqueue", "cancel_work_sync",
        "memcpy", "strscpy", "_copy_from_user", "kmalloc_trace", "kfree", "vmalloc_user", "__alloc_pages", "crc32_le",
        "refcount_warn_saturate", "kref_put", "__list_del_entry_valid", "rb_erase", "skb_put", "_find_next_bit",
        "do_kernel_address_page_fault", "el1h_64_sync_handler", "bug_brk_handler", "tlb_do_page_fault_0",
        "show_fault_oops", "find_next_bit", "find_next_zero_bit_le",
        "ip6_string", "mac_address_string", "__dynamic_dev_dbg", "__btrfs_panic", "check_unmap", "debug_dma_map_page",
        "ww_mutex_lock", "rtlock_slowlock", "prepare_to_wait_event", "tasklet_kill", "__get_user_nocheck_4",
        "kobject_put", "device_del", "sysfs_remove_group", "usb_submit_urb", "devres_release_all", "readl", "iput",
    ],
)  # fmt: skip
def test_what_only_notices_or_does_what_it_is_told_is_machinery(function: str) -> None:
    assert is_machinery(function)
    assert is_machinery(f"{function}.constprop.0")


@pytest.mark.parametrize(
    "function",
    [
        "pru0_comm_receive_msg", "rtnl_lock", "pipe_lock", "drm_atomic_commit", "bitmap_ip_add", "kvm_mmu_page_alloc",
        "skb_release_data", "remove_wait_queue", "snd_seq_queue_alloc", "input_register_device", "fs_reclaim_acquire",
        "rcu_cblist_dequeue", "try_to_wake_up", "radix_tree_node_alloc", "mptcp_pm_del_add_timer",
        "lock_sock_nested", "cdev_del", "get_user_pages", "device_add_disk", "find_next_extent", "entry_lru_isolate",
        "synchronize_sched_expedited_cpu_stop", "kernfs_fop_open", "find_uprobe", "firmware_fallback_sysfs",
    ],
)  # fmt: skip
def test_what_has_a_will_of_its_own_is_not(function: str) -> None:
    assert not is_machinery(function)


def test_a_module_may_call_its_functions_after_what_they_do() -> None:
    assert is_machinery("bpf_map_kmalloc_node")
    assert not is_machinery("demo_kmalloc_twice", "demo")
    assert is_machinery("memcpy", "demo")


def test_a_leak_is_of_who_asked_for_the_memory() -> None:
    assert guilty("memory-leak", "__kmalloc", "sk_prot_alloc", "sk_alloc", "demo_create") == "demo_create"
    assert guilty("oops", "demo_buffer_alloc", "demo_create") == "demo_buffer_alloc"
    assert is_beside("demo_buffer_alloc", "memory-leak")


def test_who_hangs_is_found_beyond_the_locks_it_waits_for() -> None:
    assert guilty("hung-task", "__schedule", "demo_wait_idle", "demo_take_lock", "demo_store") == "demo_store"
    assert guilty("hung-task", "schedule", "mutex_lock_nested", "rtnl_lock", "demo_work") == "rtnl_lock"
    assert guilty("hung-task", "schedule", "__synchronize_srcu", "synchronize_net", "demo") == "synchronize_rcu"
    assert guilty("oops", "demo_take_lock", "demo_store") == "demo_take_lock"


def test_who_frees_what_is_still_armed_is_found_beyond_what_frees() -> None:
    functions = ("__warn", "debug_print_object", "debug_check_no_obj_freed", "kmem_cache_free", "kvfree", "demo_remove")
    assert guilty("warning", *functions, named="debug_print_object") == "demo_remove"
    assert guilty("warning", "debug_print_object", "debug_rcu_head_queue", "demo_put", named="debug_print_object") == (
        "demo_put"
    )


@pytest.mark.parametrize(
    ("printed", "name"),
    [
        ("__x64_sys_mount", "sys_mount"),
        ("__arm64_sys_recvmmsg", "sys_recvmmsg"),
        ("SyS_pause", "pause"),
        ("__se_sys_mremap", "mremap"),
        ("ksys_mount", "mount"),
        ("compat_SyS_mount", "mount"),
        ("copy_process.part.3", "copy_process"),
        ("_Z8fakeNameiii", "fakeName"),
    ],
)
def test_a_function_has_one_name_on_all_architectures(printed: str, name: str) -> None:
    assert guilty("oops", "dump_stack", printed) == name


def test_what_the_compiler_put_into_another_function_names_nobody() -> None:
    crash = Crash(frames=(Frame("demo_find", inline=True), Frame("demo_remove", 0x10, 0x100)))
    found = guilty_frame(crash)
    assert found is not None
    assert found.function == "demo_remove"


def test_a_data_race_is_between_the_functions_that_are_named() -> None:
    assert guilty("kcsan", "dump_stack", "demo_read", named="find_next_bit") == "find_next_bit"
    assert guilty("kasan", "dump_stack", "memcpy", "demo_read", named="memcpy") == "demo_read"


STALL = ("rcu_sched_clock_irq", "update_process_times", "asm_sysvec_apic_timer_interrupt")


@pytest.mark.parametrize(
    ("functions", "name"),
    [
        (("lock_acquire", "demo_loop", "demo_write", "vfs_write", "ksys_write", "do_syscall_64"), "demo_write"),
        (("demo_spin", "demo_timer", "call_timer_fn", "run_timer_softirq"), "demo_timer"),
        (("demo_spin", "demo_work", "process_one_work", "worker_thread"), "demo_work"),
        (("umount_tree", "do_mount", "__x64_sys_mount", "do_syscall_64"), "sys_mount"),
        (("csd_lock_wait", "smp_call_function_single", "demo_all", "do_syscall_64"), "smp_call_function"),
    ],
)
def test_a_stall_is_of_what_was_handed_the_work(functions: tuple[str, ...], name: str) -> None:
    assert guilty("rcu-stall", *STALL, *functions) == name


def console(*messages: str) -> str:
    return "\n".join(f"[   12.{i:06d}] {message}" for i, message in enumerate(messages))


def test_a_lock_that_is_still_held_is_of_who_took_it() -> None:
    (incident,) = judge(
        console(
            "[ BUG: sh/31761 still has locks held! ]",
            "1 lock held by sh/31761:",
            " #0:  (&demo->mutex/1){+.+.+.}, at: [<ffffffff81844c6b>] demo_lock+0x5b/0x70",
            "stack backtrace:",
            "CPU: 0 PID: 31761 Comm: sh Not tainted 4.8.0+ #30",
            " [<ffffffff82d383a9>] dump_stack+0x12e/0x185",
            " [<ffffffff860bae47>] demo_read+0x1317/0x1b70",
        )
    )
    assert incident.function == "demo_lock"


def test_a_smashed_stack_is_of_the_function_that_the_panic_names() -> None:
    (incident,) = judge(
        console(
            "Kernel panic - not syncing: stack-protector: Kernel stack is corrupted in: demo_get+0x3f2/0x400",
            "CPU: 0 PID: 1 Comm: sh Not tainted 4.20.0+ #172",
            "Rebooting in 86400 seconds..",
        )
    )
    assert incident.function == "demo_get"


def test_output_of_programs_does_not_end_a_report() -> None:
    head = console("BUG: KASAN: use-after-free in memcmp+0xe3/0x160", "Call Trace:", " dump_stack+0x194/0x257")
    noise = "\n".join(f"program says {number}" for number in range(60))
    (incident,) = judge(f"{head}\n{noise}\n[   12.000100]  memcmp+0xe3/0x160\n[   12.000101]  demo_match+0x9a/0x100")
    assert incident.function == "demo_match"
