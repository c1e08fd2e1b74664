// SPDX-License-Identifier: Apache-2.0 OR MIT OR GPL-2.0-only
/*
 * The fast path: an accelerator in front of the portable plane, at the ingress of Ethernet
 * interfaces. It takes a packet only when it can forward it completely. Everything else it leaves
 * untouched, and the kernel brings it to the portable plane: by routing what is to be
 * encapsulated, by the UDP socket what is to be decapsulated. So packets wait for a mapping, are
 * dropped with a reason and answered with ICMP in one place only, and not here.
 */
#include "decapsulate.h"

/* A packet of this version that came in by an Ethernet interface. */
INLINE int handle(struct __sk_buff *skb, bool v6)
{
    struct cpu *cpu = this_cpu();
    struct ethernet *ethernet;
    struct port *port;
    int verdict;

    if (unlikely(!cpu))
        return pass_on(skb);
    port = port_of(cpu, skb->ifindex);
    if (!port || !reach(skb, sizeof(*ethernet) + headers(v6)))
        return TCX_NEXT;
    ethernet = (void *)(long)skb->data;
    if ((void *)(ethernet + 1) > (void *)(long)skb->data_end
        || ethernet->protocol != swap16(v6 ? ETH_P_IPV6 : ETH_P_IP))
        return TCX_NEXT;
    if (port->flags & PORT_DECAP) {
        verdict = decapsulate(skb, cpu, v6);
        if (verdict != NOT_OURS)
            return verdict;
    }
    if (!(port->flags & PORT_ENCAP))
        return TCX_NEXT;
    return encapsulate(skb, cpu, port, v6);
}

SECTION("classifier")
int weft(struct __sk_buff *skb)
{
    /* A VLAN has an interface, and that a program, of its own. */
    if (skb->pkt_type != PACKET_HOST || skb->vlan_present)
        return TCX_NEXT;
    if (skb->protocol == swap16(ETH_P_IP))
        return handle(skb, false);
    if (skb->protocol == swap16(ETH_P_IPV6))
        return handle(skb, true);
    return TCX_NEXT;
}

char licence[] SECTION("license") = "Dual MIT/GPL";
