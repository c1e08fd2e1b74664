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
GLOBAL u32 ask_for_source(struct host *host, u32 v6)
{
    struct cpu *cpu = this_cpu();
    struct instance *instance;
    struct target target;
    u64 generation;
    u32 *index, id;
    bool may;

    if (!host || !cpu)
        return false;
    id = host->id;
    generation = current_generation(cpu);
    index = bpf_map_lookup_elem(&instance_of, &id);
    instance = index ? RECORD(instances, *index) : 0;
    if (!instance || !(instance->flags & INSTANCE_USED))
        return false;
    id = leaf_of(instance, host->source, v6);
    target = read_record(id ? RECORD(leaves, id) : 0).target;
    if (target.kind == LEAF_ENCAP)
        may = is_locator_of(target.group, host->locator[0], host->locator[1]);
    else
        may = target.kind == LEAF_NONE && !(cpu->options.flags & CONFIG_SOURCE_KNOWN);
    host->checked = may ? generation : 0;
    return may;
}

/* Whether packets from this inner source may come from this locator. */
INLINE bool may_send(struct host *host, const struct packet *packet, const struct arrival *arrival,
                     const struct config *options)
{
    const u64 *locator = arrival->locators + 2;

    if (likely(host->checked == options->generation && host->locator[0] == locator[0]
               && host->locator[1] == locator[1] && host->source.hi == packet->source.hi
               && host->source.lo == packet->source.lo))
        return true;
    host->source = packet->source;
    host->locator[0] = locator[0];
    host->locator[1] = locator[1];
    return ask_for_source(host, packet->v6);
}

#endif
