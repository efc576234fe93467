// SPDX-License-Identifier: GPL-2.0-only
/*
 * shepherd on a virtual board: the module as the console and sysfs show it,
 * with PRUs that are make-believe and faults that are real.
 *
 * As in the real module, most messages end without a newline: the kernel holds
 * such a line back until the next one.
 */
#define pr_fmt(fmt) "shprd.k: " fmt

#include <linux/delay.h>
#include <linux/module.h>
#include <linux/platform_device.h>
#include <linux/slab.h>
#include <linux/version.h>

#include "mem_interface.h"
#include "msg_sys.h"
#include "pru.h"
#include "sync.h"
#include "sysfs_interface.h"

#define DEVICE_NAME "4a300000.pruss:shepherd"
#define PRU_HALT_MS 20

static bool racy_exit;
module_param(racy_exit, bool, 0644);
MODULE_PARM_DESC(racy_exit, "unload the memory interface while the coordinator still runs");

static struct platform_device *shepherd_device;

static int boot_prus(void)
{
	unsigned int i;
	int ret;

	for (i = 0; i < PRU_COUNT; i++) {
		ret = pru_boot(i);
		if (ret) {
			pr_err("Couldn't boot PRU%d", i);
			while (i--)
				pru_shutdown(i);
			return ret;
		}
	}
	pr_info("PRUs started!");
	return 0;
}

static void shutdown_prus(void)
{
	unsigned int i;

	for (i = 0; i < PRU_COUNT; i++) {
		pru_shutdown(i);
		pr_info("PRU%u shut down", i);
	}
}

static int shepherd_drv_probe(struct platform_device *pdev)
{
	int ret;

	pr_info("found shepherd device!!!");
	ret = boot_prus();
	if (ret)
		return ret;

	mem_interface_init();
	msg_sys_init();
	sync_init();
	sync_start();
	msg_sys_start();
	msg_sys_test();

	ret = sysfs_interface_init();
	if (ret) {
		sync_pause();
		msg_sys_exit();
		sync_exit();
		mem_interface_exit();
		shutdown_prus();
	}
	return ret;
}

/*
 * The coordinator reads the shared memory until msg_sys_exit() has stopped it.
 * With racy_exit the memory interface goes first, as it once did: a callback
 * that comes while the PRUs halt reads through a NULL pointer.
 */
static void take_down(void)
{
	sysfs_interface_exit();
	sync_pause();
	if (racy_exit)
		mem_interface_exit();
	msleep(PRU_HALT_MS);
	msg_sys_exit();
	sync_exit();
	if (!racy_exit)
		mem_interface_exit();
	shutdown_prus();
}

#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 11, 0)
static int shepherd_drv_remove(struct platform_device *pdev)
{
	take_down();
	return 0;
}
#else
static void shepherd_drv_remove(struct platform_device *pdev)
{
	take_down();
}
#endif

static struct platform_driver shepherd_driver = {
	.probe = shepherd_drv_probe,
	.remove = shepherd_drv_remove,
	.driver.name = "shepherd",
};

/* The device that a BeagleBone's device tree describes. */
static struct platform_device *add_device(void)
{
	struct platform_device *pdev;
	int ret;

	pdev = platform_device_alloc(DEVICE_NAME, PLATFORM_DEVID_NONE);
	if (!pdev)
		return ERR_PTR(-ENOMEM);
	ret = platform_device_add(pdev);
	if (ret) {
		platform_device_put(pdev);
		return ERR_PTR(ret);
	}
	return pdev;
}

static int __init shepherd_driver_init(void)
{
	int ret;

	pr_info("init shepherd module!!!");
	ret = pru_devices_add();
	if (ret)
		return ret;
	shepherd_device = add_device();
	if (IS_ERR(shepherd_device)) {
		ret = PTR_ERR(shepherd_device);
		goto remove_prus;
	}
	ret = platform_driver_register(&shepherd_driver);
	if (ret)
		goto remove_device;
	/* Their names differ. A probe that fails says so, and the module stays. */
	if (device_driver_attach(&shepherd_driver.driver, &shepherd_device->dev))
		pr_debug("not bound");
	return 0;

remove_device:
	platform_device_unregister(shepherd_device);
remove_prus:
	pru_devices_remove();
	return ret;
}
module_init(shepherd_driver_init);

static void __exit shepherd_driver_exit(void)
{
	platform_driver_unregister(&shepherd_driver);
	platform_device_unregister(shepherd_device);
	pru_devices_remove();
	pr_info("exited shepherd module!!!");
}
module_exit(shepherd_driver_exit);

MODULE_DESCRIPTION("shepherd with make-believe PRUs, for a virtual board");
MODULE_AUTHOR("pytest-shepherd-hil");
MODULE_LICENSE("GPL");
