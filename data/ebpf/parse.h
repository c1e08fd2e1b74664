/* SPDX-License-Identifier: Apache-2.0 OR MIT OR GPL-2.0-only */
/* What a packet says about itself. */
#ifndef PARSE_H
#define PARSE_H

#include "kernel.h"

enum ip_protocol {
    HOP_BY_HOP = 0,
    TCP = 6,
    UDP = 17,
    DCCP = 33,
    ROUTING = 43,
    FRAGMENT = 44,
    AUTHENTICATION = 51,
    DESTINATION_OPTIONS = 60,
    SCTP = 132,
    MOBILITY = 135,
    UDP_LITE = 136,
};

/* What a tunnel router acts on. */
struct packet {
    struct key source;
    struct key destination;
    u32 length;   /* octets, by its own length field */
    u32 wire;     /* octets on the wire: of the largest segment, if it is a super-packet */
    u32 size;     /* octets of payload of each segment; 0 = it is no super-packet */
    u32 segments; /* how many packets it is */
    u32 ports;    /* source and destination port as one number, 0 without any */
    u32 word;     /* the first four octets of an IPv6 header, as they stand there */
    u16 checksum; /* of an IPv4 header, likewise */
    u16 fragment; /* not 0 if it is one */
    u8 extended;  /* not 0 if it has IPv4 options or IPv6 extension headers */
    u8 protocol;
    u8 ttl;
    u8 class; /* DSCP and ECN */
    bool v6;
    bool syn; /* it opens a TCP connection, or may */
};

/*
 * Octets of headers to be stepped over, as the verifier wants it: it forgets bounds the compiler
 * knows of, and the compiler would leave out a check that cannot fail.
 */
INLINE u32 step_over(u32 octets)
{
    asm volatile("" : "+r"(octets));
    return octets & 0x3f;
}

/* The index of a packet's family in arrays of two, likewise. */
INLINE u32 family_of(const struct packet *packet)
{
    u32 index = packet->v6;

    asm volatile("" : "+r"(index));
    return index & 1;
}

/*
 * Octets of an IP packet that are read, without options: of a TCP header the flags are. No more,
 * since of TCP over IPv4 with time stamps there are 52 where they can be read directly, and to
 * bring more there costs as much as a copy of the whole head.
 */
INLINE u32 headers(bool v6)
{
    return (v6 ? sizeof(struct ipv6) : sizeof(struct ipv4)) + 20;
}

/*
 * Makes sure that the first `octets` of the frame, or all of it, can be read directly. Pointers
 * into the packet are void afterwards.
 */
INLINE bool reach(struct __sk_buff *skb, u32 octets)
{
    u32 linear = skb->data_end - skb->data;

    if (likely(linear >= octets || linear == skb->len))
        return true;
    return bpf_skb_pull_data(skb, skb->len < octets ? skb->len : octets) == 0;
}

INLINE struct key key_of(const u32 *address, bool v6)
{
    struct key key = { (u64)swap32(address[0]) << 32, 0 };

    if (v6) {
        key.hi |= swap32(address[1]);
        key.lo = (u64)swap32(address[2]) << 32 | swap32(address[3]);
    }
    return key;
}

/* The reverse: the address as it stands in a packet. */
INLINE void write_key(u32 *address, struct key key, bool v6)
{
    address[0] = swap32(key.hi >> 32);
    if (v6) {
        address[1] = swap32(key.hi);
        address[2] = swap32(key.lo >> 32);
        address[3] = swap32(key.lo);
    }
}

/* In the first octet of a data header. */
enum data_flag {
    DATA_NONCE = 0x80,
    DATA_LOCATOR_STATUS = 0x40,
    DATA_VERSIONS = 0x10,
    DATA_INSTANCE = 0x08,
    DATA_NEXT = 0x04,
    DATA_KEY_ID = 0x03,
};

/*
 * The 16 bits of the Internet checksum; a sum of words in the order they stand in the packet. What a
 * sum of two halves carries over goes to its lower end: here the other half's sum carries it there.
 */
INLINE u16 fold32(u32 sum)
{
    sum += sum << 16 | sum >> 16;
    return sum >> 16;
}

INLINE u16 fold(u64 sum)
{
    sum += sum << 32 | sum >> 32;
    return fold32(sum >> 32);
}

/* Whether an IPv4 header without options holds its right checksum (RFC 1812 section 5.2.2). */
INLINE bool is_intact(const struct ipv4 *ip)
{
    const u32 *words = (const u32 *)ip;

    return fold((u64)words[0] + words[1] + words[2] + words[3] + words[4]) == 0xffff;
}

/* A set of protocol numbers below 64. */
#define PROTOCOL(number) (1ULL << (number))

INLINE bool is_in(u64 protocols, u8 protocol)
{
    return protocol < 64 && protocols >> (protocol & 63) & 1;
}

/* Whether packets of a protocol begin with the numbers of two ports. */
INLINE bool has_ports(u8 protocol)
{
    return likely(protocol == UDP || protocol == TCP) || protocol == DCCP || protocol == SCTP
        || protocol == UDP_LITE;
}

/*
 * Reads of a super-packet what it is on the wire. That is more than any MTU if it cannot be told. Its
 * maker need not have said how many packets it is (virtio).
 */
INLINE void read_segments(struct packet *packet, struct __sk_buff *skb, u8 *transport, void *end,
                          u32 header)
{
    u32 size = packet->size;


    if (packet->protocol == TCP && (void *)(transport + 14) <= end) {
        header += (transport[12] >> 4) * 4;
    } else if (packet->protocol == UDP) {
        header += sizeof(struct udp);
    } else {
        packet->wire = ~0u;
        return;
    }
    packet->wire = header + size;
    packet->segments = skb->gso_segs ? skb->gso_segs : (packet->length + size - 1) / size;
}

/* Reads what is behind the IP header, at `transport`. */
INLINE void read_transport(struct packet *packet, struct __sk_buff *skb, u8 *transport, void *end,
                           u32 header)
{
    u8 protocol = packet->protocol;

    packet->ports = 0;
    if (has_ports(protocol) && (void *)(transport + 4) <= end && packet->length >= header + 4)
        packet->ports = swap32(*(u32 *)transport);
    packet->syn = protocol == TCP && ((void *)(transport + 14) > end || transport[13] & 0x02);
    packet->segments = 1;
    packet->wire = packet->length;
    packet->size = skb->gso_size;
    if (unlikely(packet->size))
        read_segments(packet, skb, transport, end, header);
}

/* Reads the headers at `start`. False if there are none, or no intact one of the version given. */
INLINE bool read_packet(struct packet *packet, struct __sk_buff *skb, void *start, void *end,
                        bool v6)
{
    packet->v6 = v6;
    if (v6) {
        struct ipv6 *ip = start;
        u32 word;

        if ((void *)(ip + 1) > end)
            return false;
        word = swap32(ip->word);
        packet->word = ip->word;
        packet->source = key_of(ip->source, true);
        packet->destination = key_of(ip->destination, true);
        packet->length = swap16(ip->length) + sizeof(*ip);
        packet->protocol = ip->next;
        packet->ttl = ip->hop_limit;
        packet->class = word >> 20;
        packet->fragment = ip->next == FRAGMENT;
        packet->extended = ip->next == MOBILITY
            || is_in(PROTOCOL(HOP_BY_HOP) | PROTOCOL(ROUTING) | PROTOCOL(AUTHENTICATION)
                         | PROTOCOL(DESTINATION_OPTIONS), ip->next);
        if (word >> 28 != 6)
            return false;
        read_transport(packet, skb, (void *)(ip + 1), end, sizeof(*ip));
    } else {
        struct ipv4 *ip = start;

        if ((void *)(ip + 1) > end)
            return false;
        packet->checksum = ip->checksum;
        packet->source = key_of(&ip->source, false);
        packet->destination = key_of(&ip->destination, false);
        packet->length = swap16(ip->length);
        packet->protocol = ip->protocol;
        packet->ttl = ip->ttl;
        packet->class = ip->class;
        packet->fragment = ip->fragment & swap16(IPV4_MF_AND_OFFSET);
        packet->extended = ip->version_ihl ^ 0x45;
        if (ip->version_ihl >> 4 != 4 || packet->length < sizeof(*ip)
            || (!packet->extended && !is_intact(ip)))
            return false;
        read_transport(packet, skb, (void *)(ip + 1), end, sizeof(*ip));
    }
    return true;
}

/* Whether a router may forward packets to this destination at all. */
INLINE bool is_unicast(struct key destination, bool v6)
{
    u64 hi = destination.hi;

    if (v6) /* not ff00::/8, fe80::/10, ::, ::1 */
        return hi >> 56 != 0xff && hi >> 54 != 0xfe80 >> 6 && (hi != 0 || destination.lo > 1);
    /* not 224.0.0.0/4, 0.0.0.0/8, 127.0.0.0/8, 169.254.0.0/16, 255.255.255.255 */
    return hi >> 60 != 0xe && hi >> 56 != 0 && hi >> 56 != 127 && hi >> 48 != 0xa9fe
        && hi >> 32 != 0xffffffff;
}

#endif
