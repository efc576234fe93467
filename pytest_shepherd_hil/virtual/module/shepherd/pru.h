/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef SHEPHERD_PRU_H
#define SHEPHERD_PRU_H

#include <linux/types.h>

#define PRU_COUNT 2

int pru_devices_add(void);
void pru_devices_remove(void);

/**
 * pru_boot - power a PRU up through remoteproc
 * @pru: 0 or 1
 *
 * Return: 0, or a negative error, for instance when CMA has no room for its memory.
 */
int pru_boot(unsigned int pru);
void pru_shutdown(unsigned int pru);

/**
 * pru_buffer - the memory that the running PRU0 shares with the kernel
 * @dma: where to put its address as the PRU sees it
 * @size: where to put its size in bytes
 *
 * Return: its address as the kernel sees it.
 */
void *pru_buffer(dma_addr_t *dma, size_t *size);

#endif
