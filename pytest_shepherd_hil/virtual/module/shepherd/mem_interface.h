/* SPDX-License-Identifier: GPL-2.0-only */
/* The kernel's side of the memory that it shares with the PRUs. */
#ifndef SHEPHERD_MEM_INTERFACE_H
#define SHEPHERD_MEM_INTERFACE_H

#include "shared_mem.h"

void mem_interface_init(void);
void mem_interface_exit(void);

u32 mem_interface_address(void);
u32 mem_interface_size(void);

enum shepherd_state mem_interface_get_state(void);
void mem_interface_set_state(enum shepherd_state state);
u32 mem_interface_get_mode(void);
void mem_interface_set_mode(u32 mode);
u32 mem_interface_get_time_start(void);
void mem_interface_set_time_start(u32 seconds);

/* Go from armed to running once the start time has come. */
void mem_interface_check_start(void);

/* Ask both PRUs for an answer in each pipeline. */
void pru_comm_send_test(void);

/*
 * One message, where there is an unread one. As they are called by the
 * coordinator only, they need no lock.
 */
bool pru0_comm_receive_msg(struct proto_msg *msg);
bool pru0_comm_receive_error(struct proto_msg *msg);
bool pru1_comm_receive_error(struct proto_msg *msg);

void pru1_comm_send_trigger(void);
bool pru1_comm_receive_sync(u64 *timestamp);

#endif
