# SPDX-License-Identifier: Apache-2.0
"""What a connection that does not come about leaves to be read: the kernel's tables and counters in
both namespaces, and what each process is doing. lossy.py takes it while a connection attempt waits
for too long, and after a transfer that failed; a text for people."""

import os
import pathlib
import select

_SYN_SENT = "02"  # In /proc/net/tcp: include/net/tcp_states.h.
# Each is one file below /proc/PID. `stack` says where in the kernel a process waits, and so whether
# somebody has frozen it.
_OF_A_PROCESS = ("stat", "wchan", "stack")
# Each is one file below /proc/PID/net, of that process's namespace; zeros are left out.
_COUNTERS = ("snmp6", "snmp", "netstat")
_TABLES = (("ip", "-s", "address"), ("ip", "neigh"), ("ip", "-6", "neigh"), ("ip", "-6", "route"),
           ("tc", "-s", "qdisc"))


def ended_within(process, seconds):
    """Whether a netns.Process has ended or does so within that time. It is not waited for."""
    if process.popen.returncode is not None:
        return True
    descriptor = os.pidfd_open(process.pid)
    try:
        return bool(select.select([descriptor], [], [], seconds)[0])
    finally:
        os.close(descriptor)


def is_connecting(namespace):
    """Whether a socket of the namespace waits for the answer to its SYN."""
    lines = [line for name in ("tcp", "tcp6")
             for line in _read(namespace.pid, f"net/{name}").splitlines()[1:]]
    return any(line.split()[3] == _SYN_SENT for line in lines)


def of(namespaces, processes):
    """The text. `namespaces` has a netns.Namespace by name; processes that have ended say so."""
    parts = []
    for name, namespace in namespaces.items():
        for command in _TABLES:
            run = namespace.run(*command, check=False)
            parts.append(f"{name}: {' '.join(command)}\n{(run.stdout + run.stderr).rstrip()}")
        parts.append(f"{name}: counters that moved\n{' '.join(_moved(namespace.pid))}")
    for process in processes:
        parts.append(_describe(process))
    return "\n".join(parts)


def _describe(process):
    if ended_within(process, 0):
        return f"{process.name}: has ended"
    files = (f"{name}: {_read(process.pid, name).rstrip()}" for name in _OF_A_PROCESS)
    return f"{process.name}: is there\n" + "\n".join(files)


def _moved(pid):
    for name in _COUNTERS:
        lines = _read(pid, f"net/{name}").splitlines()
        if name == "snmp6":
            pairs = (line.split()[:2] for line in lines)
        else:
            # A line of names and a line of values, each behind the protocol's name.
            pairs = (pair for names, values in zip(lines[::2], lines[1::2])
                     for pair in zip(names.split()[1:], values.split()[1:]))
        yield from (f"{key}={value}" for key, value in pairs if value != "0")


def _read(pid, name):
    try:
        return pathlib.Path(f"/proc/{pid}/{name}").read_text(encoding="ascii", errors="replace")
    except OSError as error:
        return f"({error})"
