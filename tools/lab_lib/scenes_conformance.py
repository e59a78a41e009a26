# SPDX-License-Identifier: Apache-2.0
"""The conformance suite (selftests/conformance) in the guest: the same test bodies as over every
other backend, here over the kernel's, into both kinds of region."""

import xml.etree.ElementTree as ElementTree

import network
from scene import Boot, scene
from scenes_streams import BACKENDS, PROVIDERS

PROGRAM = "devmem_conformance"
SECONDS_MAX = 900
SCALE_PERCENT = 10
FAILURES_TOLD = 5
CONFORMANCE = Boot("conformance")


def _command(backend, provider, path):
    return (f"{PROGRAM} --backend={backend} --device=eth0 --queues=1,2 "
            f"--address={network.SERVER4},{network.SERVER6} "
            f"--peer-address={network.PEER4},{network.PEER6} --peer-network={network.PEER} "
            f"--provider={provider} --region-mib=16 --scale-percent={SCALE_PERCENT} "
            f"--gtest_output=xml:{path} >/run/conformance.log 2>&1")


def _register(backend, provider):
    @scene(f"{backend}: the conformance suite passes into {provider} regions",
           boot=CONFORMANCE, needs=(PROGRAM,))
    def _(lab):
        path = f"/run/{backend}-{provider}.xml"
        result = lab.run(_command(backend, provider, path), SECONDS_MAX)
        lab.expect(result.status in (0, 1), f"it comes to its end: status {result.status}\n"
                   + lab.run("tail -n 15 /run/conformance.log").out)
        data = lab.guest.fetch(path)
        if lab.keep_xml:
            lab.keep_xml.mkdir(parents=True, exist_ok=True)
            (lab.keep_xml / f"{backend}-{provider}.xml").write_bytes(data)
        cases = list(ElementTree.fromstring(data).iter("testcase"))
        failed = [f"{case.get('classname')}.{case.get('name')}: "
                  + case.find("failure").get("message").strip().replace("\n", " ")[:200]
                  for case in cases if case.find("failure") is not None]
        skipped = sum(case.find("skipped") is not None for case in cases)
        lab.notes |= {"passed": len(cases) - skipped - len(failed), "skipped": skipped}
        lab.expect(not failed, f"{len(failed)} of {len(cases)} fail:\n"
                   + "\n".join(failed[:FAILURES_TOLD]))
        lab.expect(result.status == 0, f"it ends with 0, not {result.status}")


for _backend in BACKENDS:
    for _provider in PROVIDERS:
        _register(_backend, _provider)
