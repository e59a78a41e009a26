# SPDX-License-Identifier: Apache-2.0
"""A container that receives into device memory: it has a network namespace of its own, a netkit
device, and an rx queue that the NIC outside has lent to that device (the kernel's
Documentation/networking/netkit is its source; queue-create of the netdev family lends)."""

import json

import network
from scene import Boot, scene

BOX = "box"
BOX_ADDRESS = "198.51.100.2"
HOST_ADDRESS = "198.51.100.1"
NIC_QUEUE = 2
PORT = 5301
STREAM_BYTES = 8 << 20

CONTAINER = Boot("container")

# The administrator's part: the pair, the way to the container, and the NIC's queue set apart.
SETUP = f"""\
set -e
ip link add nk0 numrxqueues 2 type netkit mode l3 forward peer forward name nk1 numrxqueues 2
ip netns add {BOX}
ip link set nk1 netns {BOX}
ip -n {BOX} link set lo up
ip address add {HOST_ADDRESS}/24 dev nk0
ip link set nk0 up
ip -n {BOX} address add {BOX_ADDRESS}/24 dev nk1
ip -n {BOX} link set nk1 up
ip -n {BOX} route add default via {HOST_ADDRESS}
echo 1 >/proc/sys/net/ipv4/ip_forward
ip -n {network.PEER} route add 198.51.100.0/24 via {network.SERVER4}
ethtool -G eth0 tcp-data-split on
ethtool -K eth0 ntuple on
ethtool -X eth0 equal 2
ethtool -N eth0 flow-type tcp4 dst-ip {BOX_ADDRESS} dst-port {PORT} action {NIC_QUEUE}
ip netns attach outside 1
# The pair of devices has made a number for the NIC's namespace already, as a rule.
ip -n {BOX} netns set outside auto 2>/dev/null || true
ip -n {BOX} netns list-id | awk '/outside/ {{print $2; exit}}' >/run/box.nsid
[ -s /run/box.nsid ] || {{ ip -n {BOX} netns list-id; exit 1; }}
"""

RECEIVE = f"""\
ip netns exec {BOX} container_receiver nk1 $(cat /sys/class/net/eth0/ifindex) \
$(cat /run/box.nsid) {NIC_QUEUE} {BOX_ADDRESS} {PORT} >/run/box.json 2>/run/box.err &
receiver=$!
for turn in $(seq 100); do ip netns exec {BOX} ss -Hltn | grep -q :{PORT} && break
kill -0 $receiver || break; usleep 100000; done
devmemctl -j queue show >/run/box.queues
ip netns exec {network.PEER} dmsend --to {BOX_ADDRESS} --port {PORT} --bytes {STREAM_BYTES} \
--send-pattern demo-block:1 >/run/box.sent 2>&1
wait $receiver; status=$?
cat /run/box.json; cat /run/box.err /run/box.sent >&2
exit $status
"""


@scene("a container receives into device memory by a queue that the NIC lends to its netkit",
       boot=CONTAINER, needs=("container_receiver", "devmemctl", "dmsend"))
def _(lab):
    lab.check(SETUP)
    result = lab.run(RECEIVE, 120)
    lab.expect(result.status == 0, f"the container receives: {result.status}\n{result.err}")
    report = json.loads(result.out)
    lab.notes |= report
    lab.expect(report["right"], "every byte is right")
    lab.expect(report["dma_bytes"] == STREAM_BYTES, "all of it was written by the NIC")
    lab.expect(report["linear_bytes"] == 0, "none of it is linear")
    queues = json.loads(lab.check("cat /run/box.queues"))
    lent = [queue for queue in queues if "lease" in queue]
    lab.expect([queue["id"] for queue in lent] == [NIC_QUEUE], f"the NIC shows the loan: {lent}")
    lab.check(f"ip link del nk0; ip netns del {BOX}")
    left = [queue for queue in json.loads(lab.check("devmemctl -j queue show"))
            if "lease" in queue or "dmabuf" in queue]
    lab.expect(not left, f"the loan ends with the container: {left}")
