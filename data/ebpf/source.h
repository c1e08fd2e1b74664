/* SPDX-License-Identifier: Apache-2.0 OR MIT OR GPL-2.0-only */
/* Who may send what: the outer source has to be a locator of the inner one's (RFC 9300 section 16). */
#ifndef SOURCE_H
#define SOURCE_H

#include "arrival.h"

/* Whether a locator is among those of a group. */
GLOBAL u32 is_locator_of(u32 group, u64 first, u64 second)
{
    const struct group *of = RECORD(groups, group);
    struct run run = read_record(of ? (const u64 *)&of->locators : 0).run;

    for (u32 step = 0; step < LOCATORS && step < run.count; step++) {
        const u64 *locator = RECORD(locators, run.first + step);

        if (!locator)
            break;
        if (locator[0] == first && locator[1] == second)
            return true;
    }
    return false;
}

/* Asks the tables whether the source and the locator that the host's record names go together. */
INLINE bool ask_for_source(struct host *host, struct cpu *cpu)
{
    u32 id = host->id, *index = bpf_map_lookup_elem(&instance_of, &id);
    struct instance *instance = index ? RECORD(instances, *index) : 0;
    struct target target;

    if (!instance || !(instance->flags & INSTANCE_USED))
        return false;
    id = leaf_between(instance, host->address, host->source, host->v6);
    target = read_record(id ? RECORD(leaves, id) : 0).target;
    if (target.kind == LEAF_ENCAP)
        return is_locator_of(target.group, host->locator[0], host->locator[1]);
    return target.kind == LEAF_NONE && !(cpu->options.flags & CONFIG_SOURCE_KNOWN);
}

/*
 * Whether packets to this host may have this source if they come from this locator, as it stands in a
 * pair_key.
 */
GLOBAL u32 may_send(struct host *host, u64 hi, u64 lo, u64 first, u64 second)
{
    struct cpu *cpu = this_cpu();
    u64 generation;

    if (!host || !cpu)
        return false;
    if (host->checked == cpu->options.generation && host->source.hi == hi && host->source.lo == lo
        && host->locator[0] == first && host->locator[1] == second)
        return true;
    generation = current_generation(cpu);
    host->source.hi = hi;
    host->source.lo = lo;
    host->locator[0] = first;
    host->locator[1] = second;
    host->checked = ask_for_source(host, cpu) ? generation : 0;
    return host->checked != 0;
}

#endif
