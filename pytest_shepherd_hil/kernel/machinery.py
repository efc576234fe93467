"""Names of functions that are nobody's fault: they notice, report, wait, or do what they are told."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

__all__ = ["is_machinery", "plain_name"]

# By trade; each word is a pattern of whole names.
# reporting and dying
_REPORTING: Final = r"""
(?:__|show_|dump_|arch_)?dump_(?:stack|backtrace|trace|header|page|tasks)\w* show_(?:stack|regs|trace)\w* unwind_\w+
report_\w+ __?warn\w* warn_\w+ slowpath_\w+ vpanic n?m?i?_?panic\w* check_panic_on_warn oops_\w+ die die_\w+ __die\w*
arm_notify_die
do_(?:DataAbort|PrefetchAbort|undefinstr|page_fault|error_trap|invalid_op|trap|error|mem_abort|undefinstr)
(?:dabt|und|pabt|irq|fiq)_(?:svc|usr|invalid) __(?:dabt|und|pabt|irq)_(?:svc|usr) (?:asm_)?exc_\w+ fixup_bug\w*
handle_bug\w* invalid_op (?:bad|do|async|__do|handle|no)_page_fault (?:bad_area|no_context|page_fault)\w*
__do_kernel_fault do_bad_area no_context general_protection double_fault error_(?:entry|code)
do_(?:general_protection|double_fault|kern_addr_fault|user_addr_fault|int3|divide_error|bounds) math_error
fault_in_kernel_space el1_\w+ el1h_\w+ brk_handler bug_handler call_break_hook do_debug_exception do_el1_\w+
do_sp_pc_abort do_translation_fault ret_from_exception __fault_in\w* object_err
slab_(?:err|bug|fix|pad_check|panic)\w* bad_page\w* free_pages?_check\w* check_new_pages?\w* free_page_is_bad\w*
check_poison_obj
check_(?:bytes_and_report|slab|object|heap_object|page_span|stack_object|bogus_address|copy_size|flags|memory_region\w*)
__check_(?:heap_object|object_size|mem_type) usercopy_\w+ trailing_\w+ on_freelist init_object
(?:alloc|free)_debug_processing set_track\w* __stack_chk_fail fortify_\w+ __fortify_\w+
skb_(?:panic|over_panic|under_panic) invalid_\w+_opcode __chk_\w+ __kernel_text_address should_fail\w*
fail_(?:dump|page_alloc) should_failslab __should_fail\w* should_fail_\w+ nmi_\w+_backtrace\w* nmi_(?:cpu|trigger)\w*
trigger_\w*backtrace\w* arch_trigger_\w+ watchdog(?:_\w+)? check_hung_\w+ _?sched_show_task dump_cpu_task
(?:smp_)?(?:trace_)?(?:local_)?apic_timer_interrupt\w* tty_(?:un)?register_device\w* rcu_\w+ __rcu_\w+
(?:__|kv?free_)?call_(?:s?rcu|rcu_tasks)\w* check_cpu_stall touch_\w*watchdog\w* hung_task_\w+ kcsan_\w+
(?:__)?(?:run_)?hrtimer_(?:interrupt|run_queues) tick_(?:sched|nohz|periodic|handle_periodic|do_|program_|irq)\w*
update_process_times smp_apic_timer_interrupt (?:asm_)?sysvec_\w+ oom_kill_process out_of_memory __oom_\w+
mem_cgroup_out_of_memory kdb_\w+ kgdb_\w+ notifier_call_chain \w*atomic_notifier_call_chain notify_die print_\w+
"""
# sanitizers
_SANITIZERS: Final = r"""
\w*k[ac]san_\w+ \w*kmsan_\w+ \w*asan_\w+ \w*_kasan kasan\w* kmsan\w* kcsan\w* kfence_\w+ __sanitizer_\w+ ubsan_\w+
__ubsan_\w+ val_to_string\w* handle_(?:overflow|missaligned|misaligned|object_size|load|null_ptr|negate)\w* __msan_\w+
__tsan_\w+ end_report start_report describe_\w+ address_is_on_\w+ stack_(?:depot|trace)_\w+ depot_\w+ save_stack\w*
set_(?:alloc|free)_info memory_is_\w+ bytes_is_\w+ find_\w*poison\w* assert_race
(?:read|write)_(?:once|word)\w*nocheck read_word_at_a_time __(?:read|write)_once\w* write_comp_data check_kcov_mode
qlink_\w+ quarantine_\w+ (?:arch_|atomic(?:64|_long)?_|raw_atomic\w*?_|arch_atomic\w*_|instrument_)\w+ _atomic_\w+
kref_(?:get|put|read)\w* (?:test|set|clear|change)_bit\w* __(?:test|set|clear)_\w*bit\w* test_and_\w+
"""
# debug objects, kmemleak
_DEBUG_OBJECTS: Final = r"""
\w+_is_static_object debug_\w+ __debug_\w+ kmemleak_\w+ create_object __create_object debugobj_\w+ object_is_on_stack
"""
# locking and lockdep
_LOCKING: Final = r"""
lock(?:dep)?_\w+ __lock_\w+ lockdep\w* mark_(?:lock|held|usage)\w* valid_state
check_(?:deadlock|prev\w*|noncircular|irq_usage|usage\w*|wait_context|chain_key|path|no_collision|redundant|flags)\w*
validate_chain find_lock_\w+ register_lock_class look_up_lock_class add_lock_\w+ hlock_\w+ match_held_lock
assign_lock_key save_trace graph_lock match_\w+lock _?_?_?raw_(?:spin|read|write|rw)_?\w+ do_raw_\w+ _?spin_\w+
_?(?:read|write)_(?:lock|unlock|trylock)\w* rwlock_\w+ queued_\w+ native_queued_\w+ __pv_queued\w* pv_\w+
(?:__)?(?:ww_)?mutex_\w+ rt_(?:mutex|spin)\w* __?rt_mutex\w* rwsem_\w+
__?(?:down|up)(?:_(?:read|write|interruptible|killable|timeout|trylock)\w*)? down up down_\w+ up_(?:read|write)\w*
percpu_(?:down|up|rwsem)\w* __percpu_\w+ (?:local_)?bh_(?:lock|unlock)_sock\w* seqcount_\w+ write_seq\w+ read_seq\w+
trace_(?:hardirqs|softirqs|irq)\w* (?:soft|hard)irqs_\w+ __local_bh_\w+ local_bh_\w+
_{0,3}might_(?:sleep|fault|resched|lock)\w* lock_sock_nested (?:un)?lock_(?:page|folio|buffer|rename)\w*
(?:folio|page)_(?:un)?lock\w* \w+_write_(?:un)?lock\w* __seqprop_\w+ raw_spin_rq_\w+ __sched_\w+ preempt_\w+
check_preemption_\w+ debug_smp_processor_id __this_cpu_preempt_check cond_resched\w* _cond_resched __cond_resched\w*
csd_lock\w* rcuwait_\w+
"""
# waiting
_WAITING: Final = r"""
__switch_to\w* _{0,3}preempt_schedule\w* __schedule\w* folio_wait_\w+ do_read_cache_folio schedule(?:_\w+)? schedule
io_schedule\w* msleep\w* usleep_\w+ ssleep fsleep (?:do_|__)?wait_(?:for_comm\w*|on_\w+|for_completion\w*)
do_wait_for_\w+ __wait_\w+ wait_for_completion\w* bit_wait\w* out_of_line_wait\w* __synchronize_\w+
synchronize_(?:rcu|sched|srcu|net)(?:_expedited)? _?do_sleep\w* context_switch _{0,2}wake_up\w* complete(?:_\w+)?
finish_wait prepare_to_wait\w* autoremove_\w+ do_nanosleep hrtimer_nanosleep
(?:__)?(?:flush|cancel)_(?:work|delayed_work|workqueue)\w* __cancel_\w+ flush_\w*work\w* drain_workqueue
destroy_workqueue del_timer\w* timer_(?:delete|shutdown)\w* try_to_(?:del|grab)_\w+ start_flush_work insert_wq_\w+
queue_(?:delayed_)?work\w* __queue_(?:delayed_)?work\w* mod_timer\w* add_timer\w* __mod_timer
"""
# memory and strings: they do what they are told
_MEMORY: Final = r"""
(?:__|x?memcpy_|\w*_)?mem(?:set|cpy|move|cmp|chr|zero|chr_inv|scan|dup)\w*
(?:__)?str(?:n?len|n?cmp|[nl]?cpy|[nl]?cat|r?n?chr|scpy|n?case\w*|n?str|pbrk|spn|sep|dup\w*)\w* strnlen_user bcmp
\w*copy_(?:to|from)_user\w* _?_?copy_(?:to|from|in)_(?:user|iter|kernel)\w* _?_?(?:arch_|raw_)?copy_(?:to|from)_\w*
copyin copyout copy_page _?_?(?:get|put)_user\w* csum_\w+ __csum_\w+ do_csum crc\w+ clear_user\w* rep_\w+ kmap_\w+
iov_iter_\w*copy\w* hex_\w+ simple_copy_to_iter mark_buffer_\w+ v?s?n?printf vsc?nprintf sn?c?printf scnprintf number
string\w* pointer_string _?printk\w* vprintk\w* devkmsg_\w+ console_(?:lock|unlock|trylock|flush|emit|cond)\w*
__x86_indirect_\w+ __x86_return_\w+ _{0,3}alloc_\w*pages?\w* _{2,3}k[vmz]*alloc_\w+ alloc_pages?\w*
get_page_from_freelist prep_new_page __get_free_pages? get_free_pages? k[vmz]?(?:m|z|c|re)?alloc\w* __k[vmz]*alloc\w*
__?kmem_\w+ kmem_\w+ _?_?do_kmalloc\w* _?_?do_slab_\w+ __do_k\w+alloc\w* slab_\w+ __slab_\w+ ___slab_\w+ new_slab\w*
allocate_slab alloc_slab_page cache_(?:alloc|grow|free)\w* ____?cache_\w+ fallback_alloc cache_\w*refill kfree\w*
___cache_free kvfree\w* k[vz]?free_\w+ kzfree vfree\w* v[mz]alloc\w* __vmalloc\w* krealloc\w* folio_alloc\w*
__folio_alloc\w* __free_pages?\w* free_(?:pages?|hot_\w+|unref_\w+|pcppages\w*)\w* vma_alloc_folio\w* do_slab_free
free_one_page do_kmem_\w+ kmemdup\w* kstrdup\w* kv?asprintf\w* alloc_inode sk_(?:prot_)?alloc free_large_kmalloc\w*
pcpu_alloc\w* __alloc_percpu\w*
"""
# counters, lists, trees
_COUNTERS: Final = r"""
refcount_\w+ __refcount_\w+ h?list_\w+ __h?list_\w+ hlist_\w+ llist_\w+ plist_\w+
rb_(?:erase|insert|next|prev|first|last)\w* __rb_\w+ ____rb_\w+ rhashtable_\w* __rhashtable\w* rht_\w+ idr_\w+ ida_\w+
kobject_\w+ kobj_\w+ kset_\w+ klist_\w+ _find_\w+ bitmap_\w+ __bitmap\w* assert_\w+
skb_(?:queue_\w+|pull|push|put|trim) __skb_(?:pull|push|put|trim) pskb_\w+ __skb_(?:queue|unlink|dequeue)\w*
"""
# division
_DIVISION: Final = r"""
device_(?:add|del|create|destroy|register|unregister|create_\w+|remove_\w+|move|initialize)\w* (?:get|put)_device\w*
get_device_parent sysfs_\w+ usb_(?:submit|kill|free|alloc|unlink|poison|anchor|kill_anchored)_?urbs?\w*
usb_(?:start_wait_urb|bulk_msg|control_msg|interrupt_msg|internal_control_msg)\w* cdev_\w+
proc_(?:register|create\w*|mkdir\w*) post_alloc_hook __?page_pool_\w+ page_pool_\w+ filemap_(?:alloc|get)_\w+
__filemap_get_\w+ pagecache_get_page __page_cache_alloc Ldiv\w+ osq_\w+ add_uevent_var devres_\w+ device_release\w*
format_decode iput dput fast_dput kernfs_(?!fop)\w+ \w*page_owner\w* _{0,2}(?:try_to_del_timer|timer_delete)\w*
sk_(?:stop|reset)_timer\w* _{0,2}sk_(?:destruct|free) __div0 __aeabi_\w*div\w* __udiv\w* __?u?moddi\w* div(?:64)?_\w+
do_div\w* _?_?do_div64
"""
# tracing and entry
_TRACING: Final = r"""
trace_\w+ __traceiter_\w+ __bpf_trace_\w+ perf_trace_\w+ __do_trace_\w+ ret_from_\w+ entry_\w+ save_trace
kthread_park\w* stack_trace_\w+ arch_stack_walk walk_stackframe return_address 0x\w+ instrumentation_\w+ native_\w+
paravirt_\w+ ftrace_\w+ sysrq_\w+ __handle_sysrq handle_sysrq write_sysrq_trigger
"""
_TRADES: Final = (_REPORTING, _SANITIZERS, _DEBUG_OBJECTS, _LOCKING, _WAITING, _MEMORY, _COUNTERS, _DIVISION, _TRACING)
_MACHINERY: Final = re.compile("|".join(word for trade in _TRADES for word in trade.split()))
_SUFFIX: Final = re.compile(r"\.(?:part|isra|constprop|cold|llvm|lto_priv|localalias|clone)\b.*$|\.\d+$")


@lru_cache(maxsize=4096)
def is_machinery(function: str) -> bool:
    """Whether a function only notices, reports or does what it is told."""
    return _MACHINERY.fullmatch(plain_name(function)) is not None


def plain_name(function: str) -> str:
    """``copy_process`` for ``copy_process.part.3``: the compiler's number is no name."""
    return _SUFFIX.sub("", function) if "." in function else function
