/* SPDX-License-Identifier: Apache-2.0 OR MIT OR GPL-2.0-only */
/*
 * Out of one tunnel and into another: what a re-encapsulating tunnel router does. The kernel puts
 * no headers in front of a packet that it has seen in a tunnel, so those that are there are written
 * over. Where they have not the right size the portable plane makes new ones.
 */
#ifndef REENCAPSULATE_H
#define REENCAPSULATE_H

#include "arrival.h"

/* Counts a packet that came out of the tunnel with this index. */
INLINE void count_decapsulated(const struct packet *packet, u32 tunnel, struct cpu *cpu,
                               u32 family)
{
    AT(cpu->tunnels, TUNNELS, tunnel)->received += packet->segments;
    cpu->counts.decapsulated_packets[family] += packet->segments;
    cpu->counts.decapsulated_bytes[family] += packet->length;
}

/* Adds up so many octets as the Internet checksum does. */
INLINE u64 sum_of(const u16 *words, u32 octets)
{
    u64 sum = 0;

#pragma unroll
    for (u32 i = 0; i < octets / 2; i++)
        sum += words[i];
    return sum;
}

/* The leaf for packets from an address to a host; 0 = there is none. */
GLOBAL u32 leaf_to(struct host *host, u64 hi, u64 lo)
{
    struct key source = { hi, lo };
    struct instance *instance = host ? RECORD(instances, host->instance) : 0;
    u32 leaf;

    if (!host || !instance || instance->id != host->id)
        return except(EXCEPTION_INSTANCE), 0;
    leaf = leaf_between(instance, source, host->address, host->v6);
    if (!leaf)
        except(EXCEPTION_MISS);
    return leaf;
}

/*
 * Decides how a packet goes into a tunnel that came out of one and is on its way to `host`, as the
 * leaf says. `frame` are the octets of the Ethernet header that VXLAN has in front of it, `class` is
 * what it is to have. False if it cannot leave here.
 */
GLOBAL u32 choose_tunnel(struct __sk_buff *skb, struct host *host, u32 frame, u32 class, u32 leaf)
{
    void *start = (void *)(long)skb->data + sizeof(struct ethernet);
    void *end = (void *)(long)skb->data_end;
    bool outer6 = skb->protocol == swap16(ETH_P_IPV6);
    struct scratch *room = RECORD(scratch, 0);
    u64 now = bpf_jiffies64();
    struct cpu *cpu = this_cpu();
    struct known_hop *known;
    struct packet *packet;
    struct target target;
    struct entry *entry;
    void *inner;
    u8 ttl;

    if (!host || !cpu || !room || start + sizeof(struct ipv6) > end)
        return false;
    ttl = outer6 ? ((struct ipv6 *)start)->hop_limit : ((struct ipv4 *)start)->ttl;
    inner = start + step_over(outer6 ? sizeof(struct outer6) : sizeof(struct outer4));
    if (frame)
        inner += sizeof(struct ethernet);
    packet = &room->packet;
    if (!read_packet(packet, skb, inner, end, host->v6))
        return except(EXCEPTION_INNER), false;
    entry = &room->entry;
    entry->leaf = leaf;
    target = read_record(RECORD(leaves, leaf)).target;
    if (target.kind != LEAF_ENCAP)
        return except(EXCEPTION_MISS), false;
    entry->instance = host->id;
    entry->ttl = (packet->ttl < ttl ? packet->ttl : ttl) - 1;
    entry->class = class;
    entry->hash = flow_hash(packet);
    known = prepare(entry, packet, skb, pick(target.group, entry->hash), cpu, now);
    if (!known)
        return false;
    if (outer6 != (known->family == 6) || !frame != !known->frame)
        return except(EXCEPTION_ROOM), false;
    return true;
}

/* Writes new headers over those of a packet in a tunnel, as was decided, and sends it. */
GLOBAL int write_over(struct __sk_buff *skb, u32 tunnel)
{
    void *start = (void *)(long)skb->data + sizeof(struct ethernet);
    void *end = (void *)(long)skb->data_end;
    struct scratch *room = RECORD(scratch, 0);
    struct cpu *cpu = this_cpu();
    struct tunnel_headers *headers;
    struct known_hop *known;
    struct volume *volume;
    u64 old = 0;
    bool v6;

    known = room ? OWN(next_hops, most_hops, room->entry.hop) : 0;
    if (!cpu || !known)
        return TCX_NEXT;
    v6 = known->family == 6;
    if (v6) {
        if (start + sizeof(struct outer6) > end)
            return except(EXCEPTION_INNER);
        old = sum_of(start, sizeof(struct ipv6));
    } /* an intact IPv4 header adds nothing */
    start += step_over(v6 ? sizeof(struct ipv6) : sizeof(struct ipv4));
    headers = start;
    start = headers + 1;
    if (start + sizeof(struct ethernet) > end)
        return except(EXCEPTION_INNER);
    /* What has a checksum there may leave its making to the interface, which would spoil ours. */
    if (headers->udp.checksum)
        return except(EXCEPTION_ROOM);
    old += sum_of((const u16 *)headers, sizeof(*headers));
    if (known->frame)
        old += sum_of(start, sizeof(struct ethernet));
    count_decapsulated(&room->packet, tunnel, cpu, family_of(&room->packet));
    count_encapsulated(&room->packet, known, cpu, family_of(&room->packet));
    volume = OWN(carried, most_leaves, room->entry.leaf);
    if (volume) {
        volume->packets += room->packet.segments;
        volume->bytes += room->packet.length;
    }
    old = (u16)~fold(old);
    return room->packet.v6
        ? write_headers(skb, &room->packet, &room->entry, known, true, old)
        : write_headers(skb, &room->packet, &room->entry, known, false, old);
}

/* A packet that came out of a tunnel and that the kernel routes to the TUN device again. */
INLINE int reencapsulate(struct __sk_buff *skb, const struct packet *packet, struct host *host,
                         u32 frame, u32 class, u32 tunnel)
{
    u32 leaf = leaf_to(host, packet->source.hi, packet->source.lo);

    if (!leaf || !choose_tunnel(skb, host, frame, class, leaf))
        return TCX_NEXT;
    return write_over(skb, tunnel);
}

#endif
