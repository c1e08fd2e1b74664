# chain.sh NAME ROUTERS WIRE FOLDER
#
# h1 ─ x1 ─ x2 ─ h2, each in a namespace of its own and joined by veths without a bridge, so that
# nothing but what the ROUTERS x1 and x2 do differs:
#
#   direct   there are none: one veth joins the hosts
#   plain    the kernel forwards
#   vxlan    the kernel encapsulates Ethernet frames, between two addresses
#   gpe      the kernel encapsulates IP packets (VXLAN-GPE), by encapsulating routes
#   weft     weft does; it is started later, and finds a BPF file system in FOLDER
#
# Behind x2 are all addresses of 10.2.0.0/16; h2 has them all. Hosts' MTU leaves room for every
# encapsulation. With WIRE = wire, the veth between the routers is as poor as a network card that
# knows no tunnels: packets cross it at its MTU, and the receiver coalesces what it can (GRO).
set -e
name=$1
routers=$2
wire=$3
folder=$4

for n in h1 x1 x2 h2; do
    ip netns add "$name-$n"
    ip -n "$name-$n" link set lo up
done
for n in x1 x2; do
    ip netns exec "$name-$n" sh -c '
        echo 1 >/proc/sys/net/ipv4/ip_forward
        echo 0 >/proc/sys/net/ipv4/conf/all/rp_filter
        echo 0 >/proc/sys/net/ipv4/conf/default/rp_filter'
done
for n in h1 h2; do
    # a connection shall not inherit what the one of the round before learnt of congestion
    ip netns exec "$name-$n" sh -c 'echo 1 >/proc/sys/net/ipv4/tcp_no_metrics_save'
    # A socket that begins with BBR, because the machine is set to it, paces whatever it is told to
    # use next: a timer for nearly every packet. Reno is what every namespace may be set to.
    ip netns exec "$name-$n" sh -c 'echo reno >/proc/sys/net/ipv4/tcp_congestion_control'
done

if [ "$routers" = direct ]; then
    ip link add e0 netns "$name-h1" mtu 1400 type veth peer name e0 netns "$name-h2" mtu 1400
    ip -n "$name-h1" addr add 10.1.0.2/24 dev e0
    ip -n "$name-h2" addr add 10.1.0.1/24 dev e0
    ip -n "$name-h1" link set e0 up
    ip -n "$name-h2" link set e0 up
    ip -n "$name-h1" route add default via 10.1.0.1
    ip -n "$name-h2" route add local 10.2.0.0/16 dev lo
    exit
fi

ip link add e0 netns "$name-h1" mtu 1400 type veth peer name h0 netns "$name-x1" mtu 1400
ip link add e0 netns "$name-h2" mtu 1400 type veth peer name h0 netns "$name-x2" mtu 1400
ip link add u0 netns "$name-x1" mtu 1500 type veth peer name u0 netns "$name-x2" mtu 1500
if [ "$wire" = wire ]; then
    for n in x1 x2; do
        ip netns exec "$name-$n" ethtool -K u0 gro on tso off tx-udp-segmentation off \
            tx-udp_tnl-segmentation off tx-udp_tnl-csum-segmentation off >/dev/null
    done
fi

ip -n "$name-h1" addr add 10.1.0.2/24 dev e0
ip -n "$name-x1" addr add 10.1.0.1/24 dev h0
ip -n "$name-x1" addr add 192.0.2.1/30 dev u0
ip -n "$name-x2" addr add 192.0.2.2/30 dev u0
ip -n "$name-x2" addr add 10.3.0.1/30 dev h0
ip -n "$name-h2" addr add 10.3.0.2/30 dev e0
ip -n "$name-h1" link set e0 up
ip -n "$name-h2" link set e0 up
for n in x1 x2; do
    ip -n "$name-$n" link set h0 up
    ip -n "$name-$n" link set u0 up
done
ip -n "$name-h1" route add default via 10.1.0.1
ip -n "$name-h2" route add default via 10.3.0.1
ip -n "$name-h2" route add local 10.2.0.0/16 dev lo
ip -n "$name-x2" route add 10.2.0.0/16 via 10.3.0.2

case $routers in
plain)
    ip -n "$name-x1" route add 10.2.0.0/16 via 192.0.2.2
    ip -n "$name-x2" route add 10.1.0.0/24 via 192.0.2.1
    ;;
vxlan)
    ip -n "$name-x1" link add vx0 type vxlan id 5 local 192.0.2.1 remote 192.0.2.2 dstport 4789
    ip -n "$name-x2" link add vx0 type vxlan id 5 local 192.0.2.2 remote 192.0.2.1 dstport 4789
    ip -n "$name-x1" addr add 10.9.0.1/30 dev vx0
    ip -n "$name-x2" addr add 10.9.0.2/30 dev vx0
    ip -n "$name-x1" link set vx0 up
    ip -n "$name-x2" link set vx0 up
    ip -n "$name-x1" route add 10.2.0.0/16 via 10.9.0.2
    ip -n "$name-x2" route add 10.1.0.0/24 via 10.9.0.1
    ;;
gpe)
    for n in x1 x2; do
        ip -n "$name-$n" link add vx0 type vxlan external gpe dstport 4790
        ip -n "$name-$n" link set vx0 up mtu 1460
    done
    ip -n "$name-x1" route add 10.2.0.0/16 encap ip id 5 dst 192.0.2.2 dev vx0
    ip -n "$name-x2" route add 10.1.0.0/24 encap ip id 5 dst 192.0.2.1 dev vx0
    ;;
weft)
    # a kernel without BPF has no such file system, and a data plane says so better
    mkdir -p "$folder/bpf"
    mount -t bpf bpf "$folder/bpf" 2>/dev/null || true
    ;;
esac
