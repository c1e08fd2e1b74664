/* SPDX-License-Identifier: Apache-2.0 OR MIT OR GPL-2.0-only */
/*
 * How streams in plain LISP come to be joined, too. Receive offload has to be told what is inside a
 * tunnel, and plain LISP leaves that to the inner packet itself. So, before the kernel joins
 * anything, packets to us get the form of LISP-GPE (RFC 9305 section 3), which says it.
 */
#ifndef PREPASS_H
#define PREPASS_H

#include "ours.h"
#include "steer.h"

struct vlan {
    u16 tag;
    u16 protocol;
};

#define ETH_P_8021Q 0x8100
#define ETH_P_8021AD 0x88a8
#define MOST_TAGS 2

/* What is behind the Ethernet header and VLAN tags that a card left in place. */
INLINE void *behind_tags(void *start, void *end, u16 *protocol)
{
    struct ethernet *ethernet = start;
    struct vlan *vlan = start + sizeof(*ethernet);

    if ((void *)(ethernet + 1) > end)
        return end;
    *protocol = swap16(ethernet->protocol);
#pragma unroll
    for (int n = 0; n < MOST_TAGS; n++) {
        if (*protocol != ETH_P_8021Q && *protocol != ETH_P_8021AD)
            break;
        if ((void *)(vlan + 1) > end)
            return end;
        *protocol = swap16(vlan->protocol);
        vlan++;
    }
    return vlan;
}

/* The UDP header of a whole IP packet without options that is for us; NULL if it is not one. */
INLINE struct udp *udp_for_us(void *start, void *end, bool v6)
{
    struct address local = { { 0, 0, swap32(0xffff), 0 } };
    struct ipv4 *ipv4 = start;
    struct ipv6 *ipv6 = start;

    if (v6) {
        if ((void *)(ipv6 + 1) > end || ipv6->next != UDP)
            return 0;
        copy(&local, ipv6->destination, sizeof(local));
    } else {
        if ((void *)(ipv4 + 1) > end || ipv4->version_ihl != 0x45 || ipv4->protocol != UDP
            || ipv4->fragment & swap16(IPV4_MF_AND_OFFSET))
            return 0;
        local.words[3] = ipv4->destination;
    }
    if (!bpf_map_lookup_elem(&addresses, &local))
        return 0;
    return v6 ? (void *)(ipv6 + 1) : (void *)(ipv4 + 1);
}

/* The number of the protocol behind a data header, by the inner packet's version; 0 for others. */
INLINE u8 next_of(u8 first)
{
    return first >> 4 == 4 ? 1 : first >> 4 == 6 ? 2 : 0;
}

/*
 * Whether nothing that a data header says is lost if it says what comes next in the place of a
 * nonce. We ask for no nonces back, so those that are not to be echoed tell us nothing.
 */
INLINE bool has_room(u8 flags)
{
    return !(flags & ~(DATA_NONCE | DATA_LOCATOR_STATUS | DATA_INSTANCE));
}

/* Has the checksum follow a change of four octets (RFC 1624). It is never 0, which means none. */
INLINE void follow_word(struct udp *udp, u32 before, u32 after)
{
    u16 checksum = ~fold((u64)(u16)~udp->checksum + (u32)~before + after);

    udp->checksum = checksum ? checksum : 0xffff;
}

/* Says what comes next, if the frame is of plain LISP and that can be said. */
INLINE void prepare(void *start, void *end)
{
    struct data_header *header;
    u32 before, after;
    u16 protocol = 0;
    struct udp *udp;
    u8 next;

    start = behind_tags(start, end, &protocol);
    if (protocol != ETH_P_IP && protocol != ETH_P_IPV6)
        return;
    udp = udp_for_us(start, end, protocol == ETH_P_IPV6);
    if (!udp || (void *)(udp + 1) + sizeof(*header) + 1 > end
        || udp->destination != swap16(DATA_PORT))
        return;
    header = (void *)(udp + 1);
    next = next_of(*(u8 *)(header + 1));
    if (!next || !has_room(header->flags))
        return;
    copy(&before, header, sizeof(before));
    header->flags = (header->flags & ~DATA_NONCE) | DATA_NEXT;
    header->reserved[0] = 0;
    header->reserved[1] = 0;
    header->next = next;
    copy(&after, header, sizeof(after));
    if (udp->checksum)
        follow_word(udp, before, after);
}

#endif
