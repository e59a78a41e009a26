// SPDX-License-Identifier: Apache-2.0
// Every bound of the memory layer, with its unit in its name. Included by the providers, by their
// tests and by whoever prints a bound; constants only.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>

namespace devmem {

// The page sizes that a region may be made of. Small pages are those of x86-64 and of arm64 kernels
// built with 4 KiB pages; huge and giant ones are the 2 MiB and 1 GiB hugetlb pages of both.
inline constexpr uint64_t kSmallPageBytes = 4096;
inline constexpr uint64_t kHugePageBytes = uint64_t{2} << 20;
inline constexpr uint64_t kGiantPageBytes = uint64_t{1} << 30;

// The largest region that can be asked for: 1 TiB. A provider also refuses more than its machine
// has; this bound keeps every offset, every chunk index and every sum of them far from overflow.
inline constexpr uint64_t kRegionBytesMax = uint64_t{1} << 40;

// The longest label of a region. memfd_create(2) allows 249 bytes after its own "memfd:" prefix.
inline constexpr size_t kRegionLabelBytesMax = 249;

// Memory that may move is evicted and brought back in blocks of this size, each aligned to it; the
// last one of a region may be shorter. A huge page: small enough that a fault copies for less than
// a millisecond, large enough that 1 TiB has half a million blocks.
inline constexpr uint64_t kPagingBlockBytes = kHugePageBytes;

// How long a move waits for short-term pins when its exporter does not say: a pin lasts for one
// look at a table, or for one copy.
inline constexpr std::chrono::nanoseconds kPinPatienceDefault = std::chrono::seconds(1);

// Of a file of the kernel's account of device memory, so much is read: a line for each device.
inline constexpr size_t kDmemFileBytesMax = 65536;

// The longest name of a user or a holder in a quota.
inline constexpr size_t kQuotaNameBytesMax = 255;

// How many of a user's holders a refusal names, the largest first.
inline constexpr size_t kQuotaHoldersNamedMax = 5;

// What a granted range is handed out in: the smallest page, so that a piece can be mapped and can
// have owners of its own.
inline constexpr uint64_t kSuballocationGranuleBytes = kSmallPageBytes;

// Questions to one exporter's policy that are open at a time: each has a thread.
inline constexpr uint32_t kPolicyQuestionsMax = 16;

// The most copies in one batch of a DMA engine: what one poll of a queue can bring, each frame's
// pieces cut once more where staging and region do not line up.
inline constexpr uint32_t kDmaBatchCopiesMax = 1024;

// The most batches that one DMA engine has on their way; then its queue leaves frames where they
// wait. Two keep the copy busy while the next batch is received; more only cool the staging memory.
inline constexpr uint32_t kDmaBatchesMax = 8;

// Of what OpenCL lists, so much is looked at: platforms, and devices of each one.
inline constexpr uint32_t kOpenClPlatformsMax = 16;
inline constexpr uint32_t kOpenClDevicesMax = 64;

// How much of a driver's compiler output goes into a message.
inline constexpr size_t kOpenClBuildLogBytesMax = 4096;

// A hash that is computed on a device: the most pieces of one launch (what one Recv() of a program
// brings, four times over), and the most launches on their way, beyond which its user waits.
inline constexpr uint32_t kDeviceHashPiecesMax = 1024;
inline constexpr uint32_t kDeviceHashLaunchesMax = 16;

// The most bytes of one batch of a hash on a GPU of CUDA, whose one thread reads some 20 MB/s: a
// revoke waits for as many batches as are on their way, a second with this.
inline constexpr uint64_t kCudaHashBatchBytesMax = uint64_t{1} << 20;

// Bytes that a hash on a device is given from host memory cross over in parts of this size.
inline constexpr size_t kDeviceHashHostBytes = 64 << 10;

static_assert(kHugePageBytes % kSmallPageBytes == 0);
static_assert(kGiantPageBytes % kHugePageBytes == 0);
static_assert(kRegionBytesMax % kGiantPageBytes == 0);
static_assert(kRegionBytesMax / kSmallPageBytes <= UINT32_MAX, "a page index fits 32 bits");
static_assert(sizeof("memfd:") - 1 + kRegionLabelBytesMax <= 255, "a label fits NAME_MAX");

}  // namespace devmem
