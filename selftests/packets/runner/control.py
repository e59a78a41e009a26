# SPDX-License-Identifier: Apache-2.0
"""Control messages that recvmsg() brings: what a script expects of them, compared with the bytes
that came. calls.py calls this for a script that names msg_control."""

import struct

_HEADER = struct.Struct("=Qii")  # struct cmsghdr of 64-bit machines.
_ALIGN = 8


def decode(data):
    """[(level, type, bytes), ...] of the control messages in `data`."""
    messages, at = [], 0
    while at + _HEADER.size <= len(data):
        size, level, kind = _HEADER.unpack_from(data, at)
        if size < _HEADER.size:
            break
        messages.append((level, kind, data[at + _HEADER.size:at + size]))
        at += (size + _ALIGN - 1) // _ALIGN * _ALIGN
    return messages


def difference(expected, data):
    """What of a script's list of messages is not in `data`, as text; None if all is the same."""
    found = decode(data)
    wanted = [(entry.get("cmsg_level"), entry.get("cmsg_type"), entry.get("cmsg_data"))
              for entry in expected]
    if len(found) != len(wanted):
        return f"{len(found)} control messages came, not {len(wanted)}"
    for (level, kind, content), (want_level, want_kind, want) in zip(found, wanted):
        if (level, kind) != (want_level, want_kind):
            return f"a control message is of {level}/{kind}, not of {want_level}/{want_kind}"
        if isinstance(want, int) and content != want.to_bytes(4, "little", signed=True):
            said = int.from_bytes(content, "little", signed=True)
            return f"a control message says {said}, not {want}"
    return None
