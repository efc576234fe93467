/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef SHEPHERD_PIN_H
#define SHEPHERD_PIN_H

#include <linux/types.h>

/* The board's sync pin; it has one where the module was loaded with semihosting=1. */
void pin_set(bool high);

#endif
