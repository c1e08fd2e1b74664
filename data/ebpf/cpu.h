/* SPDX-License-Identifier: Apache-2.0 OR MIT OR GPL-2.0-only */
/*
 * What each processor has for itself. The program alone writes it, but for options and ports; user
 * space reads what is counted in it (data/src/ebpf/layout.rs has the same types). A packet waits for
 * each cache line it needs, so no record lies on more than it must.
 */
#ifndef CPU_H
#define CPU_H

#include "weft.h"

#define FAMILY_V6 0x80000000u

/* What the tables say of packets from one host to another. */
struct verdict {
    u64 generation; /* of the tables; 0 = nobody asked */
    struct key source;
    struct key destination;
    u32 id;   /* of the instance; IPv6 has FAMILY_V6 besides */
    u32 leaf; /* 0 = not for a tunnel */
    struct target target;
    u64 volume; /* what it carried and `carried` has not yet: packets, and above 32 bits octets */
};

/*
 * How a packet leaves, as the kernel's routes say: the answer of bpf_fib_lookup, kept a moment.
 * What few packets need comes last.
 */
struct next_hop {
    u64 asked;      /* when; 0 = never */
    u64 silent;     /* since when the neighbour has not answered; 0 = it has */
    u32 generation; /* of the tables, where they have a part in it */
    u32 ifindex;    /* 0 = the kernel has no plain route */
    u32 macs[3];    /* destination and source, as they stand in a frame */
    u16 mtu;        /* of the route */
    u8 family;      /* AF_INET or AF_INET6, of `gateway` */
    u8 peer;        /* into the namespace of the veth's peer */
    u32 gateway[4];
    u64 pad;
};

/* What packets by a hop need, and how the kernel reaches its remote locator: `next_hops`. */
struct known_hop {
    u64 sent; /* packets, since the start */
    u8 remote[16];
    u8 local[16];
    u32 version;
    u32 data[2]; /* first word of the data header in front of IPv4, and of IPv6 */
    u32 unnamed; /* what is left of it in the default instance */
    u16 port;    /* in the order of the network */
    u8 family;
    u8 size;     /* octets in front of an inner packet, among them */
    u8 frame;    /* those of an Ethernet header */
    u8 pad[3];
    struct next_hop way; /* the MTU is that of inner packets */
};

enum host_kind {
    HOST_LOCAL = 1, /* the tables say that it is behind us */
    HOST_ONWARD = 2, /* the kernel routes to it by the TUN device: it is behind another tunnel */
    HOST_NOBODY = 4, /* no router may forward packets there */
};

/* Whom a packet is for that came out of a tunnel. */
struct host {
    struct key address;
    u32 id;       /* of the instance, and */
    u16 instance; /* its index */
    u8 kind;
    u8 v6;
    struct next_hop way;
    u64 checked; /* generation of the tables that let these send to the instance; 0 = nobody asked */
    struct key source;
    u64 locator[2];
};

/* What is known of the locators that packets came from and to. */
struct tunnel {
    u64 generation; /* of the tables; 0 = nobody asked */
    u64 locators[4]; /* a pair_key */
    u32 pair;
    u32 life; /* of the pair */
    u64 received; /* packets that `received` has not yet */
    u8 ours;
    u8 pad[7];
};

/* What a processor did. Arrays of two: inner IPv4, inner IPv6. */
struct counts {
    u64 encapsulated_packets[2];
    u64 encapsulated_bytes[2];
    u64 failed; /* dropped, because a step failed that cannot be taken back */
    u64 beside; /* datagrams for which one tunnel device is too few (decapsulate.h) */
    u64 decapsulated_packets[2];
    u64 decapsulated_bytes[2];
    u64 exceptions[EXCEPTIONS];
    u64 pad[4]; /* to cache lines of its own */
};

/* How many answers a processor keeps, of each kind. */
#define VERDICTS 32768
#define TUNNELS 4096
#define HOSTS 4096

/*
 * All that a processor goes by, did and keeps: `each_cpu`. It is one record, since to find one in a
 * map takes longer than what is done with most. Every packet needs the options, so what goes into a
 * tunnel needs only a cache line of these and the counts.
 */
struct cpu {
    struct config options;
    struct counts counts;
    struct port ports[PORTS];
    struct verdict verdicts[VERDICTS];
    struct tunnel tunnels[TUNNELS];
    struct host hosts[HOSTS];
};

ASSERT_LAYOUT(sizeof(struct verdict), 64);
ASSERT_LAYOUT(OFFSET(verdict, id), 40);
ASSERT_LAYOUT(OFFSET(verdict, target), 48);
ASSERT_LAYOUT(sizeof(struct tunnel), 64);
ASSERT_LAYOUT(OFFSET(tunnel, received), 48);
ASSERT_LAYOUT(sizeof(struct known_hop), 128);
ASSERT_LAYOUT(OFFSET(known_hop, sent), 0);
ASSERT_LAYOUT(sizeof(struct host), 128);
ASSERT_LAYOUT(OFFSET(host, way.gateway), 64);
ASSERT_LAYOUT(OFFSET(cpu, counts.failed), 48);
ASSERT_LAYOUT(OFFSET(cpu, counts.decapsulated_packets), 64);
ASSERT_LAYOUT(OFFSET(cpu, counts.exceptions), 96);
ASSERT_LAYOUT(OFFSET(cpu, ports), 256);
ASSERT_LAYOUT(OFFSET(cpu, verdicts), 256 + PORTS * 16);
ASSERT_LAYOUT(sizeof(struct cpu),
              OFFSET(cpu, verdicts) + VERDICTS * 64 + TUNNELS * 64 + HOSTS * 128);

#endif
