/* SPDX-License-Identifier: Apache-2.0 OR MIT OR GPL-2.0-only */
/*
 * What the tables say: the longest prefix of an address, and the hop of a flow. Both give what
 * weft_fib gives, so that a flow takes the same way by this plane and by the portable one.
 */
#ifndef LOOKUP_H
#define LOOKUP_H

#include "maps.h"
#include "parse.h"

/* Whether the first `depth` octets of a key are those of the node's path. */
INLINE bool is_below(const struct node *node, u32 depth, u64 hi, u64 lo)
{
    if (depth == 0)
        return true;
    if (depth <= 8)
        return (hi ^ node->path_hi) >> (64 - depth * 8) == 0;
    return hi == node->path_hi && (lo ^ node->path_lo) >> ((128 - depth * 8) & 63) == 0;
}

/* The leaf of the longest prefix that contains an address of `width` octets; 0 = none does. */
static __attribute__((noinline)) u32 longest_match(u32 index, u64 hi, u64 lo, u32 width)
{
    u32 best = 0, depth, entry;

    for (u32 step = 0; step <= 16; step++) {
        struct node *node = RECORD(nodes, index);

        if (!node)
            break;
        depth = node->depth;
        if (!is_below(node, depth, hi, lo))
            break;
        if (node->leaf)
            best = node->leaf;
        if (depth >= width)
            break;
        entry = node->next[(depth < 8 ? hi >> (56 - depth * 8) : lo >> ((120 - depth * 8) & 63))
                           & 0xff];
        if (!(entry & NODE_CHILD)) {
            if (entry)
                best = entry;
            break;
        }
        index = entry & ~NODE_CHILD;
    }
    return best;
}

INLINE u32 leaf_of(const struct instance *instance, struct key address, bool v6)
{
    u32 root = v6 ? instance->root6 : instance->root4;

    return root ? longest_match(root, address.hi, address.lo, v6 ? 16 : 4) : 0;
}

INLINE bool is_local(const struct instance *instance, struct key address, bool v6)
{
    u32 index = leaf_of(instance, address, v6);
    struct leaf *leaf = index ? RECORD(leaves, index) : 0;

    return leaf && leaf->kind == LEAF_LOCAL;
}

/* Writes an address as it stands in the keys of `pairs` and `locals`. */
INLINE void map_address(u8 *octets, const u32 *address, bool v6)
{
    u32 *words = (u32 *)octets;

    words[0] = v6 ? address[0] : 0;
    words[1] = v6 ? address[1] : 0;
    words[2] = v6 ? address[2] : swap32(0xffff);
    words[3] = v6 ? address[3] : address[0];
}

/* Spreads every input bit over all output bits (the finalizer of SplitMix64). */
INLINE u64 mix(u64 value)
{
    value = (value ^ value >> 30) * 0xbf58476d1ce4e5b9ULL;
    value = (value ^ value >> 27) * 0x94d049bb133111ebULL;
    return value ^ value >> 31;
}

/* As weft_packet::ip::flow_hash. */
INLINE u32 flow_hash(const struct packet *packet, u32 ports)
{
    struct key source = packet->source, destination = packet->destination;
    u64 hash = mix((u64)packet->protocol << 32 | ports);

    if (packet->v6) {
        hash = mix(source.lo ^ mix(source.hi ^ hash));
        hash = mix(destination.lo ^ mix(destination.hi ^ hash));
    } else {
        hash = mix((source.hi | destination.hi >> 32) ^ hash);
    }
    return hash >> 32;
}

/* Whom a choice falls on; 0 = there is nobody. */
INLINE u32 choose(const struct choice *choice, u32 slot)
{
    struct slots *table;

    if (!choice || !choice->first || !choice->slots)
        return choice ? choice->first : 0;
    table = RECORD(slots, choice->slots);
    return table ? choice->first + table->member[slot % SLOTS] : 0;
}

/* The hop of a flow: as Group::pick of weft_fib. 0 = the group has none. */
INLINE u32 pick(u32 group, u32 hash)
{
    u64 spread = mix(hash);
    u32 way = choose(RECORD(groups, group), spread >> 48);

    return way ? choose(RECORD(ways, way), spread >> 32 & 0xffff) : 0;
}

#endif
