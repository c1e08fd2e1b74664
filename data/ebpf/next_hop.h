/* SPDX-License-Identifier: Apache-2.0 OR MIT OR GPL-2.0-only */
/*
 * Where the kernel's routes and neighbours send a packet. Asking costs as much as all the rest,
 * so each CPU keeps answers for some milliseconds. User space has no part in this: routes,
 * addresses and neighbours may change as they like.
 */
#ifndef NEXT_HOP_H
#define NEXT_HOP_H

#include "lookup.h"
#include "outer.h"

/*
 * Whether the neighbour at the end of a way has had a packet by the kernel's table lately. If not,
 * this one is to go there.
 */
INLINE bool is_minded(const struct next_hop *way, u64 now)
{
    const u64 *address = (const u64 *)way->gateway;
    struct key gateway = { swap64(address[0]), swap64(address[1]) };
    struct neighbour *kept = RECORD(neighbours, place(gateway, way->ifindex, NEIGHBOURS));

    if (!kept)
        return false;
    if (is_recent(kept->asked, now) && kept->address[0] == address[0]
        && kept->address[1] == address[1] && kept->ifindex == way->ifindex)
        return true;
    kept->asked = now;
    kept->address[0] = address[0];
    kept->address[1] = address[1];
    kept->ifindex = way->ifindex;
    return false;
}

/*
 * Asks the kernel, and keeps the answer in `way`, which says what was known before. Gives whether
 * this packet is to go by the kernel's neighbour table.
 */
INLINE bool ask(struct __sk_buff *skb, struct bpf_fib_lookup *lookup, u32 flags,
                struct next_hop *way, u64 now)
{
    struct cpu *cpu = this_cpu();
    u64 silent = way->silent;
    u64 asked = way->asked;
    u32 device = lookup->ifindex;
    struct port *port;
    long result;

    lookup->mtu = 1; /* says: tell the MTU */
    result = bpf_fib_lookup(skb, lookup, sizeof(*lookup), flags);
    way->asked = now;
    way->silent = 0;
    way->ifindex = 0;
    way->mtu = 0xffff;
    if (!(flags & BPF_FIB_LOOKUP_OUTPUT) && lookup->ifindex == device
        && (result == BPF_FIB_LKUP_RET_NO_NEIGH || result == BPF_FIB_LKUP_RET_SUCCESS)) {
        way->ifindex = device; /* back to the TUN device, where there are no neighbours */
        return false;
    }
    if (result == BPF_FIB_LKUP_RET_NO_NEIGH) {
        /* Who stays silent is the portable plane's: through it the kernel tells senders. */
        way->silent = silent && now - asked < silence ? silent : now;
        if (now - way->silent > patience)
            return false;
    } else if (result != BPF_FIB_LKUP_RET_SUCCESS) {
        return false;
    } else {
        way->mtu = lookup->mtu;
    }
    way->ifindex = lookup->ifindex;
    way->family = lookup->family;
    copy(way->gateway, lookup->dst, sizeof(way->gateway));
    copy((u8 *)way->macs, lookup->dmac, 6);
    copy((u8 *)way->macs + 6, lookup->smac, 6);
    port = cpu ? port_of(cpu, way->ifindex) : 0;
    way->peer = port && port->flags & PORT_PEER;
    return !is_minded(way, now);
}

/*
 * Asks for the way to the remote locator of the hop with this index. Not 0 if this packet is to go
 * by the kernel's neighbour table.
 */
GLOBAL u32 ask_for_hop(struct __sk_buff *skb, struct known_hop *known, u32 index)
{
    struct scratch *space = RECORD(scratch, 0);
    u64 now = bpf_jiffies64();
    struct hop *hop = RECORD(hops, index);
    struct cpu *cpu = this_cpu();
    struct bpf_fib_lookup *lookup;
    bool fresh;
    u32 room;

    if (!known || !hop || !cpu || !space)
        return 0;
    known->way.generation = current_generation(cpu);
    if (known->version != hop->version) {
        known->way.asked = known->way.silent = 0;
        learn(known, hop);
    }
    lookup = &space->lookup;
    *lookup = (struct bpf_fib_lookup){ .l4_protocol = UDP };
    lookup->family = hop->family == 6 ? AF_INET6 : AF_INET;
    lookup->ifindex = hop->interface;
    copy(lookup->src, hop->local, sizeof(lookup->src));
    copy(lookup->dst, hop->remote, sizeof(lookup->dst));
    fresh = ask(skb, lookup, BPF_FIB_LOOKUP_OUTPUT, &known->way, now);
    room = known->way.mtu > known->size ? known->way.mtu - known->size : 0;
    known->way.mtu = room < hop->mtu ? room : hop->mtu;
    /* To the kernel's IPv6 an interface is a mere wish. */
    if (hop->interface && known->way.ifindex != hop->interface)
        known->way.ifindex = 0;
    return fresh;
}

/*
 * The hop with this index; NULL if there is none. `fresh` tells whether the packet is to go by the
 * kernel's neighbour table.
 */
INLINE struct known_hop *hop_of(struct __sk_buff *skb, u32 index, const struct cpu *cpu, u64 now,
                                u32 *fresh)
{
    struct known_hop *known = OWN(next_hops, most_hops, index);

    *fresh = 0;
    if (known
        && unlikely(!is_recent(known->way.asked, now)
                    || known->way.generation != (u32)cpu->options.generation))
        *fresh = ask_for_hop(skb, known, index);
    return known;
}

/*
 * Asks for the way to a host, as if the packet came in by the TUN device of the instance: of a
 * packet from `hi` and `lo`. Not 0 if it is to go by the kernel's neighbour table.
 */
GLOBAL u32 ask_for_host(struct __sk_buff *skb, struct host *host, u64 hi, u64 lo)
{
    struct scratch *room = RECORD(scratch, 0);
    u64 now = bpf_jiffies64();
    struct key source = { hi, lo };
    struct bpf_fib_lookup *lookup;
    struct instance *instance;
    u32 *index, id, fresh;
    bool v6;

    if (!host || !room)
        return 0;
    v6 = host->v6;
    id = host->id;
    index = bpf_map_lookup_elem(&instance_of, &id);
    instance = index ? RECORD(instances, *index) : 0;
    if (!instance || !(instance->flags & INSTANCE_USED)) {
        host->way.asked = 0;
        return 0;
    }
    lookup = &room->lookup;
    *lookup = (struct bpf_fib_lookup){ .family = v6 ? AF_INET6 : AF_INET };
    write_key(lookup->src, source, v6);
    write_key(lookup->dst, host->address, v6);
    lookup->ifindex = instance->device;
    host->instance = *index;
    if (!is_unicast(host->address, v6)) {
        host->kind = HOST_NOBODY;
        host->way.asked = now;
        return 0;
    }
    host->kind = is_local(*index, host->address.hi, host->address.lo, v6) ? HOST_LOCAL : 0;
    fresh = ask(skb, lookup, 0, &host->way, now);
    if (host->way.ifindex == instance->device)
        host->kind |= HOST_ONWARD;
    return fresh;
}

/*
 * The host in the instance `id` that a decapsulated packet is for; NULL if there is no such
 * instance.
 */
INLINE struct host *host_of(struct __sk_buff *skb, const struct packet *packet, u32 id,
                            struct cpu *cpu, u64 now, u32 *fresh)
{
    struct key address = packet->destination;
    struct host *host = AT(cpu->hosts, HOSTS, place(address, id, HOSTS));
    bool known;

    *fresh = 0;
    known = host->address.hi == address.hi && host->address.lo == address.lo && host->id == id
        && host->v6 == packet->v6;
    if (unlikely(!known || !is_recent(host->way.asked, now))) {
        if (!known) {
            host->address = address;
            host->id = id;
            host->v6 = packet->v6;
            host->way.asked = host->way.silent = host->checked = 0;
        }
        *fresh = ask_for_host(skb, host, packet->source.hi, packet->source.lo);
        if (!host->way.asked)
            return 0;
    }
    return host;
}

/*
 * Sends the packet on its way, whose Ethernet header is `ethernet`. Now and then one goes to each
 * neighbour by the kernel's table: so neighbours are resolved, and those that moved or died are
 * noticed.
 */
INLINE int leave(const struct next_hop *way, u32 fresh, struct ethernet *ethernet)
{
    u32 *macs = (u32 *)ethernet;

    if (unlikely(fresh || way->silent)) {
        struct bpf_redir_neigh next = { .nh_family = way->family };

        copy(next.nh, way->gateway, sizeof(next.nh));
        return bpf_redirect_neigh(way->ifindex, &next, sizeof(next), 0);
    }
    macs[0] = way->macs[0];
    macs[1] = way->macs[1];
    macs[2] = way->macs[2];
    return way->peer ? bpf_redirect_peer(way->ifindex, 0) : bpf_redirect(way->ifindex, 0);
}

#endif
