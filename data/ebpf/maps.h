/* SPDX-License-Identifier: Apache-2.0 OR MIT OR GPL-2.0-only */
/*
 * The maps. User space fills all but the caches, and chooses how many entries each has when it
 * loads the program; the numbers here only have to be valid. What it writes often, it writes
 * through memory it shares with the kernel (BPF_F_MMAPABLE).
 */
#ifndef MAPS_H
#define MAPS_H

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

/* How a packet leaves, as the kernel's routes say: the answer of bpf_fib_lookup, kept a moment. */
struct next_hop {
    u64 asked;   /* when; 0 = never */
    u64 silent;  /* since when the neighbour has not answered; 0 = it has */
    u32 version; /* of the hop it was asked for */
    u32 ifindex; /* 0 = the kernel has no plain route */
    u32 gateway[4];
    u32 macs[3]; /* destination and source, as they stand in a frame */
    u16 mtu;     /* of the route */
    u8 family;   /* AF_INET or AF_INET6, of `gateway` */
    bool peer;   /* into the namespace of the veth's peer */
};

/* The same for a host behind us. */
struct host {
    struct key address;
    u32 id;     /* of the instance */
    bool local; /* the tables say that it is behind us */
    u8 pad[3];
    struct next_hop way;
};

/* A neighbour to whom a packet went by the kernel's own table. */
struct neighbour {
    u64 asked; /* when; 0 = never */
    u64 address[2];
    u32 ifindex;
    u32 pad;
};

/* What the tables say of packets from one host to another. */
struct verdict {
    u64 asked; /* when; 0 = never */
    struct key source;
    struct key destination;
    u32 instance;
    u32 leaf; /* 0 = not for a tunnel */
};

/* What is known of the locators a packet came from and to. */
struct tunnel {
    u64 asked; /* when; 0 = never */
    u64 locators[4]; /* a pair_key */
    u32 pair;
    bool ours;
    u8 pad[3];
};

#define CACHED 4096

ARRAY(config, struct config, 1, 0);
ARRAY(ports, struct port, PORTS, 0);
ARRAY(instances, struct instance, 1024, BPF_F_MMAPABLE);
HASH(instance_of, u32, u32, 1024);
ARRAY(nodes, struct node, 1024, BPF_F_MMAPABLE);
ARRAY(leaves, struct leaf, 1024, BPF_F_MMAPABLE);
ARRAY(groups, struct choice, 1024, BPF_F_MMAPABLE);
ARRAY(ways, struct choice, 1024, BPF_F_MMAPABLE);
ARRAY(slots, struct slots, 64, BPF_F_MMAPABLE);
ARRAY(hops, struct hop, 1024, BPF_F_MMAPABLE);
ARRAY(carried, struct volume, 1024, BPF_F_MMAPABLE); /* as many as leaves, for each processor */
ARRAY(traffic, struct traffic, 1024, BPF_F_MMAPABLE); /* as many as pairs, for each processor */
HASH(pairs, struct pair_key, u32, 1024);
HASH(locals, struct address, u32, 256);
CPU_ARRAY(totals, struct totals, 1);
CPU_ARRAY(next_hops, struct next_hop, 1024); /* as many as hops */
CPU_ARRAY(hosts, struct host, CACHED);
CPU_ARRAY(neighbours, struct neighbour, CACHED);
CPU_ARRAY(verdicts, struct verdict, CACHED);
CPU_ARRAY(tunnels, struct tunnel, CACHED);

/* A record of an array map; NULL beyond its end. */
#define RECORD(map, index)                         \
    ({                                             \
        u32 key_ = (index);                        \
        bpf_map_lookup_elem(&(map), &key_);        \
    })

/*
 * Counters of packets. To add to memory that another CPU adds to takes longer than to forward a
 * packet, so each has records of its own: `carried` and `traffic` are as many tables, one behind
 * the other. The last one is shared by CPUs that were not there when the program was loaded.
 * Nobody but the program writes them.
 */
const volatile u32 processors = 0;  /* tables that have one CPU alone */
const volatile u32 most_leaves = 0; /* records of each table of `carried` */
const volatile u32 most_pairs = 0;  /* of `traffic` */

/* Which of the tables this CPU adds to. */
INLINE u32 own_table(void)
{
    u32 cpu = bpf_get_smp_processor_id();

    return likely(cpu < processors) ? cpu : processors;
}

INLINE void add(u64 *count, u64 what, u32 table)
{
    if (likely(table < processors))
        *(volatile u64 *)count += what;
    else
        __sync_fetch_and_add(count, what);
}

INLINE void count_carried(u32 leaf, u64 packets, u64 bytes)
{
    u32 table = own_table();
    struct volume *volume = leaf < most_leaves ? RECORD(carried, table * most_leaves + leaf) : 0;

    if (!volume)
        return;
    add(&volume->packets, packets, table);
    add(&volume->bytes, bytes, table);
}

INLINE void count_sent(u32 pair, u64 packets)
{
    u32 table = own_table();
    struct traffic *between = pair < most_pairs ? RECORD(traffic, table * most_pairs + pair) : 0;

    if (between)
        add(&between->sent, packets, table);
}

INLINE void count_received(u32 pair, u64 packets)
{
    u32 table = own_table();
    struct traffic *between = pair < most_pairs ? RECORD(traffic, table * most_pairs + pair) : 0;

    if (between)
        add(&between->received, packets, table);
}

/* The interface of ours with this number; NULL if it is none. */
INLINE struct port *port_of(u32 ifindex)
{
#pragma clang loop unroll(disable)
    for (u32 step = 0; step < NEAR; step++) {
        struct port *port = RECORD(ports, (ifindex + step) % PORTS);

        if (likely(port && port->ifindex == ifindex))
            return port;
    }
    return 0;
}

/* How long what is cached holds, in ns. */
#define MOMENT 10000000ULL

INLINE bool is_recent(u64 asked, u64 now)
{
    return asked && now - asked < MOMENT;
}

/* Two numbers, which user space changes with one store. */
union record {
    u64 word;
    struct target target;
    struct choice choice;
};

/* Reads them at once; all zero where there is no record. */
INLINE union record read_record(const volatile u64 *word)
{
    union record record = { .word = word ? *word : 0 };

    return record;
}

/* Leaves the packet to the portable plane and counts why. */
INLINE int except(enum exception reason)
{
    struct totals *count = RECORD(totals, 0);

    if (count)
        count->exceptions[reason]++;
    return TCX_NEXT;
}

/* Drops the packet: it is changed so far that nobody else can forward it. */
INLINE int fail(void)
{
    struct totals *count = RECORD(totals, 0);

    if (count)
        count->failed++;
    return TC_ACT_SHOT;
}

#endif
