/* SPDX-License-Identifier: Apache-2.0 OR MIT OR GPL-2.0-only */
/* Into the tunnel: what a host sent to a remote EID (RFC 9300 section 5.3). */
#ifndef ENCAPSULATE_H
#define ENCAPSULATE_H

#include "lookup.h"
#include "next_hop.h"
#include "rewrite.h"

/* What comes in front of an inner packet, or of the Ethernet header that VXLAN has there. */
struct tunnel_headers {
    struct udp udp;
    struct data_header data;
};

struct outer4 {
    struct ipv4 ip;
    struct tunnel_headers tunnel;
};

struct outer6 {
    struct ipv6 ip;
    struct tunnel_headers tunnel;
};

_Static_assert(sizeof(struct outer4) == 36, "on the wire");
_Static_assert(sizeof(struct outer6) == 56, "on the wire");

/* To and from whom frames inside VXLAN are: constants, as data/src/pipeline/data_header.rs says. */
#define INNER_DESTINATION { 0xba, 0x25, 0xcd, 0xf4, 0xad, 0x38 }
#define INNER_SOURCE { 0x02, 'w', 'e', 'f', 't', 0x00 }

/* Octets between the data header and the inner packet. */
INLINE u32 frame_header(const struct hop *hop)
{
    return hop->encapsulation == ENCAPSULATION_VXLAN ? sizeof(struct ethernet) : 0;
}

/* Octets in front of an inner packet. */
INLINE u32 outer_size(const struct hop *hop)
{
    return (hop->family == 6 ? sizeof(struct outer6) : sizeof(struct outer4)) + frame_header(hop);
}

/* Gives the sum of what was written. */
INLINE u64 write_frame_header(struct ethernet *header, bool v6)
{
    const struct ethernet values = {
        INNER_DESTINATION, INNER_SOURCE, v6 ? swap16(ETH_P_IPV6) : swap16(ETH_P_IP)
    };
    const u16 *from = (const u16 *)&values;
    u16 *to = (u16 *)header;
    u64 sum = 0;

#pragma unroll
    for (int i = 0; i < 7; i++) {
        to[i] = from[i];
        sum += from[i];
    }
    return sum;
}

/* Gives the sum of what was written. The UDP checksum is 0 (RFC 9300 section 5.3). */
INLINE u64 write_tunnel(struct tunnel_headers *headers, const struct entry *entry,
                        const struct hop *hop, bool v6)
{
    u32 *words = (u32 *)headers;
    bool generic = hop->encapsulation == ENCAPSULATION_LISP_GPE
        || hop->encapsulation == ENCAPSULATION_VXLAN_GPE;
    u32 next = !generic ? 0 : v6 ? 2 : 1;

    words[0] = swap16(0xc000 | (entry->hash & 0x3fff)) | (u32)swap16(hop->port) << 16;
    words[1] = swap16(entry->payload + sizeof(*headers));
    words[2] = hop->header0 | next << 24;
    if (!entry->instance && hop->encapsulation < ENCAPSULATION_VXLAN_GPE)
        words[2] &= ~DATA_INSTANCE; /* as if there were no instances (RFC 9300 section 5.1) */
    words[3] = swap32(entry->instance << 8);
    return (u64)words[0] + words[1] + words[2] + words[3];
}

INLINE void write_outer4(struct outer4 *headers, const struct entry *entry, const struct hop *hop)
{
    u32 *words = (u32 *)headers;
    u64 sum;

    words[0] = 0x45 | entry->outer_class << 8
        | (u32)swap16(entry->payload + sizeof(*headers)) << 16;
    words[1] = entry->df ? (u32)swap16(IPV4_DF) << 16 : bpf_get_prandom_u32() & 0xffff;
    words[2] = entry->outer_ttl | UDP << 8;
    words[3] = *(const u32 *)hop->local;
    words[4] = *(const u32 *)hop->remote;
    sum = (u64)words[0] + words[1] + words[2] + words[3] + words[4];
    headers->ip.checksum = ~fold(sum);
}

/* Gives the sum of what was written. The flow label spreads flows, as RFC 6438 asks for. */
INLINE u64 write_outer6(struct outer6 *headers, const struct entry *entry, const struct hop *hop)
{
    const u32 *local = (const u32 *)hop->local, *remote = (const u32 *)hop->remote;
    u32 *words = (u32 *)headers;
    u64 sum;

    words[0] = swap32(6U << 28 | (u32)entry->outer_class << 20 | entry->hash >> 12);
    words[1] = swap16(entry->payload + sizeof(headers->tunnel)) | UDP << 16
        | (u32)entry->outer_ttl << 24;
    sum = (u64)words[0] + words[1];
    for (int i = 0; i < 4; i++) {
        words[2 + i] = local[i];
        words[6 + i] = remote[i];
        sum += (u64)local[i] + remote[i];
    }
    return sum;
}

/* Counts all but what its prefix carried. */
INLINE void count_encapsulated(const struct packet *packet, const struct hop *hop, struct cpu *cpu)
{
    struct traffic *pair = OWN(traffic, most_pairs, hop->pair);
    u32 family = family_of(packet);

    if (pair)
        pair->sent += packet->segments;
    cpu->encapsulated_packets[family] += packet->segments;
    cpu->encapsulated_bytes[family] += packet->length;
}

/* Writes the headers, for which there is room, and sends the packet. To `sum` adds what they do. */
INLINE int write_headers(struct __sk_buff *skb, const struct packet *packet,
                         const struct entry *entry, const struct known_hop *known, u64 sum)
{
    const struct hop *hop = &known->hop;
    bool v6 = hop->family == 6;
    u32 size = v6 ? sizeof(struct outer6) : sizeof(struct outer4);
    struct ethernet *ethernet = (void *)(long)skb->data;
    void *end = (void *)(long)skb->data_end;
    void *start = ethernet + 1;
    struct tunnel_headers *tunnel;

    if (v6) {
        if (start + sizeof(struct outer6) > end)
            return fail();
        sum += write_outer6(start, entry, hop);
        ethernet->protocol = swap16(ETH_P_IPV6);
    } else {
        if (start + sizeof(struct outer4) > end)
            return fail();
        write_outer4(start, entry, hop);
        ethernet->protocol = swap16(ETH_P_IP);
    }
    start += step_over(size);
    if (start + sizeof(struct ipv4) > end)
        return fail();
    tunnel = start - sizeof(*tunnel);
    sum += write_tunnel(tunnel, entry, hop, packet->v6);
    if (frame_header(hop)) {
        sum += write_frame_header(start, packet->v6);
        start += sizeof(struct ethernet);
    }
    if (start + (packet->v6 ? sizeof(struct ipv6) : sizeof(struct ipv4)) > end)
        return fail();
    if (packet->v6)
        sum += rewrite_ipv6(start, packet, entry->class, entry->ttl);
    else
        rewrite_ipv4(start, packet, entry->class, entry->ttl);
    follow_sum(skb, sum);
    return leave(&known->way, entry->fresh, ethernet);
}

/* Puts the headers in front of the packet and sends it. */
INLINE int wrap(struct __sk_buff *skb, const struct packet *packet, const struct entry *entry,
                struct verdict *verdict, const struct known_hop *known, struct cpu *cpu)
{
    const struct hop *hop = &known->hop;
    u64 how = hop->family == 6 ? BPF_F_ADJ_ROOM_ENCAP_L3_IPV6 : BPF_F_ADJ_ROOM_ENCAP_L3_IPV4;

    if (frame_header(hop))
        how |= BPF_F_ADJ_ROOM_ENCAP_L2(sizeof(struct ethernet)) | BPF_F_ADJ_ROOM_ENCAP_L2_ETH;
    /* A super-packet keeps the size of its segments; each gets the outer headers when it is cut. */
    if (bpf_skb_adjust_room(skb, outer_size(hop), BPF_ADJ_ROOM_MAC,
                            how | BPF_F_ADJ_ROOM_ENCAP_L4_UDP | BPF_F_ADJ_ROOM_FIXED_GSO
                                | BPF_F_ADJ_ROOM_NO_CSUM_RESET))
        return except(EXCEPTION_ROOM);
    count_carried(verdict, packet);
    count_encapsulated(packet, hop, cpu);
    return write_headers(skb, packet, entry, known, 0);
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
    if (unlikely(packet->wire > known->hop.mtu
                 || packet->length + outer_size(&known->hop) > 0xffff))
        return refuse(EXCEPTION_TOO_BIG);
    if (unlikely(!known->way.ifindex))
        return refuse(EXCEPTION_ROUTE);
    if (unlikely(packet->wire + outer_size(&known->hop) > known->way.mtu))
        return refuse(EXCEPTION_TOO_BIG);
    entry->hop = index;
    entry->payload = packet->length + frame_header(&known->hop);
    entry->df = options->flags & CONFIG_DF;
    entry->outer_ttl = options->ttl == COPY_TTL ? entry->ttl : options->ttl;
    entry->outer_class = options->dscp == COPY_DSCP
        ? entry->class
        : options->dscp << 2 | (entry->class & ECN_MASK);
    return known;
}

/* What came in by a port whose packets may go into tunnels, of an instance (its index, and ID). */
INLINE int encapsulate(struct __sk_buff *skb, u32 instance, u32 id, u32 v6)
{
    void *start = (void *)(long)skb->data + sizeof(struct ethernet);
    void *end = (void *)(long)skb->data_end;
    u64 now = bpf_jiffies64();
    struct cpu *cpu = this_cpu();
    struct known_hop *known;
    struct verdict *verdict;
    struct packet packet;
    struct entry entry;
    u32 index;

    if (!cpu || !read_packet(&packet, skb, start, end, v6))
        return TCX_NEXT;
    verdict = verdict_on(&packet, instance, id, cpu);
    if (!verdict || !verdict->leaf || verdict->target.kind == LEAF_LOCAL)
        return TCX_NEXT;
    if (verdict->target.kind == LEAF_NONE)
        return except(EXCEPTION_MISS);
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

    entry.instance = id;
    entry.hash = flow_hash(&packet);
    entry.ttl = packet.ttl - 1;
    entry.class = packet.class;
    index = verdict->target.group;
    if (unlikely(verdict->target.kind != LEAF_HOP))
        index = pick(index, entry.hash);
    known = prepare(&entry, &packet, skb, index, cpu, now);
    return likely(known) ? wrap(skb, &packet, &entry, verdict, known, cpu) : TCX_NEXT;
}

#endif
