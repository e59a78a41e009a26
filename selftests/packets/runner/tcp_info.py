# SPDX-License-Identifier: Apache-2.0
"""TCP_INFO and SO_MEMINFO as Python names, for the code between %{ and }% of a script: the members
of Linux's struct tcp_info (linux/tcp.h) in their order, as far as the bytes that were returned
go."""

import struct

_BYTES = ("tcpi_state", "tcpi_ca_state", "tcpi_retransmits", "tcpi_probes", "tcpi_backoff",
          "tcpi_options")
_WORDS = ("tcpi_rto", "tcpi_ato", "tcpi_snd_mss", "tcpi_rcv_mss", "tcpi_unacked", "tcpi_sacked",
          "tcpi_lost", "tcpi_retrans", "tcpi_fackets", "tcpi_last_data_sent", "tcpi_last_ack_sent",
          "tcpi_last_data_recv", "tcpi_last_ack_recv", "tcpi_pmtu", "tcpi_rcv_ssthresh", "tcpi_rtt",
          "tcpi_rttvar", "tcpi_snd_ssthresh", "tcpi_snd_cwnd", "tcpi_advmss", "tcpi_reordering",
          "tcpi_rcv_rtt", "tcpi_rcv_space", "tcpi_total_retrans")
# (name, struct code) behind the words.
_TAIL = (("tcpi_pacing_rate", "Q"), ("tcpi_max_pacing_rate", "Q"), ("tcpi_bytes_acked", "Q"),
         ("tcpi_bytes_received", "Q"), ("tcpi_segs_out", "I"), ("tcpi_segs_in", "I"),
         ("tcpi_notsent_bytes", "I"), ("tcpi_min_rtt", "I"), ("tcpi_data_segs_in", "I"),
         ("tcpi_data_segs_out", "I"), ("tcpi_delivery_rate", "Q"), ("tcpi_busy_time", "Q"),
         ("tcpi_rwnd_limited", "Q"), ("tcpi_sndbuf_limited", "Q"), ("tcpi_delivered", "I"),
         ("tcpi_delivered_ce", "I"), ("tcpi_bytes_sent", "Q"), ("tcpi_bytes_retrans", "Q"),
         ("tcpi_dsack_dups", "I"), ("tcpi_reord_seen", "I"), ("tcpi_rcv_ooopack", "I"),
         ("tcpi_snd_wnd", "I"), ("tcpi_rcv_wnd", "I"), ("tcpi_rehash", "I"),
         ("tcpi_total_rto", "H"), ("tcpi_total_rto_recoveries", "H"), ("tcpi_total_rto_time", "I"))

SO_MEMINFO = 55
BYTES_MAX = 512  # More than any kernel's struct.

_FIXED = {
    "TCP_ESTABLISHED": 1, "TCP_SYN_SENT": 2, "TCP_SYN_RECV": 3, "TCP_FIN_WAIT1": 4,
    "TCP_FIN_WAIT2": 5, "TCP_TIME_WAIT": 6, "TCP_CLOSE": 7, "TCP_CLOSE_WAIT": 8, "TCP_LAST_ACK": 9,
    "TCP_LISTEN": 10, "TCP_CLOSING": 11, "TCP_CA_Open": 0, "TCP_CA_Disorder": 1, "TCP_CA_CWR": 2,
    "TCP_CA_Recovery": 3, "TCP_CA_Loss": 4, "TCPI_OPT_TIMESTAMPS": 1, "TCPI_OPT_SACK": 2,
    "TCPI_OPT_WSCALE": 4, "TCPI_OPT_ECN": 8, "TCPI_OPT_ECN_SEEN": 16,
}


_MEMINFO = ("RMEM_ALLOC", "RCVBUF", "WMEM_ALLOC", "SNDBUF", "FWD_ALLOC", "WMEM_QUEUED", "OPTMEM",
            "BACKLOG", "DROPS")


def decode_meminfo(data):
    """{name: value} of what SO_MEMINFO tells."""
    values = struct.unpack_from(f"={min(len(data) // 4, len(_MEMINFO))}I", data)
    return {"SK_MEMINFO_" + name: value for name, value in zip(_MEMINFO, values)}


def decode(data):
    """{name: value} of a struct tcp_info, with the short names that packetdrill defines too."""
    names = dict(_FIXED)
    names.update(zip(_BYTES, data[:6]))
    names["tcpi_snd_wscale"], names["tcpi_rcv_wscale"] = data[6] & 15, data[6] >> 4
    at = 8
    for name in _WORDS:
        if at + 4 <= len(data):
            names[name] = struct.unpack_from("=I", data, at)[0]
            at += 4
    for name, code in _TAIL:
        size = struct.calcsize(code)
        if at + size > len(data):
            break
        names[name] = struct.unpack_from("=" + code, data, at)[0]
        at += size
    return names
