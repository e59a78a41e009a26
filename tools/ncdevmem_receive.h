// SPDX-License-Identifier: Apache-2.0
//
// What ncdevmem does between its command line and its report: opens a session, binds a region,
// listens or connects, receives until everything asked for has come, and puts everything back. One
// thread.

#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "provider/region_view.h"
#include "tools/ncdevmem_options.h"
#include "tools/ncdevmem_stream.h"
#include "uapi/devmem.h"

namespace devmem {

// What is reported of a run.
struct RunResult {
  SessionInfo info;
  std::vector<StreamResult> streams;
  std::string provider;       // Of the regions; empty when nothing was bound.
  uint64_t region_bytes = 0;  // Of all regions together.
  // Where the bytes of the last region lay once it was bound, as the machine said when asked.
  std::string residence;
  double seconds = 0;  // From the first connection's start to the last one's end.
  double cpu_s = 0;    // Of this process in that time, user and system.
  uint64_t net_iovs_leaked = 0;
  std::string provider_choice;  // With --provider auto: what was chosen, and why.
  std::vector<Statistic> statistics;
  absl::Status status;  // Of the set-up and of the run as a whole.
};

// What a progress display may ask while a run goes on.
struct Progress {
  uint64_t bytes = 0;
  Nanos now = 0;
  Account account;  // Of all bindings.
};

class NcdevmemReceiver {
 public:
  struct Hooks {
    // For each port that connections are accepted on, and then, once, that they all are.
    std::function<void(absl::string_view endpoint)> listening;
    std::function<void()> ready;
    // Asked ten times a second or more often.
    std::function<bool()> stopped;
    // Ten times a second; may be empty.
    std::function<void(const Progress&)> progress;
  };

  NcdevmemReceiver(const NcdevmemOptions& options, Hooks hooks)
      : options_(options), hooks_(std::move(hooks)) {}

  // All of it. Never leaves anything behind.
  RunResult Run();

 private:
  struct Port {
    std::unique_ptr<Listener> listener;
    bool counted = true;  // Its connections count towards --count.
  };

  absl::Status SetUp();
  absl::Status SetUpMemory();
  absl::Status BindRegion(const std::vector<uint32_t>& queues);
  absl::Status SetUpLook(const Region& region);
  absl::Status SetUpPolicy();
  absl::Status ListenOnAll();
  absl::Status ListenOn(const std::string& address);
  absl::Status ConnectToServer();
  absl::Status ReceiveAll();
  void TearDown();

  bool Done() const;
  bool AcceptsMore() const { return accepted_ < options_.connection_count; }
  absl::Status Turn();
  absl::Status LookAround();
  absl::Status AcceptFrom(Port* port, Nanos deadline);
  absl::Status Add(std::unique_ptr<Connection> connection, bool counted);
  absl::StatusOr<StreamLook> LookFor(const Connection& connection, bool counted) const;
  void ReceiveFrom(size_t index, Nanos deadline);
  void FinishStream(size_t index);
  void Show(Nanos now);
  std::optional<BindingId> BindingOf(uint32_t queue_index) const;
  // Of a bound connection on this queue.
  const Region& RegionOf(uint32_t queue) const;
  uint64_t LeakedNetIovs() const;

  const NcdevmemOptions options_;
  const Hooks hooks_;
  RunResult result_;
  StreamPolicy policy_;
  std::unique_ptr<Session> session_;
  std::vector<std::unique_ptr<Region>> regions_;
  std::vector<RegionView> views_;
  std::vector<BindingId> bindings_;
  std::vector<Port> ports_;
  std::vector<std::unique_ptr<Stream>> streams_;
  uint64_t accepted_ = 0;      // Of the counted ones.
  uint64_t streams_made_ = 0;  // Of all, to name their files.
  uint64_t finished_bytes_ = 0;
  bool progressed_ = false;  // Whether the turn brought anything.
  Nanos next_look_ = 0;
  Nanos next_show_ = 0;
  Nanos started_ = kNever;
  Nanos ended_ = 0;
  double cpu_at_start_s_ = 0;
};

}  // namespace devmem
