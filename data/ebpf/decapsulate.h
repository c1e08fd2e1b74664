/* SPDX-License-Identifier: Apache-2.0 OR MIT OR GPL-2.0-only */
/* Out of the tunnel: what a remote router sent to one of our locators (RFC 9300 section 5.3). */
#ifndef DECAPSULATE_H
#define DECAPSULATE_H

#include "reencapsulate.h"
#include "source.h"

/* Instance of messages about the tunnels themselves. */
#define CONTROL_INSTANCE 0xffffff

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

/* Takes the outer headers off a packet of this version and sends it to its host. */
INLINE int unwrap(struct __sk_buff *skb, const struct packet *packet, const struct arrival *arrival,
                  bool v6, u8 class, const struct next_hop *way, u32 fresh, struct cpu *cpu)
{
    u8 ttl = (packet->ttl < arrival->ttl ? packet->ttl : arrival->ttl) - 1;
    u64 how = BPF_F_ADJ_ROOM_FIXED_GSO;
    struct ethernet *ethernet;
    void *start, *end;

    if (v6 != arrival->v6)
        how |= v6 ? BPF_F_ADJ_ROOM_DECAP_L3_IPV6 : BPF_F_ADJ_ROOM_DECAP_L3_IPV4;
    if (bpf_skb_adjust_room(skb, -(int)(arrival->size + arrival->frame), BPF_ADJ_ROOM_MAC, how))
        return except(EXCEPTION_ROOM);
    count_decapsulated(packet, arrival->tunnel, cpu, v6);
    ethernet = (void *)(long)skb->data;
    end = (void *)(long)skb->data_end;
    start = ethernet + 1;
    if (v6) {
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
    inner = (void *)(long)skb->data + sizeof(struct ethernet) + arrival->size;
    return inner + sizeof(struct ipv4) > (void *)(long)skb->data_end ? 0 : inner;
}

/* A packet of this version at `inner` that came out of a tunnel of the instance `id`. */
INLINE int deliver(struct __sk_buff *skb, const struct arrival *arrival, void *inner, u32 id,
                   bool v6, struct cpu *cpu, u64 now)
{
    const struct config *options = &cpu->options;
    void *end = (void *)(long)skb->data_end;
    struct packet packet;
    struct host *host;
    u32 fresh;
    int class;

    if (unlikely(!read_packet(&packet, skb, inner, end, v6)))
        return except(EXCEPTION_INNER);
    /* Segments of a sending socket, not of an inner packet: only the kernel takes them apart. */
    if (unlikely(packet.length + arrival->frame + sizeof(struct data_header) != arrival->payload))
        return except(packet.size ? EXCEPTION_BATCH : EXCEPTION_INNER);
    /* The kernel does not forget that this was in a tunnel, and UDP it would cut accordingly. */
    if (unlikely(packet.size && packet.protocol == UDP))
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
    if (unlikely(packet.syn && options->flags & CONFIG_MSS_CLAMP))
        return except(EXCEPTION_SYN);
    class = class_after(packet.class, arrival->class, options->flags & CONFIG_DSCP_BACK);
    if (unlikely(class < 0))
        return except(EXCEPTION_ECN);
    host = host_of(skb, &packet, id, cpu, now, &fresh);
    if (unlikely(!host))
        return except(EXCEPTION_INSTANCE);
    if (unlikely(!(host->kind & HOST_LOCAL))
        && (host->kind & HOST_NOBODY || !(options->flags & CONFIG_DECAP_ANY)))
        return except(EXCEPTION_DESTINATION);
    if (unlikely(options->flags & CONFIG_SOURCE_CHECK)
        && !may_send(host, packet.source.hi, packet.source.lo, arrival->locators[2],
                     arrival->locators[3]))
        return except(EXCEPTION_SOURCE_CHECK);
    if (unlikely(host->kind & HOST_ONWARD))
        return reencapsulate(skb, &packet, host, arrival->frame, class, arrival->tunnel);
    if (unlikely(!host->way.ifindex))
        return except(EXCEPTION_ROUTE);
    if (unlikely(packet.wire > host->way.mtu))
        return except(EXCEPTION_TOO_BIG);
    return unwrap(skb, &packet, arrival, v6, class, &host->way, fresh, cpu);
}

/* A packet to a data port of one of our addresses, `framed` if it is that of VXLAN. */
INLINE int take_out(struct __sk_buff *skb, struct arrival *arrival, bool framed, struct cpu *cpu,
                    u64 now)
{
    struct data_header *header;
    void *inner, *end;
    long named;
    u32 next;
    bool v6;

    arrival->frame = framed ? sizeof(struct ethernet) : 0;
    if (unlikely(arrival->fragment))
        return except(EXCEPTION_FRAGMENT);
    inner = inner_of(skb, arrival, false);
    if (inner && (framed || unlikely(*(u8 *)inner >> 4 == 6)))
        inner = inner_of(skb, arrival, true);
    if (unlikely(!inner))
        return except(EXCEPTION_INNER);
    end = (void *)(long)skb->data_end;
    header = inner - sizeof(*header);
    named = read_data_header(header, arrival->port, &next);
    if (unlikely(named < 0))
        return except(EXCEPTION_DATA_HEADER);
    note_unjoined(cpu, arrival, header);
    if (framed) {
        next = read_frame_header(inner);
        inner += sizeof(struct ethernet);
        if (!next || inner + sizeof(struct ipv4) > end)
            return except(EXCEPTION_DATA_HEADER);
    }
    v6 = *(u8 *)inner >> 4 == 6;
    if (unlikely(next && next != (v6 ? 2 : 1)))
        return except(EXCEPTION_INNER);
    return v6 ? deliver(skb, arrival, inner, named, true, cpu, now)
              : deliver(skb, arrival, inner, named, false, cpu, now);
}

/* Leaves a packet that came to a data port of ours to the portable plane. */
GLOBAL int to_socket(struct __sk_buff *skb, u32 v6)
{
    struct cpu *cpu = some_cpu();

    if (cpu && cpu->options.flags & CONFIG_STEER)
        steer(skb, sizeof(struct ethernet), v6, cpu->options.flags & CONFIG_VXLAN);
    return TCX_NEXT;
}

/* Says of a packet that it is not from a tunnel to us. */
#define NOT_OURS -2

/* What came in by a port whose packets may come out of tunnels. */
INLINE int decapsulate(struct __sk_buff *skb, struct cpu *cpu, bool v6)
{
    void *start = (void *)(long)skb->data + sizeof(struct ethernet);
    void *end = (void *)(long)skb->data_end;
    u64 now = bpf_jiffies64();
    struct arrival arrival;
    int verdict;

    if (!read_arrival(&arrival, start, end, v6, cpu->options.flags & CONFIG_VXLAN)) {
        if (likely(!is_involved(start, end, v6)))
            return NOT_OURS;
        return to_socket(skb, v6);
    }
    if (unlikely(!is_ours(&arrival, cpu))) {
        note_stranger(cpu, &arrival);
        return NOT_OURS;
    }
    verdict = unlikely(arrival.port == VXLAN_PORT) ? take_out(skb, &arrival, true, cpu, now)
                                                   : take_out(skb, &arrival, false, cpu, now);
    return verdict == TCX_NEXT ? to_socket(skb, v6) : verdict;
}

/* Whether a packet that came in by a port whose packets may come out of tunnels is for their end. */
INLINE bool is_for_end(struct __sk_buff *skb, struct cpu *cpu, bool v6)
{
    void *start = (void *)(long)skb->data + sizeof(struct ethernet);
    void *end = (void *)(long)skb->data_end;
    struct arrival arrival;

    if (read_arrival(&arrival, start, end, v6, cpu->options.flags & CONFIG_VXLAN))
        return bpf_map_lookup_elem(&locals, arrival.locators);
    return is_involved(start, end, v6);
}

/* What comes in on a processor that has nothing of its own goes to the portable plane. */
GLOBAL int pass_on(struct __sk_buff *skb)
{
    struct cpu *cpu = some_cpu();
    struct port *port = cpu ? port_of(cpu, skb->ifindex) : 0;

    if (!cpu || !port || !(port->flags & PORT_DECAP))
        return TCX_NEXT;
    if (skb->protocol == swap16(ETH_P_IPV6))
        return is_for_end(skb, cpu, true) ? to_socket(skb, true) : TCX_NEXT;
    return is_for_end(skb, cpu, false) ? to_socket(skb, false) : TCX_NEXT;
}

#endif
