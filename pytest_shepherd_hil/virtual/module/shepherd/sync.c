// SPDX-License-Identifier: GPL-2.0-only
#define pr_fmt(fmt) "shprd.k: " fmt

#include <linux/hrtimer.h>
#include <linux/math64.h>
#include <linux/printk.h>

#include "mem_interface.h"
#include "pin.h"
#include "pru_firmware.h"
#include "sync.h"

#define EDGE_NS (SYNC_INTERVAL_NS / 2)
#define COMPLAINT_NS (10ULL * NSEC_PER_SEC)

static bool running;
static bool level;
static bool awaiting;
static u64 next_edge;
static u64 next_complaint;
static u64 last_timestamp;
static s64 last_error;

void sync_init(void)
{
	level = false;
	awaiting = false;
	next_edge = 0;
	next_complaint = 0;
	last_timestamp = 0;
	last_error = 0;
	pr_info("pru-sync-system initialized (wanted: hres, abs, hard)");
}

void sync_start(void)
{
	WRITE_ONCE(running, true);
	pr_info("pru-sync-system started");
}

void sync_pause(void)
{
	WRITE_ONCE(running, false);
	pr_info("pru-sync-system paused");
}

void sync_exit(void)
{
	pin_set(false);
	pr_info("pru-sync-system exited");
}

static void no_answer(u64 now)
{
	if (mem_interface_get_state() == STATE_RUNNING)
		mem_interface_set_state(STATE_FAULT);
	if (now < next_complaint)
		return;
	next_complaint = now + COMPLAINT_NS;
	pr_err("Faulty behavior - PRU did not answer to trigger-request in time!");
}

static void check_timestamp(u64 timestamp)
{
	u64 step = timestamp - last_timestamp;

	last_timestamp = timestamp;
	last_error = step - SYNC_INTERVAL_NS;
	if (step > 3 * EDGE_NS)
		pr_err("forwards timestamp-jump detected (sync-loop, %llu ms)",
		       div_u64(step, NSEC_PER_MSEC));
}

void sync_step(void)
{
	u64 now = ktime_get_ns();
	u64 timestamp;

	if (!READ_ONCE(running))
		return;
	if (pru1_comm_receive_sync(&timestamp)) {
		awaiting = false;
		check_timestamp(timestamp);
	}
	if (now < next_edge)
		return;
	next_edge = (div_u64(now, EDGE_NS) + 1) * EDGE_NS;
	level = !level;
	pin_set(level);
	if (!level)
		return;
	if (awaiting)
		no_answer(now);
	awaiting = true;
	pru1_comm_send_trigger();
}

s64 sync_error(void)
{
	return last_error;
}
