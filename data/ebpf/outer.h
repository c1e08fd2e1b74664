/* SPDX-License-Identifier: Apache-2.0 OR MIT OR GPL-2.0-only */
/* What comes in front of an inner packet (RFC 9300 section 5.1 and 5.2). */
#ifndef OUTER_H
#define OUTER_H

#include "maps.h"

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

/* Takes from a hop what its packets need. */
INLINE void learn(struct known_hop *known, const struct hop *hop)
{
    bool generic = hop->encapsulation == ENCAPSULATION_LISP_GPE
        || hop->encapsulation == ENCAPSULATION_VXLAN_GPE;

    copy(known->remote, hop->remote, sizeof(known->remote));
    copy(known->local, hop->local, sizeof(known->local));
    known->version = hop->version;
    known->port = swap16(hop->port);
    known->family = hop->family;
    known->frame = hop->encapsulation == ENCAPSULATION_VXLAN ? sizeof(struct ethernet) : 0;
    known->size = known->frame
        + (hop->family == 6 ? sizeof(struct outer6) : sizeof(struct outer4));
    known->data[0] = hop->header0 | (generic ? 1U << 24 : 0);
    known->data[1] = hop->header0 | (generic ? 2U << 24 : 0);
    /* as if there were no instances (RFC 9300 section 5.1) */
    known->unnamed = hop->encapsulation < ENCAPSULATION_VXLAN_GPE ? ~DATA_INSTANCE : ~0;
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

/*
 * In front of an inner packet of this version. Gives the sum of what was written. The UDP checksum
 * is 0 (RFC 9300 section 5.3).
 */
INLINE u64 write_tunnel(struct tunnel_headers *headers, const struct entry *entry,
                        const struct known_hop *known, bool v6)
{
    u32 *words = (u32 *)headers;

    words[0] = swap16(0xc000 | (entry->hash & 0x3fff)) | (u32)known->port << 16;
    words[1] = swap16(entry->payload + sizeof(*headers));
    words[2] = known->data[v6] & (entry->instance ? ~0 : known->unnamed);
    words[3] = swap32(entry->instance << 8);
    return (u64)words[0] + words[1] + words[2] + words[3];
}

INLINE void write_outer4(struct outer4 *headers, const struct entry *entry,
                         const struct known_hop *known)
{
    u32 *words = (u32 *)headers;
    u64 sum;

    words[0] = 0x45 | entry->outer_class << 8
        | (u32)swap16(entry->payload + sizeof(*headers)) << 16;
    words[1] = entry->df ? (u32)swap16(IPV4_DF) << 16 : bpf_get_prandom_u32() & 0xffff;
    words[2] = entry->outer_ttl | UDP << 8;
    words[3] = *(const u32 *)known->local;
    words[4] = *(const u32 *)known->remote;
    sum = (u64)words[0] + words[1] + words[2] + words[3] + words[4];
    headers->ip.checksum = ~fold(sum);
}

/* Gives the sum of what was written. The flow label spreads flows, as RFC 6438 asks for. */
INLINE u64 write_outer6(struct outer6 *headers, const struct entry *entry,
                        const struct known_hop *known)
{
    const u32 *local = (const u32 *)known->local, *remote = (const u32 *)known->remote;
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

#endif
