// SPDX-License-Identifier: GPL-2.0-only
/* What the PRUs do: they answer tests and triggers, or fail to. */
#include <linux/module.h>

#include "msg_sys.h"
#include "pru_firmware.h"

#define JUMP_AT_TRIGGER 10
#define SURPLUS_MSGS 3

static bool mute_pru;
module_param(mute_pru, bool, 0644);
MODULE_PARM_DESC(mute_pru, "the PRUs answer nothing");

static bool timestamp_jump;
module_param(timestamp_jump, bool, 0644);
MODULE_PARM_DESC(timestamp_jump, "PRU1's clock jumps once, a second after loading");

static bool fill_fifo;
module_param(fill_fifo, bool, 0644);
MODULE_PARM_DESC(fill_fifo, "PRU0 sends more messages than the msg-system has room for");

static struct shared_mem *ram;
static unsigned int status_msgs;
static unsigned int triggers;
static u64 clock_ns;

void pru_firmware_reset(struct shared_mem *shared)
{
	ram = shared;
	status_msgs = 0;
	triggers = 0;
	clock_ns = 0;
}

static void send(struct proto_msg *box, enum msg_type type, u32 value)
{
	box->id++;
	box->type = type;
	box->value[0] = value;
	WRITE_ONCE(box->unread, 1);
}

static bool received_test(struct proto_msg *inbox)
{
	if (!READ_ONCE(inbox->unread))
		return false;
	WRITE_ONCE(inbox->unread, 0);
	return inbox->type == MSG_TEST;
}

static void pru0_step(void)
{
	if (received_test(&ram->pru0_msg_inbox)) {
		send(&ram->pru0_msg_outbox, MSG_TEST, 1);
		send(&ram->pru0_msg_error, MSG_TEST, 2);
	} else if (fill_fifo && status_msgs < MSG_FIFO_SIZE + SURPLUS_MSGS) {
		send(&ram->pru0_msg_outbox, MSG_STATUS, status_msgs++);
	}
}

static void pru1_step(void)
{
	if (received_test(&ram->pru1_msg_inbox))
		send(&ram->pru1_msg_error, MSG_TEST, 3);

	if (!READ_ONCE(ram->pru1_sync.trigger))
		return;
	WRITE_ONCE(ram->pru1_sync.trigger, 0);
	clock_ns += SYNC_INTERVAL_NS;
	if (timestamp_jump && ++triggers == JUMP_AT_TRIGGER)
		clock_ns += 2 * SYNC_INTERVAL_NS;
	ram->pru1_sync.timestamp = clock_ns;
	WRITE_ONCE(ram->pru1_sync.unread, 1);
}

void pru_firmware_step(void)
{
	if (mute_pru)
		return;
	pru0_step();
	pru1_step();
}
