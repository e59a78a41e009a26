// SPDX-License-Identifier: Apache-2.0
// The decisions of window.h that are more than one expression.
#include "netmem/tcp/window.h"

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace devmem {

absl::StatusOr<uint8_t> WindowScaleFor(uint64_t buffer_bytes) {
  if (buffer_bytes == 0) {
    return absl::InvalidArgumentError("receive buffer of 0 bytes: give it at least 1");
  }
  for (uint8_t shift = 0; shift <= kWindowScaleMax; ++shift) {
    if (buffer_bytes <= uint64_t{65535} << shift) return shift;
  }
  return absl::OutOfRangeError(absl::StrCat("receive buffer of ", buffer_bytes,
                                            " bytes: the largest window is ", kWindowBytesMax,
                                            " bytes; ask for at most that"));
}

bool MaySendNow(const SendQuestion& question) {
  const uint32_t sendable_bytes = std::min(question.queued_bytes, question.usable_bytes);
  if (sendable_bytes == 0) return false;
  if (sendable_bytes >= question.mss_bytes) return true;
  if (question.cork && !question.last) return false;
  const bool nagle_allows = question.nothing_in_flight || question.no_delay;
  const bool all_fits = question.queued_bytes <= question.usable_bytes;
  if (all_fits && (nagle_allows || question.last)) return true;
  // A peer whose whole buffer is small never offers a full segment: half of it must do.
  return nagle_allows && sendable_bytes >= (question.window_bytes_max + 1) / 2;
}

void SendWindow::Start(SeqNum seq, SeqNum ack, uint32_t window_bytes) {
  *this = {.bytes = window_bytes, .bytes_max = window_bytes, .wl1 = seq, .wl2 = ack};
}

bool SendWindow::Update(SeqNum seq, SeqNum ack, uint32_t window_bytes) {
  // The RFC asks only whether the segment lies further right. A retransmission lies further left,
  // and is newer all the same when it acknowledges more: ignored, its ACK would move the old window
  // to the right, beyond what the peer ever offered.
  const bool newer = wl2 < ack || wl1 < seq || (wl1 == seq && wl2 <= ack);
  if (!newer) return false;
  *this = {.bytes = window_bytes,
           .bytes_max = std::max(bytes_max, window_bytes),
           .wl1 = seq,
           .wl2 = ack};
  return true;
}

}  // namespace devmem
