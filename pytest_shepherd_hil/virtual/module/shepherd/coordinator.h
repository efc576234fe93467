/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef SHEPHERD_COORDINATOR_H
#define SHEPHERD_COORDINATOR_H

/* The timer that, every few milliseconds, reads what the PRUs have to say. */
void coordinator_start(void);
void coordinator_stop(void);

#endif
