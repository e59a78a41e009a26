# SPDX-License-Identifier: Apache-2.0
"""From what the runs measured to the one JSON object and the table of tools/demo. Pure functions:
no clock, no files, no terminal but the one that the caller tells about."""

import textwrap

from measure import median

BOUNCED_SHARE_MAX = 0.001  # Of all payload bytes.
RATIO_WANTED = 1.5
RATIO_LIFO_WANTED = 1.0

# The three ways to receive, in the order in which a round tries them.
WAYS = ("devmem", "copy", "copy_lifo")


def summarize(rounds):
    """Medians of the rounds. Each round is {way: {gbit_per_s, cpu_s_per_gb, machine_cpu_s_per_gb}}.
    The ratios are those of the medians."""
    def of(way, field):
        return median(one[way][field] for one in rounds)

    speed = {way: of(way, "gbit_per_s") for way in WAYS}
    return {
        "gbit_per_s": speed["devmem"],
        "copy_gbit_per_s": speed["copy"],
        "copy_lifo_gbit_per_s": speed["copy_lifo"],
        "ratio": round(speed["devmem"] / speed["copy"], 3),
        "ratio_lifo": round(speed["devmem"] / speed["copy_lifo"], 3),
        "cpu_s_per_gb": {way: of(way, "cpu_s_per_gb") for way in WAYS},
        "machine_cpu_s_per_gb": {way: of(way, "machine_cpu_s_per_gb") for way in WAYS},
    }


def checks(result):
    """[(right or not, what was proven, the evidence)]. The demo succeeds when all are right."""
    bounced, total = result["payload_bytes_bounced"], result["bytes"]
    ping, unsteered = result["ping"], result["unsteered"]
    proven = [
        (result["sha256_match"], "every byte landed, in order and unchanged",
         f"SHA-256 of the region's bytes and of the sender's are "
         f"{'the same' if result['sha256_match'] else 'DIFFERENT'}"),
        (bounced <= BOUNCED_SHARE_MAX * total, "payload went straight into the region",
         f"{bounced:,} bytes bounced through host memory ({100 * bounced / total:.4f} %)"),
        (result["net_iovs_leaked"] == 0, "every piece of the region came back",
         f"{result['net_iovs_leaked']} chunks missing in the account"),
        (unsteered["ok"], "a connection without a flow rule is served beside it",
         f"{unsteered['bytes']:,} bytes, from host memory, "
         f"SHA-256 {'the same' if unsteered['ok'] else 'DIFFERENT'}"),
        # The last one may still be on its way when ping is told to end.
        (ping["received"] > 0 and ping["received"] >= ping["sent"] - 1,
         "the stack answers ping meanwhile",
         f"{ping['received']} of {ping['sent']} answered"),
    ]
    if result["steering"] == "bpf":
        proven.append((result["missteered_bytes"] == 0, "the flow rule caught every frame",
                       f"{result['missteered_bytes']:,} bytes on a wrong queue"))
    else:
        proven.append((True, "the kernel followed our answers to the bound queue",
                       f"{result['presteer_bytes']:,} bytes came before it knew the queue, "
                       f"{result['missteered_bytes']:,} after"))
    return proven


def succeeded(result):
    return all(right for right, _, _ in checks(result))


class Style:
    """Colours and signs for a terminal; plain text elsewhere."""

    def __init__(self, terminal):
        self._terminal = terminal

    def _wrap(self, code, text):
        return f"\033[{code}m{text}\033[0m" if self._terminal else text

    def bold(self, text):
        return self._wrap("1", text)

    def dim(self, text):
        return self._wrap("2", text)

    def mark(self, right):
        return self._wrap("32", "yes") if right else self._wrap("1;31", "NO ")


def _size(count):
    for unit, bytes_ in (("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)):
        if count >= bytes_:
            return f"{count / bytes_:.4g} {unit}"
    return f"{count} bytes"


def _speed_lines(result, style):
    labels = {
        "devmem": ("devmem", "lands in the region, no copy"),
        "copy": ("recv + memcpy", "to rising offsets: what users write"),
        "copy_lifo": ("recv + LIFO", "the same copy into a hot pool"),
    }
    speed = {"devmem": result["gbit_per_s"], "copy": result["copy_gbit_per_s"],
             "copy_lifo": result["copy_lifo_gbit_per_s"]}
    fastest = max(speed.values())
    lines = [style.dim(f"{'':14}{'':7} CPU seconds per GB"),
             style.dim(f"{'':14}{'Gbit/s':>7}  receiver  machine")]
    for way in WAYS:
        name, what = labels[way]
        bar = "#" * max(1, round(16 * speed[way] / fastest))
        lines.append(f"{name:14}{speed[way]:7.1f}  {result['cpu_s_per_gb'][way]:8.2f}  "
                     f"{result['machine_cpu_s_per_gb'][way]:7.2f}  {bar:16}  {style.dim(what)}")
    return lines


def table(result, terminal):
    style = Style(terminal)
    machine = result["machine"]
    lines = [
        "",
        style.bold(f"{_size(result['bytes'])} of TCP into a "
                   f"{_size(result['region_bytes'])} region"),
        f"A kernel sender, TAP device {result['device']}, steering {result['steering']}, bound rx "
        f"queue {result['queue']}; {machine['cpus']} CPUs, {machine['cpu']}, Linux "
        f"{machine['kernel']}",
        "",
        style.bold("Proven"),
    ]
    for right, what, evidence in checks(result):
        lines.append(f"  {style.mark(right)}  {what}: {style.dim(evidence)}")
    rounds = len(result["rounds"])
    lines += ["", style.bold(f"Speed, median of {rounds} interleaved rounds of "
                             f"{_size(result['round_bytes'])}, payload never read by the CPU")]
    lines += ["  " + line for line in _speed_lines(result, style)]
    lines += [
        "",
        f"  devmem is {style.bold(format(result['ratio'], '.2f'))} times as fast as recv + memcpy "
        f"(wanted {RATIO_WANTED:.1f})",
        f"  and {style.bold(format(result['ratio_lifo'], '.2f'))} times as fast as the LIFO copy "
        f"(wanted {RATIO_LIFO_WANTED:.1f}).",
        *(style.dim("  " + line) for line in textwrap.wrap(result["method"], 94)),
        "",
    ]
    return "\n".join(lines)
