// SPDX-License-Identifier: Apache-2.0
//
// One transaction on one NIC that makes it ready for device memory: channels, header split, flow
// steering, RSS away from the queues, rules, bindings. Every change is written to a journal file
// before it is made, and undone in reverse: by Undo(), by the destructor, or by RestoreNic() after
// a crash. What others have set is left alone: a setting that somebody changed since is not put
// back, and only rules of ours are deleted. Called by the backends `kernel` and `zcrx` and by
// devmemctl; one thread at a time. Documentation/nic-setup.md gives the order and its reasons.
//
//     auto setup = NicSetup::Open({.device = "eth0", .queues = {3}});
//     (*setup)->Apply();
//     auto binding = (*setup)->BindRx(dmabuf_fd, std::array{3u});
//     auto rule = (*setup)->AddRule({.local = address, .local_port = 5201}, 3);

#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "netmem/nic/flow_rules.h"
#include "uapi/netlink/binding.h"
#include "uapi/netlink/nic_plan.h"
#include "uapi/netlink/ntuple_rule.h"

namespace devmem {

class NicControl;
class NicJournal;
struct JournalSubject;

struct NicSetupOptions {
  std::string device;            // The interface's name.
  std::vector<uint32_t> queues;  // To set apart; may be empty: AddQueues() follows.
  // The journal's file, in a folder for journals alone; empty: a new one in DefaultJournalFolder().
  std::string journal_path = {};
  // Channels wanted, combined ones or, on a NIC that counts rx and tx apart, rx channels; unset: as
  // many as there are, or as the highest queue needs.
  std::optional<uint32_t> combined_channels = std::nullopt;
  // A network namespace's file, "/proc/123/ns/net" or "/run/netns/name"; empty: this thread's.
  std::string netns_path = {};
  bool steering_needed = true;  // Refuse a NIC without flow rules.
  // Go on although somebody else's rule or RSS context leads to one of the queues.
  bool foreign_steering_allowed = false;
  // What a setup of this device that died left behind is undone first.
  bool stale_restored = true;
};

class NicSetup {
 public:
  // Looks at the NIC and plans; changes nothing but what `stale_restored` says, and needs no
  // privilege. Errors, each with cause and fix:
  //   kNotFound            no such device in this namespace.
  //   kUnimplemented       the kernel or the driver cannot (too old, no header split, no rules).
  //   kInvalidArgument     queue 0, or a queue twice.
  //   kOutOfRange          the NIC cannot have so many queues.
  //   kFailedPrecondition  down, XDP attached, AF_XDP on a queue, somebody's rule leads there.
  //   kAlreadyExists       a queue is bound already.
  static absl::StatusOr<std::unique_ptr<NicSetup>> Open(const NicSetupOptions& options);
  // The same on a kernel of the caller's.
  static absl::StatusOr<std::unique_ptr<NicSetup>> Open(const NicSetupOptions& options,
                                                        std::unique_ptr<NicControl> control);
  // Undoes what is not undone. Bindings may outlive it; their queues are then back in nobody's RSS.
  ~NicSetup();
  NicSetup(const NicSetup&) = delete;
  NicSetup& operator=(const NicSetup&) = delete;

  const NicPlan& plan() const { return plan_; }

  // Makes the planned changes. On an error everything made so far is undone.
  // Errors: kPermissionDenied; the kernel's refusals (Documentation/nic-setup.md).
  absl::Status Apply();
  // Sets further queues apart, after Apply(). Errors as Open() and Apply(); a refusal leaves the
  // queues that were set apart before as they are.
  absl::Status AddQueues(std::span<const uint32_t> queues);

  // Steers a TCP flow, seen from this machine, to a queue that was set apart; returns the rule's
  // location. A NIC that refuses the match as it is gets the next wider one: see RuleVariants().
  // Errors: kInvalidArgument, kAlreadyExists, kResourceExhausted, kUnimplemented.
  absl::StatusOr<uint32_t> AddRule(const FlowMatch& match, uint32_t queue);
  // kNotFound for a location that AddRule() did not return; kAborted when another rule is there
  // now, which is left alone.
  absl::Status RemoveRule(uint32_t location);

  // Binds a dma-buf; the descriptor stays the caller's and may be closed afterwards. A refusal says
  // what WithLinkState() adds.
  absl::StatusOr<std::unique_ptr<RxBinding>> BindRx(int dmabuf_fd,
                                                    std::span<const uint32_t> queues);
  absl::StatusOr<std::unique_ptr<TxBinding>> BindTx(int dmabuf_fd);
  // The refusal of a binding, with a word on the interface and how to wake it where it has lost its
  // link over that. gve, for one, stops all its queues to exchange one, and leaves them so when the
  // device fails the command. May block for kCarrierMillisMax.
  absl::Status WithLinkState(const absl::Status& refusal);

  // Puts everything back, last change first, and removes the journal. While another setup of this
  // NIC lives, in whatever process, only the rules go; the last one puts the settings back. What
  // cannot be put back, or was changed by somebody else since, is named in the error (kAborted),
  // and the rest is undone all the same. Doing it again tries only what is left.
  absl::Status Undo();
  // Leaves everything as it is, with the journal for RestoreNic(). The object can only be
  // destroyed.
  void Keep();

 private:
  // A change that is made, or was at least announced in the journal.
  struct Made {
    uint64_t stamp = 0;
    NicStep step;
    std::optional<NtupleRule> rule;  // When it is one.
  };

  NicSetup(const NicSetupOptions& options, std::unique_ptr<NicControl> control);

  std::vector<std::string> RestoreStale();
  absl::Status Plan();
  absl::Status ApplyFrom(size_t keep);
  absl::Status OpenJournal();
  absl::Status Make(const NicStep& step, std::optional<NtupleRule> rule);
  absl::StatusOr<uint32_t> MakeRule(NtupleRule rule);
  absl::StatusOr<uint32_t> MakeAnywhere(NtupleRule rule, NicStep step);
  absl::StatusOr<std::optional<uint32_t>> NextLocation();
  // Undoes all but the first `keep` changes.
  absl::Status UndoTo(size_t keep);
  bool OthersNeedSettings() const;

  const NicSetupOptions options_;
  const std::string folder_;
  const std::unique_ptr<NicControl> control_;
  std::unique_ptr<JournalSubject> subject_;
  std::vector<uint32_t> queues_;
  std::vector<uint32_t> apart_;  // Those of queues_ that were set apart.
  NicPlan plan_;
  std::unique_ptr<NicJournal> journal_;  // From the first change on.
  std::vector<Made> made_;               // In order.
  bool carried_ = false;                 // The interface had a link when this was opened.
  bool applied_ = false;
  bool kept_ = false;
};

}  // namespace devmem
