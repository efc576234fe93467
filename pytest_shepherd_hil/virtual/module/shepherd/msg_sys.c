// SPDX-License-Identifier: GPL-2.0-only
#define pr_fmt(fmt) "shprd.k: " fmt

#include <linux/kfifo.h>
#include <linux/printk.h>
#include <linux/spinlock.h>

#include "coordinator.h"
#include "mem_interface.h"
#include "msg_sys.h"

static DEFINE_KFIFO(fifo, struct proto_msg, MSG_FIFO_SIZE);
static DEFINE_SPINLOCK(fifo_lock);

void msg_sys_init(void)
{
	pr_info("msg-system initialized");
}

void msg_sys_start(void)
{
	coordinator_start();
	pr_info("msg-system started");
}

void msg_sys_exit(void)
{
	coordinator_stop();
	pr_info("msg-system paused");
	pr_info("msg-system exited");
}

void msg_sys_test(void)
{
	pr_info("test msg-pipelines between kM and PRUs -> triggering roundtrip-messages for pipeline 1-3");
	pru_comm_send_test();
}

void msg_sys_handle(unsigned int pru, const struct proto_msg *msg)
{
	unsigned long flags;

	if (msg->type == MSG_TEST) {
		pr_info("[test passed] received answer from pru%u / pipeline %u",
			pru, msg->value[0]);
		return;
	}
	spin_lock_irqsave(&fifo_lock, flags);
	if (kfifo_is_full(&fifo)) {
		pr_err("FIFO of msg-system is full - lost oldest msg!");
		kfifo_skip(&fifo);
	}
	kfifo_put(&fifo, *msg);
	spin_unlock_irqrestore(&fifo_lock, flags);
}

bool msg_sys_get(struct proto_msg *msg)
{
	unsigned long flags;
	bool got;

	spin_lock_irqsave(&fifo_lock, flags);
	got = kfifo_get(&fifo, msg);
	spin_unlock_irqrestore(&fifo_lock, flags);
	return got;
}
