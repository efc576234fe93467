// SPDX-License-Identifier: GPL-2.0-only
/* What the kernel gives up at, on purpose or because the CPU does. */
#include <linux/bug.h>
#include <linux/completion.h>
#include <linux/hrtimer.h>
#include <linux/panic.h>
#include <linux/reboot.h>
#include <linux/sysrq.h>

#include <asm/div64.h>

#include "hilfault.h"

static int hilfault_bug(unsigned int unused)
{
	BUG();
}

static int hilfault_warn(unsigned int unused)
{
	WARN(1, "hilfault: a warning on demand\n");
	return 0;
}

static DECLARE_COMPLETION(warned);

static enum hrtimer_restart hilfault_warn_irq_callback(struct hrtimer *timer)
{
	WARN_ON(1);
	complete(&warned);
	return HRTIMER_NORESTART;
}

static int hilfault_warn_irq(unsigned int unused)
{
	struct hrtimer timer;

	hrtimer_init_on_stack(&timer, CLOCK_MONOTONIC, HRTIMER_MODE_REL);
	timer.function = hilfault_warn_irq_callback;
	hrtimer_start(&timer, NSEC_PER_MSEC, HRTIMER_MODE_REL);
	wait_for_completion(&warned);
	hrtimer_cancel(&timer);
	destroy_hrtimer_on_stack(&timer);
	return 0;
}

/* In 64 bits, as ARM's own instruction gives 0 and says nothing; ARM64's does so with these, too. */
static int hilfault_division_by_zero(unsigned int unused)
{
	static u32 zero;
	static u64 quotient = 1ULL << 40;

	do_div(quotient, READ_ONCE(zero));
	return 0;
}

/* Not the one that BUG() is made of. */
#if defined(CONFIG_X86)
#define UNDEFINED ".byte 0xf0, 0x90" /* lock nop */
#elif defined(CONFIG_ARM64)
#define UNDEFINED ".inst 0x00000000"
#else
#define UNDEFINED ".inst 0xe7f000f0"
#endif

static int hilfault_undefined_instruction(unsigned int unused)
{
	asm volatile(UNDEFINED);
	return 0;
}

/*
 * Were it known that panic() does not return, nothing would follow the call, and
 * the return address in the trace would be that of the next function.
 */
static int hilfault_panic(unsigned int unused)
{
	void (*volatile give_up)(const char *reason, ...) = panic;

	give_up("hilfault: a panic on demand");
	return 0;
}

static int hilfault_sysrq_crash(unsigned int unused)
{
	handle_sysrq('c');
	return 0;
}

static int hilfault_reboot(unsigned int unused)
{
	emergency_restart();
	return 0;
}

const struct fault deadly_faults[] = {
	{ "bug", hilfault_bug, 0, "BUG()" },
	{ "warn", hilfault_warn, 0, "WARN() in the writer's context" },
	{ "warn-irq", hilfault_warn_irq, 0, "WARN_ON() in a timer interrupt" },
	{ "division-by-zero", hilfault_division_by_zero, 0, "divides by zero" },
	{ "undefined-instruction", hilfault_undefined_instruction, 0, "runs what is no instruction" },
	{ "panic", hilfault_panic, 0, "panic()" },
	{ "sysrq-crash", hilfault_sysrq_crash, 0, "what sysrq c does" },
	{ "reboot", hilfault_reboot, 0, "restarts the machine without a word" },
	{ }
};
