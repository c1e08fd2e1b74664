/* SPDX-License-Identifier: Apache-2.0 OR MIT OR GPL-2.0-only */
/* Into the tunnel: what a host sent to a remote EID (RFC 9300 section 5.3). */
#ifndef ENCAPSULATE_H
#define ENCAPSULATE_H

#include "next_hop.h"
#include "rewrite.h"

/* Counts all but what its prefix carried. */
INLINE void count_encapsulated(const struct packet *packet, struct known_hop *known,
                               struct cpu *cpu, u32 family)
{
    known->sent += packet->segments;
    cpu->counts.encapsulated_packets[family] += packet->segments;
    cpu->counts.encapsulated_bytes[family] += packet->length;
}

/*
 * Writes the headers, for which there is room, and sends the packet, an inner one of this version.
 * To `sum` adds what they do.
 */
INLINE int write_headers(struct __sk_buff *skb, const struct packet *packet,
                         const struct entry *entry, const struct known_hop *known, bool v6,
                         u64 sum)
{
    struct ethernet *ethernet = (void *)(long)skb->data;
    void *end = (void *)(long)skb->data_end;
    void *start = ethernet + 1;
    void *inner;

    if (known->family == 6) {
        struct outer6 *outer = start;

        inner = outer + 1;
        if (inner > end)
            return fail();
        sum += write_outer6(outer, entry, known);
        sum += write_tunnel(&outer->tunnel, entry, known, v6);
        ethernet->protocol = swap16(ETH_P_IPV6);
    } else {
        struct outer4 *outer = start;

        inner = outer + 1;
        if (inner > end)
            return fail();
        write_outer4(outer, entry, known);
        sum += write_tunnel(&outer->tunnel, entry, known, v6);
        ethernet->protocol = swap16(ETH_P_IP);
    }
    if (unlikely(known->frame)) {
        if (inner + sizeof(struct ethernet) > end)
            return fail();
        sum += write_frame_header(inner, v6);
        inner += sizeof(struct ethernet);
    }
    if (inner + (v6 ? sizeof(struct ipv6) : sizeof(struct ipv4)) > end)
        return fail();
    if (v6)
        sum += rewrite_ipv6(inner, packet, entry->class, entry->ttl);
    else
        rewrite_ipv4(inner, packet, entry->class, entry->ttl);
    follow_sum(skb, sum);
    return leave(&known->way, entry->fresh, ethernet);
}

/* Puts the headers in front of the packet and sends it. */
INLINE int wrap(struct __sk_buff *skb, const struct packet *packet, const struct entry *entry,
                struct verdict *verdict, struct known_hop *known, struct cpu *cpu, bool v6)
{
    u64 how = known->family == 6 ? BPF_F_ADJ_ROOM_ENCAP_L3_IPV6 : BPF_F_ADJ_ROOM_ENCAP_L3_IPV4;

    if (unlikely(known->frame))
        how |= BPF_F_ADJ_ROOM_ENCAP_L2(sizeof(struct ethernet)) | BPF_F_ADJ_ROOM_ENCAP_L2_ETH;
    /* A super-packet keeps the size of its segments; each gets the outer headers when it is cut. */
    if (bpf_skb_adjust_room(skb, known->size, BPF_ADJ_ROOM_MAC,
                            how | BPF_F_ADJ_ROOM_ENCAP_L4_UDP | BPF_F_ADJ_ROOM_FIXED_GSO
                                | BPF_F_ADJ_ROOM_NO_CSUM_RESET))
        return except(EXCEPTION_ROOM);
    count_carried(verdict, packet);
    count_encapsulated(packet, known, cpu, v6);
    return write_headers(skb, packet, entry, known, v6, 0);
}

/* Leaves the packet to the portable plane: there is no hop for it. */
INLINE struct known_hop *refuse(u32 reason)
{
    except(reason);
    return 0;
}

/*
 * The hop with this index, if a packet of which `entry` tells class and TTL can leave by it; adds
 * what its headers will say. NULL if it cannot.
 */
INLINE struct known_hop *prepare(struct entry *entry, const struct packet *packet,
                                 struct __sk_buff *skb, u32 index, struct cpu *cpu, u64 now)
{
    const struct config *options = &cpu->options;
    struct known_hop *known = index ? hop_of(skb, index, cpu, now, &entry->fresh) : 0;

    if (unlikely(!known))
        return refuse(EXCEPTION_NO_HOP);
    if (unlikely(packet->wire > known->way.mtu || packet->length + known->size > 0xffff))
        return refuse(EXCEPTION_TOO_BIG);
    if (unlikely(!known->way.ifindex))
        return refuse(EXCEPTION_ROUTE);
    entry->hop = index;
    entry->payload = packet->length + known->frame;
    entry->df = options->flags & CONFIG_DF;
    entry->outer_ttl = options->ttl == COPY_TTL ? entry->ttl : options->ttl;
    entry->outer_class = options->dscp == COPY_DSCP
        ? entry->class
        : options->dscp << 2 | (entry->class & ECN_MASK);
    return known;
}

/* What came in by a port whose packets may go into tunnels. */
INLINE int encapsulate(struct __sk_buff *skb, struct cpu *cpu, const struct port *port, bool v6)
{
    void *start = (void *)(long)skb->data + sizeof(struct ethernet);
    void *end = (void *)(long)skb->data_end;
    u64 now = bpf_jiffies64();
    struct known_hop *known;
    struct verdict *verdict;
    struct packet packet;
    struct entry entry;
    u32 index;

    if (!read_packet(&packet, skb, start, end, v6))
        return TCX_NEXT;
    verdict = verdict_on(&packet, port, cpu);
    if (unlikely(verdict->target.kind < LEAF_ENCAP))
        return verdict->leaf && verdict->target.kind == LEAF_NONE ? except(EXCEPTION_MISS)
                                                                  : TCX_NEXT;
    if (unlikely(packet.fragment))
        return except(EXCEPTION_FRAGMENT);
    if (unlikely(packet.extended))
        return except(EXCEPTION_HEADERS);
    if (unlikely(packet.ttl <= 1))
        return except(EXCEPTION_TTL);
    if (unlikely(packet.length > skb->len - sizeof(struct ethernet)))
        return except(EXCEPTION_INNER);
    if (unlikely(packet.syn && cpu->options.flags & CONFIG_MSS_CLAMP))
        return except(EXCEPTION_SYN);

    entry.instance = port->id;
    entry.hash = flow_hash(&packet);
    entry.ttl = packet.ttl - 1;
    entry.class = packet.class;
    index = verdict->target.group;
    if (unlikely(verdict->target.kind != LEAF_HOP))
        index = pick(index, entry.hash);
    known = prepare(&entry, &packet, skb, index, cpu, now);
    return likely(known) ? wrap(skb, &packet, &entry, verdict, known, cpu, v6) : TCX_NEXT;
}

#endif
