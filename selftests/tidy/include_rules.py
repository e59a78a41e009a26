# SPDX-License-Identifier: Apache-2.0
"""Rules about #include: the order of the layers, the one door to payload bytes, and headers of
abseil that the project must not use. Called by tidy.py."""

# A layer may include itself and what is listed. `netmem/tcp` knows no NIC; `netmem/gvnic` is a NIC
# for a guest's kernel and knows no TCP; `provider` knows no network beyond the checksum; `uapi/abi`
# mirrors kernel structs and nothing else.
MAY_INCLUDE = {
    "netmem/wire": [],
    "provider": ["netmem/wire/checksum.h"],
    "netmem": ["netmem/wire", "provider"],
    "netmem/nic": ["netmem/wire", "provider", "netmem"],
    "netmem/gvnic": ["netmem/wire", "provider", "netmem", "netmem/nic"],
    "netmem/tcp": ["netmem/wire", "provider", "netmem"],
    "netmem/stack": ["netmem/wire", "provider", "netmem", "netmem/nic", "netmem/tcp"],
    "uapi/abi": [],
    "uapi/netlink": ["netmem/wire", "provider", "netmem", "netmem/nic", "uapi/abi"],
    "uapi/ring": ["provider", "uapi/abi"],
    "uapi": ["netmem/wire", "provider", "netmem", "netmem/nic", "netmem/tcp", "netmem/stack",
             "uapi/abi", "uapi/netlink", "uapi/ring"],
    "tools": ["netmem/wire", "provider", "netmem", "netmem/nic", "netmem/gvnic", "netmem/tcp",
              "netmem/stack", "uapi/abi", "uapi/netlink", "uapi/ring", "uapi"],
    "examples": ["uapi"],
}

# The order in which layers stand above one another; a test may include every layer up to its own.
ORDER = ["netmem/wire", "provider", "netmem", "netmem/nic", "netmem/gvnic", "netmem/tcp",
         "netmem/stack", "uapi/abi", "uapi/netlink", "uapi/ring", "uapi", "tools",
         "examples"]

# Folders of tests and measurements may include anything.
FREE_FOLDERS = ("selftests", "bench")

DMA_MAPPING = "provider/dma_mapping.h"
DMA_MAPPING_USERS = ("provider", "netmem/nic")

FORBIDDEN_INCLUDES = {
    "absl/container/": "its layout differs under asan, and it iterates in a random order",
    "absl/synchronization/": "the packaged absl::Mutex is not instrumented for tsan",
}


def layer_of(path):
    """The longest layer name that is a folder of `path`, or None."""
    layers = [layer for layer in ORDER if path.startswith(layer + "/")]
    return max(layers, key=len, default=None)


def _allowed(file, layer, included):
    target = layer_of(included)
    if target == layer:
        return True
    if file.is_test:
        return (included.startswith("selftests/testing/") or
                (target is not None and ORDER.index(target) <= ORDER.index(layer)))
    return target in MAY_INCLUDE[layer] or included in MAY_INCLUDE[layer]


def check_include_direction(tree):
    problems = []
    for file in tree.cpp:
        layer = layer_of(file.path)
        if layer is None:
            continue
        for number, included, quoted in file.includes:
            # A quoted path outside every layer is a third party's header, or selftests and bench.
            ours = layer_of(included) or included.startswith(FREE_FOLDERS)
            if quoted and ours and not _allowed(file, layer, included):
                problems.append(f"{file.path}:{number}: {layer} may not include {included}")
            elif quoted and not ours and tree.find(f"{file.folder}/{included}"):
                problems.append(f"{file.path}:{number}: write the path of {included} from the "
                                "repository's root")
    return problems


def check_dma_mapping(tree):
    problems = []
    for file in tree.cpp:
        if file.is_test or layer_of(file.path) in DMA_MAPPING_USERS:
            continue
        for number, included, _ in file.includes:
            if included == DMA_MAPPING:
                problems.append(f"{file.path}:{number}: only {' and '.join(DMA_MAPPING_USERS)} may "
                                f"include {DMA_MAPPING}; it is the door to payload bytes")
    return problems


def check_forbidden_includes(tree):
    problems = []
    for file in tree.cpp:
        for number, included, _ in file.includes:
            for prefix, reason in FORBIDDEN_INCLUDES.items():
                if included.startswith(prefix):
                    problems.append(f"{file.path}:{number}: {included}: {reason}")
    return problems
