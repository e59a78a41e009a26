# SPDX-License-Identifier: Apache-2.0
"""What the machine is, how busy it was, and which CPU does what. Used by tools/demo."""

import os
import pathlib
import statistics

_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


def machine_busy_seconds():
    """CPU time that the whole machine has spent on anything so far. Time that a hypervisor took
    away (steal) is not ours."""
    fields = pathlib.Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]
    user, nice, system, _idle, _iowait, irq, softirq = map(int, fields[:7])
    return (user + nice + system + irq + softirq) / _TICKS_PER_SECOND


def cpu_model():
    for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return "unknown"


def machine():
    return {"cpu": cpu_model(), "cpus": len(os.sched_getaffinity(0)), "kernel": os.uname().release}


def pinned_cpus():
    """(the receiver's CPU, the sender's): the last two that we may use, or None, None where there
    is only one."""
    cpus = sorted(os.sched_getaffinity(0))
    return (cpus[-1], cpus[-2]) if len(cpus) > 1 else (None, None)


def median(numbers, digits=3):
    return round(statistics.median(numbers), digits)
