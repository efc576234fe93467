"""Names of functions that are nobody's fault: they notice, report, wait, or do what they are told.

By the part of the kernel they are of. A word is a pattern of whole names; ``*`` stands for any part of a name. What
only one driver or file system has is never machinery, whatever it is called by.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

__all__ = ["is_beside", "is_machinery", "plain_name"]

# kernel/panic.c, lib/bug.c, lib/dump_stack.c, kernel/printk, stack walks: they say what has happened.
_REPORTING: Final = r"""
*dump_(?:stack|backtrace|trace|header|page|tasks|task|cpu)* *show_(?:stack|regs|trace|task)* unwind_backtrace*
(?:blocking|raw|srcu)_notifier_call_chain*
(?:arch_)?stack_(?:walk|trace)* walk_stackframe save_(?:stack|trace)* return_address bust_spinlocks *panic panic_*
*panic_(?:on|begin|unhandled|handler)* check_panic_on_warn report_(?:bug|ubsan|usercopy)* __report_bug fixup_bug*
generic_bug* *handle_bug* __?warn* warn_* slowpath_* oops_* die die_* __die* *notify_die notifier_call_chain
*atomic_notifier_call_chain bug_handler print_* *printk* *vprintk* devkmsg_* kmsg_dump* log_store* nbcon_*
prb_(?:reserve|commit|final|read|next_seq)* __?pr_flush console_(?:lock|unlock|trylock|flush|emit|cond)* va_format
__dynamic_\w+ _?_?(?:dev|netdev|pr|netif)_(?:info|notice|warn|err|alert|crit|emerg|printk)* number string
string_nocheck pointer pointer_string *v?sn?c?printf *vsc?nprintf format_decode hex_* print_hex* *assert_?fail*
__kernel_text_address kdb_*
(?:symbol|resource|bitmap|bitmap_list|mac_address|ip*|uuid|hex|escaped|flags|device_node|fwnode*|error)_string*
widen_string (?:file_)?dentry_name bdev_name (?:restricted|default)_pointer ptr_to_id num_to_str put_dec*
special_hex_number v?sscanf v?bin_printf bstr_printf kgdb_* *_cpu_backtrace* nmi_*backtrace* *trigger_*backtrace*
touch_*watchdog* watchdog(?:_\w+)? check_hung_* hung_task_* check_cpu_stall _?sched_show_task sysrq_* __handle_sysrq
handle_sysrq write_sysrq_trigger fail_(?:dump|page_alloc) *should_fail* oom_kill_process out_of_memory __oom_* 0x\w+
"""
# arch/*/kernel/traps, entry and mm/fault: the processor came in here because of what another did.
_ENTRY: Final = r"""
do_(?:DataAbort|PrefetchAbort|undefinstr|error|invalid_op|mem_abort|translation_fault|sp_pc_abort|bad_area)
(?:bad|do|async|__do|handle|no)_page_fault (?:bad_area|no_context|page_fault)* (?:arm64_)?notify_die arm_notify_die
do_(?:trap|error_trap|debug_exception|el1|kern_addr_fault|user_addr_fault|int3|divide_error|bounds|double_fault)*
do_general_protection (?:dabt|und|pabt|irq|fiq)_(?:svc|usr|invalid) __(?:dabt|und|pabt|irq)_(?:svc|usr) (?:asm_)?exc_*
(?:asm_)?sysvec_* invalid_op invalid_*_opcode __do_kernel_fault die_kernel_fault fault_in_kernel_space el1_* el1h_*
brk_handler call_break_hook math_error general_protection double_fault error_(?:entry|code) ret_from_*
entry_(?:SYSCALL|SYSENTER|INT80|trampoline|\d)* __irq_svc do_(?:bp|ri|ade|be|report_trap) handle_(?:bp|page_fault)
program_check_* data_access_* interrupt_return* __do_pgm_check pgm_check_* monitor_event_exception make_task_dead
rewind_stack_* handle_exception instrumentation_* paravirt_* *_indirect_thunk_* __x86_(?:indirect|return)_*
(?:smp_)?(?:trace_)?(?:local_)?apic_timer_interrupt* irqentry_* *_interrupt_entry __fault_in*
(?:kernelmode_)?fixup_(?:or_oops|exception|bad_iret) show_fault_oops ex_handler_* idtentry_* do_nmi
do_(?:simd_)?coprocessor_\w+ do_device_not_available do_stack_segment do_segment_not_present do_invalid_TSS
do_alignment_check do_overflow do_machine_check (?:double|page|divide)_(?:fault|error) device_not_available
stack_segment segment_not_present invalid_TSS alignment_check coprocessor_\w+ simd_coprocessor_error nmi int3
retint_\w+ common_interrupt common_exception reschedule_interrupt call_function_(?:single_)?interrupt error_exit
error_sti do_(?:sect_fault|bad|kernel_address_page_fault|alignment*|serror|sea|tag_check_fault|cp15instr) baddataabort
bad_mode bad_el0_sync handle_bad_stack bug_brk_handler cfi_*handler reserved_fault* do_el0_\w+ _{2,3}?do_page_fault
hash__do_page_fault __?bad_page_fault machine_check_* do_program_check instruction_access_*
alignment_(?:exception|common)* system_reset_* unrecoverable_exception unknown_exception facility_unavailable*
do_(?:exception|dat_exception|protection_exception|no_context|fault_error|low_address|sigbus) handle_fault_error*
illegal_op data_exception translation_specification_exception kernel_stack_overflow do_(?:ov|fpe|tr|mdmx|mcheck|dsp)
do_(?:cpu|msa|msa_fpe|watch|reserved) tlb_do_page_fault_\d
handle_(?:adel|ades|ibe|dbe|ri|ri_\w+|cpu|ov|tr|tlb\w?)(?:_int)? handle_break do_break
"""
# sanitizers, their checks and their test hooks; fortify, usercopy, the stack protector, slub's checks
_CHECKS: Final = r"""
*k[acm]san* *kmsan* _+(?:hw|k)?[amt]san_* *ubsan* *sanitizer* kfence_* __kfence_* *kmemleak* *kcov_* val_to_string*
handle_(?:overflow|missaligned|misaligned|object_size|load|null_ptr|negate)* end_report start_report describe_*
address_is_on_* *depot_* set_(?:alloc|free)_info memory_is_* bytes_is_* find_*poison* assert_race qlink_* quarantine_*
poison_slab_object
*(?:read|write)_once*nocheck read_word_at_a_time write_comp_data check_kcov_mode __chk_* __stack_chk_fail *fortify_*
check_(?:memory_region|heap_object|object|bytes_and_report|slab|page_span|stack_object|bogus_address|copy_size|flags)*
__check_(?:heap_object|object_size|mem_type) usercopy_* trailing_* on_freelist init_object object_err check_poison_obj
slab_(?:err|bug|fix|pad_check|panic)* bad_page* free_pages?_check* check_new_pages?* free_page_is_bad*
(?:alloc|free)_debug_processing set_track* create_object __create_object *_is_static_object object_is_on_stack
_{0,2}debug_(?:object|check|mutex|print|smp|lockdep|locks|spin|rwsem|rt|assert|dma)* debugobj_* lookup_object*
check_preemption_* __this_cpu_preempt_check *page_owner* virt_to_phys* __virt_addr* __phys_addr*
__kernel_(?:un)?poison_pages kernel_(?:poison|init)_pages check_poison_mem _{0,2}(?:check|poison)_element poison_error
debug_dma_* dma_debug_* add_dma_entry active_cacheline_* check_(?:unmap|sync|for_stack|for_illegal_area|sg_segment)
find_watchpoint insert_watchpoint delay_access (?:timer|hrtimer|work|rcu_head|percpu_counter)_fixup_* rcuhead_fixup_*
"""
# kernel/locking: who waits for a lock, or finds it held, did not take it wrongly
_LOCKING: Final = r"""
*lockdep* lock_(?:acquire|release|is_held|set|pin|contended|chain|downgrade|class)* __lock_(?:acquire|release)*
__lock_set* reacquire_held_locks find_held_lock mark_(?:lock|held|usage)* valid_state validate_chain find_lock_*
check_(?:deadlock|prev|noncircular|irq_usage|usage|wait_context|chain_key|path|no_collision|redundant|region)*
register_lock_class look_up_lock_class add_lock_* hlock_* match_held_lock assign_lock_key graph_lock match_*lock
_?spin_* *spin_(?:un|try)?lock* do_raw_* _?_?_?raw_(?:spin|read|write|rw)* *mutex_(?:un|try)?lock*
(?:ww_|rt_|__)?mutex_* *rt_mutex* rt_spin* *rwsem_* *percpu_rwsem* percpu_(?:down|up)* __percpu_(?:down|up|rwsem)*
rwlock_* queued_(?:spin|read|write|rw)* native_queued_*
*(?:read|write)_(?:un|try)?lock(?:_(?:irq|bh|nested|held|slow|sched|any)*)? osq_* csd_lock* rcuwait_*
__?(?:down|up)(?:_(?:read|write|interruptible|killable|timeout|trylock)*)? down up
down_(?:read|write|interruptible|killable|timeout|trylock)* up_(?:read|write)* seqcount_* *seqprop_*
(?:write|read)_seq* *might_(?:sleep|fault|resched|lock)* cond_resched* _?_?cond_resched*
trace_(?:hardirqs|softirqs|irq)* (?:soft|hard)irqs_* _{0,2}local_bh_*
preempt_(?:count|schedule|enable|disable|latency)* _{0,2}(?:un)?lock_(?:page|folio|buffer|timer|hrtimer)*
(?:folio|page)_(?:un)?lock* *dec_and_*lock* pv_* __pv_* bit_spin_* raw_spin_rq_* lockref_* __init_rwsem*
__?downgrade_write rtlock_* rwbase_* *rwlock_init* _{0,2}ww_mutex_* ww_acquire_* mcs_spin_* lockevent_*
_{0,2}local_(?:un)?lock* seqlock_* hlock_class print_lock_class*
"""
# kernel/sched and kernel/workqueue, kernel/time, kernel/rcu, kernel/smp: who waits, and who calls later
_WAITING: Final = r"""
__switch_to* _{0,3}preempt_schedule* __schedule* schedule schedule_(?:timeout|preempt|hrtimeout|idle|user|rtlock)*
io_schedule* context_switch msleep* usleep_* ssleep fsleep do_nanosleep hrtimer_nanosleep _?do_sleep* __sched_*
*wait_for_common* *wait_for_completion* wait_on_(?:page|bit|buffer|folio|inode)* __wait_on_* __wait_rcu_gp *bit_wait*
out_of_line_wait* sync_buffer sleep_on_(?:buffer|page|shadow_bh)* sync_page*
*folio_wait_* do_wait_for_* __wait_event* do_wait_intr* _{0,2}wake_up* complete
complete_(?:all|with_flags) swake_up* finish_wait finish_swait autoremove_* default_wake_function prepare_to_s?wait*
init_wait_entry woken_wake_function wait_woken ___wait_* __wait_for_* (?:__)?(?:prepare_to|finish)_swait*
schedule_timeout_\w+ (?:__)?raise_softirq* wakeup_softirqd
(?:__)?tasklet_(?:hi_)?(?:schedule|kill|setup|disable|unlock)* do_read_cache_(?:folio|page)
synchronize_(?:rcu|sched|srcu|net)(?:_expedited)? __synchronize_*
rcu_(?:read_(?:lock|unlock)|dump|check|sched_clock|dynticks|irq|nmi|is_watching|note|lockdep|barrier)* __rcu_read*
*call_s?rcu* *kfree_call_rcu* rcuwait_* sync_rcu_*
_{0,2}(?:start_flush|enable|disable|init|flush|cancel|queue|mod|insert|drain|destroy|schedule)_(?:delayed_|rcu_)?(?:work|wq|workqueue)*
__cancel_* try_to_grab_* del_timer* _{0,2}(?:try_to_)?(?:del|mod|add)_timer* _{0,2}timer_(?:delete|shutdown|reduce)*
_{0,2}try_to_del_timer* init_timer* do_init_timer* debug_timer*
_{0,2}hrtimer_(?:setup|start|cancel|try|active|init|forward|interrupt|run)* sk_(?:stop|reset)_timer*
kthread_(?:stop|park|flush|cancel|queue|destroy)* update_process_times
tick_(?:sched|nohz|periodic|handle_periodic|do_|program_|irq)*
"""
# mm, lib/string.c, lib/usercopy.c, lib/iov_iter.c, io.h: they read, write, copy and allocate what they are told to
_MEMORY: Final = r"""
*mem(?:set|cpy|move|cmp|chr|scan|zero_explicit)* memchr_inv bcmp *strn?len* *str(?:n|l|s)?(?:cmp|cpy|cat)*
strnlen_user _{0,2}str(?:n?r?chr|n?casecmp|n?str|pbrk|c?spn|sep|im|reverse)* strscpy* *str(?:n)?dup_user*
*mem(?:dup|dup_user)* *copy_(?:to|from|in)_(?:user|kernel)* _?copy_page* _?copy_(?:to|from)_iter*
probe_kernel_(?:read|write)* fallback_scalar_usercopy* __copy_user copy_struct_from_user check_zeroed_user
fault_in_*
(?:copy|clear)_(?:user_)?(?:high|huge_)page* (?:kvm)?alloc_percpu* __?copy_(?:to|from)_iter* copyin copyout
copy_(?:user|mc)_* copy_(?:to|from)_(?:user|iter|kernel|bpfptr|sockptr|nofault|pages?)(?:_\w+)?
_{0,2}(?:get|put)_user(?:_*\d|_nocheck*|_asm*|_size|_bad|_fn|_nofault)? clear_user* rep_* csum_* __csum_* do_csum
crc\d+* crc_* iov_iter_*copy* simple_copy_to_iter kmap_* *kv?[mzc]alloc* *v[mz]alloc* *kv?realloc* *kmemdup*
*kstrn?dup* *kv?asprintf* *kmem_cache_* *do_kmem_* kmem_* __?kmem_* *slab_alloc* *slab_free* slab_* ___?slab_*
new_slab* allocate_slab alloc_slab_page cache_(?:alloc|grow|free)* ____?cache_* fallback_alloc ___cache_free *kfree
kfree_* *kvfree* kz?free* *vfree kfree_skb* *alloc_(?:\w+_)?pages?* *folio_alloc* prep_new_page post_alloc_hook
free_one_page get_page_from_freelist *get_free_pages?* __free_pages?*
free_(?:pages?|hot|unref|pcppages|large_kmalloc)* *page_pool_(?:*alloc|put|return|recycle)* pcpu_alloc*
__alloc_percpu* mempool_* alloc_inode sk_(?:prot_)?alloc _{0,2}sk_(?:destruct|free|prot_free) *pagecache_get_page
filemap_(?:alloc|get)_* __filemap_get_* __page_cache_alloc mark_buffer_* (?:read|write)[bwlq](?:_relaxed|_be)?
logic_(?:in|out)* ioread\d+* iowrite\d+* in[bwl] out[bwl] in[bwl]_p out[bwl]_p
"""
# lib: counters, lists, trees, numbers
_LIBRARY: Final = r"""
_{0,2}refcount_* kref_* ref_tracker_* _{0,2}(?:arch_|raw_|instrument_){0,2}_?atomic(?:64|_long)?_*
_{0,2}(?:arch_|instrument_|const_|assign_)?_{0,2}(?:test|set|clear|change)_bit(?:_\w+)? test_and_*
_{0,2}(?:h|hlist_|l|p)?list_(?:add|del|replace|move|splice|is_|empty|check|insert|head|first|bl|nulls)*
*list_del_entry* *list_add_valid* hlist_* __hlist_* _{0,4}rb_(?:erase|insert|next|prev|first|last|rotate|set|augment)*
__rb_* _?find_(?:next|first|last|nth)_(?:zero_|and_|andnot_|or_){0,3}bit* _find_* _{0,2}skb_(?:pull|push|put|trim)*
pskb_may_pull skb_(?:over_|under_)?panic Ldiv* __div0 *aeabi_*div* __u?div* __?u?moddi* div(?:64)?_* do_div*
__?do_div64
"""
# drivers/base, lib/kobject.c, fs/sysfs, fs/proc, usb core: they set up and tear down what a driver registered
_OBJECTS: Final = r"""
kobject_* kobj_* kset_* klist_* *uevent_var (?:get|put)_device get_device_parent devres_* dev(?:m|res)_release*
device_(?:add(?!_disk)|del|create|destroy|register|unregister|remove|move|initialize|for_each|release|link|rename)*
sysfs_(?:remove|create|warn|add|delete|do_create|put|merge|unmerge|update|rename|group)*
kernfs_(?:remove_by|create|put)* proc_(?:register|create|mkdir|symlink)* tty_(?:un)?register_device* hwrng_unregister
i2c_del_adapter __unregister_client rollback_registered* unregister_netdev* bus_(?:add|remove|for_each)*
class_(?:create|destroy|dev_iter)* driver_detach
usb_(?:submit|kill|free|alloc|unlink|poison|anchor|kill_anchored)_?urbs?* usb_hcd_(?:submit|unlink|flush)*
usb_(?:start_wait_urb|bulk_msg|control_msg|interrupt_msg|internal_control_msg)* dummy_urb_enqueue iput dput fast_dput
fput
"""
# tracing
_TRACING: Final = r"""
trace_(?:event|call|raw)* __traceiter_* __bpf_trace_* perf_trace_* __do_trace_* ftrace_*
"""
_TRADES: Final = (_REPORTING, _ENTRY, _CHECKS, _LOCKING, _WAITING, _MEMORY, _LIBRARY, _OBJECTS, _TRACING)
_WORDS: Final = [word for trade in _TRADES for word in trade.split()]


def _pattern(words: list[str]) -> re.Pattern[str]:
    return re.compile("|".join(word.replace("*", r"\w*") for word in words))


_MACHINERY: Final = _pattern(_WORDS)
# A module's own functions are called after what they do with the kernel: ``demo_kfree_twice`` is no allocator.
_IN_MODULES: Final = _pattern([word.removeprefix("*") for part in (_CHECKS, _MEMORY) for word in part.split()])
# Beyond these, what in a report of one sort is only in the way: parts of names. Who leaks has asked through any number
# of allocators; who hangs waits through any number of locks; debugobjects is called by all that has objects.
_BESIDE: Final = {
    "memory-leak": r"alloc|kmem|slab|mmap|idr_get|list_lru_init|pcpu_create|(?:str|strn|mem)dup|asprintf|create_object",
    "hung-task": r"sched|_lock|_slowlock|(?<!shut)down|rwsem|completion|kthread|wait|synchronize|context_switch|"
    r"__switch_to|cancel_(?:delayed_)?work|rcu_barrier",
    "debug-objects": r"debug_|rcu|timer_|^work_|percpu_|^kv?free|vfree|^free_|^__free_|slab_",
    "rcu-usage": r"rcu|kmem|slab|[kv][mzc]alloc|might_",
    "new-key": r"stack|lock|IRQ",
    "bad-free": r"kmem_|slab_|kfree|vunmap|vfree|^free_",
    "usercopy": r"usercopy|__check",
    "proc-entry": r"^_{0,2}proc_",
    "scheduling": r"schedule",
    "locking": r"lock",
}
_BESIDE_PATTERNS: Final = {sort: re.compile(pattern) for sort, pattern in _BESIDE.items()}
_SUFFIX: Final = re.compile(r"\.(?:part|isra|constprop|cold|llvm|lto_priv|localalias|clone)\b.*$|\.\d+$")
# The kernel's own tests of its sanitizers (mm/kasan, lib/test_kasan.c) are named for what they do to memory.
_OF_A_TEST: Final = re.compile(
    r"(?!kasan_report)\w+_(?:oob|uaf|double_(?:free|destroy|kzfree))(?:_\w+)?|kmem_cache_invalid_free|kmalloc_memmove_\w+"
)


@lru_cache(maxsize=4096)
def is_machinery(function: str, module: str | None = None) -> bool:
    """Whether a function only notices, reports or does what it is told."""
    name = plain_name(function)
    if _OF_A_TEST.fullmatch(name):
        return False
    return (_MACHINERY if module is None else _IN_MODULES).fullmatch(name) is not None


def is_beside(function: str, sort: str) -> bool:
    """Whether a function, by its name, is only in the way in a report of this sort.

    A sort is a kind of incident, or one of the reports that share a kind: ``debug-objects``, ``rcu-usage``.
    """
    pattern = _BESIDE_PATTERNS.get(sort)
    return pattern is not None and pattern.search(plain_name(function)) is not None


def plain_name(function: str) -> str:
    """``copy_process`` for ``copy_process.part.3``, and for ``.copy_process``, which is a name of 64-bit PowerPC."""
    return _SUFFIX.sub("", function).removeprefix(".") if "." in function else function
