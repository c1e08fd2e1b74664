/* SPDX-License-Identifier: Apache-2.0 OR MIT OR GPL-2.0-only */
/*
 * The kernel's user API as far as the program needs it, so that a compiler is all it takes to
 * build it. Names, numbers and layouts are those of <linux/bpf.h>, which the kernel keeps for
 * ever. Linux 6.6 has everything.
 */
#ifndef KERNEL_H
#define KERNEL_H

#include "weft.h"

typedef _Bool bool;
#define true 1
#define false 0

/* The program is compiled for the order of the machine it runs on: little-endian (bpfel). */
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "big-endian needs its own object");
#define swap16(value) __builtin_bswap16(value)
#define swap32(value) __builtin_bswap32(value)
#define swap64(value) __builtin_bswap64(value)

#define SECTION(name) __attribute__((section(name), used))
#define INLINE static inline __attribute__((always_inline))
#define GLOBAL __attribute__((noinline)) /* verified by itself, once */
#define likely(condition) __builtin_expect(!!(condition), 1)
#define unlikely(condition) __builtin_expect(!!(condition), 0)
#define copy(to, from, octets) __builtin_memcpy(to, from, octets)

/* How a map is declared: by types that only its debug information shows. */
#define MAP_NUMBER(name, value) int (*name)[value]
#define MAP_TYPE(name, type) __typeof__(type) *name

enum map_type {
    BPF_MAP_TYPE_HASH = 1,
    BPF_MAP_TYPE_ARRAY = 2,
    BPF_MAP_TYPE_PERCPU_ARRAY = 6,
    BPF_MAP_TYPE_SOCKMAP = 15,
};
#define BPF_F_MMAPABLE (1U << 10)

enum tc_action {
    TC_ACT_SHOT = 2,
    TCX_NEXT = -1,
};

#define SK_DROP 0
#define SK_PASS 1

#define PACKET_HOST 0

/* The packet, as the verifier lets us see it. */
struct __sk_buff {
    u32 len;
    u32 pkt_type;
    u32 mark;
    u32 queue_mapping;
    u32 protocol;
    u32 vlan_present;
    u32 vlan_tci;
    u32 vlan_proto;
    u32 priority;
    u32 ingress_ifindex;
    u32 ifindex;
    u32 tc_index;
    u32 cb[5];
    u32 hash;
    u32 tc_classid;
    u32 data;
    u32 data_end;
    u32 unused[15];
    u64 flow_keys;
    u64 tstamp;
    u32 wire_len;
    u32 gso_segs;
    u64 sk;
    u32 gso_size;
};
_Static_assert(__builtin_offsetof(struct __sk_buff, data_end) == 80, "of <linux/bpf.h>");
_Static_assert(__builtin_offsetof(struct __sk_buff, gso_segs) == 164, "of <linux/bpf.h>");
_Static_assert(__builtin_offsetof(struct __sk_buff, gso_size) == 176, "of <linux/bpf.h>");

/* What a socket is looked for, as the verifier lets us see it. */
struct bpf_sk_lookup {
    u64 sk;
    u32 family;
    u32 protocol;
    u32 remote_ip4;
    u32 remote_ip6[4];
    u16 remote_port; /* in the order of the network */
    u16 unused;
    u32 local_ip4;
    u32 local_ip6[4];
    u32 local_port; /* in the order of the host */
    u32 ingress_ifindex;
};
_Static_assert(__builtin_offsetof(struct bpf_sk_lookup, remote_port) == 36, "of <linux/bpf.h>");
_Static_assert(__builtin_offsetof(struct bpf_sk_lookup, local_port) == 60, "of <linux/bpf.h>");

struct bpf_sock;

/* A frame as it arrived, before there is a packet. */
struct xdp_md {
    u32 data;
    u32 data_end;
    u32 data_meta;
    u32 ingress_ifindex;
    u32 rx_queue_index;
    u32 egress_ifindex;
};

#define XDP_PASS 2

#define AF_INET 2
#define AF_INET6 10

struct bpf_fib_lookup {
    u8 family;
    u8 l4_protocol;
    u16 sport;
    u16 dport;
    u16 mtu; /* in: length of the packet; out: MTU of the route */
    u32 ifindex;
    u32 flowinfo;
    u32 src[4];
    u32 dst[4]; /* out: the gateway, if the route has one */
    u32 vlan;
    u8 smac[6];
    u8 dmac[6];
};
_Static_assert(sizeof(struct bpf_fib_lookup) == 64, "of <linux/bpf.h>");

#define BPF_FIB_LOOKUP_OUTPUT 2
#define BPF_FIB_LKUP_RET_SUCCESS 0
#define BPF_FIB_LKUP_RET_NO_NEIGH 7

struct bpf_redir_neigh {
    u32 nh_family;
    u32 nh[4];
};

#define BPF_ADJ_ROOM_MAC 1
#define BPF_F_ADJ_ROOM_FIXED_GSO (1ULL << 0)
#define BPF_F_ADJ_ROOM_ENCAP_L3_IPV4 (1ULL << 1)
#define BPF_F_ADJ_ROOM_ENCAP_L3_IPV6 (1ULL << 2)
#define BPF_F_ADJ_ROOM_ENCAP_L4_UDP (1ULL << 4)
#define BPF_F_ADJ_ROOM_NO_CSUM_RESET (1ULL << 5)
#define BPF_F_ADJ_ROOM_ENCAP_L2_ETH (1ULL << 6)
#define BPF_F_ADJ_ROOM_ENCAP_L2(octets) ((u64)(octets) << 56)
#define BPF_F_ADJ_ROOM_DECAP_L3_IPV4 (1ULL << 7)
#define BPF_F_ADJ_ROOM_DECAP_L3_IPV6 (1ULL << 8)

static void *(*bpf_map_lookup_elem)(void *map, const void *key) = (void *)1;
static u32 (*bpf_get_prandom_u32)(void) = (void *)7;
static u32 (*bpf_get_smp_processor_id)(void) = (void *)8;
static long (*bpf_skb_store_bytes)(struct __sk_buff *skb, u32 at, const void *from, u32 octets,
                                   u64 flags) = (void *)9;
static long (*bpf_redirect)(u32 ifindex, u64 flags) = (void *)23;
static long (*bpf_skb_load_bytes)(const struct __sk_buff *skb, u32 at, void *to,
                                  u32 octets) = (void *)26;
static long (*bpf_skb_pull_data)(struct __sk_buff *skb, u32 octets) = (void *)39;
static long (*bpf_csum_update)(struct __sk_buff *skb, u32 sum) = (void *)40;
static long (*bpf_skb_adjust_room)(struct __sk_buff *skb, int octets, u32 mode,
                                   u64 flags) = (void *)50;
static long (*bpf_fib_lookup)(void *skb, struct bpf_fib_lookup *lookup, int size,
                              u32 flags) = (void *)69;
static long (*bpf_sk_release)(struct bpf_sock *socket) = (void *)86;
static long (*bpf_sk_assign)(struct bpf_sk_lookup *lookup, struct bpf_sock *socket,
                             u64 flags) = (void *)124;
static long (*bpf_redirect_neigh)(u32 ifindex, struct bpf_redir_neigh *next, int size,
                                  u64 flags) = (void *)152;
static long (*bpf_redirect_peer)(u32 ifindex, u64 flags) = (void *)155;
static u64 (*bpf_jiffies64)(void) = (void *)118; /* a load, not a call */

#define ETH_P_IP 0x0800
#define ETH_P_IPV6 0x86dd

struct ethernet {
    u8 destination[6];
    u8 source[6];
    u16 protocol;
};

/* Addresses are not aligned to 8 octets behind an Ethernet header; BPF reads them all the same. */
struct ipv4 {
    u8 version_ihl;
    u8 class;
    u16 length;
    u16 id;
    u16 fragment;
    u8 ttl;
    u8 protocol;
    u16 checksum;
    u32 source;
    u32 destination;
};

#define IPV4_MF_AND_OFFSET 0x3fff
#define IPV4_OFFSET 0x1fff
#define IPV4_DF 0x4000

struct ipv6 {
    u32 word; /* version, traffic class, flow label */
    u16 length;
    u8 next;
    u8 hop_limit;
    u32 source[4];
    u32 destination[4];
};

struct udp {
    u16 source;
    u16 destination;
    u16 length;
    u16 checksum;
};

struct data_header {
    u8 flags;
    u8 reserved[2];
    u8 next;
    u32 instance;
};

_Static_assert(sizeof(struct ethernet) == 14, "on the wire");
_Static_assert(sizeof(struct ipv4) == 20, "on the wire");
_Static_assert(sizeof(struct ipv6) == 40, "on the wire");
_Static_assert(sizeof(struct data_header) == 8, "on the wire");

#endif
