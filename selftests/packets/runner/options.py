# SPDX-License-Identifier: Apache-2.0
"""TCP options, in scripts and on the wire. An option is a tuple whose first member is its name:
("mss", 1460), ("nop",), ("wscale", 7), ("sackOK",), ("sack", ((1, 2), ...)), ("TS", val, ecr),
("eol",), ("FO", cookie bytes) or ("raw", kind, bytes). Used by the packet parsers and wire.py."""

import re
import struct

_SIMPLE = {"nop": ("nop",), "eol": ("eol",), "sackOK": ("sackOK",)}


def _parse_one(text):
    if text in _SIMPLE:
        return _SIMPLE[text]
    if match := re.fullmatch(r"mss\s+(\d+)", text):
        return ("mss", int(match[1]))
    if match := re.fullmatch(r"wscale\s+(\d+)", text):
        return ("wscale", int(match[1]))
    if match := re.fullmatch(r"TS\s+val\s+(\d+)\s+ecr\s+(\d+)", text):
        return ("TS", int(match[1]), int(match[2]))
    if match := re.fullmatch(r"sack((?:\s+\d+:\d+)+)", text):
        blocks = re.findall(r"(\d+):(\d+)", match[1])
        return ("sack", tuple((int(left), int(right)) for left, right in blocks))
    if match := re.fullmatch(r"FO(?:EXP)?\s*([0-9a-fA-F]*)", text):
        return ("FO", bytes.fromhex(match[1]))
    # Ours: any kind with any bytes, for what no sane TCP sends. The length byte is written too.
    if match := re.fullmatch(r"raw\s+((?:[0-9a-fA-F]{2}\s*)+)", text):
        return ("raw", bytes.fromhex(match[1].replace(" ", "")))
    raise ValueError(f"unknown TCP option '{text}'")


def parse_options(text):
    """The options between `<` and `>`; None for `...`, which stands for any."""
    text = text.strip()
    if text == "...":
        return None
    return [_parse_one(part.strip()) for part in text.split(",")] if text else []


def format_options(options):
    if options is None:
        return "<...>"
    words = []
    for option in options:
        if option[0] == "TS":
            words.append(f"TS val {option[1]} ecr {option[2]}")
        elif option[0] == "sack":
            words.append("sack " + " ".join(f"{left}:{right}" for left, right in option[1]))
        elif option[0] in ("FO", "raw"):
            words.append(f"{option[0]} {option[1].hex()}")
        else:
            words.append(" ".join(str(member) for member in option))
    return f"<{','.join(words)}>" if words else ""


def encode_options(options):
    """The bytes on the wire, padded to whole words."""
    out = b""
    for option in options or []:
        match option:
            case ("nop",):
                out += b"\x01"
            case ("eol",):
                out += b"\x00"
            case ("mss", value):
                out += struct.pack("!BBH", 2, 4, value)
            case ("wscale", value):
                out += struct.pack("!BBB", 3, 3, value)
            case ("sackOK",):
                out += b"\x04\x02"
            case ("sack", blocks):
                out += struct.pack("!BB", 5, 2 + 8 * len(blocks))
                for left, right in blocks:
                    out += struct.pack("!II", left & 0xFFFFFFFF, right & 0xFFFFFFFF)
            case ("TS", value, echo):
                out += struct.pack("!BBII", 8, 10, value & 0xFFFFFFFF, echo & 0xFFFFFFFF)
            case ("FO", cookie):
                out += struct.pack("!BB", 34, 2 + len(cookie)) + cookie
            case ("raw", raw):
                out += raw
    out += b"\x00" * (-len(out) % 4)
    if len(out) > 40:
        raise ValueError(f"{len(out)} bytes of TCP options; a header has room for 40")
    return out


def decode_options(data):
    """The options in `data`; what cannot be read ends the list as one raw option."""
    options, at = [], 0
    while at < len(data):
        kind = data[at]
        if kind == 0:
            # Padding after the end is not worth telling.
            options.append(("eol",))
            break
        if kind == 1:
            options.append(("nop",))
            at += 1
            continue
        if at + 1 >= len(data) or data[at + 1] < 2 or at + data[at + 1] > len(data):
            options.append(("raw", data[at:]))
            break
        body = data[at + 2:at + data[at + 1]]
        options.append(_decode_one(kind, body))
        at += data[at + 1]
    return options


def _decode_one(kind, body):
    match kind, len(body):
        case 2, 2:
            return ("mss", struct.unpack("!H", body)[0])
        case 3, 1:
            return ("wscale", body[0])
        case 4, 0:
            return ("sackOK",)
        case 5, length if length % 8 == 0:
            numbers = struct.unpack(f"!{length // 4}I", body)
            return ("sack", tuple(zip(numbers[::2], numbers[1::2])))
        case 8, 8:
            return ("TS", *struct.unpack("!II", body))
        case 34, _:
            return ("FO", body)
    return ("raw", bytes([kind, len(body) + 2]) + body)


def option_value(options, name):
    """The members of the first option called `name`, or None."""
    for option in options or []:
        if option[0] == name:
            return option[1:]
    return None
