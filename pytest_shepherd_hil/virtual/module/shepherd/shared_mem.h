/* SPDX-License-Identifier: GPL-2.0-only */
/* The memory that the kernel and the PRUs share: same layout on both sides. */
#ifndef SHEPHERD_SHARED_MEM_H
#define SHEPHERD_SHARED_MEM_H

#include <linux/build_bug.h>
#include <linux/stddef.h>
#include <linux/types.h>

enum shepherd_state { STATE_IDLE, STATE_ARMED, STATE_RUNNING, STATE_FAULT, STATES };

enum msg_type { MSG_NONE, MSG_STATUS, MSG_TEST };

/**
 * struct proto_msg - one message between kernel and PRU
 * @id: counts the messages of its sender
 * @unread: set by the sender last, cleared by the receiver
 * @type: enum msg_type
 * @reserved: fills the word
 * @value: depends on the type; of an answer to MSG_TEST the first is its pipeline
 */
struct proto_msg {
	u8 id;
	u8 unread;
	u8 type;
	u8 reserved;
	u32 value[3];
} __packed;

/**
 * struct sync_msg - PRU1's answer to a trigger
 * @trigger: set by the kernel, cleared by the PRU
 * @unread: set by the PRU last, cleared by the kernel
 * @reserved: fills the word
 * @timestamp: the PRU's own clock, ns
 */
struct sync_msg {
	u8 trigger;
	u8 unread;
	u8 reserved[2];
	u64 timestamp;
} __packed;

struct shared_mem {
	u32 state;	/* enum shepherd_state */
	u32 mode;
	u32 time_start;	/* Unix time, s */
	u32 buffer_address;
	u32 buffer_size;
	u8 calibration[28];
	u8 converter[256];
	u8 harvester[48];
	u8 programmer[80];
	struct proto_msg pru0_msg_inbox;
	struct proto_msg pru0_msg_outbox;
	struct proto_msg pru0_msg_error;
	struct proto_msg pru1_msg_inbox;
	struct proto_msg pru1_msg_error;
	struct sync_msg pru1_sync;
} __packed __aligned(4);

/* The address at which the crash of 4.19.94-ti-r73 read. */
static_assert(offsetof(struct shared_mem, pru0_msg_outbox.unread) == 0x1c1);

#endif
