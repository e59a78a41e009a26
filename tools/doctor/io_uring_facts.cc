// SPDX-License-Identifier: Apache-2.0
//
// See io_uring_facts.h.

#include "tools/doctor/io_uring_facts.h"

#include <linux/io_uring.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_join.h"
#include "provider/unique_fd.h"
#include "uapi/abi/io_uring_zcrx.h"

namespace devmem {
namespace {

int Register(int ring, uint32_t opcode, void* argument, uint32_t count) {
  return static_cast<int>(syscall(SYS_io_uring_register, ring, opcode, argument, count));
}

bool KnowsReceive(int ring) {
  constexpr uint32_t kOps = 256;
  std::vector<uint64_t> space((sizeof(io_uring_probe) + kOps * sizeof(io_uring_probe_op)) /
                              sizeof(uint64_t));
  auto* const probe = reinterpret_cast<io_uring_probe*>(space.data());
  if (Register(ring, IORING_REGISTER_PROBE, probe, kOps) != 0) return false;
  return probe->last_op >= abi::IORING_OP_RECV_ZC &&
         (probe->ops[abi::IORING_OP_RECV_ZC].flags & IO_URING_OP_SUPPORTED) != 0;
}

std::optional<ZcrxFeatures> QueryZcrx() {
  abi::io_uring_query_zcrx answer = {};
  abi::io_uring_query_hdr header = {};
  header.query_data = reinterpret_cast<uintptr_t>(&answer);
  header.query_op = abi::IO_URING_QUERY_ZCRX;
  header.size = sizeof answer;
  if (Register(-1, abi::IORING_REGISTER_QUERY, &header, 0) != 0 || header.result < 0) {
    return std::nullopt;
  }
  return ZcrxFeatures{answer.register_flags, answer.area_flags, answer.nr_ctrl_opcodes,
                      answer.features};
}

}  // namespace

void ReadIoUringSysctl(const MachineFiles& files, IoUringFacts* facts) {
  uint32_t value = 0;
  if (absl::SimpleAtoi(files.ReadLine("/proc/sys/kernel/io_uring_disabled"), &value)) {
    facts->disabled = value;
  }
}

IoUringFacts AskIoUring(const MachineFiles& files) {
  IoUringFacts facts;
  ReadIoUringSysctl(files, &facts);
  io_uring_params params = {};
  const UniqueFd ring(static_cast<int>(syscall(SYS_io_uring_setup, 1, &params)));
  if (!ring.valid()) {
    facts.setup_errno = errno;
    return facts;
  }
  facts.zcrx = KnowsReceive(ring.get());
  if (facts.zcrx) facts.features = QueryZcrx();
  return facts;
}

std::string ToString(const ZcrxFeatures& features) {
  std::vector<std::string> words;
  if ((features.area_flags & abi::IORING_ZCRX_AREA_DMABUF) != 0)
    words.emplace_back("dma-buf areas");
  if ((features.registration_flags & abi::ZCRX_REG_NODEV) != 0) words.emplace_back("without a NIC");
  if ((features.registration_flags & abi::ZCRX_REG_IMPORT) != 0) words.emplace_back("import");
  if ((features.features & abi::ZCRX_FEATURE_RX_PAGE_SIZE) != 0)
    words.emplace_back("large buffers");
  if ((features.features & abi::ZCRX_FEATURE_EVENTS) != 0) words.emplace_back("events");
  return words.empty() ? "nothing beyond the basics" : absl::StrJoin(words, ", ");
}

}  // namespace devmem
