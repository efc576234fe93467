/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef HILFAULT_H
#define HILFAULT_H

#include <linux/mmzone.h>
#include <linux/seq_file.h>

/* Since Linux 6.8. */
#ifdef MAX_PAGE_ORDER
#define MAX_ORDER (MAX_PAGE_ORDER + 1)
#endif

/**
 * struct fault - something that goes wrong when its name is written to trigger
 * @name: as written
 * @inject: does it, in the writer's context; its name is in the trace
 * @amount: what @inject gets where none was written: seconds or lines
 * @meaning: one line for people
 */
struct fault {
	const char *name;
	int (*inject)(unsigned int amount);
	unsigned int amount;
	const char *meaning;
};

/* Each ends with an entry without a name. */
extern const struct fault memory_faults[];
extern const struct fault scheduling_faults[];
extern const struct fault deadly_faults[];
extern const struct fault printing_faults[];

void memory_faults_exit(void);

int not_built_show(struct seq_file *file, void *unused);

#endif
