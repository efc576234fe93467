// SPDX-License-Identifier: GPL-2.0-only
/* Wrong pointers, broken counts and lists, no memory left. */
#include <linux/gfp.h>
#include <linux/list.h>
#include <linux/mm.h>
#include <linux/oom.h>
#include <linux/refcount.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/vmalloc.h>

#include "hilfault.h"

#define BLOCK_ORDER (MAX_ORDER - 1)
#define MAX_DEPTH 100000

struct victim {
	struct list_head node;
	struct victim *next;
	u32 name[5];
	u32 value;	/* at 0x20; with 64 bits at 0x2c */
};

static struct victim *nobody;
static u32 seen;

static int hilfault_null_read(unsigned int unused)
{
	seen = READ_ONCE(READ_ONCE(nobody)->value);
	return 0;
}

static int hilfault_null_write(unsigned int unused)
{
	WRITE_ONCE(READ_ONCE(nobody)->value, 1);
	return 0;
}

/* Behind each vmalloc area lies a page that is not mapped. */
static int hilfault_paging_request(unsigned int unused)
{
	u32 *area = vmalloc(PAGE_SIZE);

	if (!area)
		return -ENOMEM;
	seen = READ_ONCE(area[PAGE_SIZE / sizeof(*area)]);
	vfree(area);
	return 0;
}

/* Keeps the slab, and so the poison in a freed object of it, where it is. */
static struct victim *kept;
static struct kmem_cache *cache;

static int hilfault_use_after_free(unsigned int unused)
{
	struct victim *freed;

	if (!cache)
		cache = kmem_cache_create("hilfault", sizeof(*freed), 0, SLAB_POISON, NULL);
	if (cache && !kept)
		kept = kmem_cache_zalloc(cache, GFP_KERNEL);
	freed = kept ? kmem_cache_zalloc(cache, GFP_KERNEL) : NULL;
	if (!freed)
		return -ENOMEM;
	kmem_cache_free(cache, freed);
	seen = READ_ONCE(READ_ONCE(freed->next)->value);
	return 0;
}

void memory_faults_exit(void)
{
	if (kept)
		kmem_cache_free(cache, kept);
	kmem_cache_destroy(cache);
}

static int hilfault_list_corruption(unsigned int unused)
{
	struct victim victim;
	LIST_HEAD(list);

	list_add(&victim.node, &list);
	list_del(&victim.node);
	list_del(&victim.node);
	return 0;
}

static int hilfault_refcount_underflow(unsigned int unused)
{
	refcount_t users = REFCOUNT_INIT(1);

	if (refcount_dec_and_test(&users))
		seen = refcount_dec_and_test(&users);
	return 0;
}

static void free_all(struct list_head *blocks, unsigned int order)
{
	struct page *page, *next;

	list_for_each_entry_safe(page, next, blocks, lru)
		__free_pages(page, order);
}

/* Large blocks run out without the OOM killer. */
static int hilfault_page_alloc_failure(unsigned int unused)
{
	struct page *page;
	LIST_HEAD(blocks);

	while ((page = alloc_pages(GFP_KERNEL, BLOCK_ORDER)))
		list_add(&page->lru, &blocks);
	free_all(&blocks, BLOCK_ORDER);
	return 0;
}

/* The writer is made the one that the OOM killer picks, and stops then. */
static int hilfault_oom(unsigned int unused)
{
	struct page *page;
	LIST_HEAD(pages);

	current->signal->oom_score_adj = OOM_SCORE_ADJ_MAX;
	while (!fatal_signal_pending(current) && (page = alloc_page(GFP_KERNEL)))
		list_add(&page->lru, &pages);
	free_all(&pages, 0);
	return 0;
}

static int hilfault_stack_overflow(unsigned int depth)
{
	volatile u32 frame[64];

	frame[depth % ARRAY_SIZE(frame)] = depth;
	if (depth < MAX_DEPTH)
		frame[0] += hilfault_stack_overflow(depth + 1);
	return frame[0];
}

const struct fault memory_faults[] = {
	{ "null-read", hilfault_null_read, 0, "reads a field of a NULL pointer" },
	{ "null-write", hilfault_null_write, 0, "writes a field of a NULL pointer" },
	{ "paging-request", hilfault_paging_request, 0, "reads behind the end of a vmalloc area" },
	{ "use-after-free", hilfault_use_after_free, 0, "follows a pointer of a freed object" },
	{ "list-corruption", hilfault_list_corruption, 0, "takes an entry off its list twice" },
	{ "refcount-underflow", hilfault_refcount_underflow, 0, "drops a reference too often" },
	{ "page-alloc-failure", hilfault_page_alloc_failure, 0, "asks for large blocks until there is none" },
	{ "oom", hilfault_oom, 0, "takes all memory until OOM-killed" },
	{ "stack-overflow", hilfault_stack_overflow, 0, "calls itself until the stack ends" },
	{ }
};
