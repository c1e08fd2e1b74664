// SPDX-License-Identifier: Apache-2.0 OR MIT OR GPL-2.0-only
/*
 * Shares the data ports with tunnel devices of the kernel.
 *
 * A network card hands over packets as they were on the wire. The kernel joins those of a TCP
 * stream before anybody looks at them, inside a tunnel only if a tunnel device owns the UDP port.
 * So there is one for each port, which does nothing else, and our sockets cannot have the ports.
 * This brings them what is theirs: datagrams with source port 0. The main program (weft.bpf.c)
 * marks what it does not take itself, and the programs here all that comes in where the main
 * program does not run.
 *
 * What only passes through this machine must not be joined: for VXLAN-GPE the kernel does not note
 * where the inner packet begins, and cannot take apart again what it has joined. The lookup of the
 * socket is asked then, too, provided that there is more than one tunnel device.
 */
#include "prepass.h"

/* Whether the port of VXLAN is ours, too: 0 or 1. User space says so when it loads the programs. */
const volatile u32 serves_vxlan = 0;

/* The sockets that share the ports: two for each, by family. */
struct {
    MAP_NUMBER(type, BPF_MAP_TYPE_SOCKMAP);
    MAP_NUMBER(max_entries, 6);
    MAP_TYPE(key, u32);
    MAP_TYPE(value, u32);
} sockets SECTION(".maps");

INLINE bool is_to_us(const struct bpf_sk_lookup *lookup, bool v6)
{
    struct address local = { { 0, 0, swap32(0xffff), lookup->local_ip4 } };

    if (v6) {
        local.words[0] = lookup->local_ip6[0];
        local.words[1] = lookup->local_ip6[1];
        local.words[2] = lookup->local_ip6[2];
        local.words[3] = lookup->local_ip6[3];
    }
    return bpf_map_lookup_elem(&addresses, &local);
}

/* Whether the IP packet at `at` is for us. What only passes through is not touched. */
INLINE bool is_for_us(struct __sk_buff *skb, u32 at, bool v6)
{
    struct address local = { { 0, 0, swap32(0xffff), 0 } };

    if (v6 ? bpf_skb_load_bytes(skb, at + OFFSET(ipv6, destination), &local, sizeof(local))
           : bpf_skb_load_bytes(skb, at + OFFSET(ipv4, destination), &local.words[3], 4))
        return false;
    return bpf_map_lookup_elem(&addresses, &local);
}

INLINE int steer_packet(struct __sk_buff *skb, u32 at)
{
    bool v6 = skb->protocol == swap16(ETH_P_IPV6);

    if ((v6 || skb->protocol == swap16(ETH_P_IP)) && is_for_us(skb, at, v6))
        steer(skb, at, v6, serves_vxlan);
    return TCX_NEXT;
}

/* At the ingress of interfaces whose packets have an Ethernet header. */
SECTION("classifier")
int steer_frames(struct __sk_buff *skb)
{
    return steer_packet(skb, sizeof(struct ethernet));
}

/* At the ingress of interfaces whose packets have none. */
SECTION("classifier")
int steer_packets(struct __sk_buff *skb)
{
    return steer_packet(skb, 0);
}

/* Chooses the socket of a packet: of one for this host, and of one that may be joined to others. */
SECTION("sk_lookup")
int steer_sockets(struct bpf_sk_lookup *lookup)
{
    bool v6 = lookup->family == AF_INET6;
    u32 port = lookup->local_port, place;
    struct bpf_sock *socket;

    if (lookup->protocol != UDP || !is_data_port(port, serves_vxlan))
        return SK_PASS;
    if (lookup->remote_port)
        return is_to_us(lookup, v6) ? SK_PASS : SK_DROP;
    place = (port == VXLAN_GPE_PORT ? 2 : port == VXLAN_PORT ? 4 : 0) + v6;
    socket = bpf_map_lookup_elem(&sockets, &place);
    if (socket) {
        bpf_sk_assign(lookup, socket, 0);
        bpf_sk_release(socket);
    }
    return SK_PASS;
}

/* On arrival, before the kernel joins anything, at the cards that the operator names. */
SECTION("xdp.frags")
int prepass(struct xdp_md *frame)
{
    prepare((void *)(long)frame->data, (void *)(long)frame->data_end);
    return XDP_PASS;
}

char licence[] SECTION("license") = "Dual MIT/GPL";
