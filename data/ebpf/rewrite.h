/* SPDX-License-Identifier: Apache-2.0 OR MIT OR GPL-2.0-only */
/* Changes to headers, and the sums that must follow them. */
#ifndef REWRITE_H
#define REWRITE_H

#include "parse.h"

#define ECN_MASK 3
#define ECN_CE 3
#define ECN_ECT_1 1
#define ECN_ECT_0 2
#define ECN_NOT_ECT 0

/* Some interfaces hand up the sum of what they received. It must follow what we change. */
INLINE void follow_sum(struct __sk_buff *skb, u64 sum)
{
    bpf_csum_update(skb, fold(sum));
}

/*
 * Sets TTL and traffic class, and the checksum with them (RFC 1624). What was there is known from
 * `packet`: to read it again, just after the kernel moved it, takes surprisingly long.
 */
INLINE void rewrite_ipv4(struct ipv4 *ip, const struct packet *packet, u8 class, u8 ttl)
{
    u32 change = ((u32)class << 8) + ttl - ((u32)packet->class << 8) - packet->ttl;

    /* 0x1fffe is twice zero, so that nothing becomes negative. */
    ip->checksum = ~fold32((u16)~packet->checksum + 0x1fffe + change);
    ip->class = class;
    ip->ttl = ttl;
}

/* Sets hop limit and traffic class. Gives what that adds to the sum of the packet. */
INLINE u64 rewrite_ipv6(struct ipv6 *ip, const struct packet *packet, u8 class, u8 hop_limit)
{
    u32 word = (packet->word & ~swap32(0x0ff00000)) | swap32((u32)class << 20);
    u64 sum = (u64)(u32)~packet->word + word;

    sum += (u16)~(packet->ttl << 8) + (hop_limit << 8);
    ip->word = word;
    ip->hop_limit = hop_limit;
    return sum;
}

/* RFC 6040 section 4.2: the ECN field a packet leaves the tunnel with; -1 = it is dropped. */
INLINE int ecn_after(u8 inner, u8 outer)
{
    inner &= ECN_MASK;
    outer &= ECN_MASK;
    if (inner == ECN_NOT_ECT)
        return outer == ECN_CE ? -1 : ECN_NOT_ECT;
    if (outer == ECN_CE)
        return ECN_CE;
    return inner == ECN_ECT_0 && outer == ECN_ECT_1 ? ECN_ECT_1 : inner;
}

/*
 * The traffic class a packet leaves the tunnel with, of which the DSCP may be the outer one; -1 = it
 * is dropped.
 */
INLINE int class_after(u8 inner, u8 outer, bool outer_dscp)
{
    int ecn = ecn_after(inner, outer);

    return unlikely(ecn < 0) ? -1 : ((outer_dscp ? outer : inner) & ~ECN_MASK) | ecn;
}

#endif
