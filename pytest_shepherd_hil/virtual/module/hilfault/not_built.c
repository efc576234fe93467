// SPDX-License-Identifier: GPL-2.0-only
/* What this kernel cannot find, because it was built without. */
#include "hilfault.h"

static const struct {
	const char *name;
	bool built;
} checkers[] = {
	{ "kasan", IS_ENABLED(CONFIG_KASAN) },
	{ "kfence", IS_ENABLED(CONFIG_KFENCE) },
	{ "kcsan", IS_ENABLED(CONFIG_KCSAN) },
	{ "kmsan", IS_ENABLED(CONFIG_KMSAN) },
	{ "ubsan", IS_ENABLED(CONFIG_UBSAN) },
	{ "kmemleak", IS_ENABLED(CONFIG_DEBUG_KMEMLEAK) },
	{ "lockdep", IS_ENABLED(CONFIG_PROVE_LOCKING) },
	{ "debug-atomic-sleep", IS_ENABLED(CONFIG_DEBUG_ATOMIC_SLEEP) },
	{ "debug-spinlock", IS_ENABLED(CONFIG_DEBUG_SPINLOCK) },
	{ "debug-mutexes", IS_ENABLED(CONFIG_DEBUG_MUTEXES) },
	{ "debug-objects", IS_ENABLED(CONFIG_DEBUG_OBJECTS) },
	{ "debug-list", IS_ENABLED(CONFIG_DEBUG_LIST) },
	{ "debug-vm", IS_ENABLED(CONFIG_DEBUG_VM) },
	{ "debug-preempt", IS_ENABLED(CONFIG_DEBUG_PREEMPT) },
	{ "slub-debug", IS_ENABLED(CONFIG_SLUB_DEBUG) },
	{ "vmap-stack", IS_ENABLED(CONFIG_VMAP_STACK) },
	{ "soft-lockup-detector", IS_ENABLED(CONFIG_SOFTLOCKUP_DETECTOR) },
	{ "hard-lockup-detector", IS_ENABLED(CONFIG_HARDLOCKUP_DETECTOR) },
	{ "hung-task-detector", IS_ENABLED(CONFIG_DETECT_HUNG_TASK) },
	{ "workqueue-watchdog", IS_ENABLED(CONFIG_WQ_WATCHDOG) },
};

int not_built_show(struct seq_file *file, void *unused)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(checkers); i++)
		if (!checkers[i].built)
			seq_printf(file, "%s\n", checkers[i].name);
	return 0;
}
