// SPDX-License-Identifier: Apache-2.0
// What large regions cost before a byte arrives: attaching and binding 64 GiB and the books of
// that, and looking up user addresses. Each benchmark reports counters of its own name, which are
// the figures. Run by `tools/bench regions`.
#include <benchmark/benchmark.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <fstream>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "netmem/benchmark_clock.h"
#include "netmem/page_pool.h"
#include "netmem/piece_queue.h"
#include "netmem/token_table.h"
#include "provider/attachment.h"
#include "provider/memfd_provider.h"
#include "provider/unique_fd.h"
#include "provider/user_mapping.h"

namespace devmem::bench {
namespace {

using SteadyClock = std::chrono::steady_clock;

constexpr uint64_t kLargeBytes = uint64_t{64} << 30;

// 64 GiB that the machine need not have: a file of holes.
class SparseRegion final : public Region {
 public:
  explicit SparseRegion(UniqueFd fd)
      : Region({.provider_name = "sparse",
                .label = "benchmark",
                .size_bytes = kLargeBytes,
                .page_bytes = kSmallPageBytes,
                .fd = std::move(fd),
                .sparse = true}) {}

 private:
  absl::StatusOr<MappedMemory> Map(MapAccess access) const override {
    return MappedMemory::MapFile(fd(), size_bytes(), access);
  }
};

// Size and resident size of this process, in bytes.
struct ProcessBytes {
  double mapped = 0;
  double resident = 0;
};
ProcessBytes MemoryOfProcess() {
  ProcessBytes now;
  std::ifstream("/proc/self/statm") >> now.mapped >> now.resident;
  const auto page = static_cast<double>(::sysconf(_SC_PAGESIZE));
  return {now.mapped * page, now.resident * page};
}

// All that a queue keeps for a bound range, as Worker::Bind() makes it.
struct QueueBooks {
  std::unique_ptr<PagePool> pool;
  PieceArray pieces;
  std::vector<TokenTable> tokens;
};

bool MakeBooks(QueueBooks& books) {
  auto pool = PagePool::Create({.bytes = kLargeBytes, .device = true}, kFramePayloadBytesMax);
  if (!pool.ok()) return false;
  books.pool = *std::move(pool);
  const uint32_t entries = static_cast<uint32_t>(
      std::min<uint64_t>(uint64_t{books.pool->net_iov_count()} * kPiecesPerNetIov, kPiecesMax));
  auto tokens = TokenTable::CreateInOwnLane(entries);
  if (!tokens.ok()) return false;
  books.tokens.push_back(*std::move(tokens));
  return books.pieces.Grow(entries);
}

void AttachBind(benchmark::State& state) {
  UniqueFd fd(::memfd_create("devmem benchmark", MFD_CLOEXEC));
  if (!fd.valid() || ::ftruncate(fd.get(), static_cast<off_t>(kLargeBytes)) != 0) {
    state.SkipWithError("no file of 64 GiB");
    return;
  }
  const SparseRegion region(std::move(fd));
  double milliseconds = 0;
  ProcessBytes books_bytes;
  for (auto _ : state) {
    const auto start = SteadyClock::now();
    const auto attachment = Attachment::Create(region, {.name = "dm0"});
    const ProcessBytes before = MemoryOfProcess();
    QueueBooks books;
    if (!attachment.ok() || !MakeBooks(books)) {
      state.SkipWithError("64 GiB are not attached or bound");
      return;
    }
    milliseconds += std::chrono::duration<double, std::milli>(SteadyClock::now() - start).count();
    const ProcessBytes after = MemoryOfProcess();
    books_bytes = {after.mapped - before.mapped, after.resident - before.resident};
  }
  constexpr auto kChunks = static_cast<double>(kLargeBytes / kNetIovBytesDefault);
  state.counters["attach_bind_64gib_ms"] = milliseconds / static_cast<double>(state.iterations());
  state.counters["bind_bytes_per_chunk"] = std::max(0.0, books_bytes.resident) / kChunks;
  state.counters["bind_reserved_bytes_per_chunk"] = books_bytes.mapped / kChunks;
}
// A row reports the counter of its own name, so the one measurement is there under three names.
BENCHMARK(AttachBind)->Name("attach_bind_64gib_ms");
BENCHMARK(AttachBind)->Name("bind_bytes_per_chunk");
BENCHMARK(AttachBind)->Name("bind_reserved_bytes_per_chunk");

// Ranges of one to four neighbouring mappings, in 1024 of them.
void Translate(benchmark::State& state) {
  constexpr uint64_t kMappings = 1024;
  auto region = MemfdProvider().Allocate({.bytes = kMappings * kSmallPageBytes});
  void* const window = ::mmap(nullptr, kMappings * kSmallPageBytes, PROT_NONE,
                              MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  auto* const first = static_cast<uint8_t*>(window);
  std::vector<UserMapping> mappings;
  for (uint64_t n = 0; region.ok() && n < kMappings; ++n) {
    auto mapping = UserMapping::Map(**region, n * kSmallPageBytes, kSmallPageBytes,
                                    MapAccess::kReadWrite, first + n * kSmallPageBytes);
    if (!mapping.ok()) break;
    mappings.push_back(*std::move(mapping));
  }
  if (mappings.size() != kMappings) {
    state.SkipWithError("the mappings are refused");
    return;
  }
  std::mt19937 random(1);
  std::vector<std::pair<const uint8_t*, uint64_t>> ranges(4096);
  for (auto& [address, bytes] : ranges) {
    bytes = (random() % 4 + 1) * kSmallPageBytes;
    address = first + random() % (kMappings - 4) * kSmallPageBytes;
  }
  uint64_t pieces = 0;
  size_t next = 0;
  const double start = ThreadCpuNanoseconds();
  for (auto _ : state) {
    const auto guard = TranslateUserRange(ranges[next].first, ranges[next].second);
    pieces += guard->piece_count();
    next = (next + 1) % ranges.size();
  }
  state.counters["translate_ns_per_piece"] =
      (ThreadCpuNanoseconds() - start) / static_cast<double>(pieces);
}
BENCHMARK(Translate)->Name("translate_ns_per_piece");

}  // namespace
}  // namespace devmem::bench
