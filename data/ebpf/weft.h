/* SPDX-License-Identifier: Apache-2.0 OR MIT OR GPL-2.0-only */
/*
 * What user space and the program tell each other: the values of the maps. The same types are in
 * data/src/ebpf/layout.rs; both files assert sizes and offsets, and so does cpu.h.
 *
 * Numbers are in host order. An IP address fills 16 octets, IPv4 the first four of them, except
 * in `locators` and the keys of `pairs` and `locals`, where IPv4 is mapped into IPv6
 * (::ffff:a.b.c.d). Index 0 of nodes, leaves, groups, ways, slots, hops, locators, carried and
 * received means "none".
 */
#ifndef WEFT_H
#define WEFT_H

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;

#define COPY_TTL 0
#define COPY_DSCP 0xff

enum config_flag {
    CONFIG_DF = 1,           /* outer IPv4 packets are not to be fragmented */
    CONFIG_MSS_CLAMP = 2,    /* TCP SYN packets go to the portable plane */
    CONFIG_DSCP_BACK = 4,    /* decapsulated packets get the outer DSCP */
    CONFIG_SOURCE_CHECK = 8, /* the outer source must be a locator of the inner source's mapping */
    CONFIG_DECAP_ANY = 16,   /* the inner destination need not be an EID of ours */
    CONFIG_STEER = 32,       /* datagrams left to the portable plane are marked (steer.h) */
    CONFIG_VXLAN = 64,       /* VXLAN is for us, and not for a device of the kernel */
    CONFIG_SOURCE_KNOWN = 128, /* with CONFIG_SOURCE_CHECK: and there must be such a mapping */
};

/* How packets are rewritten: two words, each of which user space changes with one store. */
struct config {
    u8 ttl;  /* of outer packets, or COPY_TTL */
    u8 dscp; /* of outer packets, 0 to 63, or COPY_DSCP */
    u16 flags;
    u16 sole; /* the only data port with a tunnel device; 0 = there are others, or none */
    u16 pad;
    u64 generation; /* a larger one after each change of the tables: what was cached is void */
};

enum port_flag {
    PORT_ENCAP = 1, /* what comes in here may go into a tunnel */
    PORT_DECAP = 2, /* what comes in here may come out of a tunnel */
    PORT_PEER = 4,  /* what goes out here goes straight into the namespace of the veth's peer */
};

/* An interface of ours, near the place of its ifindex. */
struct port {
    u32 ifindex;  /* 0 = nobody is here */
    u32 instance; /* index into `instances` */
    u32 flags;
    u32 id; /* of the instance */
};

#define PORTS 16384
#define NEAR 8 /* records from that of the ifindex modulo PORTS on */

enum instance_flag {
    INSTANCE_USED = 1,
    INSTANCE_ANY_SOURCE = 2, /* the inner source need not be an EID of ours */
};

/* `instances`; `instance_of` gives the index of an instance ID. */
struct instance {
    u32 id;
    u32 root4; /* nodes the lookups start at, 0 where there are no entries */
    u32 root6;
    u32 device; /* ifindex of the TUN device, by which the kernel routes what was decapsulated */
    u32 flags;
    u32 wide4; /* the first of 256 nodes of depth 1, by first octet; 0 = only the root leads there */
    u32 scopes4; /* nodes the lookups of source-prefixes start at, 0 = none has entries of its own, */
    u32 scopes6; /* SCOPES_UNKNOWN = nobody knows which */
};

#define SCOPES_UNKNOWN 0xffffffffu

#define NODE_CHILD 0x80000000u  /* a node one octet deeper */
#define NODE_SKIPS 0x40000000u  /* a node more than one octet deeper */
#define NODE_LEAFED 0x20000000u /* with NODE_CHILD: its leaf counts */
#define NODE_INDEX 0x1fffffffu

/*
 * A node of a trie of octets with path compression: `nodes`. The key is an address of 16 octets.
 * A child is one octet or more deeper than its parent; what was skipped must equal `path`.
 */
struct node {
    u64 path_hi; /* the octets above the node, as big-endian numbers; `depth` of them count */
    u64 path_lo;
    u32 depth;
    u32 leaf;      /* of the prefix of exactly `depth` octets, if what leads here is NODE_LEAFED */
    u32 next[256]; /* by the octet at `depth`: marks and a node, a leaf, or 0 */
};

enum leaf_kind {
    LEAF_NONE = 0, /* the portable plane knows */
    LEAF_LOCAL = 1,
    LEAF_ENCAP = 2,
    LEAF_HOP = 3, /* only in a verdict: the same, where the group has but one hop */
};

/* What to do with packets to a prefix. */
struct target {
    u32 kind : 2;
    u32 length : 8; /* of the prefix */
    u32 life : 22;  /* which of the prefixes that had this leaf one after the other */
    u32 group;     /* index into `groups`; with LEAF_HOP into `hops` */
};

/* A prefix: `leaves`. */
struct leaf {
    struct target target;
};

/* The leaf of what nobody knows. It has a length that no prefix has. */
#define LEAF_UNKNOWN 1
#define LENGTH_UNKNOWN 255

/* A source-prefix with entries of its own (RFC 8060 section 4.8), also in `leaves`. */
struct scope {
    u32 kind : 2;
    u32 wider : 30; /* the leaf of the longest other one that contains it, 0 = there is none */
    u32 root;       /* node the lookups of its entries start at, 0 = nobody knows them */
};

/*
 * What was sent into tunnels because of a leaf: `carried`, with the index of the leaf. What a
 * verdict still has comes on top.
 */
struct volume {
    u64 packets;
    u64 bytes; /* of inner packets */
};

/* An address as a number, most significant bit first; IPv4 is the upper half of `hi`. */
struct key {
    u64 hi, lo;
};

/*
 * One of several, by flow hash: a group chooses among `ways` (locators), `ways` among `hops`
 * (uplinks).
 */
struct choice {
    u32 first; /* index of the first to choose from, 0 = there is none */
    u32 slots; /* index into `slots`, 0 = there is one */
};

/* Records of `locators` that follow each other. */
struct run {
    u32 first;
    u32 count; /* 0 = there are none, or nobody knows */
};

/* Who carries packets to prefixes, and who may send those from them: `groups`. */
struct group {
    struct choice choice;
    struct run locators; /* all, whether they carry packets or not */
};

#define LOCATORS 32 /* of a group at most; nobody knows those of a larger one */
#define SLOTS 512

/* Which of them has each slot of the flow hash: `slots`. */
struct slots {
    u8 member[SLOTS];
};

enum encapsulation {
    ENCAPSULATION_LISP = 0,
    ENCAPSULATION_LISP_GPE = 1,
    ENCAPSULATION_VXLAN_GPE = 2,
    ENCAPSULATION_VXLAN = 3,
};

/* Where and how to send a packet: `hops`. */
struct hop {
    u8 remote[16];
    u8 local[16];
    u32 interface; /* ifindex of the uplink */
    u32 pair;      /* whose packets by it are */
    u32 version;   /* differs when the hop differs: what was cached of the old one is void */
    u16 mtu;       /* the largest inner packet, octets */
    u16 port;      /* UDP destination */
    u8 family;     /* 4 or 6, of both locators */
    u8 header0;    /* first octet of the data header */
    u8 encapsulation;
    u8 pad[13]; /* to a cache line */
};

/* What came from one locator to another: `received`. What a tunnel still has comes on top. */
struct received {
    u64 packets;
    u64 life; /* which of the pairs that had this record one after the other */
};

/* Locators between which packets are counted: `pairs`, gives an index into `received`. */
struct pair_key {
    u8 local[16];
    u8 remote[16];
};

/* Why a packet that looked like ours was left to the portable plane. */
enum exception {
    EXCEPTION_MISS = 0,         /* no mapping (yet), or one that is not to encapsulate */
    EXCEPTION_HEADERS = 1,      /* IPv4 options or IPv6 extension headers */
    EXCEPTION_FRAGMENT = 2,
    EXCEPTION_TTL = 3,          /* its life ends here */
    EXCEPTION_NO_HOP = 4,       /* the mapping has no usable locator */
    EXCEPTION_TOO_BIG = 5,
    EXCEPTION_SYN = 6,          /* its MSS is to be lowered */
    EXCEPTION_ROUTE = 7,        /* the kernel has no plain route, or nobody answers at its end */
    EXCEPTION_ROOM = 8,         /* the kernel refuses to move the headers */
    EXCEPTION_DATA_HEADER = 9,  /* not a data header we fully understand */
    EXCEPTION_INSTANCE = 10,    /* not an instance of ours */
    EXCEPTION_BATCH = 11,       /* many datagrams in one buffer, of LISP or of inner UDP */
    EXCEPTION_INNER = 12,       /* not a plain inner packet, or lengths disagree */
    EXCEPTION_DESTINATION = 13, /* the inner destination is not an EID of ours */
    EXCEPTION_SOURCE_CHECK = 14, /* not from a locator of the inner source's mapping */
    EXCEPTION_ECN = 15,         /* RFC 6040 says drop */
    EXCEPTIONS = 16,
};

#define ASSERT_LAYOUT(what, octets) _Static_assert((what) == (octets), "layout.rs says otherwise")
#define OFFSET(type, field) __builtin_offsetof(struct type, field)

ASSERT_LAYOUT(sizeof(struct config), 16);
ASSERT_LAYOUT(OFFSET(config, flags), 2);
ASSERT_LAYOUT(OFFSET(config, sole), 4);
ASSERT_LAYOUT(OFFSET(config, generation), 8);
ASSERT_LAYOUT(sizeof(struct port), 16);
ASSERT_LAYOUT(OFFSET(port, flags), 8);
ASSERT_LAYOUT(sizeof(struct instance), 32);
ASSERT_LAYOUT(OFFSET(instance, device), 12);
ASSERT_LAYOUT(sizeof(struct node), 1048);
ASSERT_LAYOUT(OFFSET(node, depth), 16);
ASSERT_LAYOUT(OFFSET(node, next), 24);
ASSERT_LAYOUT(sizeof(struct leaf), 8);
ASSERT_LAYOUT(sizeof(struct scope), 8);
ASSERT_LAYOUT(sizeof(struct volume), 16);
ASSERT_LAYOUT(sizeof(struct choice), 8);
ASSERT_LAYOUT(sizeof(struct group), 16);
ASSERT_LAYOUT(OFFSET(group, locators), 8);
ASSERT_LAYOUT(sizeof(struct slots), 512);
ASSERT_LAYOUT(sizeof(struct hop), 64);
ASSERT_LAYOUT(OFFSET(hop, interface), 32);
ASSERT_LAYOUT(OFFSET(hop, version), 40);
ASSERT_LAYOUT(OFFSET(hop, mtu), 44);
ASSERT_LAYOUT(OFFSET(hop, family), 48);
ASSERT_LAYOUT(sizeof(struct pair_key), 32);
ASSERT_LAYOUT(sizeof(struct received), 16);

#endif
