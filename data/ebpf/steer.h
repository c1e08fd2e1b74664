/* SPDX-License-Identifier: Apache-2.0 OR MIT OR GPL-2.0-only */
/*
 * How datagrams reach the portable plane while the data ports belong to tunnel devices of the
 * kernel (steer.bpf.c says why): they get UDP source port 0, which brings them to our sockets. The
 * source port only tells flows apart on the way here (RFC 9300 section 5.3) and has served its
 * purpose.
 */
#ifndef STEER_H
#define STEER_H

#include "parse.h"

#define DATA_PORT 4341
#define VXLAN_GPE_PORT 4790
#define VXLAN_PORT 4789

/* Whether a port, in host order, is one of ours; VXLAN's may be that of a device of the kernel. */
INLINE bool is_data_port(u16 port, bool vxlan)
{
    if (unlikely(port == VXLAN_PORT))
        return vxlan;
    return port == DATA_PORT || port == VXLAN_GPE_PORT;
}

/* As many headers as anybody has a reason to put in front of UDP. */
#define MOST_EXTENSIONS 4

struct extension {
    u8 next;
    u8 length; /* in units of 8 octets, without the first; not of a fragment header */
    u16 offset; /* of a fragment header */
};

#define IPV6_OFFSET 0xfff8

/* Where the UDP header of the IP packet at `at` is, 0 if there is none. */
INLINE u32 find_udp6(struct __sk_buff *skb, u32 at)
{
    struct extension extension;
    struct ipv6 ip;
    u8 next;

    if (bpf_skb_load_bytes(skb, at, &ip, sizeof(ip)))
        return 0;
    next = ip.next;
    at += sizeof(ip);
#pragma unroll
    for (int n = 0; n < MOST_EXTENSIONS; n++) {
        if (next == UDP)
            return at;
        if ((next != HOP_BY_HOP && next != ROUTING && next != DESTINATION_OPTIONS
             && next != FRAGMENT)
            || bpf_skb_load_bytes(skb, at, &extension, sizeof(extension)))
            return 0;
        if (next == FRAGMENT && extension.offset & swap16(IPV6_OFFSET))
            return 0;
        at += next == FRAGMENT ? 8 : (extension.length + 1) * 8;
        next = extension.next;
    }
    return next == UDP ? at : 0;
}

/* The same for IPv4. */
INLINE u32 find_udp4(struct __sk_buff *skb, u32 at)
{
    struct ipv4 ip;

    if (bpf_skb_load_bytes(skb, at, &ip, sizeof(ip)) || ip.protocol != UDP
        || ip.fragment & swap16(IPV4_OFFSET))
        return 0;
    return at + (ip.version_ihl & 0xf) * 4;
}

/*
 * Marks the datagram in the IP packet at `at`, which is for us, if it is one to a data port, among
 * which is that of VXLAN only if `vxlan`. The checksum goes with the port, so that the sum over
 * both stays. Pointers into the packet are void afterwards.
 */
INLINE void steer(struct __sk_buff *skb, u32 at, bool v6, bool vxlan)
{
    struct udp udp;
    u32 sum;

    at = v6 ? find_udp6(skb, at) : find_udp4(skb, at);
    if (!at || bpf_skb_load_bytes(skb, at, &udp, sizeof(udp)) || !udp.source)
        return;
    if (!is_data_port(swap16(udp.destination), vxlan))
        return;
    if (udp.checksum) {
        sum = udp.checksum + udp.source;
        sum = (sum & 0xffff) + (sum >> 16);
        udp.checksum = sum;
    }
    udp.source = 0;
    bpf_skb_store_bytes(skb, at, &udp, sizeof(udp), 0);
}

#endif
