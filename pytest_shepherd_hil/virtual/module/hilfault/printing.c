// SPDX-License-Identifier: GPL-2.0-only
/* Too much on the console, and too little. */
#include <linux/printk.h>

#include "hilfault.h"

static int hilfault_printk_flood(unsigned int lines)
{
	unsigned int i;

	for (i = 1; i <= lines; i++)
		pr_warn("hilfault: line %u of %u\n", i, lines);
	return 0;
}

/* The kernel holds such a line back until the next one. */
static int hilfault_printk_no_newline(unsigned int unused)
{
	pr_err("hilfault: a line that does not end");
	return 0;
}

const struct fault printing_faults[] = {
	{ "printk-flood", hilfault_printk_flood, 3000, "prints many lines; AMOUNT of them" },
	{ "printk-no-newline", hilfault_printk_no_newline, 0, "prints a line without its end" },
	{ }
};
