// SPDX-License-Identifier: GPL-2.0-only
/*
 * Waiting in the wrong place or for too long. How long the kernel is patient:
 *
 *   soft-lockup  twice kernel.watchdog_thresh (s)
 *   hung-task    kernel.hung_task_timeout_secs, noticed up to twice as late
 *   rcu-stall    /sys/module/rcupdate/parameters/rcu_cpu_stall_timeout (s)
 */
#include <linux/bottom_half.h>
#include <linux/delay.h>
#include <linux/jiffies.h>
#include <linux/nmi.h>
#include <linux/rcupdate.h>
#include <linux/sched.h>

#include "hilfault.h"

/*
 * The scheduler, having complained, sets the count right by itself: enabling
 * what was disabled here would set it wrong again.
 */
static int hilfault_atomic_sleep(unsigned int unused)
{
	local_bh_disable();
	msleep(20);
	return 0;
}

static int hilfault_soft_lockup(unsigned int seconds)
{
	unsigned long end = jiffies + seconds * HZ;

	while (time_before(jiffies, end))
		cpu_relax();
	return 0;
}

static void stalled(struct rcu_head *unused)
{
}

/* Keeps the watchdog of soft lockups quiet: only RCU has to wait. */
static int hilfault_rcu_stall(unsigned int seconds)
{
	unsigned long end = jiffies + seconds * HZ;
	unsigned long touched = jiffies;
	struct rcu_head waiting;

	init_rcu_head_on_stack(&waiting);
	rcu_read_lock();
	call_rcu(&waiting, stalled);
	while (time_before(jiffies, end)) {
		if (jiffies != touched) {
			touched = jiffies;
			touch_softlockup_watchdog();
		}
		cpu_relax();
	}
	rcu_read_unlock();
	rcu_barrier();
	return 0;
}

static int hilfault_hung_task(unsigned int seconds)
{
	schedule_timeout_uninterruptible(seconds * HZ);
	return 0;
}

const struct fault scheduling_faults[] = {
	{ "atomic-sleep", hilfault_atomic_sleep, 0, "sleeps where it must not" },
	{ "soft-lockup", hilfault_soft_lockup, 30, "keeps a CPU busy; AMOUNT in s" },
	{ "rcu-stall", hilfault_rcu_stall, 30, "holds up RCU; AMOUNT in s" },
	{ "hung-task", hilfault_hung_task, 250, "waits uninterruptibly; AMOUNT in s" },
	{ }
};
