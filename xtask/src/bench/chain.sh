# chain.sh NAME KIND
#
# h1 ─ x1 ─ x2 ─ h2, each in a namespace of its own and joined by veths without a bridge, so that
# nothing but the routers x1 and x2 differs between KINDs: plain (the kernel forwards), vxlan (the
# kernel encapsulates), tun (weft does; it is started later). Behind x2 are all addresses of
# 10.2.0.0/16; h2 has them all. Hosts' MTU leaves room for every encapsulation.
set -e
name=$1
kind=$2

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

ip link add e0 netns "$name-h1" mtu 1400 type veth peer name h0 netns "$name-x1" mtu 1400
ip link add e0 netns "$name-h2" mtu 1400 type veth peer name h0 netns "$name-x2" mtu 1400
ip link add u0 netns "$name-x1" mtu 1500 type veth peer name u0 netns "$name-x2" mtu 1500

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

case $kind in
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
esac
