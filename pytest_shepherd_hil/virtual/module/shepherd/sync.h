/* SPDX-License-Identifier: GPL-2.0-only */
/* Ten times a second PRU1 is triggered and has to answer with its time. */
#ifndef SHEPHERD_SYNC_H
#define SHEPHERD_SYNC_H

#include <linux/types.h>

void sync_init(void);
void sync_start(void);
void sync_pause(void);
void sync_exit(void);

/* One round of the coordinator: sync line, trigger, answer. */
void sync_step(void);

/* How far the last answer was off, ns. */
s64 sync_error(void);

#endif
