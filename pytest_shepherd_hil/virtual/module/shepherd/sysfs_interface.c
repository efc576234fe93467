// SPDX-License-Identifier: GPL-2.0-only
#define pr_fmt(fmt) "shprd.k: " fmt

#include <linux/kobject.h>
#include <linux/sysfs.h>
#include <linux/ktime.h>

#include "mem_interface.h"
#include "msg_sys.h"
#include "sync.h"
#include "sysfs_interface.h"

static struct kobject *shepherd_kobj;

static const char *const state_names[STATES] = { "idle", "armed", "running", "fault" };
static const char *const mode_names[] = {
	"harvester", "hrv_adc_read", "emulator", "emu_adc_read", "debug", "none",
};

static ssize_t state_show(struct kobject *kobj, struct kobj_attribute *attr, char *buf)
{
	return sysfs_emit(buf, "%s\n", state_names[mem_interface_get_state()]);
}

static void start(void)
{
	u32 at = mem_interface_get_time_start();

	if (at > ktime_get_real_seconds()) {
		mem_interface_set_state(STATE_ARMED);
		pr_info("Delayed start timer set to %llu", (u64)at);
	} else {
		mem_interface_set_state(STATE_RUNNING);
		pr_info("Starting PRU now (%lld)", ktime_get_real_ns());
	}
}

static void stop(void)
{
	if (mem_interface_get_state() == STATE_IDLE)
		pr_info("Stopping/Resetting PRU not needed, already idle");
	else
		pr_info("Stopping/Resetting PRU now (%lld)", ktime_get_real_ns());
	mem_interface_set_state(STATE_IDLE);
}

static ssize_t state_store(struct kobject *kobj, struct kobj_attribute *attr,
			   const char *buf, size_t count)
{
	if (sysfs_streq(buf, "stop")) {
		stop();
		return count;
	}
	if (!sysfs_streq(buf, "start"))
		return -EINVAL;
	if (mem_interface_get_state() != STATE_IDLE)
		return -EBUSY;
	start();
	return count;
}
static struct kobj_attribute state_attribute = __ATTR_RW(state);

static ssize_t mode_show(struct kobject *kobj, struct kobj_attribute *attr, char *buf)
{
	return sysfs_emit(buf, "%s\n", mode_names[mem_interface_get_mode()]);
}

static ssize_t mode_store(struct kobject *kobj, struct kobj_attribute *attr,
			  const char *buf, size_t count)
{
	int mode = sysfs_match_string(mode_names, buf);

	if (mode < 0)
		return mode;
	if (mem_interface_get_state() != STATE_IDLE)
		return -EBUSY;
	mem_interface_set_mode(mode);
	pr_info("new mode = %d (%s)", mode, mode_names[mode]);
	return count;
}
static struct kobj_attribute mode_attribute = __ATTR_RW(mode);

static ssize_t time_start_show(struct kobject *kobj, struct kobj_attribute *attr, char *buf)
{
	return sysfs_emit(buf, "%u\n", mem_interface_get_time_start());
}

static ssize_t time_start_store(struct kobject *kobj, struct kobj_attribute *attr,
				const char *buf, size_t count)
{
	u32 seconds;
	int ret;

	ret = kstrtou32(buf, 10, &seconds);
	if (ret)
		return ret;
	mem_interface_set_time_start(seconds);
	pr_info("Setting start-timestamp to %d", seconds);
	return count;
}
static struct kobj_attribute time_start_attribute = __ATTR_RW(time_start);

/* Reading takes the oldest message out: type and values. */
static ssize_t pru_msg_box_show(struct kobject *kobj, struct kobj_attribute *attr, char *buf)
{
	struct proto_msg msg;

	if (!msg_sys_get(&msg))
		return 0;
	return sysfs_emit(buf, "%u %u %u %u\n", msg.type, msg.value[0], msg.value[1], msg.value[2]);
}
static struct kobj_attribute pru_msg_box_attribute = __ATTR_RO(pru_msg_box);

static ssize_t address_show(struct kobject *kobj, struct kobj_attribute *attr, char *buf)
{
	return sysfs_emit(buf, "%u\n", mem_interface_address());
}
static struct kobj_attribute address_attribute = __ATTR_RO(address);

static ssize_t size_show(struct kobject *kobj, struct kobj_attribute *attr, char *buf)
{
	return sysfs_emit(buf, "%u\n", mem_interface_size());
}
static struct kobj_attribute size_attribute = __ATTR_RO(size);

static ssize_t error_show(struct kobject *kobj, struct kobj_attribute *attr, char *buf)
{
	return sysfs_emit(buf, "%lld\n", sync_error());
}
static struct kobj_attribute error_attribute = __ATTR_RO(error);

static struct attribute *control_attrs[] = {
	&state_attribute.attr,
	&mode_attribute.attr,
	&time_start_attribute.attr,
	&pru_msg_box_attribute.attr,
	NULL
};

static struct attribute *memory_attrs[] = {
	&address_attribute.attr,
	&size_attribute.attr,
	NULL
};

static struct attribute *sync_attrs[] = {
	&error_attribute.attr,
	NULL
};

static const struct attribute_group control_group = { .attrs = control_attrs };
static const struct attribute_group memory_group = { .name = "memory", .attrs = memory_attrs };
static const struct attribute_group sync_group = { .name = "sync", .attrs = sync_attrs };

static const struct attribute_group *groups[] = {
	&control_group, &memory_group, &sync_group, NULL
};

int sysfs_interface_init(void)
{
	int ret;

	shepherd_kobj = kobject_create_and_add("shepherd", NULL);
	if (!shepherd_kobj)
		return -ENOMEM;
	ret = sysfs_create_groups(shepherd_kobj, groups);
	if (ret) {
		pr_err("cannot create sysfs attrib group");
		kobject_put(shepherd_kobj);
	}
	return ret;
}

void sysfs_interface_exit(void)
{
	kobject_put(shepherd_kobj);
	pr_info("sysfs exited");
}
