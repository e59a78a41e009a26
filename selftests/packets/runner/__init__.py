# SPDX-License-Identifier: Apache-2.0
"""A player of packet scripts, which say what a TCP is told and what it must answer, packet by
packet and call by call. Used by `run_packets` and by selftests/differential; the language is
packetdrill's (Documentation/testing.md). One process plays one script at a time."""
