/* SPDX-License-Identifier: GPL-2.0-only */
/* The messages of the PRUs: kept until user space reads them. */
#ifndef SHEPHERD_MSG_SYS_H
#define SHEPHERD_MSG_SYS_H

#include "shared_mem.h"

#define MSG_FIFO_SIZE 128

void msg_sys_init(void);
void msg_sys_start(void);
void msg_sys_exit(void);

/* Ask the PRUs for answers; they come out on the console. */
void msg_sys_test(void);

/**
 * msg_sys_handle - take a message that came from a PRU
 * @pru: its sender, 0 or 1
 * @msg: the message
 */
void msg_sys_handle(unsigned int pru, const struct proto_msg *msg);

/* The oldest message; false where there is none. */
bool msg_sys_get(struct proto_msg *msg);

#endif
