// SPDX-License-Identifier: GPL-2.0-only
/*
 * The processors of an AM335x as remoteproc shows them. They are make-believe;
 * remoteproc, its firmware request and the memory it allocates are real.
 */
#include <linux/dma-mapping.h>
#include <linux/firmware.h>
#include <linux/module.h>
#include <linux/platform_device.h>
#include <linux/remoteproc.h>

#include "pru.h"

#define PROGRAM_BYTES 0x20000	/* 32 pages */
#define BUFFER_BYTES 0xee2800	/* 3811 pages, as on the real board */

static bool leak_cma;
module_param(leak_cma, bool, 0644);
MODULE_PARM_DESC(leak_cma, "never free the memory for the PRUs' programs");

/**
 * struct core - what remoteproc needs to know of one of them
 * @firmware: its file in /lib/firmware
 * @program: memory for its program, bytes
 * @buffer: memory that it shares with the kernel, bytes
 */
struct core {
	const char *firmware;
	size_t program;
	size_t buffer;
};

/* On a BeagleBone the power management processor comes first. */
enum { WKUP_M3, PRU0, PRU1, CORES };

static const struct core cores[CORES] = {
	[WKUP_M3] = { "am335x-pm-firmware.elf" },
	[PRU0] = { "am335x-pru0-shepherd-fw", PROGRAM_BYTES, BUFFER_BYTES },
	[PRU1] = { "am335x-pru1-shepherd-fw", PROGRAM_BYTES },
};

static const struct platform_device_id pru_ids[] = {
	{ "44d00000.wkup_m3", WKUP_M3 },
	{ "4a334000.pru", PRU0 },
	{ "4a338000.pru", PRU1 },
	{ }
};

static struct platform_device *devices[CORES];
static struct rproc_mem_entry *buffer;

static const struct core *core_of(struct device *dev)
{
	return &cores[platform_get_device_id(to_platform_device(dev))->driver_data];
}

static struct rproc *pru_rproc(unsigned int pru)
{
	return platform_get_drvdata(devices[PRU0 + pru]);
}

static int pru_mem_alloc(struct rproc *rproc, struct rproc_mem_entry *mem)
{
	struct device *dev = rproc->dev.parent;

	mem->va = dma_alloc_coherent(dev, mem->len, &mem->dma, GFP_KERNEL);
	if (!mem->va) {
		dev_err(dev, "failed to allocate dma memory: len 0x%zx\n", mem->len);
		return -ENOMEM;
	}
	return 0;
}

static int pru_mem_release(struct rproc *rproc, struct rproc_mem_entry *mem)
{
	if (!mem->va || (leak_cma && mem != buffer))
		return 0;
	dma_free_coherent(rproc->dev.parent, mem->len, mem->va, mem->dma);
	return 0;
}

static struct rproc_mem_entry *pru_add_memory(struct rproc *rproc, size_t len, const char *name)
{
	struct rproc_mem_entry *mem;

	mem = rproc_mem_entry_init(rproc->dev.parent, NULL, 0, len, FW_RSC_ADDR_ANY,
				   pru_mem_alloc, pru_mem_release, name);
	if (mem)
		rproc_add_carveout(rproc, mem);
	return mem;
}

static int pru_parse_fw(struct rproc *rproc, const struct firmware *fw)
{
	const struct core *core = core_of(rproc->dev.parent);

	if (!pru_add_memory(rproc, core->program, "program"))
		return -ENOMEM;
	if (!core->buffer)
		return 0;
	buffer = pru_add_memory(rproc, core->buffer, "buffer");
	return buffer ? 0 : -ENOMEM;
}

/* There is no instruction memory to load into and no processor to start. */
static int pru_load(struct rproc *rproc, const struct firmware *fw)
{
	return 0;
}

static int pru_start(struct rproc *rproc)
{
	return 0;
}

static int pru_stop(struct rproc *rproc)
{
	return 0;
}

static const struct rproc_ops pru_ops = {
	.parse_fw = pru_parse_fw,
	.load = pru_load,
	.start = pru_start,
	.stop = pru_stop,
};

static int pru_probe(struct platform_device *pdev)
{
	struct rproc *rproc;

	rproc = devm_rproc_alloc(&pdev->dev, dev_name(&pdev->dev), &pru_ops,
				 core_of(&pdev->dev)->firmware, 0);
	if (!rproc)
		return -ENOMEM;
	rproc->auto_boot = false;
	platform_set_drvdata(pdev, rproc);
	return devm_rproc_add(&pdev->dev, rproc);
}

static struct platform_driver pru_driver = {
	.probe = pru_probe,
	.id_table = pru_ids,
	.driver.name = "pru-rproc",
};

static void remove_devices(unsigned int count)
{
	while (count--)
		platform_device_unregister(devices[count]);
}

int pru_devices_add(void)
{
	unsigned int i;
	int ret;

	ret = platform_driver_register(&pru_driver);
	if (ret)
		return ret;
	for (i = 0; i < CORES; i++) {
		devices[i] = platform_device_register_simple(pru_ids[i].name, PLATFORM_DEVID_NONE,
							     NULL, 0);
		if (IS_ERR(devices[i]) || !platform_get_drvdata(devices[i])) {
			ret = IS_ERR(devices[i]) ? PTR_ERR(devices[i]) : -ENODEV;
			remove_devices(IS_ERR(devices[i]) ? i : i + 1);
			platform_driver_unregister(&pru_driver);
			return ret;
		}
	}
	return 0;
}

void pru_devices_remove(void)
{
	remove_devices(CORES);
	platform_driver_unregister(&pru_driver);
}

int pru_boot(unsigned int pru)
{
	return rproc_boot(pru_rproc(pru));
}

void pru_shutdown(unsigned int pru)
{
	rproc_shutdown(pru_rproc(pru));
}

void *pru_buffer(dma_addr_t *dma, size_t *size)
{
	*dma = buffer->dma;
	*size = buffer->len;
	return buffer->va;
}
