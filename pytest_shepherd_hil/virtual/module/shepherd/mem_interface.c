// SPDX-License-Identifier: GPL-2.0-only
#define pr_fmt(fmt) "shprd.k: " fmt

#include <linux/printk.h>
#include <linux/string.h>
#include <linux/ktime.h>

#include "mem_interface.h"
#include "pru.h"
#include "pru_firmware.h"

static struct shared_mem *shared_mem;

void mem_interface_init(void)
{
	dma_addr_t address;
	size_t size;

	shared_mem = pru_buffer(&address, &size);
	pr_info("mem-interface initialized, shared mem @ 0x%X, size = %d bytes",
		(u32)address, (u32)size);

	memset(shared_mem, 0, sizeof(*shared_mem));
	shared_mem->buffer_address = address;
	shared_mem->buffer_size = size;
	pru_firmware_reset(shared_mem);
	pr_info("mem-interface reset to default");
}

void mem_interface_exit(void)
{
	shared_mem = NULL;
	pr_info("mem-interface exited");
}

u32 mem_interface_address(void)
{
	return shared_mem->buffer_address;
}

u32 mem_interface_size(void)
{
	return shared_mem->buffer_size;
}

enum shepherd_state mem_interface_get_state(void)
{
	return READ_ONCE(shared_mem->state);
}

void mem_interface_set_state(enum shepherd_state state)
{
	WRITE_ONCE(shared_mem->state, state);
}

u32 mem_interface_get_mode(void)
{
	return shared_mem->mode;
}

void mem_interface_set_mode(u32 mode)
{
	shared_mem->mode = mode;
}

u32 mem_interface_get_time_start(void)
{
	return shared_mem->time_start;
}

void mem_interface_set_time_start(u32 seconds)
{
	shared_mem->time_start = seconds;
}

void mem_interface_check_start(void)
{
	u64 now = ktime_get_real_seconds();

	if (mem_interface_get_state() != STATE_ARMED || now < shared_mem->time_start)
		return;
	mem_interface_set_state(STATE_RUNNING);
	pr_info("Triggered delayed start  @ %llu (now)", now);
}

static void send_test(struct proto_msg *inbox)
{
	inbox->type = MSG_TEST;
	WRITE_ONCE(inbox->unread, 1);
}

void pru_comm_send_test(void)
{
	send_test(&shared_mem->pru0_msg_inbox);
	send_test(&shared_mem->pru1_msg_inbox);
}

static void receive(struct proto_msg *box, struct proto_msg *msg)
{
	*msg = *box;
	WRITE_ONCE(box->unread, 0);
}

noinline bool pru0_comm_receive_msg(struct proto_msg *msg)
{
	if (!READ_ONCE(shared_mem->pru0_msg_outbox.unread))
		return false;
	receive(&shared_mem->pru0_msg_outbox, msg);
	return true;
}

bool pru0_comm_receive_error(struct proto_msg *msg)
{
	if (!READ_ONCE(shared_mem->pru0_msg_error.unread))
		return false;
	receive(&shared_mem->pru0_msg_error, msg);
	return true;
}

bool pru1_comm_receive_error(struct proto_msg *msg)
{
	if (!READ_ONCE(shared_mem->pru1_msg_error.unread))
		return false;
	receive(&shared_mem->pru1_msg_error, msg);
	return true;
}

void pru1_comm_send_trigger(void)
{
	WRITE_ONCE(shared_mem->pru1_sync.trigger, 1);
}

bool pru1_comm_receive_sync(u64 *timestamp)
{
	if (!READ_ONCE(shared_mem->pru1_sync.unread))
		return false;
	*timestamp = shared_mem->pru1_sync.timestamp;
	WRITE_ONCE(shared_mem->pru1_sync.unread, 0);
	return true;
}
