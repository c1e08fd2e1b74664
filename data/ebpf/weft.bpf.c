// SPDX-License-Identifier: Apache-2.0 OR MIT OR GPL-2.0-only
/*
 * The fast path: an accelerator in front of the portable plane, at the ingress of Ethernet
 * interfaces. It takes a packet only when it can forward it completely. Everything else it leaves
 * untouched, and the kernel brings it to the portable plane: by routing what is to be
 * encapsulated, by the UDP socket what is to be decapsulated. So packets wait for a mapping, are
 * dropped with a reason and answered with ICMP in one place only, and not here.
 */
#include "decapsulate.h"

SECTION("classifier")
int weft(struct __sk_buff *skb)
{
    bool v6 = skb->protocol == swap16(ETH_P_IPV6);
    struct ethernet *ethernet;
    struct port *port;
    int verdict;

    /* A VLAN has an interface, and that a program, of its own. */
    if (skb->pkt_type != PACKET_HOST || skb->vlan_present
        || (!v6 && skb->protocol != swap16(ETH_P_IP)))
        return TCX_NEXT;
    port = port_of(skb->ifindex);
    if (!port || !reach(skb, sizeof(*ethernet) + headers(v6)))
        return TCX_NEXT;
    ethernet = (void *)(long)skb->data;
    if ((void *)(ethernet + 1) > (void *)(long)skb->data_end
        || ethernet->protocol != skb->protocol)
        return TCX_NEXT;
    if (port->flags & PORT_DECAP) {
        verdict = decapsulate(skb, v6);
        if (verdict != NOT_OURS)
            return verdict;
    }
    return port->flags & PORT_ENCAP ? encapsulate(skb, port->instance, port->id, v6) : TCX_NEXT;
}

char licence[] SECTION("license") = "Dual MIT/GPL";
