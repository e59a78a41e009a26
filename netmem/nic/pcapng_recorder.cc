// SPDX-License-Identifier: Apache-2.0
//
// The pcap-ng blocks, in the byte order of this machine, which the section header states. Numbers
// in the comments are the block and option codes of the draft.

#include "netmem/nic/pcapng_recorder.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "netmem/nic/limits.h"
#include "provider/posix_error.h"

namespace devmem {
namespace {

constexpr uint32_t kSectionHeaderBlock = 0x0a0d0d0a;
constexpr uint32_t kInterfaceBlock = 1;
constexpr uint32_t kEnhancedPacketBlock = 6;
constexpr uint32_t kByteOrderMagic = 0x1a2b3c4d;
constexpr uint16_t kLinkTypeEthernet = 1;

constexpr uint16_t kOptionEnd = 0;
constexpr uint16_t kOptionPacketFlags = 2;
constexpr uint16_t kOptionInterfaceName = 2;
constexpr uint16_t kOptionTimestampResolution = 9;
constexpr uint16_t kOptionUserApplication = 4;
constexpr uint8_t kNanoseconds = 9;  // Timestamps count in units of 10^-9 s.

constexpr size_t kInterfaceNameBytesMax = 64;

constexpr size_t Padded(size_t bytes) { return (bytes + 3) & ~size_t{3}; }
constexpr size_t OptionBytes(size_t value_bytes) { return 4 + Padded(value_bytes); }

// Type and length in front, length behind.
constexpr size_t kBlockFrameBytes = 12;
constexpr size_t kOptionEndBytes = 4;
constexpr size_t PacketBlockBytes(size_t captured_bytes) {
  return kBlockFrameBytes + 20 + Padded(captured_bytes) + OptionBytes(4) + kOptionEndBytes;
}

std::span<const uint8_t> BytesOf(absl::string_view text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

template <typename T>
std::span<const uint8_t> BytesOfValue(const T& value) {
  return {reinterpret_cast<const uint8_t*>(&value), sizeof(value)};
}

}  // namespace

absl::StatusOr<std::unique_ptr<PcapngRecorder>> PcapngRecorder::Create(
    const std::string& path, const PcapngOptions& options) {
  constexpr size_t kLeastBytes = PacketBlockBytes(kHeaderSlotBytes);
  if (options.buffer_bytes < kLeastBytes || options.file_bytes_max < kLeastBytes) {
    return absl::OutOfRangeError(
        absl::StrCat("recording to ", path, " with a buffer of ", options.buffer_bytes,
                     " bytes and at most ", options.file_bytes_max,
                     " bytes of file; each must hold one packet of ", kLeastBytes, " bytes"));
  }
  UniqueFd fd(open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644));
  if (!fd.valid()) {
    const int err = errno;
    return ErrnoToStatus(err, absl::StrCat("cannot create the recording ", path,
                                           "; name a file in a folder that you may write"));
  }
  return std::unique_ptr<PcapngRecorder>(new PcapngRecorder(std::move(fd), path, options));
}

PcapngRecorder::PcapngRecorder(UniqueFd fd, std::string path, const PcapngOptions& options)
    : path_(std::move(path)), options_(options), fd_(std::move(fd)), buffer_(options.buffer_bytes) {
  AppendSectionHeader();
}

PcapngRecorder::~PcapngRecorder() { Close().IgnoreError(); }

void PcapngRecorder::AppendSectionHeader() {
  constexpr absl::string_view kApplication = "devmem";
  const size_t bytes = kBlockFrameBytes + 16 + OptionBytes(kApplication.size()) + kOptionEndBytes;
  if (!Reserve(bytes)) return;
  Append32(kSectionHeaderBlock);
  Append32(static_cast<uint32_t>(bytes));
  Append32(kByteOrderMagic);
  Append16(1);  // Version 1.0.
  Append16(0);
  const int64_t unknown_section_length = -1;
  Append(&unknown_section_length, sizeof(unknown_section_length));
  AppendOption(kOptionUserApplication, BytesOf(kApplication));
  AppendOption(kOptionEnd, {});
  Append32(static_cast<uint32_t>(bytes));
}

uint32_t PcapngRecorder::AddInterface(absl::string_view name) {
  name = name.substr(0, kInterfaceNameBytesMax);
  const size_t bytes =
      kBlockFrameBytes + 8 + OptionBytes(name.size()) + OptionBytes(1) + kOptionEndBytes;
  const std::lock_guard lock(mutex_);
  if (Reserve(bytes)) {
    Append32(kInterfaceBlock);
    Append32(static_cast<uint32_t>(bytes));
    Append16(kLinkTypeEthernet);
    Append16(0);
    Append32(kHeaderSlotBytes);
    AppendOption(kOptionInterfaceName, BytesOf(name));
    AppendOption(kOptionTimestampResolution, {&kNanoseconds, 1});
    AppendOption(kOptionEnd, {});
    Append32(static_cast<uint32_t>(bytes));
  }
  return interface_count_++;
}

void PcapngRecorder::Record(uint32_t interface, Nanos time, PacketDirection direction,
                            std::span<const uint8_t> header, uint32_t frame_bytes) {
  header = header.first(std::min<size_t>(header.size(), kHeaderSlotBytes));
  const size_t bytes = PacketBlockBytes(header.size());
  const std::lock_guard lock(mutex_);
  if (interface >= interface_count_ || !Reserve(bytes)) {
    ++not_recorded_;
    return;
  }
  const uint64_t timestamp = static_cast<uint64_t>(time);
  const uint32_t flags = static_cast<uint32_t>(direction);
  Append32(kEnhancedPacketBlock);
  Append32(static_cast<uint32_t>(bytes));
  Append32(interface);
  Append32(static_cast<uint32_t>(timestamp >> 32));
  Append32(static_cast<uint32_t>(timestamp));
  Append32(static_cast<uint32_t>(header.size()));
  Append32(std::max(frame_bytes, static_cast<uint32_t>(header.size())));
  AppendPadded(header);
  AppendOption(kOptionPacketFlags, BytesOfValue(flags));
  AppendOption(kOptionEnd, {});
  Append32(static_cast<uint32_t>(bytes));
  ++recorded_;
}

absl::Status PcapngRecorder::Close() {
  const std::lock_guard lock(mutex_);
  if (fd_.valid()) {
    Flush();
    // close() itself, because here its error would be lost data.
    if (::close(fd_.Take()) != 0 && write_errno_ == 0) write_errno_ = errno;
  }
  return Outcome();
}

absl::Status PcapngRecorder::Outcome() const {
  if (write_errno_ != 0) {
    return ErrnoToStatus(write_errno_, absl::StrCat("writing the recording ", path_, " after ",
                                                    recorded_, " frames"));
  }
  if (is_full_) {
    return absl::ResourceExhaustedError(absl::StrCat(
        "the recording ", path_, " reached its bound of ", options_.file_bytes_max, " bytes after ",
        recorded_, " frames; ", not_recorded_, " more were not recorded; set a larger bound"));
  }
  return absl::OkStatus();
}

uint64_t PcapngRecorder::recorded() const {
  const std::lock_guard lock(mutex_);
  return recorded_;
}

uint64_t PcapngRecorder::not_recorded() const {
  const std::lock_guard lock(mutex_);
  return not_recorded_;
}

// Makes room for a block of `bytes` bytes in the buffer. False when the recording is over.
bool PcapngRecorder::Reserve(size_t bytes) {
  if (!is_recording()) return false;
  if (file_bytes_ + bytes > options_.file_bytes_max) {
    is_full_ = true;
    return false;
  }
  if (fill_bytes_ + bytes > buffer_.size()) Flush();
  if (write_errno_ != 0) return false;
  file_bytes_ += bytes;
  return true;
}

void PcapngRecorder::Flush() {
  size_t done = 0;
  while (done < fill_bytes_ && write_errno_ == 0) {
    const ssize_t written = write(fd_.get(), buffer_.data() + done, fill_bytes_ - done);
    if (written > 0) {
      done += static_cast<size_t>(written);
    } else if (written == 0 || errno != EINTR) {
      write_errno_ = written == 0 ? ENOSPC : errno;
    }
  }
  fill_bytes_ = 0;
}

void PcapngRecorder::Append(const void* data, size_t bytes) {
  std::memcpy(buffer_.data() + fill_bytes_, data, bytes);
  fill_bytes_ += bytes;
}

void PcapngRecorder::AppendPadded(std::span<const uint8_t> bytes) {
  constexpr uint8_t kZeroes[4] = {};
  if (!bytes.empty()) Append(bytes.data(), bytes.size());
  const size_t padding = Padded(bytes.size()) - bytes.size();
  if (padding > 0) Append(kZeroes, padding);
}

void PcapngRecorder::AppendOption(uint16_t code, std::span<const uint8_t> value) {
  Append16(code);
  Append16(static_cast<uint16_t>(value.size()));
  AppendPadded(value);
}

}  // namespace devmem
