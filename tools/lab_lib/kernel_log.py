# SPDX-License-Identifier: Apache-2.0
"""Finds in a kernel's log what must not be there: warnings with a trace, bugs, oopses, stalls. The
few that are documented are told apart by name. Called by session.py and the scenes of the tests."""

import re

ALARM = re.compile(r"(WARNING: .*|BUG: .*|kernel BUG at .*|Oops.*|general protection fault.*"
                   r"|INFO: task .* blocked.*|rcu: INFO: .*|page_pool_release_retry\(\) stalled.*"
                   r"|Out of memory: Killed process.*|UBSAN: .*|Unable to handle .*)")
# gve refuses to stop receive queue 0 and says so with a warning; the queue stays as it was.
QUEUE_ZERO = re.compile(r"WARNING: .*net/core/netdev_rx_queue\.c.*")


def warnings(log):
    """The alarms in a kernel's log, one line each, without the time stamp."""
    return [match.group(1) for line in log.splitlines() if (match := ALARM.search(line))]


def undocumented(lines):
    """Those that no page of Documentation/lab.md explains."""
    return [line for line in lines if not QUEUE_ZERO.search(line)]
