/* SPDX-License-Identifier: Apache-2.0 OR MIT OR GPL-2.0-only */
/* Out of the tunnel: what a remote router sent to one of our locators (RFC 9300 section 5.3). */
#ifndef DECAPSULATE_H
#define DECAPSULATE_H

#include "encapsulate.h"
#include "steer.h"

/* Instance of messages about the tunnels themselves. */
#define CONTROL_INSTANCE 0xffffff

/* The outer headers of a packet that came to a data port. */
struct arrival {
    u64 locators[4]; /* a pair_key */
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

/* Whether VXLAN is ours. */
INLINE bool serves_vxlan(void)
{
    struct config *options = RECORD(config, 0);

    return options && options->flags & CONFIG_VXLAN;
}

/* Reads the outer headers. False if this is not a packet to a data port. */
INLINE bool read_arrival(struct arrival *arrival, void *start, void *end, bool v6)
{
    struct udp *udp;
    u32 length;

    arrival->v6 = v6;
    udp = start + (v6 ? sizeof(struct ipv6) : sizeof(struct ipv4));
    if ((void *)(udp + 1) > end)
        return false;
    arrival->port = swap16(udp->destination);
    if (likely(!is_data_port(arrival->port, true)))
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
    arrival->frame = arrival->port == VXLAN_PORT ? sizeof(struct ethernet) : 0;
    return arrival->port != VXLAN_PORT || serves_vxlan();
}

/*
 * Which instance a data header names, and in `next` the number of the protocol that follows, 0
 * where only the packet itself tells. -1 if there is anything in it we do not fully understand.
 * Nonces, versions and locator-status-bits of plain LISP are ignored, as we send none, and so is
 * what VXLAN says besides its network.
 */
INLINE long read_data_header(const struct data_header *header, u16 port, u32 *next)
{
    u32 refused = port == VXLAN_GPE_PORT ? 0xff & ~(DATA_INSTANCE | DATA_NEXT) : DATA_KEY_ID;
    u32 flags = header->flags, instance;

    if (port == VXLAN_PORT) {
        *next = 0;
        instance = swap32(header->instance) >> 8;
        return flags & DATA_INSTANCE && instance != CONTROL_INSTANCE ? (long)instance : -1;
    }
    if (port == VXLAN_GPE_PORT && !(flags & DATA_NEXT))
        return -1;
    if (flags & DATA_NEXT)
        refused |= DATA_NONCE | DATA_VERSIONS;
    if (flags & refused)
        return -1;
    *next = flags & DATA_NEXT ? header->next : 0;
    if (flags & DATA_NEXT && *next != 1 && *next != 2)
        return -1;
    instance = flags & DATA_INSTANCE ? swap32(header->instance) >> 8 : 0;
    return instance == CONTROL_INSTANCE ? -1 : (long)instance;
}

/*
 * With one tunnel device alone the kernel looks for no socket before it joins packets, which is
 * much faster; but it then joins what only passes through, too, and on other ports nothing. User
 * space reads here whether that matters, and makes the other devices if so.
 */
INLINE void ask_for_devices(void)
{
    struct totals *count = OWN(totals, 1, 0);

    if (count)
        count->beside++;
}

/* Of a datagram that is for somebody else. For VXLAN the kernel takes apart again what it joins. */
INLINE void note_stranger(const struct arrival *arrival)
{
    struct config *options = RECORD(config, 0);

    if (options && unlikely(options->sole == arrival->port) && arrival->port != VXLAN_PORT)
        ask_for_devices();
}

/* Of a datagram for us. Plain LISP cannot be joined. */
INLINE void note_unjoined(const struct config *options, const struct arrival *arrival,
                          const struct data_header *header)
{
    if (unlikely(options->sole && options->sole != arrival->port)
        && (arrival->frame || header->flags & DATA_NEXT))
        ask_for_devices();
}

/*
 * The number of the protocol that follows an Ethernet header, as in a data header; 0 if it is none
 * of ours, or if the frame is for a group of stations.
 */
INLINE u32 read_frame_header(const struct ethernet *header)
{
    if (header->destination[0] & 1)
        return 0;
    return header->protocol == swap16(ETH_P_IP) ? 1
        : header->protocol == swap16(ETH_P_IPV6) ? 2
                                                 : 0;
}

INLINE void count_decapsulated(const struct packet *packet, u32 segments, u32 pair)
{
    struct traffic *between = pair ? OWN(traffic, most_pairs, pair) : 0;
    struct totals *count = OWN(totals, 1, 0);
    bool v6 = packet->v6;

    if (between)
        between->received += segments;
    if (count) {
        count->decapsulated_packets[v6] += segments;
        count->decapsulated_bytes[v6] += packet->length;
    }
}

/* Takes the outer headers off and sends the packet to its host. */
INLINE int unwrap(struct __sk_buff *skb, const struct packet *packet, const struct arrival *arrival,
                  u8 class, u32 pair, struct next_hop *way, bool fresh)
{
    u8 ttl = (packet->ttl < arrival->ttl ? packet->ttl : arrival->ttl) - 1;
    u32 count = segments(skb, packet);
    u64 how = BPF_F_ADJ_ROOM_FIXED_GSO;
    struct ethernet *ethernet;
    void *start, *end;

    if (packet->v6 != arrival->v6)
        how |= packet->v6 ? BPF_F_ADJ_ROOM_DECAP_L3_IPV6 : BPF_F_ADJ_ROOM_DECAP_L3_IPV4;
    if (bpf_skb_adjust_room(skb, -(int)(arrival->size + arrival->frame), BPF_ADJ_ROOM_MAC, how))
        return except(EXCEPTION_ROOM);
    count_decapsulated(packet, count, pair);
    ethernet = (void *)(long)skb->data;
    end = (void *)(long)skb->data_end;
    start = ethernet + 1;
    if (packet->v6) {
        if (start + sizeof(struct ipv6) > end)
            return fail();
        ethernet->protocol = swap16(ETH_P_IPV6);
        follow_sum(skb, rewrite_ipv6(start, packet, class, ttl));
    } else {
        if (start + sizeof(struct ipv4) > end)
            return fail();
        ethernet->protocol = swap16(ETH_P_IP);
        rewrite_ipv4(start, packet, class, ttl);
    }
    return leave(way, fresh, ethernet);
}

/*
 * What is behind the data header, once all headers of a packet of this version there can be read.
 * NULL if they cannot. Pointers into the packet are void afterwards.
 */
INLINE void *inner_of(struct __sk_buff *skb, const struct arrival *arrival, bool v6)
{
    u32 outer = sizeof(struct ethernet) + arrival->size + arrival->frame;
    void *inner;

    if (!reach(skb, outer + headers(v6)))
        return 0;
    inner = (void *)(long)skb->data + sizeof(struct ethernet) + step_over(arrival->size);
    return inner + sizeof(struct ipv4) > (void *)(long)skb->data_end ? 0 : inner;
}

/* A packet to a data port of one of our addresses; `pair` counts what these locators exchange. */
INLINE int decapsulate(struct __sk_buff *skb, const struct arrival *arrival, u32 pair, u64 now)
{
    struct config *options = RECORD(config, 0);
    struct data_header *header;
    struct packet packet;
    struct host *host;
    void *inner, *transport, *end;
    u32 next;
    long named;
    int ecn;
    u8 class;
    bool fresh, v6;

    if (!options || options->flags & CONFIG_SOURCE_CHECK)
        return except(EXCEPTION_SOURCE_CHECK);
    if (unlikely(arrival->fragment))
        return except(EXCEPTION_FRAGMENT);
    inner = inner_of(skb, arrival, false);
    if (inner && (*(u8 *)inner >> 4 == 6 || arrival->frame))
        inner = inner_of(skb, arrival, true);
    if (!inner)
        return except(EXCEPTION_INNER);
    end = (void *)(long)skb->data_end;
    if (inner + sizeof(struct ipv4) > end)
        return except(EXCEPTION_INNER);
    header = inner - sizeof(*header);
    named = read_data_header(header, arrival->port, &next);
    if (unlikely(named < 0))
        return except(EXCEPTION_DATA_HEADER);
    note_unjoined(options, arrival, header);
    if (arrival->frame) {
        next = read_frame_header(inner);
        inner += sizeof(struct ethernet);
        if (unlikely(!next || inner + sizeof(struct ipv4) > end))
            return except(EXCEPTION_DATA_HEADER);
    }
    v6 = *(u8 *)inner >> 4 == 6;
    if (unlikely((next == 1 && v6) || (next == 2 && !v6)))
        return except(EXCEPTION_INNER);
    if (unlikely(!read_packet(&packet, inner, end, v6)))
        return except(EXCEPTION_INNER);
    /* Segments of a sending socket, not of an inner packet: only the kernel takes them apart. */
    if (unlikely(packet.length + arrival->frame + sizeof(*header) != arrival->payload))
        return except(skb->gso_size ? EXCEPTION_BATCH : EXCEPTION_INNER);
    /* The kernel does not forget that this was in a tunnel, and UDP it would cut accordingly. */
    if (unlikely(skb->gso_size && packet.protocol == UDP))
        return except(EXCEPTION_BATCH);
    if (unlikely(!arrival->consistent
                 || packet.length + arrival->frame + arrival->size
                     > skb->len - sizeof(struct ethernet)))
        return except(EXCEPTION_INNER);

    if (unlikely(packet.fragment))
        return except(EXCEPTION_FRAGMENT);
    if (unlikely(packet.extended))
        return except(EXCEPTION_HEADERS);
    if (unlikely(packet.ttl <= 1 || arrival->ttl <= 1))
        return except(EXCEPTION_TTL);
    transport = inner + packet.header;
    if (unlikely(options->flags & CONFIG_MSS_CLAMP) && is_syn(&packet, transport, end))
        return except(EXCEPTION_SYN);
    ecn = ecn_after(packet.class, arrival->class);
    if (unlikely(ecn < 0))
        return except(EXCEPTION_ECN);
    if (unlikely(!is_unicast(&packet)))
        return except(EXCEPTION_DESTINATION);
    host = host_of(skb, named, &packet, now, &fresh);
    if (unlikely(!host))
        return except(EXCEPTION_INSTANCE);
    if (unlikely(!(host->local || options->flags & CONFIG_DECAP_ANY)))
        return except(EXCEPTION_DESTINATION);
    if (unlikely(!host->way.ifindex))
        return except(EXCEPTION_ROUTE);
    if (unlikely(wire_length(skb, &packet, transport, end) > host->way.mtu))
        return except(EXCEPTION_TOO_BIG);

    class = options->flags & CONFIG_DSCP_BACK ? arrival->class : packet.class;
    class = (class & ~ECN_MASK) | ecn;
    return unwrap(skb, &packet, arrival, class, pair, &host->way, fresh);
}

#endif
