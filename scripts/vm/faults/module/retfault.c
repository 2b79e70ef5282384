// SPDX-License-Identifier: GPL-2.0
/*
 * retfault: bends one kernel function, for throw-away virtual machines.
 *
 *   sym=NAME      the function
 *   how=return    it runs, then its result is replaced by val
 *   how=skip      it does not run, its caller gets val at once
 *   how=count     nothing is changed
 *   match=N       with how=return: only results equal to N; any=1: all results;
 *                 counts=1: all results above 0
 *   less=N        the result less N, in place of val
 *   full=1        the byte count of the iov_iter that is the second argument, in
 *                 place of val
 *   direct=1      only where the first argument is a kiocb opened O_DIRECT
 *   caller=A,B    only calls from the functions named
 *   start=N       the first N calls that fit pass
 *   every=N       then every N-th is bent
 *   times=N       at most N in all; -1: no limit
 *   on=0|1        the switch
 *
 * Counters beside the parameters in /sys/module/retfault/parameters: calls
 * (that fit, while switched on), bent, failed (negative results of the function
 * itself), missed (calls that could not be watched). Writing to a counter sets
 * it to 0.
 */
#include <linux/atomic.h>
#include <linux/errno.h>
#include <linux/fs.h>
#include <linux/kallsyms.h>
#include <linux/kernel.h>
#include <linux/kprobes.h>
#include <linux/module.h>
#include <linux/string.h>
#include <linux/uio.h>

static char *sym = "";
static char *how = "count";
static char *caller = "";
static int match, any, counts, val, less, full, direct, start, on;
static int every = 1, times = -1;
module_param(sym, charp, 0444);
module_param(how, charp, 0444);
module_param(caller, charp, 0444);
module_param(match, int, 0644);
module_param(any, int, 0644);
module_param(counts, int, 0644);
module_param(less, int, 0644);
module_param(full, int, 0444);
module_param(val, int, 0644);
module_param(direct, int, 0444);
module_param(start, int, 0644);
module_param(every, int, 0644);
module_param(times, int, 0644);
module_param(on, int, 0644);

static atomic_t calls = ATOMIC_INIT(0), bent = ATOMIC_INIT(0), failed = ATOMIC_INIT(0);
static atomic_t fitting = ATOMIC_INIT(0);

static int show_counter(char *buf, const struct kernel_param *kp)
{
	return sprintf(buf, "%d\n", atomic_read((atomic_t *)kp->arg));
}

static int reset_counter(const char *text, const struct kernel_param *kp)
{
	atomic_set((atomic_t *)kp->arg, 0);
	return 0;
}

static const struct kernel_param_ops counter_ops = { .get = show_counter, .set = reset_counter };
module_param_cb(calls, &counter_ops, &calls, 0644);
module_param_cb(bent, &counter_ops, &bent, 0644);
module_param_cb(failed, &counter_ops, &failed, 0644);

/* listed: is name one of the comma separated names of list? */
static bool listed(const char *list, const char *name)
{
	size_t len = strlen(name);

	while (*list) {
		const char *end = strchrnul(list, ',');

		if (end - list == len && !strncmp(list, name, len))
			return true;
		list = *end ? end + 1 : end;
	}
	return false;
}

/* fits runs at the entry of the function: the return address is on top of the stack. */
static bool fits(struct pt_regs *regs)
{
	char name[KSYM_SYMBOL_LEN];

	if (!READ_ONCE(on))
		return false;
	if (direct) {
		struct kiocb *iocb = (struct kiocb *)regs_get_kernel_argument(regs, 0);

		if (!(iocb->ki_flags & IOCB_DIRECT))
			return false;
	}
	if (*caller) {
		/* One byte back: a call that does not return may end a function. */
		sprint_symbol_no_offset(name, regs_get_kernel_stack_nth(regs, 0) - 1);
		if (!listed(caller, name))
			return false;
	}
	return true;
}
NOKPROBE_SYMBOL(fits);

/* pick says whether this call is one to bend, and counts it. */
static bool pick(void)
{
	int n = atomic_inc_return(&fitting) - READ_ONCE(start);
	int limit = READ_ONCE(times);

	if (n <= 0 || n % READ_ONCE(every))
		return false;
	if (limit < 0) {
		atomic_inc(&bent);
		return true;
	}
	return atomic_add_unless(&bent, 1, limit);
}
NOKPROBE_SYMBOL(pick);

static int on_entry(struct kretprobe_instance *ri, struct pt_regs *regs)
{
	if (!fits(regs))
		return 1;
	if (full)
		*(size_t *)ri->data = iov_iter_count((struct iov_iter *)regs_get_kernel_argument(regs, 1));
	return 0;
}
NOKPROBE_SYMBOL(on_entry);

static int on_return(struct kretprobe_instance *ri, struct pt_regs *regs)
{
	long ret = (int)regs_return_value(regs);
	bool wanted = any || (counts ? ret > 0 : ret == match);

	atomic_inc(&calls);
	if (!strcmp(how, "return") && wanted && pick())
		regs_set_return_value(regs, full ? *(size_t *)ri->data : less ? ret - less : (long)READ_ONCE(val));
	else if (ret < 0)
		atomic_inc(&failed);
	return 0;
}
NOKPROBE_SYMBOL(on_return);

static noinline notrace long stand_in(void)
{
	return READ_ONCE(val);
}
NOKPROBE_SYMBOL(stand_in);

/*
 * The stack must stay as it is, because a kprobe that is built on ftrace cannot
 * move it: execution goes on in a function that does nothing but return.
 */
static int on_skip(struct kprobe *p, struct pt_regs *regs)
{
	if (!fits(regs))
		return 0;
	atomic_inc(&calls);
	if (!pick())
		return 0;
	regs->ip = (unsigned long)stand_in;
	return 1;
}
NOKPROBE_SYMBOL(on_skip);

/* A post handler makes ftrace hand over the instruction pointer for changing. */
static void after_skip(struct kprobe *p, struct pt_regs *regs, unsigned long flags)
{
}

static struct kretprobe returning = {
	.entry_handler = on_entry,
	.handler = on_return,
	.data_size = sizeof(size_t),
	.maxactive = 512,
};
static struct kprobe entering = {
	.pre_handler = on_skip,
	.post_handler = after_skip,
};
module_param_named(missed, returning.nmissed, int, 0444);

static int __init retfault_init(void)
{
	int err;

	if (every < 1)
		return -EINVAL;
	if (!strcmp(how, "skip")) {
		entering.symbol_name = sym;
		err = register_kprobe(&entering);
	} else if (!strcmp(how, "return") || !strcmp(how, "count")) {
		returning.kp.symbol_name = sym;
		err = register_kretprobe(&returning);
	} else {
		return -EINVAL;
	}
	pr_info("retfault: %s %s: %d\n", how, sym, err);
	return err;
}

static void __exit retfault_exit(void)
{
	if (entering.symbol_name)
		unregister_kprobe(&entering);
	else
		unregister_kretprobe(&returning);
}

module_init(retfault_init);
module_exit(retfault_exit);
MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("bends the result of one kernel function, for tests in a virtual machine");
