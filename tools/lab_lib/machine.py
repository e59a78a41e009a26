# SPDX-License-Identifier: Apache-2.0
"""One guest: starts QEMU through the loader of its own packages, talks to the guest's agent over a
virtio serial port, and ends it. Called by session.py, on one thread."""

import base64
import dataclasses
import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import sys
import time

from common import LabError

KERNEL_LINE = ("console=ttyS0 quiet panic=-1 nokaslr mitigations=off tsc=reliable no_timer_check "
               "cryptomgr.notests")
BOOT_SECONDS_MAX = 300
# What QEMU says where /dev/kvm opens but cannot run a guest, as in many virtual machines.
KVM_FAILS = re.compile("KVM internal error|emulation failure|failed to initialize kvm|"
                       "Could not access KVM", re.IGNORECASE)
# How much longer than the guest the host waits for a request, and for QEMU to end.
GRACE_SECONDS = 30


class KvmFails(LabError):
    """/dev/kvm is there and of no use; TCG is what remains."""


@dataclasses.dataclass
class Shape:
    """What kind of machine to boot."""
    cpus: int = 1
    memory_mib: int = 1024
    kernel_line: str = ""
    kvm: bool = False
    shell: bool = False
    verbose: bool = False


@dataclasses.dataclass
class Result:
    """What a request to the guest gave. Status 137: it ran longer than it may."""
    status: int
    out: str
    err: str
    seconds: float


class Guest:
    """A running QEMU. `folder` holds its sockets and logs; `nic_sockets` are those of the device
    processes, in the order in which the guest numbers its interfaces."""

    def __init__(self, tools, kernel, image, folder, nic_sockets, shape):
        self._folder = folder
        self._kvm = shape.kvm
        self._ready = False
        self._control = None
        self._pending = b""
        self._count = 0
        self.console = folder / "console.log"
        self._live = {}
        log = open(folder / "qemu.log", "wb")
        argv = self._argv(tools, kernel, image, nic_sockets, shape)
        environment = {**os.environ, "QEMU_MODULE_DIR": str(tools.libraries / "qemu")}
        own_terminal = shape.shell
        self._process = subprocess.Popen(
            argv, env=environment, stdin=None if own_terminal else subprocess.DEVNULL,
            stdout=None if own_terminal or shape.verbose else log,
            stderr=None if own_terminal else log, start_new_session=not own_terminal)
        log.close()

    def _argv(self, tools, kernel, image, nic_sockets, shape):
        share = tools.root / "usr/share"
        console = "stdio" if shape.shell else f"file:{self.console}"
        argv = [tools.loader, "--library-path", tools.libraries,
                tools.root / "usr/bin/qemu-system-x86_64", "-L", share / "qemu", "-L",
                share / "seabios", "-nodefaults", "-no-user-config", "-no-reboot", "-display",
                "none", "-run-with", "exit-with-parent=on", "-machine",
                "q35,memory-backend=ram", "-cpu", "max", "-smp", shape.cpus, "-m",
                f"{shape.memory_mib}M", "-object",
                f"memory-backend-memfd,id=ram,size={shape.memory_mib}M,share=on", "-kernel",
                kernel.image, "-initrd", image, "-append",
                f"{KERNEL_LINE} {shape.kernel_line}".strip(), "-device",
                "isa-debug-exit,iobase=0xf4,iosize=4", "-device", "virtio-serial-pci,max_ports=8"]
        argv += ["-accel", "kvm" if shape.kvm else "tcg,thread=multi"]
        if shape.verbose and not shape.shell:
            argv += ["-chardev", f"stdio,id=console,signal=off,logfile={self.console}"]
            argv += ["-serial", "chardev:console"]
        else:
            argv += ["-serial", console]
        for name in ("control", "stdout", "stderr"):
            argv += ["-chardev", f"socket,id={name},path={self._folder / name},server=on,wait=off",
                     "-device", f"virtserialport,chardev={name},name={name}"]
        for number, path in enumerate(nic_sockets):
            device = {"driver": "vfio-user-pci", "addr": f"{8 + number:02x}.0",
                      "socket": {"path": str(path), "type": "unix"}}
            argv += ["-device", json.dumps(device)]
        return [str(word) for word in argv]

    def wait_until_ready(self):
        """Returns when the guest's agent listens. Raises LabError with the end of the console."""
        deadline = time.monotonic() + BOOT_SECONDS_MAX
        while not self._connect_all():
            self._check_alive(deadline, "boot")
            time.sleep(0.05)
        if self._line(deadline, "boot") != "ready":
            raise LabError(f"the guest's agent spoke out of turn; see {self.console}")
        self._ready = True

    def _connect_all(self):
        """False while QEMU has not made all the sockets."""
        try:
            for name in ("stdout", "stderr"):
                if name not in self._live:
                    self._live[name] = self._connect(name)
            self._control = self._connect("control")
        except (FileNotFoundError, ConnectionRefusedError):
            return False
        return True

    def _connect(self, name):
        connection = socket.socket(socket.AF_UNIX)
        connection.connect(str(self._folder / name))
        connection.settimeout(0.2)
        return connection

    def _check_alive(self, deadline, doing):
        if self._kvm and not self._ready and KVM_FAILS.search(self.tail(100)):
            raise KvmFails("/dev/kvm cannot run this guest")
        if self._process.poll() is not None:
            raise LabError(f"the guest ended during {doing} (QEMU's exit status "
                           f"{self._process.returncode}):\n{self.tail()}")
        if time.monotonic() > deadline:
            raise LabError(f"the guest did not finish {doing} in time:\n{self.tail()}")

    def alive(self):
        return self._process.poll() is None

    def tail(self, lines=25):
        """The end of what QEMU and the guest's console said."""
        text = ""
        for name in ("qemu.log", "console.log"):
            path = self._folder / name
            if path.exists():
                text += path.read_text(encoding="utf-8", errors="replace")
        return "\n".join(text.splitlines()[-lines:])

    def _receive(self, deadline, doing):
        while True:
            self._forward_live()
            try:
                data = self._control.recv(1 << 20)
            except TimeoutError:
                self._check_alive(deadline, doing)
                continue
            except ConnectionResetError:
                data = b""
            if not data:  # QEMU has closed the port, because it ends.
                self._process.wait(GRACE_SECONDS)
                self._check_alive(deadline, doing)
            self._pending += data
            return

    def _forward_live(self):
        for name, connection in self._live.items():
            try:
                data = connection.recv(1 << 20, socket.MSG_DONTWAIT)
            except (BlockingIOError, TimeoutError, ConnectionResetError):
                continue
            stream = getattr(sys, name).buffer
            stream.write(data)
            stream.flush()

    def _line(self, deadline, doing):
        while b"\n" not in self._pending:
            self._receive(deadline, doing)
        line, self._pending = self._pending.split(b"\n", 1)
        return line.decode()

    def _bytes(self, count, deadline, doing):
        while len(self._pending) < count:
            self._receive(deadline, doing)
        data, self._pending = self._pending[:count], self._pending[count:]
        return data.decode(errors="replace")

    def run(self, script, seconds_max=60, live=False):
        """Runs a shell script in the guest and returns its Result; with `live`, its output goes to
        this process's own while it runs."""
        self._count += 1
        name = f"{'live' if live else 'step'}{self._count}"
        start = time.monotonic()
        deadline = start + seconds_max + GRACE_SECONDS
        doing = f"'{script.strip().splitlines()[0][:60]}'"
        encoded = base64.b64encode(script.encode()).decode()
        try:
            self._control.sendall(f"{name} {seconds_max} {encoded}\n".encode())
        except OSError:
            raise LabError(f"the guest is gone before {doing}:\n{self.tail()}") from None
        answered, status, out_bytes, err_bytes = self._line(deadline, doing).split()
        if answered != name:
            raise LabError(f"the guest answered {answered} to {name}; see {self.console}")
        out = self._bytes(int(out_bytes), deadline, doing)
        err = self._bytes(int(err_bytes), deadline, doing)
        self._forward_live()
        return Result(int(status), out, err, time.monotonic() - start)

    def fetch(self, path):
        """The bytes of a file of the guest."""
        result = self.run(f"base64 -w0 {path}")
        if result.status:
            raise LabError(f"the guest has no {path}: {result.err.strip()}")
        return base64.b64decode(result.out)

    def wait_for_end(self):
        """Waits for a guest that ends itself: one with a shell."""
        return self._process.wait()

    def end(self):
        """Asks the guest to end, and ends it if it does not. Returns QEMU's exit status, 1 when
        the guest's own last word was success (isa-debug-exit doubles it and adds one)."""
        if self._process.poll() is None:
            try:
                if self._control:
                    self._control.sendall(b"bye\n")
                return self._process.wait(GRACE_SECONDS if self._control else 0.1)
            except (subprocess.TimeoutExpired, OSError):
                os.kill(self._process.pid, signal.SIGKILL)
        return self._process.wait()


def remove_sockets(folder):
    for name in ("control", "stdout", "stderr"):
        pathlib.Path(folder / name).unlink(missing_ok=True)
