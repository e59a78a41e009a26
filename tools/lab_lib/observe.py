# SPDX-License-Identifier: Apache-2.0
"""Looks at the guest's queues, page pools and rules through the kernel's own dumps. `lab` is a Lab
or a Session. Called by the demo and by scenes."""

import json

from common import LabError

# How long the kernel may take to give a page pool up: it looks again once a second.
DRAIN_SECONDS = 20


def _show(lab, what):
    return json.loads(lab.check(f"devmemctl -j {what} show"))


def queues_with_provider(lab):
    """Queues that fill somebody's memory. `lab` is a Lab or a Session, here and below."""
    return [queue for queue in _show(lab, "queue") if "dmabuf" in queue or "io-uring" in queue]


def undrained_pools(lab):
    """Page pools that are out of use and still wait for buffers."""
    return [pool for pool in _show(lab, "page-pool") if "detach-time" in pool]


def _expect(condition, what):
    if not condition:
        raise LabError(f"not so: {what}")


def nothing_is_left(lab):
    """The kernel says that no queue is bound and no page pool waits."""
    for _ in range(DRAIN_SECONDS):
        if not undrained_pools(lab):
            break
        lab.guest.run("sleep 1")
    pools = undrained_pools(lab)
    _expect(not pools, f"no page pool waits for buffers: {pools}")
    bound = queues_with_provider(lab)
    _expect(not bound, f"no queue has a memory provider: {bound}")
    rules = lab.check("ethtool -n eth0 | grep -c '^Filter:' || true").strip()
    _expect(rules == "0", f"no flow rule is left, {rules} are")
