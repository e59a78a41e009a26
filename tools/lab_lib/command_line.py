# SPDX-License-Identifier: Apache-2.0
"""The commands of tools/lab and their options. Called by tools/lab alone."""

import argparse
import pathlib
import shlex
import signal
import sys

import lockfile
import machine
from common import (EXIT_CANNOT_RUN, EXIT_FAILED, EXIT_USAGE, CannotRun, LabError, Progress,
                    cache_folder)
from demo import STREAM_BYTES, run_demo
from packages import Packages
from session import Session
from suite import run_suite

DESCRIPTION = """\
Boots a stock Linux kernel in QEMU whose network cards are devmem's own virtual gVNICs, so that the
kernel's devmem TCP and io_uring zero-copy receive run on any laptop. No root, no hardware and no
KVM are needed; QEMU and the kernel are Debian packages, unpacked into a cache folder."""

EPILOG = """\
examples:
  tools/lab run -- uname -a
  tools/lab run --file test.bin=/tmp/test.bin -- sh -c 'cksum /lab/files/test.bin'
  tools/lab shell

The cache is $DEVMEM_LAB_CACHE, else $XDG_CACHE_HOME/devmem/lab, else ~/.cache/devmem/lab.
Exit status: that of the command in the guest; 1 something failed, 2 the command line is wrong,
77 this machine cannot run the lab (the reason is printed)."""


# Where the programs of a command come from that makes its own.
BUILT = "what is needed is built with the preset release"


def _add_packages(parser):
    group = parser.add_argument_group("packages")
    group.add_argument("--kernel", metavar="VERSION",
                       help="another stock kernel of the mirror, like 7.3.4 (default: the pinned)")
    group.add_argument("--mirror", metavar="ADDRESS",
                       help="of a Debian mirror (default: DEVMEM_LAB_MIRROR, else this machine's)")
    group.add_argument("--keyring", metavar="FILE",
                       help="that verifies the mirror's signature (default: the distribution's)")
    group.add_argument("--accept-newer", action="store_true",
                       help="take what the mirror has now, when the pinned versions are gone")
    group.add_argument("--offline", action="store_true", help="never fetch; use the cache alone")
    group.add_argument("--quiet", action="store_true", help="no progress")


def _add_boot(parser, nics, bin_default="build/release/bin, else build/debug/bin"):
    group = parser.add_argument_group("guest")
    group.add_argument("--nics", type=int, choices=range(0, 3), default=nics, metavar="N",
                       help=f"virtual gVNICs, 0 to 2 (default {nics}); two are wired back to back")
    group.add_argument("--mtu", type=int, default=1500, metavar="BYTES",
                       help="of both interfaces (default 1500)")
    group.add_argument("--cpus", type=int, default=1, metavar="N", help="(default 1)")
    group.add_argument("--memory", type=int, default=1024, metavar="MIB", help="(default 1024)")
    group.add_argument("--tap", default="", metavar="NAME",
                       help="wire eth0 to this TAP interface of the host in place of eth1")
    group.add_argument("--accel", choices=("auto", "kvm", "tcg"), default="auto",
                       help="KVM or QEMU's own emulation (default auto: KVM where it works)")
    group.add_argument("--kernel-line", default="", metavar="WORDS",
                       help="more words for the kernel's command line")
    group.add_argument("--bin", type=pathlib.Path, metavar="FOLDER",
                       help=f"of our programs (default: {bin_default})")
    group.add_argument("--gvnicd", type=pathlib.Path, metavar="FILE",
                       help="the device program (default: the one beside our other programs)")
    group.add_argument("--gvnicd-option", action="append", default=[], metavar="WORD",
                       help="one more word for its command line, as --gvnicd-option=--record=FILE")
    group.add_argument("--program", action="append", default=[], dest="program_names",
                       metavar="NAME", help="one more program of that folder for /devmem/bin")
    group.add_argument("--keep", action="store_true", help="keep the folder of logs and sockets")
    group.add_argument("--verbose", action="store_true", help="show the guest's console")


def _parser():
    parser = argparse.ArgumentParser(
        prog="tools/lab", description=DESCRIPTION, epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)

    fetch = commands.add_parser("fetch", help="fill the cache (every other command does it too)")
    fetch.add_argument("--write-lock", action="store_true",
                       help="pin what the mirror has now, for the whole project")
    _add_packages(fetch)
    fetch.set_defaults(function=_fetch)

    run = commands.add_parser("run", help="run a command in the guest, end with its exit status")
    run.add_argument("argv", nargs="+", metavar="CMD", help="after --: the command and its words")
    run.add_argument("--file", action="append", default=[], metavar="NAME=PATH",
                     help="a file of the host to have as /lab/files/NAME; may be repeated")
    run.add_argument("--get", action="append", default=[], metavar="PATH=FILE",
                     help="a file of the guest to fetch into FILE at the end; may be repeated")
    run.add_argument("--timeout", type=int, default=300, metavar="S", help="(default 300)")
    run.add_argument("--log", type=pathlib.Path, metavar="FILE", help="write the kernel's log here")
    _add_boot(run, nics=2)
    _add_packages(run)
    run.set_defaults(function=_run)

    shell = commands.add_parser("shell", help="a prompt in the guest")
    _add_boot(shell, nics=2)
    _add_packages(shell)
    shell.set_defaults(function=_shell)
    demo = commands.add_parser("demo", help="devmem TCP and zcrx at work, 256 MiB each")
    demo.add_argument("--json", action="store_true", help="one JSON object in place of the table")
    demo.add_argument("--bytes", type=int, default=STREAM_BYTES, metavar="N",
                      help="of each stream (default 268435456)")
    demo.add_argument("--provider", choices=("udmabuf", "dma-heap"), default="udmabuf",
                      help="of the region (default udmabuf)")
    _add_boot(demo, nics=2, bin_default=BUILT)
    _add_packages(demo)
    demo.set_defaults(function=run_demo)

    test = commands.add_parser("test", help="the kernel suite: every scene of the lab")
    test.add_argument("--quick", action="store_true", help="the short scenes alone, one boot")
    test.add_argument("--filter", action="append", default=[], metavar="TEXT",
                      help="scenes whose name contains TEXT (* and ? match); may be repeated")
    test.add_argument("--list", action="store_true", help="name the scenes and run none")
    test.add_argument("--json", action="store_true", help="one JSON object on stdout")
    test.add_argument("--xml", type=pathlib.Path, metavar="FOLDER",
                      help="keep the conformance runs' results there, for make_table")
    _add_boot(test, nics=2, bin_default=BUILT)
    _add_packages(test)
    test.set_defaults(function=run_suite)
    return parser


def _fetch(options, progress):
    if options.write_lock:
        lock = Packages(cache_folder(), options, progress).resolve()
        lock.write(lockfile.LOCK)
        progress.say(f"pinned {len(lock.packages)} packages in {lockfile.LOCK}")
        return 0
    tools, kernel = Packages(cache_folder(), options, progress).ensure()
    print(f"tools  {tools.root}\nkernel {kernel.version} {kernel.image}")
    return 0


def _pairs(words, what):
    for word in words:
        left, equals, right = word.partition("=")
        if not (left and equals and right):
            raise LabError(f"{what} {word}: write it as {what} LEFT=RIGHT")
        yield left, right


def _run(options, progress):
    files = {f"/lab/files/{name}": pathlib.Path(path)
             for name, path in _pairs(options.file, "--file")}
    for path in files.values():
        if not path.is_file():
            raise LabError(f"--file: there is no file {path}")
    wanted = dict(_pairs(options.get, "--get"))
    with Session(options, progress, files=files) as session:
        result = session.guest.run(shlex.join(options.argv), options.timeout, live=True)
        for path, target in wanted.items():
            pathlib.Path(target).write_bytes(session.guest.fetch(path))
        log = session.guest.run("dmesg").out
        warnings = session.kernel_warnings()
        if options.log:
            options.log.write_text(log, encoding="utf-8")
    if result.status == 137:
        progress.say(f"the command was killed, perhaps after the {options.timeout} s of --timeout")
    if warnings:
        progress.say(f"{len(warnings)} kernel warnings; the first: {warnings[0]}")
    return result.status


def _shell(options, progress):
    shape = machine.Shape(cpus=options.cpus, memory_mib=options.memory, shell=True,
                          kernel_line=options.kernel_line)
    with Session(options, progress, shape=shape) as session:
        session.guest.wait_for_end()
    return 0


def main(argv):
    options = _parser().parse_args(argv)
    progress = Progress(options.quiet)
    # A lab that is told to end clears away as one that is interrupted.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        return options.function(options, progress)
    except CannotRun as reason:
        print(f"tools/lab: cannot run here: {reason}", file=sys.stderr)
        return EXIT_CANNOT_RUN
    except LabError as error:
        print(f"tools/lab: {error}", file=sys.stderr)
        return EXIT_FAILED
    except KeyboardInterrupt:
        return 130


assert EXIT_USAGE == 2  # What argparse itself ends with.
