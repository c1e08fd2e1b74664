// SPDX-License-Identifier: Apache-2.0 OR MIT OR GPL-2.0-only
/*
 * The fast path: an accelerator in front of the portable plane, at the ingress of Ethernet
 * interfaces. It takes a packet only when it can forward it completely. Everything else it leaves
 * untouched, and the kernel brings it to the portable plane: by routing what is to be
 * encapsulated, by the UDP socket what is to be decapsulated. So packets wait for a mapping, are
 * dropped with a reason and answered with ICMP in one place only, and not here.
 */
#include "decapsulate.h"

/*
 * Whether the packet came to one of our addresses, and in `pair` who counts it (0 = nobody). The
 * generation is read before the tables, and user space writes it after them.
 */
INLINE bool is_ours(const struct arrival *arrival, u64 now, u32 *pair)
{
    const u64 *locators = arrival->locators;
    u64 mixed = locators[0] ^ locators[1] ^ locators[2] ^ (locators[3] << 31 | locators[3] >> 33);
    struct tunnel *kept = OWN(tunnels, CACHED, place(mixed, CACHED));
    struct config *options = RECORD(config, 0);

    *pair = 0;
    if (unlikely(!kept || !options))
        return bpf_map_lookup_elem(&locals, locators);
    if (unlikely(!is_valid(kept->asked, now, kept->generation, options)
                 || kept->locators[1] != locators[1] || kept->locators[3] != locators[3]
                 || kept->locators[0] != locators[0] || kept->locators[2] != locators[2])) {
        u32 *known;

        kept->generation = *(volatile u32 *)&options->generation;
        known = bpf_map_lookup_elem(&pairs, locators);
        kept->asked = now;
        for (int i = 0; i < 4; i++)
            kept->locators[i] = locators[i];
        kept->pair = known ? *known : 0;
        kept->ours = known || bpf_map_lookup_elem(&locals, locators);
    }
    *pair = kept->pair;
    return kept->ours;
}

/* Whether this is a packet to us with more outer headers than are read here. */
INLINE bool is_involved(void *start, void *end, bool v6)
{
    struct address local;

    if (v6) {
        struct ipv6 *ip = start;

        if ((void *)(ip + 1) > end
            || (ip->next != FRAGMENT && ip->next != HOP_BY_HOP && ip->next != ROUTING
                && ip->next != DESTINATION_OPTIONS))
            return false;
        map_address(local.octets, ip->destination, true);
    } else {
        struct ipv4 *ip = start;

        if ((void *)(ip + 1) > end || ip->protocol != UDP || ip->version_ihl == 0x45)
            return false;
        map_address(local.octets, &ip->destination, false);
    }
    return bpf_map_lookup_elem(&locals, &local);
}

/* Leaves a packet that came to a data port of ours to the portable plane. */
INLINE int to_socket(struct __sk_buff *skb, bool v6)
{
    struct config *options = RECORD(config, 0);

    if (options && options->flags & CONFIG_STEER)
        steer(skb, sizeof(struct ethernet), v6, serves_vxlan());
    return TCX_NEXT;
}

SECTION("classifier")
int weft(struct __sk_buff *skb)
{
    bool v6 = skb->protocol == swap16(ETH_P_IPV6);
    u32 pair;
    struct arrival arrival;
    struct ethernet *ethernet;
    struct port *port;
    void *end;

    /* A VLAN has an interface, and that a program, of its own. */
    if (skb->pkt_type != PACKET_HOST || skb->vlan_present
        || (!v6 && skb->protocol != swap16(ETH_P_IP)))
        return TCX_NEXT;
    port = port_of(skb->ifindex);
    if (!port || !reach(skb, sizeof(*ethernet) + headers(v6)))
        return TCX_NEXT;
    ethernet = (void *)(long)skb->data;
    end = (void *)(long)skb->data_end;
    if ((void *)(ethernet + 1) > end || ethernet->protocol != skb->protocol)
        return TCX_NEXT;
    if (port->flags & PORT_DECAP) {
        if (read_arrival(&arrival, ethernet + 1, end, v6)) {
            u64 now = bpf_ktime_get_coarse_ns();

            if (is_ours(&arrival, now, &pair)) {
                int verdict = decapsulate(skb, &arrival, pair, now);

                return verdict == TCX_NEXT ? to_socket(skb, v6) : verdict;
            }
            note_stranger(&arrival);
        } else if (unlikely(is_involved(ethernet + 1, end, v6))) {
            return to_socket(skb, v6);
        }
    }
    return port->flags & PORT_ENCAP ? encapsulate(skb, port, v6) : TCX_NEXT;
}

char licence[] SECTION("license") = "Dual MIT/GPL";
