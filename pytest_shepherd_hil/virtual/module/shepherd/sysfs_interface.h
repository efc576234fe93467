/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef SHEPHERD_SYSFS_INTERFACE_H
#define SHEPHERD_SYSFS_INTERFACE_H

/* /sys/shepherd */
int sysfs_interface_init(void);
void sysfs_interface_exit(void);

#endif
