// SPDX-License-Identifier: Apache-2.0
//
// One connection that ncdevmem receives: takes frags (or host bytes), shows them to a sink where
// somebody wants to look, or names them to the device that hashes them, holds them as long as asked
// and gives them back. Without either no byte of the payload is read. Owned and called by the
// receive loop.

#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "provider/device_sha256.h"
#include "tools/stream_sink.h"
#include "uapi/devmem.h"

namespace devmem {

// The bytes of one region, for looking at frags of it.
struct RegionBytes {
  uint32_t region_id = 0;
  std::span<const uint8_t> bytes;
};

// What all streams of a run share; outlives them.
struct StreamPolicy {
  uint64_t bytes_max = 0;  // 0: no bound.
  uint64_t hold_bytes = 0;
  std::vector<uint8_t> reply;  // Empty: none.
  uint64_t reply_after_bytes = 1;
  std::vector<RegionBytes> regions;  // Empty when nobody looks.
};

// Who looks at a stream's bytes: the processor through a sink, or the device of the region in which
// they land. Nobody when both are null.
struct StreamLook {
  std::unique_ptr<StreamSink> sink;
  std::unique_ptr<DeviceSha256> device_hash;
  uint32_t device_region_id = 0;  // Of device_hash.
};

// What is reported of a stream.
struct StreamResult {
  uint64_t index = 0;   // In the order of acceptance, from 0.
  bool counted = true;  // Towards --count and the totals; false for an unsteered one beside them.
  std::string local;
  std::string remote;
  uint32_t queue = 0;
  bool bound = false;
  uint64_t bytes = 0;
  uint64_t frags = 0;
  bool cut = false;     // Ended here because --bytes was reached, not by the peer.
  std::string sha256;   // Empty when not asked for.
  std::string hash_on;  // Who computed it: "host" or "device". Empty likewise.
  absl::Status status;  // How it ended.
};

class Stream {
 public:
  enum class Step { kProgress, kIdle, kDone };

  // `session` and `policy` outlive the stream.
  Stream(uint64_t index, bool counted, std::unique_ptr<Connection> connection, StreamLook look,
         Session* session, const StreamPolicy* policy);

  bool bound() const { return result_.bound; }
  bool counted() const { return result_.counted; }
  uint64_t bytes() const { return result_.bytes; }

  // Takes what is there, or waits for it until `deadline`.
  Step Receive(Nanos deadline);
  // Gives everything back and closes; with a reset when the stream was cut short. The result is
  // final.
  StreamResult Finish();
  // Cuts the stream short.
  void Cancel(absl::Status why);

 private:
  Step ReceiveFrags(Nanos deadline);
  Step ReceiveHost(Nanos deadline);
  Step PeerEnded();
  Step End(absl::Status status);
  Step Idle();
  Step AfterBytes();
  Step WaitForDevice(Nanos deadline);
  absl::Status Look(std::span<const Frag> frags);
  absl::Status LookOnHost(std::span<const Frag> frags);
  absl::Status LookOnDevice(std::span<const Frag> frags);
  absl::StatusOr<std::span<const uint8_t>> HostBytes(const Frag& frag) const;
  absl::Status NamePieces();
  void FinishHash();
  absl::Status Release(std::span<const Frag> frags);
  void Hold(std::span<const Frag> frags);
  void ReleaseUntilHeld(uint64_t bytes);
  absl::Status Reply();

  Session* const session_;
  const StreamPolicy* const policy_;
  std::unique_ptr<Connection> connection_;
  const StreamLook look_;
  std::vector<RegionPiece> pieces_;       // Not yet named to the device.
  std::function<bool()> device_is_done_;  // With all that was named to it; empty when nothing was.
  StreamResult result_;
  bool ended_ = false;
  bool at_end_ = false;  // The peer sent its last byte.
  bool replied_ = false;
  std::array<Frag, 256> frags_;
  std::vector<uint8_t> host_;  // For Read(); empty on a bound connection.
  std::deque<Frag> held_;
  uint64_t held_bytes_ = 0;
};

}  // namespace devmem
