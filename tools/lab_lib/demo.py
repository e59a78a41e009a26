# SPDX-License-Identifier: Apache-2.0
"""The command `lab demo`: devmem TCP and zcrx, one after the other in one boot of a stock kernel,
and a table of what each proved. Called by command_line.py."""

import concurrent.futures
import json
import time

import build
import kernel_log
import pattern
from common import LabError
from observe import queues_with_provider, undrained_pools
from session import Session
from transfer import Stream, transfer

STREAM_BYTES = 256 << 20
REGION_BYTES = 64 << 20
SECONDS_MAX = 300
SEED = 1
TITLES = {"kernel": "devmem TCP (recvmsg with MSG_SOCK_DEVMEM)",
          "zcrx": "io_uring zero-copy receive"}


def _receive(session, backend, options):
    stream = Stream(backend, provider=options.provider, stream_bytes=options.bytes,
                    region_bytes=REGION_BYTES, sha256=True, seed=SEED, seconds_max=SECONDS_MAX)
    landed = transfer(session.guest, stream)
    return {"sha256": landed.report["sha256"], "bytes": landed.received_bytes,
            "dma_share": round(landed.dma_share, 6), "linear_bytes": landed.linear_bytes,
            "tokens_outstanding": landed.tokens_out, "seconds": round(landed.seconds, 2)}


def _pools_drained(session):
    """True when the kernel shows no page pool that still waits, for the longest it may take."""
    for _ in range(20):
        if not undrained_pools(session) and not queues_with_provider(session):
            return True
        session.guest.run("usleep 500000")
    return False


def _measure(options, progress):
    start = time.monotonic()
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        wanted = pool.submit(pattern.sha256_of_stream, SEED, options.bytes)
        with Session(options, progress) as session:
            runs = {}
            for backend in TITLES:
                with progress.step(f"{options.bytes >> 20} MiB by {TITLES[backend]}"):
                    runs[backend] = _receive(session, backend, options)
            drained = _pools_drained(session)
            warnings = kernel_log.undocumented(session.kernel_warnings())
            kernel = session.check("uname -r").strip()
    result = {"kernel": kernel, "bytes": options.bytes, "provider": options.provider,
              "sha256": wanted.result()}
    for backend, prefix in (("kernel", "devmem"), ("zcrx", "zcrx")):
        run = runs[backend]
        result |= {f"{prefix}_sha256_match": run["sha256"] == result["sha256"],
                   f"{prefix}_dma_share": run["dma_share"],
                   f"{prefix}_linear_bytes": run["linear_bytes"],
                   f"{prefix}_seconds": run["seconds"]}
    result |= {"tokens_outstanding": sum(run["tokens_outstanding"] for run in runs.values()),
               "page_pools_drained": drained, "kernel_warnings": len(warnings),
               "seconds": round(time.monotonic() - start, 1)}
    return result


def checks(result):
    """[(right, what was proven, devmem's evidence, zcrx's evidence)]."""
    def both(key):
        return result[f"devmem_{key}"], result[f"zcrx_{key}"]

    hashes, shares, linear = both("sha256_match"), both("dma_share"), both("linear_bytes")
    return [
        (all(hashes), "SHA-256 of what landed is that of what was sent",
         *("the same" if same else "DIFFERENT" for same in hashes)),
        (min(shares) == 1, "payload that the device wrote into the region",
         *(f"{100 * share:.4g} %" for share in shares)),
        (max(linear) == 0, "payload bytes in host memory", *map(str, linear)),
        (result["tokens_outstanding"] == 0, "tokens out at the end",
         str(result["tokens_outstanding"]), ""),
        (result["page_pools_drained"], "page pools, by the kernel's own dump",
         "drained" if result["page_pools_drained"] else "NOT DRAINED", ""),
        (result["kernel_warnings"] == 0, "kernel warnings", str(result["kernel_warnings"]), ""),
    ]


def table(result):
    lines = [f"Linux {result['kernel']}, a stock kernel; two virtual gVNICs; "
             f"{result['bytes'] >> 20} MiB each into {result['provider']} memory", "",
             f"   {'':47} {'devmem TCP':>12} {'zcrx':>12}"]
    for right, what, devmem, zcrx in checks(result):
        lines.append(f"{'ok' if right else 'NO'} {what:47} {devmem:>12} {zcrx:>12}".rstrip())
    lines.append(f"   {'seconds':47} {result['devmem_seconds']:>12} {result['zcrx_seconds']:>12}")
    lines += ["", f"{result['seconds']} s in all, boot included. The guest is emulated: this "
                  "proves correctness, not speed."]
    return "\n".join(lines)


def run_demo(options, progress):
    """Returns the exit status: 0 when everything was right."""
    if not options.bin:
        options.bin = build.build(progress)
    options.program_names = []
    result = _measure(options, progress)
    print(json.dumps(result, indent=2) if options.json else table(result))
    wrong = [what for right, what, *_ in checks(result) if not right]
    if wrong:
        raise LabError("not as it should be: " + "; ".join(wrong))
    return 0
