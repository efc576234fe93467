// SPDX-License-Identifier: GPL-2.0-only
/*
 * Real faults of a kernel, on demand, in /sys/kernel/debug/hilfault:
 *
 *   faults     their names and what they do
 *   trigger    write "NAME" or "NAME AMOUNT" to have one
 *   not_built  checkers that this kernel is without
 */
#include <linux/debugfs.h>
#include <linux/module.h>
#include <linux/uaccess.h>

#include "hilfault.h"

#define MAX_AMOUNT 10000

static const struct fault *const groups[] = {
	memory_faults, scheduling_faults, deadly_faults, printing_faults,
};

static struct dentry *directory;

static const struct fault *find_fault(const char *name)
{
	const struct fault *fault;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(groups); i++)
		for (fault = groups[i]; fault->name; fault++)
			if (!strcmp(fault->name, name))
				return fault;
	return NULL;
}

static ssize_t trigger_write(struct file *file, const char __user *from, size_t count, loff_t *pos)
{
	const struct fault *fault;
	unsigned int amount;
	char line[64], name[32];
	int words, ret;

	if (count >= sizeof(line))
		return -EINVAL;
	if (copy_from_user(line, from, count))
		return -EFAULT;
	line[count] = '\0';
	words = sscanf(line, "%31s %u", name, &amount);
	if (words < 1)
		return -EINVAL;
	fault = find_fault(name);
	if (!fault)
		return -ENOENT;
	if (words < 2)
		amount = fault->amount;
	if (amount > MAX_AMOUNT)
		return -ERANGE;
	ret = fault->inject(amount);
	return ret ? ret : count;
}

static const struct file_operations trigger_fops = {
	.owner = THIS_MODULE,
	.open = simple_open,
	.write = trigger_write,
};

static int faults_show(struct seq_file *file, void *unused)
{
	const struct fault *fault;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(groups); i++)
		for (fault = groups[i]; fault->name; fault++)
			seq_printf(file, "%-22s %s\n", fault->name, fault->meaning);
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(faults);
DEFINE_SHOW_ATTRIBUTE(not_built);

static int __init hilfault_init(void)
{
	directory = debugfs_create_dir("hilfault", NULL);
	/* Unsafe: else removal would wait for writers that a fault has killed. */
	debugfs_create_file_unsafe("trigger", 0200, directory, NULL, &trigger_fops);
	debugfs_create_file("faults", 0444, directory, NULL, &faults_fops);
	debugfs_create_file("not_built", 0444, directory, NULL, &not_built_fops);
	return 0;
}
module_init(hilfault_init);

static void __exit hilfault_exit(void)
{
	debugfs_remove(directory);
	memory_faults_exit();
}
module_exit(hilfault_exit);

MODULE_DESCRIPTION("real kernel faults on demand, for a virtual board");
MODULE_AUTHOR("pytest-shepherd-hil");
MODULE_LICENSE("GPL");
