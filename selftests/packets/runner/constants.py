# SPDX-License-Identifier: Apache-2.0
"""The names that scripts use for numbers: those of Python's modules socket, select, errno, fcntl,
os and termios, and those of Linux that these do not have. The call parser asks here."""

import errno
import fcntl
import os
import select
import socket

# What Python's modules leave out; the values are those of Linux on every architecture we build for.
_MORE = {
    "SOL_IP": 0, "SOL_IPV6": 41, "SOL_TCP": 6, "IP_MTU_DISCOVER": 10, "IP_PMTUDISC_DONT": 0,
    "IP_PMTUDISC_WANT": 1, "IP_PMTUDISC_DO": 2, "IP_PMTUDISC_PROBE": 3, "IP_RECVERR": 11,
    "IP_MTU": 14, "IP_FREEBIND": 15, "IPV6_MTU": 24, "IPV6_MTU_DISCOVER": 23, "IPV6_RECVERR": 25,
    "SO_ZEROCOPY": 60, "SO_MAX_PACING_RATE": 47, "SO_TIMESTAMPING": 37,
    "TCP_SYNCNT": 7, "TCP_LINGER2": 8, "TCP_WINDOW_CLAMP": 10, "TCP_MD5SIG": 14,
    "TCP_THIN_LINEAR_TIMEOUTS": 16, "TCP_THIN_DUPACK": 17, "TCP_REPAIR": 19,
    "TCP_REPAIR_QUEUE": 20, "TCP_QUEUE_SEQ": 21, "TCP_TIMESTAMP": 24, "TCP_CC_INFO": 26,
    "TCP_FASTOPEN_CONNECT": 30, "TCP_INQ": 36, "TCP_CM_INQ": 36, "TCP_TX_DELAY": 37,
    "TCP_SAVE_SYN": 27, "TCP_SAVED_SYN": 28, "TCP_RTO_MAX_MS": 44,
    "SIOCINQ": 0x541B, "FIONREAD": 0x541B, "SIOCOUTQ": 0x5411, "TIOCOUTQ": 0x5411,
    "SIOCOUTQNSD": 0x894B, "FIONBIO": 0x5421, "MSG_ZEROCOPY": 0x4000000, "MSG_FASTOPEN": 0x20000000,
    "EPOLL_CTL_ADD": 1, "EPOLL_CTL_DEL": 2, "EPOLL_CTL_MOD": 3,
    "TCP_SYN_SENT": 2, "TCP_SYN_RECV": 3, "TCP_FIN_WAIT1": 4, "TCP_FIN_WAIT2": 5,
    "TCP_TIME_WAIT": 6, "TCP_CLOSE": 7, "TCP_CLOSE_WAIT": 8, "TCP_LAST_ACK": 9, "TCP_LISTEN": 10,
    "TCP_CLOSING": 11, "TCP_NEW_SYN_RECV": 12, "TCP_ESTABLISHED": 1,
    "TCP_CA_Open": 0, "TCP_CA_Disorder": 1, "TCP_CA_CWR": 2, "TCP_CA_Recovery": 3,
    "TCP_CA_Loss": 4, "TCPI_OPT_TIMESTAMPS": 1, "TCPI_OPT_SACK": 2, "TCPI_OPT_WSCALE": 4,
    "TCPI_OPT_ECN": 8, "TCPI_OPT_ECN_SEEN": 16, "TCPI_OPT_SYN_DATA": 32,
}
_PREFIXES = ("AF_", "PF_", "SOCK_", "IPPROTO_", "SOL_", "SO_", "TCP_", "MSG_", "SHUT_", "IP_",
             "IPV6_", "POLL", "EPOLL", "O_", "F_", "INADDR_")


def _table():
    table = {}
    for module in (socket, select, fcntl, os):
        for name in dir(module):
            if name.startswith(_PREFIXES) and isinstance(getattr(module, name), int):
                table[name] = int(getattr(module, name))
    return table | _MORE


NAMES = _table()


def value_of(name):
    if name not in NAMES:
        raise ValueError(f"unknown name {name}")
    return NAMES[name]


def errno_of(name):
    """The number of an errno by its name; ENOTSUP and EWOULDBLOCK have several."""
    if not hasattr(errno, name):
        raise ValueError(f"unknown errno {name}")
    return getattr(errno, name)


def errno_text(number):
    name = errno.errorcode.get(number, str(number))
    return f"{name} ({os.strerror(number)})"
