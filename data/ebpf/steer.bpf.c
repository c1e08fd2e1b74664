// SPDX-License-Identifier: Apache-2.0 OR MIT OR GPL-2.0-only
/*
 * Shares a data port with a tunnel device of the kernel.
 *
 * A network card hands over packets as they were on the wire. The kernel joins those of a TCP
 * stream before anybody looks at them, inside a tunnel only if a tunnel device owns the UDP port.
 * So there is one, which does nothing else, and our sockets cannot have the port. This brings them
 * what is theirs: datagrams with source port 0. The main program (weft.bpf.c) marks what it does
 * not take itself, and the programs here all that comes in where the main program does not run.
 */
#include "steer.h"

enum family {
    FAMILY_V4 = 0,
    FAMILY_V6 = 1,
};

/* The sockets that share the port, by family. */
struct {
    MAP_NUMBER(type, BPF_MAP_TYPE_SOCKMAP);
    MAP_NUMBER(max_entries, 2);
    MAP_TYPE(key, u32);
    MAP_TYPE(value, u32);
} sockets SECTION(".maps");

/* The port, in host order. */
struct {
    MAP_NUMBER(type, BPF_MAP_TYPE_ARRAY);
    MAP_NUMBER(max_entries, 1);
    MAP_TYPE(key, u32);
    MAP_TYPE(value, u32);
} shared SECTION(".maps");

/* At the ingress of interfaces whose packets have an Ethernet header. */
SECTION("classifier")
int steer_frames(struct __sk_buff *skb)
{
    bool v6 = skb->protocol == swap16(ETH_P_IPV6);

    if (v6 || skb->protocol == swap16(ETH_P_IP))
        steer(skb, sizeof(struct ethernet), v6);
    return TCX_NEXT;
}

/* At the ingress of interfaces whose packets have none. */
SECTION("classifier")
int steer_packets(struct __sk_buff *skb)
{
    bool v6 = skb->protocol == swap16(ETH_P_IPV6);

    if (v6 || skb->protocol == swap16(ETH_P_IP))
        steer(skb, 0, v6);
    return TCX_NEXT;
}

/* Chooses the socket of a packet that is for this host. */
SECTION("sk_lookup")
int steer_sockets(struct bpf_sk_lookup *lookup)
{
    u32 only = 0, family = lookup->family == AF_INET6 ? FAMILY_V6 : FAMILY_V4;
    struct bpf_sock *socket;
    u32 *port;

    if (lookup->protocol != UDP || lookup->remote_port)
        return SK_PASS;
    port = bpf_map_lookup_elem(&shared, &only);
    if (!port || lookup->local_port != *port)
        return SK_PASS;
    socket = bpf_map_lookup_elem(&sockets, &family);
    if (socket) {
        bpf_sk_assign(lookup, socket, 0);
        bpf_sk_release(socket);
    }
    return SK_PASS;
}

char licence[] SECTION("license") = "Dual MIT/GPL";
