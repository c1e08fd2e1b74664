// SPDX-License-Identifier: Apache-2.0 OR MIT OR GPL-2.0-only
/*
 * Times the lookup of the data plane's program, in its own tables: `nodes` and `instances` are
 * given to this program, which looks up one address of `keys` after the other.
 */
#include "../../data/ebpf/lookup.h"

/* What is done, and what came of it: `tasks`. */
struct task {
    u32 count;   /* of lookups */
    u32 mask;    /* for the index of a key */
    u32 lookups; /* 0 = only the loop around them */
    u32 found;
    u64 ns;
    u64 sum; /* of what was found, so that nobody takes the work for useless */
};

_Static_assert(sizeof(struct task) == 32, "fill/lookup.rs says otherwise");

ARRAY(keys, u64, 1 << 20, BPF_F_MMAPABLE); /* IPv4 addresses as the tries have them */
ARRAY(tasks, struct task, 1, 0);

static u64 (*bpf_ktime_get_ns)(void) = (void *)5;
static long (*bpf_loop)(u32 steps, void *step, void *context, u64 flags) = (void *)181;

struct walk {
    struct instance *instance;
    u32 mask, found;
    u64 sum;
};

static long idle(u32 step, struct walk *walk)
{
    u64 *key = RECORD(keys, step & walk->mask);

    walk->sum += key ? *key : 0;
    return 0;
}

static long look_up(u32 step, struct walk *walk)
{
    u64 *key = RECORD(keys, step & walk->mask);
    struct key address = { .hi = key ? *key : 0 };
    u32 leaf = leaf_of(walk->instance, address, false);

    walk->found += leaf != 0;
    walk->sum += leaf;
    return 0;
}

SECTION("classifier")
int lookup(struct __sk_buff *skb)
{
    struct task *task = RECORD(tasks, 0);
    struct walk walk = { .instance = RECORD(instances, 0) };
    u64 began;

    (void)skb;
    if (!task || !walk.instance)
        return TCX_NEXT;
    walk.mask = task->mask;
    began = bpf_ktime_get_ns();
    if (task->lookups)
        bpf_loop(task->count, look_up, &walk, 0);
    else
        bpf_loop(task->count, idle, &walk, 0);
    task->ns = bpf_ktime_get_ns() - began;
    task->found = walk.found;
    task->sum = walk.sum;
    return TCX_NEXT;
}

char licence[] SECTION("license") = "Dual MIT/GPL";
