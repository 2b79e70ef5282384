// SPDX-License-Identifier: GPL-2.0
/*
 * biofault: misdoes the bios of iomap direct writes, for throw-away virtual
 * machines.
 *
 *   how=drop      the bio completes without having been written
 *   how=again     delay_ms after its submission its data, as it was then, is
 *                 written once more, over whatever was written there since
 *   how=reread    likewise, but the data is read from the buffer a second time,
 *                 as a retry that runs after the completion would
 *   every, times, on, calls, bent as in retfault
 *
 * Bios of more than one segment or page are left alone.
 */
#include <linux/atomic.h>
#include <linux/bio.h>
#include <linux/blkdev.h>
#include <linux/kallsyms.h>
#include <linux/kernel.h>
#include <linux/kprobes.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/workqueue.h>

static char *how = "";
static int every = 1, times = -1, delay_ms = 100, on;
module_param(how, charp, 0444);
module_param(every, int, 0644);
module_param(times, int, 0644);
module_param(delay_ms, int, 0644);
module_param(on, int, 0644);

static atomic_t calls = ATOMIC_INIT(0), bent = ATOMIC_INIT(0);

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

struct late_write {
	struct delayed_work work;
	struct block_device *bdev;
	sector_t sector;
	struct page *page;
	unsigned int off, len;
};

static struct workqueue_struct *queue;

static void write_late(struct work_struct *work)
{
	struct late_write *w = container_of(to_delayed_work(work), struct late_write, work);
	struct bio *bio = bio_alloc(w->bdev, 1, REQ_OP_WRITE, GFP_KERNEL);

	bio->bi_iter.bi_sector = w->sector;
	if (bio_add_page(bio, w->page, w->len, w->off) == w->len && submit_bio_wait(bio))
		pr_warn("biofault: late write at sector %llu failed\n", (u64)w->sector);
	bio_put(bio);
	put_page(w->page);
	kfree(w);
}

/* remember keeps what is needed to write the bio once more. */
static bool remember(struct bio *bio, struct bio_vec *bv, bool copy)
{
	struct late_write *w = kzalloc(sizeof(*w), GFP_ATOMIC);

	if (!w)
		return false;
	w->page = bv->bv_page;
	if (copy) {
		w->page = alloc_page(GFP_ATOMIC);
		if (!w->page) {
			kfree(w);
			return false;
		}
		memcpy(page_address(w->page) + bv->bv_offset, page_address(bv->bv_page) + bv->bv_offset, bv->bv_len);
	} else {
		get_page(w->page);
	}
	w->bdev = bio->bi_bdev;
	w->sector = bio->bi_iter.bi_sector;
	w->off = bv->bv_offset;
	w->len = bv->bv_len;
	INIT_DELAYED_WORK(&w->work, write_late);
	queue_delayed_work(queue, &w->work, msecs_to_jiffies(delay_ms));
	return true;
}

/* of_iomap: is it the bio of a direct write? */
static bool of_iomap(struct bio *bio)
{
	static void *known;
	char name[KSYM_SYMBOL_LEN];

	if (bio_op(bio) != REQ_OP_WRITE || !bio->bi_end_io)
		return false;
	if (READ_ONCE(known))
		return bio->bi_end_io == READ_ONCE(known);
	sprint_symbol_no_offset(name, (unsigned long)bio->bi_end_io);
	if (strcmp(name, "iomap_dio_bio_end_io"))
		return false;
	WRITE_ONCE(known, bio->bi_end_io);
	return true;
}

static noinline notrace void nothing(void)
{
}
NOKPROBE_SYMBOL(nothing);

static int on_submit(struct kprobe *p, struct pt_regs *regs)
{
	struct bio *bio = (struct bio *)regs_get_kernel_argument(regs, 0);
	struct bio_vec bv;
	bool drop = !strcmp(how, "drop");

	if (!READ_ONCE(on) || !of_iomap(bio))
		return 0;
	bv = bio_iovec(bio);
	if (!drop && (bv.bv_len != bio->bi_iter.bi_size || bv.bv_offset + bv.bv_len > PAGE_SIZE))
		return 0;
	if (atomic_inc_return(&calls) % READ_ONCE(every))
		return 0;
	if (times >= 0 && atomic_read(&bent) >= times)
		return 0;
	if (drop) {
		atomic_inc(&bent);
		bio_endio(bio);
		regs->ip = (unsigned long)nothing;
		return 1;
	}
	if (remember(bio, &bv, !strcmp(how, "again")))
		atomic_inc(&bent);
	return 0;
}
NOKPROBE_SYMBOL(on_submit);

/* See retfault.c: with it, the instruction pointer may be changed. */
static void after_submit(struct kprobe *p, struct pt_regs *regs, unsigned long flags)
{
}

static struct kprobe submitting = {
	.symbol_name = "submit_bio",
	.pre_handler = on_submit,
	.post_handler = after_submit,
};

static int __init biofault_init(void)
{
	int err;

	if (every < 1 || (strcmp(how, "drop") && strcmp(how, "again") && strcmp(how, "reread")))
		return -EINVAL;
	queue = alloc_workqueue("biofault", WQ_UNBOUND | WQ_MEM_RECLAIM, 0);
	if (!queue)
		return -ENOMEM;
	err = register_kprobe(&submitting);
	pr_info("biofault: %s: %d\n", how, err);
	if (err)
		destroy_workqueue(queue);
	return err;
}

static void __exit biofault_exit(void)
{
	unregister_kprobe(&submitting);
	flush_workqueue(queue);
	destroy_workqueue(queue);
}

module_init(biofault_init);
module_exit(biofault_exit);
MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("drops or repeats bios of direct writes, for tests in a virtual machine");
