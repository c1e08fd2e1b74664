/* SPDX-License-Identifier: Apache-2.0 OR MIT OR GPL-2.0-only */
/* Who a packet that came to a data port is from and for: its outer headers. */
#ifndef ARRIVAL_H
#define ARRIVAL_H

#include "encapsulate.h"
#include "steer.h"

/* The outer headers of a packet that came to a data port. */
struct arrival {
    u64 locators[4]; /* a pair_key */
    u32 tunnel;  /* where among tunnels they are */
    u32 payload; /* octets behind the UDP header */
    u32 size;    /* octets of IP, UDP and data header */
    u32 frame;   /* octets of the Ethernet header that VXLAN has behind them */
    u16 port;
    bool v6;
    bool fragment;
    bool consistent; /* the lengths of IP and UDP agree, and an IPv4 header is intact */
    u8 ttl;
    u8 class;
};

/* Reads the outer headers. False if this is not a packet to a data port of ours (`vxlan`: is it?). */
INLINE bool read_arrival(struct arrival *arrival, void *start, void *end, bool v6, bool vxlan)
{
    struct udp *udp;
    u32 length;

    arrival->v6 = v6;
    udp = start + (v6 ? sizeof(struct ipv6) : sizeof(struct ipv4));
    if ((void *)(udp + 1) > end)
        return false;
    arrival->port = swap16(udp->destination);
    if (likely(!is_data_port(arrival->port, vxlan)))
        return false;
    if (v6) {
        struct ipv6 *ip = start;

        if (ip->next != UDP)
            return false;
        map_address(arrival->locators, ip->destination, true);
        map_address(arrival->locators + 2, ip->source, true);
        length = swap16(ip->length);
        arrival->size = sizeof(struct outer6);
        arrival->fragment = false;
        arrival->ttl = ip->hop_limit;
        arrival->class = swap32(ip->word) >> 20;
        arrival->consistent = true;
    } else {
        struct ipv4 *ip = start;

        if (ip->protocol != UDP || ip->version_ihl != 0x45
            || ip->fragment & swap16(IPV4_OFFSET))
            return false;
        map_address(arrival->locators, &ip->destination, false);
        map_address(arrival->locators + 2, &ip->source, false);
        length = swap16(ip->length) - sizeof(*ip);
        arrival->size = sizeof(struct outer4);
        arrival->fragment = ip->fragment & swap16(IPV4_MF_AND_OFFSET);
        arrival->ttl = ip->ttl;
        arrival->class = ip->class;
        arrival->consistent = is_intact(ip);
    }
    arrival->payload = swap16(udp->length) - sizeof(*udp);
    arrival->consistent &= swap16(udp->length) == length;
    return true;
}

/*
 * With one tunnel device alone the kernel looks for no socket before it joins packets, which is
 * much faster; but it then joins what only passes through, too, and on other ports nothing. User
 * space reads in `beside` whether that matters, and makes the other devices if so.
 *
 * Of a datagram that is for somebody else. For VXLAN the kernel takes apart again what it joins.
 */
INLINE void note_stranger(struct cpu *cpu, const struct arrival *arrival)
{
    if (unlikely(cpu->options.sole == arrival->port) && arrival->port != VXLAN_PORT)
        cpu->counts.beside++;
}

/* Of a datagram for us. Plain LISP cannot be joined. */
INLINE void note_unjoined(struct cpu *cpu, const struct arrival *arrival,
                          const struct data_header *header)
{
    u16 sole = cpu->options.sole;

    if (unlikely(sole && sole != arrival->port) && (arrival->frame || header->flags & DATA_NEXT))
        cpu->counts.beside++;
}

/* Moves what a record of tunnels counted to its pair, unless another has that record by now. */
GLOBAL int clear(struct tunnel *tunnel)
{
    struct received *count;

    if (!tunnel || !tunnel->received)
        return 0;
    count = tunnel->pair ? OWN(received, most_pairs, tunnel->pair) : 0;
    if (count && (u32)count->life == tunnel->life)
        count->packets += tunnel->received;
    tunnel->received = 0;
    return 0;
}

/* Asks the tables about the locators that it names. */
GLOBAL int ask_for_locators(struct tunnel *tunnel)
{
    struct cpu *cpu = this_cpu();
    struct received *count;
    u64 locators[4];
    u32 *pair;

    if (!tunnel || !cpu)
        return 0;
    copy(locators, tunnel->locators, sizeof(locators));
    tunnel->generation = current_generation(cpu);
    pair = bpf_map_lookup_elem(&pairs, locators);
    tunnel->ours = pair || bpf_map_lookup_elem(&locals, locators);
    tunnel->pair = pair ? *pair : 0;
    count = OWN(received, most_pairs, tunnel->pair);
    tunnel->life = count ? count->life : 0;
    return 0;
}

/* Whether the packet came to one of our addresses. */
INLINE bool is_ours(struct arrival *arrival, struct cpu *cpu)
{
    const u64 *locators = arrival->locators;
    struct key remote = { swap64(locators[2]), swap64(locators[3]) };
    struct tunnel *kept;

    arrival->tunnel = place(remote, locators[0] ^ locators[1], TUNNELS);
    kept = AT(cpu->tunnels, TUNNELS, arrival->tunnel);
    if (unlikely(kept->generation != cpu->options.generation
                 || kept->locators[1] != locators[1] || kept->locators[3] != locators[3]
                 || kept->locators[0] != locators[0] || kept->locators[2] != locators[2])) {
        clear(kept);
        copy(kept->locators, locators, sizeof(kept->locators));
        ask_for_locators(kept);
    }
    return kept->ours;
}

/* Whether this is a packet to us with more outer headers than are read here. */
INLINE bool is_involved(void *start, void *end, bool v6)
{
    struct address local;

    if (v6) {
        struct ipv6 *ip = start;

        if ((void *)(ip + 1) > end
            || (ip->next != FRAGMENT && ip->next != HOP_BY_HOP && ip->next != ROUTING
                && ip->next != DESTINATION_OPTIONS))
            return false;
        map_address(local.octets, ip->destination, true);
    } else {
        struct ipv4 *ip = start;

        if ((void *)(ip + 1) > end || ip->protocol != UDP || ip->version_ihl == 0x45)
            return false;
        map_address(local.octets, &ip->destination, false);
    }
    return bpf_map_lookup_elem(&locals, &local);
}

#endif
