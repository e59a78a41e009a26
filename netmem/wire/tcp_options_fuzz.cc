// SPDX-License-Identifier: Apache-2.0
// Fuzzes the TCP options: any bytes parse without overrun, the fast path agrees with the general
// one, and what was parsed survives being written and read again.
#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "netmem/wire/tcp_header.h"
#include "netmem/wire/tcp_options.h"
#include "netmem/wire/wire_fuzz_check.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace devmem;
  const TcpOptions parsed = ParseTcpOptions({data, size});
  RequireThat(parsed == ParseTcpOptionsSlow({data, size}), "the fast path agrees");
  RequireThat(parsed.sack_block_count <= kTcpSackBlocksMax, "the SACK count is bounded");
  RequireThat(parsed.window_scale.value_or(0) <= kTcpWindowScaleMax, "the scale is bounded");

  std::array<uint8_t, kTcpOptionsBytesMax> out;
  const size_t written = EmitTcpOptions(parsed, out);
  RequireThat(written <= out.size() && written % 4 == 0, "options are padded and bounded");
  const TcpOptions again = ParseTcpOptions(std::span(out).first(written));

  // All but SACK take at most 20 bytes, so at least two blocks always find room.
  TcpOptions expected = parsed;
  expected.malformed = false;
  expected.sack_block_count = again.sack_block_count;
  std::fill(expected.sack_blocks.begin() + again.sack_block_count, expected.sack_blocks.end(),
            SackBlock());
  RequireThat(again.sack_block_count <= parsed.sack_block_count &&
                  again.sack_block_count >= std::min<uint8_t>(parsed.sack_block_count, 2),
              "as many SACK blocks are written as fit");
  RequireThat(again == expected, "options survive the round trip");
  return 0;
}
