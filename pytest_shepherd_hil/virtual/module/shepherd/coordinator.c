// SPDX-License-Identifier: GPL-2.0-only
#include <linux/hrtimer.h>

#include "coordinator.h"
#include "mem_interface.h"
#include "msg_sys.h"
#include "pru_firmware.h"
#include "sync.h"

#define PERIOD_NS (5 * NSEC_PER_MSEC)

static struct hrtimer timer;

/* Runs in the timer interrupt: what crashes here takes the board with it. */
static enum hrtimer_restart coordinator_callback(struct hrtimer *self)
{
	struct proto_msg msg;

	if (pru0_comm_receive_msg(&msg))
		msg_sys_handle(0, &msg);
	if (pru0_comm_receive_error(&msg))
		msg_sys_handle(0, &msg);
	if (pru1_comm_receive_error(&msg))
		msg_sys_handle(1, &msg);
	sync_step();
	mem_interface_check_start();
	pru_firmware_step();

	hrtimer_forward_now(self, PERIOD_NS);
	return HRTIMER_RESTART;
}

void coordinator_start(void)
{
	hrtimer_init(&timer, CLOCK_MONOTONIC, HRTIMER_MODE_REL);
	timer.function = coordinator_callback;
	hrtimer_start(&timer, PERIOD_NS, HRTIMER_MODE_REL);
}

void coordinator_stop(void)
{
	hrtimer_cancel(&timer);
}
