// SPDX-License-Identifier: Apache-2.0
// See opencl_sha256.h.
#include "provider/opencl_sha256.h"

#include <algorithm>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace devmem {
namespace {

// FIPS 180-4 section 5.3.3.
constexpr OpenClSha256State kFreshState = {.h = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                                 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19},
                                           .filled = 0,
                                           .partial = {}};

constexpr size_t kTablePieces = size_t{kDeviceHashPiecesMax} * kDeviceHashLaunchesMax;
constexpr size_t kBlockBytes = 64;
constexpr size_t kTableBytes = kTablePieces * sizeof(OpenClSha256Piece);

// What follows a message of so many bytes, by section 5.1.1: a one bit, zeroes up to 8 bytes before
// the end of a block, and the message's length in bits.
std::vector<uint8_t> PaddingFor(uint64_t message_bytes) {
  const uint64_t over = (message_bytes + 1 + sizeof(uint64_t)) % kBlockBytes;
  std::vector<uint8_t> padding(1 + sizeof(uint64_t) + (kBlockBytes - over) % kBlockBytes);
  padding.front() = 0x80;
  const uint64_t bits = message_bytes * 8;
  for (size_t i = 0; i < sizeof(bits); ++i) {
    padding[padding.size() - 1 - i] = static_cast<uint8_t>(bits >> (8 * i));
  }
  return padding;
}

std::array<uint8_t, 32> DigestOf(const OpenClSha256State& state) {
  std::array<uint8_t, 32> digest;
  for (size_t i = 0; i < digest.size(); ++i) {
    digest[i] = static_cast<uint8_t>(state.h[i / 4] >> (24 - 8 * (i % 4)));
  }
  return digest;
}

}  // namespace

// Any thread; nothing changes after the construction.
class OpenClSha256::Launch {
 public:
  Launch(const OpenClApi& api, ClEvent event) : api_(api), event_(event, api.ReleaseEvent) {}

  // Also true when it ended in an error, or nobody can tell any more.
  bool Ended() const {
    int32_t status = kClQueued;
    const ClEvent event = event_.get();
    const int32_t code =
        api_.GetEventInfo(event, kClEventExecutionStatus, sizeof(status), &status, nullptr);
    return code != kClSuccess || status <= kClComplete;
  }

  int32_t Wait() const {
    const ClEvent event = event_.get();
    return api_.WaitForEvents(1, &event);
  }

 private:
  const OpenClApi& api_;
  const OpenClOwned<ClEvent> event_;
};

absl::StatusOr<std::unique_ptr<DeviceSha256>> OpenClSha256::Create(const OpenClRegion& region) {
  std::unique_ptr<OpenClSha256> hash(new OpenClSha256(region));
  absl::Status status = hash->Open(region);
  if (!status.ok()) return status;
  status = region.life()->Join(hash.get());
  if (!status.ok()) return status;
  hash->joined_ = true;
  return std::unique_ptr<DeviceSha256>(std::move(hash));
}

OpenClSha256::OpenClSha256(const OpenClRegion& region)
    : device_(region.device()),
      api_(device_->api()),
      life_(region.life()),
      region_bytes_(region.size_bytes()),
      region_buffer_(region.ShareBuffer()),
      pieces_(kTablePieces) {}

OpenClSha256::~OpenClSha256() {
  if (joined_) life_->Leave(this);
  if (queue_.get() != nullptr) (void)api_.Finish(queue_.get());
}

absl::Status OpenClSha256::Open(const OpenClRegion& region) {
  absl::StatusOr<OpenClOwned<ClQueue>> queue = device_->CreateQueue();
  if (!queue.ok()) return queue.status();
  queue_ = *std::move(queue);
  const auto make = [this](size_t bytes, uint64_t flags, OpenClOwned<ClMem>* to) {
    absl::StatusOr<OpenClOwned<ClMem>> buffer = device_->CreateBuffer(bytes, flags);
    if (buffer.ok()) *to = *std::move(buffer);
    return buffer.status();
  };
  absl::Status made = make(kTableBytes, kClMemReadOnly, &table_);
  if (made.ok()) made = make(kDeviceHashHostBytes, kClMemReadOnly, &from_host_);
  if (made.ok()) made = make(sizeof(OpenClSha256State), kClMemReadWrite, &state_);
  if (!made.ok()) return made;
  const int32_t code = api_.EnqueueWriteBuffer(
      queue_.get(), state_.get(), 1, 0, sizeof(kFreshState), &kFreshState, 0, nullptr, nullptr);
  if (code != kClSuccess) return OpenClToStatus(code, "the start of a hash");
  return OpenKernel(region);
}

absl::Status OpenClSha256::OpenKernel(const OpenClRegion& region) {
  if (!device_->facts().little_endian) {
    return absl::FailedPreconditionError(absl::StrCat(
        "a hash in ", region.Describe(), " is refused: ", DescribeOpenClDevice(device_->facts()),
        " is big-endian, which the tables that it would be given are not"));
  }
  absl::StatusOr<OpenClOwned<ClKernel>> kernel = device_->CreateKernel("devmem_sha256");
  if (!kernel.ok()) return kernel.status();
  kernel_ = *std::move(kernel);
  const ClMem table = table_.get();
  const ClMem state = state_.get();
  int32_t code = api_.SetKernelArg(kernel_.get(), 1, sizeof(table), &table);
  if (code == kClSuccess) code = api_.SetKernelArg(kernel_.get(), 4, sizeof(state), &state);
  // A driver may compile once more at a kernel's first launch: better now than under the stream.
  if (code == kClSuccess) code = LaunchLocked(region_buffer_.get(), 0, 0);
  if (code == kClSuccess) code = launches_[0]->Wait();
  return code == kClSuccess ? absl::OkStatus() : OpenClToStatus(code, "the first launch of a hash");
}

bool OpenClSha256::full() {
  const std::lock_guard<std::mutex> lock(mutex_);
  const auto& oldest = launches_[launch_count_ % kDeviceHashLaunchesMax];
  return !halted_ && oldest != nullptr && !oldest->Ended();
}

absl::Status OpenClSha256::CheckPieces(std::span<const RegionPiece> pieces) const {
  for (const RegionPiece& piece : pieces) {
    if (piece.offset <= region_bytes_ && piece.bytes <= region_bytes_ - piece.offset) continue;
    return absl::OutOfRangeError(absl::StrCat("a hash of ", piece.bytes, " bytes at ", piece.offset,
                                              " is refused: the region has ", region_bytes_,
                                              " bytes"));
  }
  return absl::OkStatus();
}

absl::Status OpenClSha256::CheckUsable() const {
  const absl::Status status = life_->status();
  // A region that is being removed is still there for those who drain.
  return absl::IsAborted(status) ? status : absl::OkStatus();
}

absl::StatusOr<std::function<bool()>> OpenClSha256::Update(std::span<const RegionPiece> pieces) {
  absl::Status checked = CheckPieces(pieces);
  if (checked.ok()) checked = CheckUsable();
  if (!checked.ok()) return checked;
  std::shared_ptr<Launch> last;
  int32_t code = kClSuccess;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (finished_) return absl::FailedPreconditionError("bytes for a hash that has its end");
    while (code == kClSuccess && !halted_ && !pieces.empty()) {
      const size_t count = std::min<size_t>(pieces.size(), kDeviceHashPiecesMax);
      code = EnqueueLocked(region_buffer_.get(), pieces.first(count));
      // A hole in the stream cannot be mended.
      finished_ = code != kClSuccess;
      pieces = pieces.subspan(count);
    }
    if (launch_count_ > 0) last = launches_[(launch_count_ - 1) % kDeviceHashLaunchesMax];
  }
  if (code != kClSuccess) return OpenClToStatus(code, "hashing on the device");
  if (!pieces.empty()) return life_->status();
  if (last == nullptr) return std::function<bool()>([] { return true; });
  return std::function<bool()>([last = std::move(last)] { return last->Ended(); });
}

// One launch: its part of the table, then the kernel that reads it.
int32_t OpenClSha256::EnqueueLocked(ClMem memory, std::span<const RegionPiece> pieces) {
  const size_t slot = launch_count_ % kDeviceHashLaunchesMax;
  if (launches_[slot] != nullptr) {
    const int32_t code = launches_[slot]->Wait();
    if (code != kClSuccess) return code;
    launches_[slot].reset();
  }
  const uint32_t first = static_cast<uint32_t>(slot) * kDeviceHashPiecesMax;
  std::transform(pieces.begin(), pieces.end(), pieces_.begin() + first,
                 [this](const RegionPiece& piece) {
                   message_bytes_ += piece.bytes;
                   return OpenClSha256Piece{piece.offset, piece.bytes};
                 });
  const int32_t code = api_.EnqueueWriteBuffer(
      queue_.get(), table_.get(), 0, first * sizeof(OpenClSha256Piece),
      pieces.size() * sizeof(OpenClSha256Piece), &pieces_[first], 0, nullptr, nullptr);
  return code == kClSuccess ? LaunchLocked(memory, first, static_cast<uint32_t>(pieces.size()))
                            : code;
}

int32_t OpenClSha256::LaunchLocked(ClMem memory, uint32_t first, uint32_t count) {
  int32_t code = api_.SetKernelArg(kernel_.get(), 0, sizeof(memory), &memory);
  if (code == kClSuccess) code = api_.SetKernelArg(kernel_.get(), 2, sizeof(first), &first);
  if (code == kClSuccess) code = api_.SetKernelArg(kernel_.get(), 3, sizeof(count), &count);
  if (code != kClSuccess) return code;
  const size_t one = 1;
  ClEvent event = nullptr;
  code = api_.EnqueueNDRangeKernel(queue_.get(), kernel_.get(), 1, nullptr, &one, &one, 0, nullptr,
                                   &event);
  if (code != kClSuccess) return code;
  launches_[launch_count_ % kDeviceHashLaunchesMax] = std::make_shared<Launch>(api_, event);
  ++launch_count_;
  return api_.Flush(queue_.get());
}

absl::Status OpenClSha256::UpdateFromHost(std::span<const uint8_t> bytes) {
  const absl::Status usable = CheckUsable();
  if (!usable.ok()) return usable;
  int32_t code = kClSuccess;
  bool halted = false;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (finished_) return absl::FailedPreconditionError("bytes for a hash that has its end");
    halted = halted_;
    while (code == kClSuccess && !halted && !bytes.empty()) {
      const size_t count = std::min(bytes.size(), kDeviceHashHostBytes);
      code = EnqueueHostLocked(bytes.first(count));
      bytes = bytes.subspan(count);
      finished_ = code != kClSuccess;
    }
  }
  if (halted) return life_->status();
  return code == kClSuccess ? absl::OkStatus() : OpenClToStatus(code, "hashing on the device");
}

// The write waits, so it begins when every launch before it has read what it replaces.
int32_t OpenClSha256::EnqueueHostLocked(std::span<const uint8_t> bytes) {
  const int32_t code = api_.EnqueueWriteBuffer(queue_.get(), from_host_.get(), 1, 0, bytes.size(),
                                               bytes.data(), 0, nullptr, nullptr);
  const RegionPiece piece{0, bytes.size()};
  return code == kClSuccess ? EnqueueLocked(from_host_.get(), {&piece, 1}) : code;
}

absl::StatusOr<std::array<uint8_t, 32>> OpenClSha256::Finish() {
  const absl::Status usable = CheckUsable();
  if (!usable.ok()) return usable;
  OpenClSha256State state = {};
  int32_t code = kClSuccess;
  bool halted = false;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (finished_) return absl::FailedPreconditionError("a hash has its end already");
    halted = halted_;
    finished_ = true;
    if (!halted) code = FinishLocked(&state);
  }
  if (halted) return life_->status();
  if (code != kClSuccess) return OpenClToStatus(code, "ending a hash on the device");
  return DigestOf(state);
}

int32_t OpenClSha256::FinishLocked(OpenClSha256State* state) {
  int32_t code = EnqueueHostLocked(PaddingFor(message_bytes_));
  // A launch that failed says so only to who waits for it.
  for (const std::shared_ptr<Launch>& launch : launches_) {
    if (code == kClSuccess && launch != nullptr) code = launch->Wait();
  }
  if (code != kClSuccess) return code;
  return api_.EnqueueReadBuffer(queue_.get(), state_.get(), 1, 0, sizeof(*state), state, 0, nullptr,
                                nullptr);
}

void OpenClSha256::TakeAway() {
  const std::lock_guard<std::mutex> lock(mutex_);
  halted_ = true;
  (void)api_.Finish(queue_.get());
}

}  // namespace devmem
