/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef SHEPHERD_PRU_FIRMWARE_H
#define SHEPHERD_PRU_FIRMWARE_H

#include <linux/ktime.h>

#include "shared_mem.h"

#define SYNC_INTERVAL_NS (100 * NSEC_PER_MSEC)

/**
 * pru_firmware_reset - both PRUs begin their programs
 * @ram: what they share with the kernel, until the next reset
 */
void pru_firmware_reset(struct shared_mem *ram);

/**
 * pru_firmware_step - one pass of both PRUs' main loops
 *
 * The coordinator calls it at the end of each round: what a PRU answers is
 * there in the next one, however slowly the machine runs.
 */
void pru_firmware_step(void);

#endif
