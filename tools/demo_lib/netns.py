# SPDX-License-Identifier: Apache-2.0
"""Network namespaces and processes that cannot outlive whoever made them. Used by tools/demo and by
selftests/peers, on one thread.

A namespace is held by a process that reads from a pipe of ours, so it goes when we close the pipe
and also when we are killed. Every process that is started in it gets SIGKILL from the kernel when
our thread ends."""

import contextlib
import ctypes
import os
import select
import signal
import subprocess
import time

READY_TIMEOUT_S = 30
STOP_TIMEOUT_S = 10

_libc = ctypes.CDLL(None, use_errno=True)
_PR_SET_PDEATHSIG = 1


class Failed(Exception):
    """Something that was needed did not work; the text says what, for the user."""


def _prepare_child(cpu=None, realtime=False):
    def prepare():
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if cpu is not None:
            os.sched_setaffinity(0, {cpu})
        if realtime:
            os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))
    return prepare


def realtime_allowed():
    """Whether we may start programs that others cannot take the CPU from."""
    try:
        subprocess.run(["true"], preexec_fn=_prepare_child(realtime=True), check=True)
        return True
    except (subprocess.SubprocessError, OSError):
        return False


def read_line(stream, timeout_s, what):
    """One line of a pipe, without its end; raises Failed when it does not come in time."""
    line = b""
    deadline = time.monotonic() + timeout_s
    while not line.endswith(b"\n"):
        left = deadline - time.monotonic()
        if left <= 0 or not select.select([stream], [], [], left)[0]:
            raise Failed(f"{what} said nothing within {timeout_s} s")
        byte = os.read(stream.fileno(), 1)
        if not byte:
            raise Failed(f"{what} ended early" + (f" after '{line.decode()}'" if line else ""))
        line += byte
    return line[:-1].decode()


class Process:
    """A started program. `usage` is set once it has been waited for: seconds of CPU, user and
    system."""

    def __init__(self, argv, cpu=None, realtime=False, name=None, **streams):
        self.name = name or os.path.basename(argv[0])
        streams.setdefault("stdin", subprocess.DEVNULL)
        self.popen = subprocess.Popen(argv, preexec_fn=_prepare_child(cpu, realtime),
                                      **streams)
        self.cpu_seconds = None
        self._output = None

    @property
    def pid(self):
        return self.popen.pid

    def wait(self, timeout_s):
        """Collects standard output, if it is a pipe, and the exit status. Raises Failed when the
        program does not end in time; it is then killed."""
        output, deadline = [], time.monotonic() + timeout_s
        stream = self.popen.stdout
        with contextlib.ExitStack() as stack:
            exited = os.pidfd_open(self.pid)
            stack.callback(os.close, exited)
            watched = [exited] + ([stream] if stream else [])
            while watched:
                ready = select.select(watched, [], [], max(0, deadline - time.monotonic()))[0]
                if not ready:
                    self.kill()
                    raise Failed(f"{self.name} did not end within {timeout_s} s")
                if stream in ready:
                    part = os.read(stream.fileno(), 65536)
                    output.append(part)
                    if not part:
                        watched.remove(stream)
                elif exited in ready:
                    watched.remove(exited)
        self._reap()
        self._output = b"".join(output).decode(errors="replace")
        return self.popen.returncode

    @property
    def output(self):
        return self._output

    def _reap(self):
        if self.popen.returncode is not None:
            return
        _, status, usage = os.wait4(self.pid, 0)
        self.popen.returncode = os.waitstatus_to_exitcode(status)
        self.cpu_seconds = usage.ru_utime + usage.ru_stime

    def signal(self, number):
        if self.popen.returncode is None:
            os.kill(self.pid, number)

    def kill(self):
        self.signal(signal.SIGKILL)
        self._reap()

    def stop(self):
        """Asks it to end, insists after a while."""
        self.signal(signal.SIGTERM)
        try:
            self.wait(STOP_TIMEOUT_S)
        except Failed:
            pass

    def close(self):
        if self.popen.returncode is None:
            self.kill()
        for stream in (self.popen.stdin, self.popen.stdout, self.popen.stderr):
            if stream:
                stream.close()


class Namespace:
    """A network namespace with loopback up and reno as congestion control. What it starts is ended
    by close()."""

    def __init__(self, prefix=("unshare", "--net")):
        # `cat` lives until our end of the pipe is closed, by us or by the kernel.
        self._holder = Process([*prefix, "--", "sh", "-c", "echo ready && exec cat >/dev/null"],
                               name="unshare", stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                               stderr=subprocess.DEVNULL)
        self._processes = []
        try:
            read_line(self._holder.popen.stdout, READY_TIMEOUT_S, "unshare --net")
            self.run("ip", "link", "set", "lo", "up")
            self.sysctl("net.ipv4.tcp_congestion_control", "reno")
        except BaseException:
            self.close()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.close()

    @property
    def pid(self):
        """The holder's, for `ip link ... netns PID`."""
        return self._holder.pid

    def command(self, *argv):
        return ["nsenter", f"--net=/proc/{self.pid}/ns/net", "--", *map(str, argv)]

    def run(self, *argv, check=True, timeout_s=60, **options):
        """Runs a program to its end; returns subprocess's result."""
        run = subprocess.run(self.command(*argv), stdin=subprocess.DEVNULL, capture_output=True,
                             text=True, check=False, timeout=timeout_s,
                             preexec_fn=_prepare_child(), **options)
        if check and run.returncode != 0:
            raise Failed(f"{' '.join(map(str, argv))} failed: {run.stderr.strip()}")
        return run

    def start(self, *argv, cpu=None, realtime=False, **streams):
        process = Process(self.command(*argv), cpu, realtime, os.path.basename(str(argv[0])),
                          **streams)
        self._processes.append(process)
        return process

    def start_when_ready(self, *argv, timeout_s=READY_TIMEOUT_S, **streams):
        """Starts a program that takes `--ready-fd FD`, and returns once it has written there.
        Raises Failed when it ends before; its standard error, if it is a pipe, is then in the
        text."""
        ready, told = os.pipe()
        process = self.start(*argv, "--ready-fd", told, pass_fds=(told,), **streams)
        os.close(told)
        with open(ready, "rb", buffering=0) as pipe:
            waited = select.select([pipe], [], [], timeout_s)[0]
            if waited and pipe.read(1):
                return process
        if not waited:
            process.kill()
            raise Failed(f"{process.name} was not ready within {timeout_s} s")
        status = process.wait(timeout_s)
        said = process.popen.stderr.read().decode().strip() if process.popen.stderr else ""
        raise Failed(said or f"{process.name} ended with status {status} before it was ready")

    def sysctl(self, name, value):
        path = "/proc/sys/" + name.replace(".", "/")
        self.run("sh", "-c", f"echo {value} >{path}")

    def links(self):
        """Names of the devices beside loopback."""
        lines = self.run("ip", "-o", "link").stdout.splitlines()
        names = [line.split(":")[1].strip().split("@")[0] for line in lines]
        return [name for name in names if name != "lo"]

    def close(self):
        for process in reversed(self._processes):
            process.close()
        self._processes.clear()
        self._holder.close()


def join_with_veth(left, right, left_address, right_address):
    """A veth pair between two namespaces; addresses with their prefix length."""
    left.run("ip", "link", "add", "veth0", "type", "veth", "peer", "name", "veth0", "netns",
             str(right.pid))
    for namespace, address in ((left, left_address), (right, right_address)):
        # Nobody has to look for a second owner of an IPv6 address.
        nodad = ("nodad",) if ":" in address else ()
        namespace.run("ip", "address", "add", address, "dev", "veth0", *nodad)
        namespace.run("ip", "link", "set", "veth0", "up")
