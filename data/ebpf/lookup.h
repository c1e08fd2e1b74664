/* SPDX-License-Identifier: Apache-2.0 OR MIT OR GPL-2.0-only */
/*
 * What the tables say: the longest prefix of an address, and the hop of a flow. Both give what
 * weft_fib gives, so that a flow takes the same way by this plane and by the portable one.
 */
#ifndef LOOKUP_H
#define LOOKUP_H

#include "maps.h"

/* All depths are among these: so the verifier need not tell one from the other. */
#define DEPTHS 31

/* Whether the first `depth` octets of a key are those of the node's path. */
INLINE bool is_below(const struct node *node, u32 depth, u64 hi, u64 lo)
{
    if (depth == 0)
        return true;
    if (depth <= 8)
        return (hi ^ node->path_hi) >> (64 - depth * 8) == 0;
    return hi == node->path_hi && (lo ^ node->path_lo) >> ((128 - depth * 8) & 63) == 0;
}

/*
 * The leaf of the longest prefix that contains an address; 0 = none does. The head of a node is on
 * another cache line than the slot, and a lookup waits for nothing as much as for memory: it reads
 * the head of a node that skips octets, and at the end that of the last one whose leaf counts.
 */
GLOBAL u32 longest_match(u32 root, u64 hi, u64 lo)
{
    u32 index = root, above = root, depth = 0, entry = 0;
    struct node *node;

    for (u32 step = 0; step <= 16; step++) {
        node = RECORD(nodes, index);
        if (!node)
            break;
        if (entry & NODE_SKIPS) {
            depth = node->depth & DEPTHS;
            if (!is_below(node, depth, hi, lo))
                break;
        }
        entry = node->next[(depth < 8 ? hi >> (56 - depth * 8) : lo >> ((120 - depth * 8) & 63))
                           & 0xff];
        if (!(entry & (NODE_CHILD | NODE_SKIPS))) {
            if (entry)
                return entry;
            break;
        }
        index = entry & NODE_INDEX;
        if (entry & NODE_LEAFED)
            above = index;
        depth = (depth + 1) & DEPTHS;
    }
    node = RECORD(nodes, above);
    return node ? node->leaf : 0;
}

/* Where an octet leads from a node; 0 = nowhere. */
INLINE u32 follow(u32 index, u32 octet)
{
    struct node *node = RECORD(nodes, index & NODE_INDEX);

    return node ? node->next[octet & 0xff] : 0;
}

/*
 * longest_match for IPv4 in a trie of many prefixes, where nodes of all first octets lie side by side
 * from `wide` on. With a million prefixes a processor has the more lookups under way, the less it
 * has to do between two nodes; so what is rare, longest_match has to find out: 0 = ask there.
 */
INLINE u32 likely_match4(u32 wide, u32 address)
{
    u32 entry = follow(wide + (address >> 24), address >> 16);

    if (entry & NODE_CHILD) {
        entry = follow(entry, address >> 8);
        if (entry & NODE_CHILD)
            entry = follow(entry, address);
    }
    return entry & NODE_SKIPS ? 0 : entry;
}

INLINE u32 leaf_of(const struct instance *instance, struct key address, bool v6)
{
    u32 root = v6 ? instance->root6 : instance->root4;
    u32 wide = v6 ? 0 : instance->wide4;
    u32 leaf = wide ? likely_match4(wide, address.hi >> 32) : 0;

    if (likely(leaf) || !root)
        return leaf;
    return longest_match(root, address.hi, address.lo);
}

/* How long the prefix of a leaf is. */
INLINE u32 length_of(u32 leaf)
{
    const struct leaf *of = RECORD(leaves, leaf);

    return of ? read_record((const u64 *)of).target.length : LENGTH_UNKNOWN;
}

/* Of two leaves the one of the longer prefix, the first of equal ones; 0 is none. */
GLOBAL u32 longer_of(u32 first, u32 second)
{
    if (!first || !second)
        return first | second;
    return length_of(second) > length_of(first) ? second : first;
}

/* The leaf of the longest prefix among the entries of a source-prefix; 0 = none contains the address. */
GLOBAL u32 match_within(u32 index, u64 hi, u64 lo)
{
    const struct leaf *leaf = index == LEAF_UNKNOWN ? 0 : RECORD(leaves, index);
    struct scope scope = read_record((const u64 *)leaf).scope;

    return scope.root ? longest_match(scope.root, hi, lo) : LEAF_UNKNOWN;
}

/* The next wider source-prefix than this one. */
GLOBAL u32 wider_than(u32 index)
{
    const struct leaf *leaf = index == LEAF_UNKNOWN ? 0 : RECORD(leaves, index);

    return read_record((const u64 *)leaf).scope.wider;
}

/*
 * The leaf of the longest prefix among the entries of all source-prefixes that contain a source, and
 * of the longest source-prefix that has it; 0 = none does. `root` is where source-prefixes are found.
 */
GLOBAL u32 scoped_match(u32 root, u64 source_hi, u64 source_lo, u64 hi, u64 lo)
{
    u32 index = root == SCOPES_UNKNOWN ? LEAF_UNKNOWN : longest_match(root, source_hi, source_lo);
    u32 best = 0;

    for (u32 step = 0; step <= 128 && index; step++) {
        best = longer_of(best, match_within(index, hi, lo));
        index = wider_than(index);
    }
    return best;
}

/* The leaf for packets from one address to another; 0 = there is none. */
INLINE u32 leaf_between(const struct instance *instance, struct key source, struct key destination,
                        bool v6)
{
    u32 scopes = v6 ? instance->scopes6 : instance->scopes4;
    u32 leaf = leaf_of(instance, destination, v6);

    if (likely(!scopes))
        return leaf;
    return longer_of(
        scoped_match(scopes, source.hi, source.lo, destination.hi, destination.lo), leaf);
}

/* Whether an address is behind us, in the instance with this index. */
GLOBAL int is_local(u32 instance, u64 hi, u64 lo, u32 v6)
{
    struct instance *of = RECORD(instances, instance);
    struct key address = { hi, lo };
    struct leaf *leaf;
    u32 index;

    if (!of)
        return false;
    index = leaf_of(of, address, v6);
    leaf = index ? RECORD(leaves, index) : 0;
    return leaf && leaf->target.kind == LEAF_LOCAL;
}

/* All bits of a number have a part in what this gives. */
INLINE u32 halve(u64 number)
{
    return number ^ number >> 32;
}

/*
 * Direct-mapped caches: where in one of so many records the answer is kept for a question about an
 * address and more. Neighbours do not meet, be they hosts of a network or networks of a site.
 */
INLINE u32 place(struct key address, u64 more, u32 records)
{
    u32 near = halve(address.hi ^ address.lo), far = halve(more) * 0x9e3779b97f4a7c15ULL >> 32;

    return (near + (near >> __builtin_ctz(records)) + far) & (records - 1);
}

/* Writes an address as it stands in the keys of `pairs` and `locals`. */
INLINE void map_address(void *octets, const u32 *address, bool v6)
{
    u32 *words = octets;

    words[0] = v6 ? address[0] : 0;
    words[1] = v6 ? address[1] : 0;
    words[2] = v6 ? address[2] : swap32(0xffff);
    words[3] = v6 ? address[3] : address[0];
}

/* The kernel delivers what is for an address of the router, whatever the tables say. */
INLINE bool is_for_us(struct key destination, bool v6)
{
    u32 words[4] = { 0, 0, swap32(0xffff), swap32(destination.hi >> 32) };

    if (v6)
        write_key(words, destination, true);
    return bpf_map_lookup_elem(&locals, words);
}

/* The leaf of what is for a tunnel, 0 = it is not. `index` is that of the instance. */
INLINE u32 judge(const struct instance *instance, u32 index, const struct verdict *packet, bool v6)
{
    if (!(instance->flags & INSTANCE_USED) || instance->id != (packet->id & ~FAMILY_V6))
        return 0;
    if (!is_unicast(packet->destination, v6) || is_for_us(packet->destination, v6))
        return 0;
    if (!(instance->flags & INSTANCE_ANY_SOURCE)
        && !is_local(index, packet->source.hi, packet->source.lo, v6))
        return 0;
    return leaf_between(instance, packet->source, packet->destination, v6);
}

/* The hop of a group that has no other; 0 if it has several, or none. */
INLINE u32 only_hop(u32 group)
{
    struct choice choice = read_record(RECORD(groups, group)).choice;

    if (!choice.first || choice.slots)
        return 0;
    choice = read_record(RECORD(ways, choice.first)).choice;
    return choice.slots ? 0 : choice.first;
}

/*
 * Moves what a verdict counted to its leaf, of which packets to many prefixes would each need a
 * cache line. Another prefix may have the leaf by now, with which that has nothing to do.
 */
GLOBAL int settle(struct verdict *verdict)
{
    struct volume *volume;
    union record now;

    if (!verdict || !verdict->volume)
        return 0;
    volume = OWN(carried, most_leaves, verdict->leaf);
    now = read_record(RECORD(leaves, verdict->leaf));
    if (volume && now.target.life == verdict->target.life) {
        volume->packets += (u32)verdict->volume;
        volume->bytes += verdict->volume >> 32;
    }
    verdict->volume = 0;
    return 0;
}

/* Counts a packet that goes into a tunnel. It has no more segments than octets. */
INLINE void count_carried(struct verdict *verdict, const struct packet *packet)
{
    verdict->volume += (u64)packet->length << 32 | packet->segments;
    if (unlikely(verdict->volume >> 63))
        settle(verdict);
}

/*
 * Asks the tables for a verdict on packets that it names: source, destination, and instance, whose
 * index is `instance`.
 */
GLOBAL int ask_tables(struct verdict *verdict, u32 instance)
{
    struct instance *of = RECORD(instances, instance);
    struct cpu *cpu = this_cpu();
    u32 hop;

    if (!verdict || !of || !cpu)
        return 0;
    settle(verdict);
    verdict->generation = current_generation(cpu);
    verdict->leaf = judge(of, instance, verdict, verdict->id & FAMILY_V6);
    verdict->target = read_record(verdict->leaf ? RECORD(leaves, verdict->leaf) : 0).target;
    hop = verdict->target.kind == LEAF_ENCAP ? only_hop(verdict->target.group) : 0;
    if (hop) {
        verdict->target.kind = LEAF_HOP;
        verdict->target.group = hop;
    }
    return 0;
}

/* Whether a verdict is one on packets like this, by the tables as they are. */
INLINE bool is_on(const struct verdict *verdict, const struct packet *packet, u32 id,
                  const struct cpu *cpu)
{
    struct key from = packet->source, to = packet->destination;

    return likely(verdict->generation == cpu->options.generation
                  && verdict->destination.hi == to.hi && verdict->source.hi == from.hi
                  && verdict->destination.lo == to.lo && verdict->source.lo == from.lo
                  && verdict->id == id);
}

/*
 * What the tables say of a packet that a host sent, kept until they change or other hosts need both
 * of the places it may have.
 */
INLINE struct verdict *verdict_on(const struct packet *packet, const struct port *port,
                                  struct cpu *cpu)
{
    struct key from = packet->source, to = packet->destination;
    u32 id = port->id, where = place(to, from.hi ^ from.lo ^ id, VERDICTS);
    struct verdict *first = AT(cpu->verdicts, VERDICTS, where);
    struct verdict *second = AT(cpu->verdicts, VERDICTS, where ^ 1);

    if (packet->v6)
        id |= FAMILY_V6;
    if (is_on(first, packet, id, cpu))
        return first;
    if (is_on(second, packet, id, cpu))
        return second;
    if (first->generation == cpu->options.generation)
        first = second;
    first->source = from;
    first->destination = to;
    first->id = id;
    ask_tables(first, port->instance);
    return first;
}

/* Spreads every input bit over all output bits (the finalizer of SplitMix64). */
INLINE u64 mix(u64 value)
{
    value = (value ^ value >> 30) * 0xbf58476d1ce4e5b9ULL;
    value = (value ^ value >> 27) * 0x94d049bb133111ebULL;
    return value ^ value >> 31;
}

/* As weft_packet::ip::flow_hash. */
INLINE u32 flow_hash(const struct packet *packet)
{
    struct key source = packet->source, destination = packet->destination;
    u64 hash = mix((u64)packet->protocol << 32 | packet->ports);

    if (packet->v6) {
        hash = mix(source.lo ^ mix(source.hi ^ hash));
        hash = mix(destination.lo ^ mix(destination.hi ^ hash));
    } else {
        hash = mix((source.hi | destination.hi >> 32) ^ hash);
    }
    return hash >> 32;
}

/* Whom a choice falls on, by 16 bits of what a flow's hash gives; 0 = there is nobody. */
INLINE u32 choose(const u64 *word, u32 hash, u32 bits)
{
    struct choice choice = read_record(word).choice;
    struct slots *table;

    if (!choice.first || !choice.slots)
        return choice.first;
    table = RECORD(slots, choice.slots);
    return table ? choice.first + table->member[(mix(hash) >> bits & 0xffff) % SLOTS] : 0;
}

/* The hop of a flow: as Group::pick of weft_fib. 0 = the group has none. */
GLOBAL u32 pick(u32 group, u32 hash)
{
    u32 way = choose(RECORD(groups, group), hash, 48);

    return way ? choose(RECORD(ways, way), hash, 32) : 0;
}

#endif
