/* SPDX-License-Identifier: Apache-2.0 OR MIT OR GPL-2.0-only */
/*
 * The maps. User space fills all but the caches, and chooses how many entries each has when it
 * loads the program; the numbers here only have to be valid. What it writes often, it writes
 * through memory it shares with the kernel (BPF_F_MMAPABLE).
 */
#ifndef MAPS_H
#define MAPS_H

#include "cpu.h"
#include "parse.h"

#define ARRAY(name, record, entries, how)          \
    struct {                                       \
        MAP_NUMBER(type, BPF_MAP_TYPE_ARRAY);      \
        MAP_NUMBER(max_entries, entries);          \
        MAP_NUMBER(map_flags, how);                \
        MAP_TYPE(key, u32);                        \
        MAP_TYPE(value, record);                   \
    } name SECTION(".maps")

#define CPU_ARRAY(name, record, entries)           \
    struct {                                       \
        MAP_NUMBER(type, BPF_MAP_TYPE_PERCPU_ARRAY); \
        MAP_NUMBER(max_entries, entries);          \
        MAP_TYPE(key, u32);                        \
        MAP_TYPE(value, record);                   \
    } name SECTION(".maps")

#define HASH(name, what, record, entries)          \
    struct {                                       \
        MAP_NUMBER(type, BPF_MAP_TYPE_HASH);       \
        MAP_NUMBER(max_entries, entries);          \
        MAP_TYPE(key, what);                       \
        MAP_TYPE(value, record);                   \
    } name SECTION(".maps")

struct address {
    u8 octets[16];
};

/* A neighbour to whom a packet went by the kernel's own table. */
struct neighbour {
    u64 asked; /* when; 0 = never */
    u64 address[2];
    u32 ifindex;
    u32 pad;
};

/* How a packet goes into a tunnel. */
struct entry {
    u32 instance;
    u32 leaf;
    u32 hop; /* index */
    u32 hash;
    u32 payload; /* octets behind the data header */
    u32 fresh;   /* this packet is to go by the kernel's neighbour table */
    bool df;
    u8 ttl; /* of the inner packet, and */
    u8 class;
    u8 outer_ttl;
    u8 outer_class;
};

/* What has no room on the stack, of which functions that call each other have 512 octets. */
struct scratch {
    struct bpf_fib_lookup lookup;
    struct packet packet;
    struct entry entry;
};

/* Neighbours that are remembered, for each processor. */
#define NEIGHBOURS 4096

ARRAY(instances, struct instance, 1024, BPF_F_MMAPABLE);
HASH(instance_of, u32, u32, 1024);
ARRAY(nodes, struct node, 1024, BPF_F_MMAPABLE);
ARRAY(leaves, struct leaf, 1024, BPF_F_MMAPABLE);
ARRAY(groups, struct group, 1024, BPF_F_MMAPABLE);
ARRAY(ways, struct choice, 1024, BPF_F_MMAPABLE);
ARRAY(slots, struct slots, 64, BPF_F_MMAPABLE);
ARRAY(locators, struct address, 1024, BPF_F_MMAPABLE);
ARRAY(hops, struct hop, 1024, BPF_F_MMAPABLE);
ARRAY(carried, struct volume, 1024, BPF_F_MMAPABLE); /* as many as leaves, for each processor */
ARRAY(received, struct received, 1024, BPF_F_MMAPABLE); /* as many as pairs, for each processor */
HASH(pairs, struct pair_key, u32, 1024);
HASH(locals, struct address, u32, 256);
CPU_ARRAY(neighbours, struct neighbour, NEIGHBOURS);
CPU_ARRAY(scratch, struct scratch, 1);
/*
 * What each processor has for itself, one table behind the other: the kernel's arrays for
 * processors cost a cache line more for each record. BPF_F_MMAPABLE has them begin at a page.
 */
ARRAY(each_cpu, struct cpu, 1, BPF_F_MMAPABLE);
ARRAY(next_hops, struct known_hop, 1024, BPF_F_MMAPABLE); /* as many as hops */

/* A record of an array map; NULL beyond its end. */
#define RECORD(map, index)                         \
    ({                                             \
        u32 key_ = (index);                        \
        bpf_map_lookup_elem(&(map), &key_);        \
    })

/* Of each processor's tables. User space says so when it loads the program. */
const volatile u32 most_leaves = 0; /* records of `carried` */
const volatile u32 most_pairs = 0;  /* of `received` */
const volatile u32 most_hops = 0;   /* of `next_hops` */

/*
 * A record of this processor alone, of a map that has `each` of them for every one; NULL beyond,
 * and on a processor that has none. No two packets are in the program on one processor at once,
 * so nobody else writes it.
 */
#define OWN(map, each, index)                                       \
    ({                                                              \
        u32 index_ = (index), each_ = (each);                       \
                                                                    \
        likely(index_ < each_)                                      \
            ? RECORD(map, bpf_get_smp_processor_id() * each_ + index_) \
            : (void *)0;                                            \
    })

/* What this processor has; NULL if it came after the program and has nothing. */
INLINE struct cpu *this_cpu(void)
{
    return RECORD(each_cpu, bpf_get_smp_processor_id());
}

/* The same, or what another has for one that has nothing: to read the options and the ports. */
INLINE struct cpu *some_cpu(void)
{
    struct cpu *cpu = this_cpu();

    return likely(cpu) ? cpu : RECORD(each_cpu, 0);
}

/*
 * A record of a table of so many, a power of two. What the compiler knows of the place it forgets: it
 * would find it anew for each field, since fields so far from the start have no instruction.
 */
#define AT(table, records, index)                                   \
    ({                                                              \
        __typeof__(&(table)[0]) at_ = &(table)[(index) & ((records) - 1)]; \
                                                                    \
        asm volatile("" : "+r"(at_));                               \
        at_;                                                        \
    })

/* Where among ports an interface is that is not at its own place; PORTS = nowhere. */
GLOBAL u32 find_port(u32 ifindex)
{
    struct cpu *cpu = some_cpu();

    for (u32 step = 1; cpu && step < NEAR; step++) {
        if (AT(cpu->ports, PORTS, ifindex + step)->ifindex == ifindex)
            return (ifindex + step) % PORTS;
    }
    return PORTS;
}

/* The interface of ours with this number; NULL if it is none. */
INLINE struct port *port_of(struct cpu *cpu, u32 ifindex)
{
    struct port *port = AT(cpu->ports, PORTS, ifindex);
    u32 index;

    if (likely(port->ifindex == ifindex))
        return port;
    index = find_port(ifindex);
    return index < PORTS ? AT(cpu->ports, PORTS, index) : 0;
}

/*
 * Times, in ticks of the kernel's clock. It is read without a call, which costs a processor with
 * today's remedies more than the rest of a question whether something is still valid. User space
 * knows how long a tick is.
 */
const volatile u64 moment = 0;   /* how long holds what the kernel said */
const volatile u64 patience = 0; /* how long a neighbour may take to answer */
const volatile u64 silence = 0;  /* after so long a silence that nobody asked into is over */

INLINE bool is_recent(u64 asked, u64 now)
{
    return asked && now - asked < moment;
}

/*
 * What the tables said holds until they change. User space writes the generation after the tables;
 * so whoever asks them reads it first, by an atomic operation that gives what was there, which no
 * processor does after what follows.
 */
INLINE u64 current_generation(struct cpu *cpu)
{
    return __sync_fetch_and_add(&cpu->options.generation, 0);
}

/* Two numbers, which user space changes with one store. */
union record {
    u64 word;
    struct target target;
    struct scope scope;
    struct choice choice;
    struct run run;
};

/* Reads them at once; all zero where there is no record. */
INLINE union record read_record(const volatile u64 *word)
{
    union record record = { .word = word ? *word : 0 };

    return record;
}

/* Leaves the packet to the portable plane and counts why. */
GLOBAL int except(u32 reason)
{
    struct cpu *cpu = this_cpu();

    if (cpu && reason < EXCEPTIONS)
        cpu->counts.exceptions[reason]++;
    return TCX_NEXT;
}

/* Drops the packet: it is changed so far that nobody else can forward it. */
GLOBAL int fail(void)
{
    struct cpu *cpu = this_cpu();

    if (cpu)
        cpu->counts.failed++;
    return TC_ACT_SHOT;
}

#endif
