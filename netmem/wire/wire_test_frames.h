// SPDX-License-Identifier: Apache-2.0
// Frames as literal bytes for the tests of this folder, made and summed by a program that shares no
// code with the one under test. Each one travels from the peer 10.0.0.2 or fd00::2, port 40000,
// 02:00:5e:10:00:02, to us: 10.0.0.1 or fd00::1, port 5201, 02:00:5e:10:00:01.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace devmem {

// Turns hex pairs, with spaces between them as one likes, into bytes.
inline std::vector<uint8_t> FromHex(absl::string_view hex) {
  std::string digits;
  for (const char c : hex) {
    if (c != ' ') digits.push_back(c);
  }
  std::vector<uint8_t> bytes;
  for (size_t i = 0; i + 1 < digits.size(); i += 2) {
    bytes.push_back(static_cast<uint8_t>(std::stoul(digits.substr(i, 2), nullptr, 16)));
  }
  return bytes;
}

// A SYN with MSS 1460, SACK-permitted, timestamps and window scale 7, in Linux's order.
inline std::vector<uint8_t> SynFrameV4() {
  return FromHex(
      "02 00 5e 10 00 01 02 00 5e 10 00 02 08 00"
      "45 00 00 3c 12 34 40 00 40 06 14 86 0a 00 00 02 0a 00 00 01"
      "9c 40 14 51 ff ff ff f0 00 00 00 00 a0 02 fa f0 84 84 00 00"
      "02 04 05 b4 04 02 08 0a 01 02 03 04 00 00 00 00 01 03 03 07");
}

// "hello" with a timestamp and ECT(0).
inline std::vector<uint8_t> DataFrameV4() {
  return FromHex(
      "02 00 5e 10 00 01 02 00 5e 10 00 02 08 00"
      "45 02 00 39 12 34 40 00 40 06 14 87 0a 00 00 02 0a 00 00 01"
      "9c 40 14 51 ff ff ff f1 10 20 30 40 80 18 01 f6 1b ee 00 00"
      "01 01 08 0a 01 02 03 04 05 06 07 08 68 65 6c 6c 6f");
}

// The same over IPv6 with traffic class 3 (congestion experienced) and flow label 0xabcde.
inline std::vector<uint8_t> DataFrameV6() {
  return FromHex(
      "02 00 5e 10 00 01 02 00 5e 10 00 02 86 dd"
      "60 3a bc de 00 25 06 40 fd 00 00 00 00 00 00 00 00 00 00 00 00 00 00 02"
      "fd 00 00 00 00 00 00 00 00 00 00 00 00 00 00 01"
      "9c 40 14 51 ff ff ff f1 10 20 30 40 80 18 01 f6 35 ec 00 00"
      "01 01 08 0a 01 02 03 04 05 06 07 08 68 65 6c 6c 6f");
}

// Who has 10.0.0.1? Tell 10.0.0.2.
inline std::vector<uint8_t> ArpRequestFrame() {
  return FromHex(
      "ff ff ff ff ff ff 02 00 5e 10 00 02 08 06"
      "00 01 08 00 06 04 00 01 02 00 5e 10 00 02 0a 00 00 02 00 00 00 00 00 00 0a 00 00 01");
}

// An echo request with identifier 0x77, sequence 3 and nine bytes of data: an odd length.
inline std::vector<uint8_t> PingFrameV4() {
  return FromHex(
      "02 00 5e 10 00 01 02 00 5e 10 00 02 08 00"
      "45 00 00 25 12 34 40 00 40 01 14 a2 0a 00 00 02 0a 00 00 01"
      "08 00 fc ef 00 77 00 03 61 62 63 64 65 66 67 68 69");
}

inline std::vector<uint8_t> PingFrameV6() {
  return FromHex(
      "02 00 5e 10 00 01 02 00 5e 10 00 02 86 dd"
      "60 0a bc de 00 11 3a 40 fd 00 00 00 00 00 00 00 00 00 00 00 00 00 00 02"
      "fd 00 00 00 00 00 00 00 00 00 00 00 00 00 00 01"
      "80 00 8a 9f 00 77 00 03 61 62 63 64 65 66 67 68 69");
}

// A datagram for another protocol.
inline std::vector<uint8_t> UdpFrameV4() {
  return FromHex(
      "02 00 5e 10 00 01 02 00 5e 10 00 02 08 00"
      "45 00 00 20 12 34 40 00 40 11 14 97 0a 00 00 02 0a 00 00 01"
      "00 35 14 e9 00 0c 00 00 64 61 74 61");
}

// Who has fd00::1? Tell fd00::2, which is at 02:00:5e:10:00:02.
inline std::vector<uint8_t> SolicitationFrame() {
  return FromHex(
      "33 33 ff 00 00 01 02 00 5e 10 00 02 86 dd"
      "60 00 00 00 00 20 3a ff fd 00 00 00 00 00 00 00 00 00 00 00 00 00 00 02 ff 02 00 00"
      "00 00 00 00 00 00 00 01 ff 00 00 01 87 00 1f 87 00 00 00 00 fd 00 00 00 00 00 00 00"
      "00 00 00 00 00 00 00 01 01 01 02 00 5e 10 00 02");
}

// The same from nobody: is fd00::1 free (RFC 4862 section 5.4.2)?
inline std::vector<uint8_t> DetectionFrame() {
  return FromHex(
      "33 33 ff 00 00 01 02 00 5e 10 00 02 86 dd"
      "60 00 00 00 00 18 3a ff 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 ff 02 00 00"
      "00 00 00 00 00 00 00 01 ff 00 00 01 87 00 7d a5 00 00 00 00 fd 00 00 00 00 00 00 00"
      "00 00 00 00 00 00 00 01");
}

// fd00::2 is at 02:00:5e:10:00:02: solicited, overrides.
inline std::vector<uint8_t> AdvertisementFrame() {
  return FromHex(
      "02 00 5e 10 00 01 02 00 5e 10 00 02 86 dd"
      "60 00 00 00 00 20 3a ff fd 00 00 00 00 00 00 00 00 00 00 00 00 00 00 02 fd 00 00 00"
      "00 00 00 00 00 00 00 00 00 00 00 01 88 00 be 89 60 00 00 00 fd 00 00 00 00 00 00 00"
      "00 00 00 00 00 00 00 02 02 01 02 00 5e 10 00 02");
}

// From the router 10.0.0.9: our segment 10.0.0.1:5201 to 10.0.0.2:40000, sequence 0xfffffff0, does
// not fit the next hop, which takes 1400 bytes. It quotes eight bytes of TCP.
inline std::vector<uint8_t> FragmentationNeededFrame() {
  return FromHex(
      "02 00 5e 10 00 01 02 00 5e 10 00 02 08 00"
      "45 00 00 38 12 34 40 00 40 01 14 88 0a 00 00 09 0a 00 00 01 03 04 47 01 00 00 05 78"
      "45 00 05 dc 12 34 40 00 40 06 0e e6 0a 00 00 01 0a 00 00 02 14 51 9c 40 ff ff ff f0");
}

// From the router fd00::9: the same of our segment over IPv6, quoted whole; 1300 bytes would fit.
inline std::vector<uint8_t> TooBigFrame() {
  return FromHex(
      "02 00 5e 10 00 01 02 00 5e 10 00 02 86 dd"
      "60 00 00 00 00 44 3a 40 fd 00 00 00 00 00 00 00 00 00 00 00 00 00 00 09 fd 00 00 00"
      "00 00 00 00 00 00 00 00 00 00 00 01 02 00 97 7c 00 00 05 14 60 00 00 00 00 14 06 3f"
      "fd 00 00 00 00 00 00 00 00 00 00 00 00 00 00 01 fd 00 00 00 00 00 00 00 00 00 00 00"
      "00 00 00 02 14 51 9c 40 ff ff ff f0 01 02 03 04 50 10 01 f4 00 00 00 00");
}

}  // namespace devmem
