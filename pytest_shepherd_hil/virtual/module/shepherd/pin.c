// SPDX-License-Identifier: GPL-2.0-only
/*
 * A virtual board has no pin. Its emulator shows the level as a character, '1'
 * or '0', by semihosting: SYS_WRITEC goes to the chardev of -semihosting-config.
 */
#include <linux/module.h>

#include "pin.h"

#define SYS_WRITEC 0x03

static bool semihosting;
module_param(semihosting, bool, 0444);
MODULE_PARM_DESC(semihosting, "show the sync pin by semihosting; kills a machine without it");

#ifdef CONFIG_ARM
static void write_character(const char *character)
{
	register unsigned long operation asm("r0") = SYS_WRITEC;
	register const char *argument asm("r1") = character;

	asm volatile("svc #0x123456" : "+r"(operation) : "r"(argument) : "lr", "memory");
}
#else
static void write_character(const char *character)
{
}
#endif

void pin_set(bool high)
{
	const char level = high ? '1' : '0';

	if (semihosting)
		write_character(&level);
}
