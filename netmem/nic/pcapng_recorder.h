// SPDX-License-Identifier: Apache-2.0
//
// Writes the headers of every frame that a NIC receives and sends to a pcap-ng file, for tcpdump
// and Wireshark. Payload is not written: it may be in device memory, which the CPU does not read.
// Given to NICs by Netdev::SetRecorder() on the control thread and called by the threads that poll
// their queues. draft-ietf-opsawg-pcapng, sections 4.1 (Section Header), 4.2 (Interface
// Description) and 4.3 (Enhanced Packet Block).

#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "netmem/nic/nanos.h"
#include "provider/unique_fd.h"

namespace devmem {

// Values of epb_flags, bits 0 and 1.
enum class PacketDirection : uint32_t {
  kInbound = 1,
  kOutbound = 2,
};

struct PcapngOptions {
  uint64_t file_bytes_max = 1ull << 30;  // Recording stops before the file would grow beyond this.
  uint32_t buffer_bytes = 256u << 10;    // Written to the file whenever it is full.
};

// Recording costs its callers a lock, which nobody pays while no recorder is set. A write that
// fails, or the bound of the file, ends the recording and not the reception: what is no longer
// recorded is counted, and Close() says what happened.
class PcapngRecorder {
 public:
  // Creates or empties the file.
  //
  // Errors: kOutOfRange  a buffer or file bound too small for one packet.
  //         others       as open(2) has them, with the path.
  static absl::StatusOr<std::unique_ptr<PcapngRecorder>> Create(const std::string& path,
                                                                const PcapngOptions& options = {});

  // Closes; an error that nobody has asked for is lost.
  ~PcapngRecorder();
  PcapngRecorder(const PcapngRecorder&) = delete;
  PcapngRecorder& operator=(const PcapngRecorder&) = delete;

  // Describes an Ethernet interface and returns its number in this file. Control thread; any time.
  uint32_t AddInterface(absl::string_view name);

  // Records one frame of `frame_bytes` bytes, of which `header` is the beginning; `interface` is a
  // number from AddInterface(). Allocates nothing. At most kHeaderSlotBytes of `header` are kept.
  void Record(uint32_t interface, Nanos time, PacketDirection direction,
              std::span<const uint8_t> header, uint32_t frame_bytes);

  // Writes what is buffered and closes the file. Returns the first error of the recording. Frames
  // after it are counted as not recorded; calling it again returns the same.
  absl::Status Close();

  uint64_t recorded() const;      // Frames.
  uint64_t not_recorded() const;  // Frames, after an error, the bound of the file, or Close().

 private:
  PcapngRecorder(UniqueFd fd, std::string path, const PcapngOptions& options);

  // All with mutex_ held.
  bool is_recording() const { return fd_.valid() && !is_full_ && write_errno_ == 0; }
  bool Reserve(size_t bytes);
  void Flush();
  absl::Status Outcome() const;
  void Append(const void* data, size_t bytes);
  void Append16(uint16_t value) { Append(&value, sizeof(value)); }
  void Append32(uint32_t value) { Append(&value, sizeof(value)); }
  void AppendPadded(std::span<const uint8_t> bytes);
  void AppendOption(uint16_t code, std::span<const uint8_t> value);
  void AppendSectionHeader();

  const std::string path_;
  const PcapngOptions options_;

  mutable std::mutex mutex_;
  UniqueFd fd_;                  // Guarded by mutex_, as all below. Owns nothing once closed.
  std::vector<uint8_t> buffer_;  // Its size is fixed; fill_bytes_ of it wait to be written.
  size_t fill_bytes_ = 0;
  uint64_t file_bytes_ = 0;  // Written, or waiting in the buffer.
  uint32_t interface_count_ = 0;
  uint64_t recorded_ = 0;
  uint64_t not_recorded_ = 0;
  bool is_full_ = false;  // The next packet would have passed file_bytes_max.
  int write_errno_ = 0;   // Of the write that failed.
};

}  // namespace devmem
