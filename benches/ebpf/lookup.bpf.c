// SPDX-License-Identifier: Apache-2.0 OR MIT OR GPL-2.0-only
/*
 * Times the lookup of the data plane's program, in its own tables: `nodes` and `instances` are
 * given to this program, which looks up one address of `keys` after the other. The kernel's own
 * table for longest prefixes, filled with the same ones, is timed beside it.
 */
#include "../../data/ebpf/lookup.h"

/* What is done, and what came of it: `tasks`. */
struct task {
    u32 count;   /* of lookups */
    u32 mask;    /* for the index of a key */
    u32 found;
    u32 pad;
    u64 ns;
    u64 sum; /* of what was found, so that nobody takes the work for useless */
};

_Static_assert(sizeof(struct task) == 32, "fill/lookup.rs says otherwise");

ARRAY(keys, u64, 1 << 20, BPF_F_MMAPABLE); /* IPv4 addresses as the tries have them */
ARRAY(tasks, struct task, 1, 0);

#define BPF_MAP_TYPE_LPM_TRIE 11
#define BPF_F_NO_PREALLOC 1

struct prefix {
    u32 length;
    u32 address; /* in network order */
};

struct {
    MAP_NUMBER(type, BPF_MAP_TYPE_LPM_TRIE);
    MAP_NUMBER(max_entries, 1 << 20);
    MAP_NUMBER(map_flags, BPF_F_NO_PREALLOC);
    MAP_TYPE(key, struct prefix);
    MAP_TYPE(value, u32);
} prefixes SECTION(".maps");

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

static long look_up_by_kernel(u32 step, struct walk *walk)
{
    u64 *key = RECORD(keys, step & walk->mask);
    struct prefix address = { .length = 32, .address = key ? swap32(*key >> 32) : 0 };
    u32 *leaf = bpf_map_lookup_elem(&prefixes, &address);

    walk->found += leaf != 0;
    walk->sum += leaf ? *leaf : 0;
    return 0;
}

/*
 * A program for each, since the verifier puts the loop itself in the place of bpf_loop only where
 * it knows what is called: an indirect call costs more than the lookup and keeps the processor
 * from beginning the next one.
 */
#define TIME(name, step)                                           \
    SECTION("classifier")                                          \
    int name(struct __sk_buff *skb)                                \
    {                                                              \
        struct task *task = RECORD(tasks, 0);                      \
        struct walk walk = { .instance = RECORD(instances, 0) };   \
        u64 began;                                                 \
                                                                   \
        (void)skb;                                                 \
        if (!task || !walk.instance)                               \
            return TCX_NEXT;                                       \
        walk.mask = task->mask;                                    \
        began = bpf_ktime_get_ns();                                \
        bpf_loop(task->count, step, &walk, 0);                     \
        task->ns = bpf_ktime_get_ns() - began;                     \
        task->found = walk.found;                                  \
        task->sum = walk.sum;                                      \
        return TCX_NEXT;                                           \
    }

TIME(time_idle, idle)
TIME(time_ours, look_up)
TIME(time_kernel, look_up_by_kernel)

char licence[] SECTION("license") = "Dual MIT/GPL";
