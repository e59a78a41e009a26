// SPDX-License-Identifier: Apache-2.0
//
// NicSetup behind the seam, and counted rules.

#include "uapi/kernel_nic.h"

#include <algorithm>
#include <string>
#include <utility>

#include "uapi/netlink/nic_setup.h"

namespace devmem {
namespace {

class NicSetupNic final : public KernelNic {
 public:
  explicit NicSetupNic(std::unique_ptr<NicSetup> setup) : setup_(std::move(setup)) {}

  const NicPlan& plan() const override { return setup_->plan(); }

  absl::Status SetApart(std::span<const uint32_t> queues) override {
    if (!applied_) {
      const absl::Status applied = setup_->Apply();
      if (!applied.ok()) return applied;
      applied_ = true;
    }
    return setup_->AddQueues(queues);
  }
  absl::StatusOr<std::unique_ptr<RxBinding>> BindRx(int dmabuf,
                                                    std::span<const uint32_t> queues) override {
    return setup_->BindRx(dmabuf, queues);
  }
  absl::StatusOr<std::unique_ptr<TxBinding>> BindTx(int dmabuf) override {
    return setup_->BindTx(dmabuf);
  }
  absl::Status WithLinkState(const absl::Status& refusal) override {
    return setup_->WithLinkState(refusal);
  }
  absl::StatusOr<uint32_t> AddRule(const FlowMatch& match, uint32_t queue) override {
    return setup_->AddRule(match, queue);
  }
  absl::Status RemoveRule(uint32_t location) override { return setup_->RemoveRule(location); }

 private:
  const std::unique_ptr<NicSetup> setup_;
  bool applied_ = false;
};

}  // namespace

absl::StatusOr<std::unique_ptr<KernelNic>> OpenKernelNic(absl::string_view device) {
  absl::StatusOr<std::unique_ptr<NicSetup>> setup =
      NicSetup::Open({.device = std::string(device), .queues = {}});
  if (!setup.ok()) return setup.status();
  return std::make_unique<NicSetupNic>(*std::move(setup));
}

class SteeringBook::Rule final : public SteeringRule {
 public:
  Rule(SteeringBook* book, uint32_t location) : book_(book), location_(location) {}
  ~Rule() override { book_->Remove(location_); }

 private:
  SteeringBook* const book_;
  const uint32_t location_;
};

absl::StatusOr<RuleHold> SteeringBook::Steer(const FlowMatch& match, uint32_t queue) {
  const std::lock_guard<std::mutex> lock(mutex_);
  std::erase_if(entries_, [](const Entry& entry) { return entry.rule.expired(); });
  for (const Entry& entry : entries_) {
    if (entry.queue != queue || !(entry.match == match)) continue;
    if (RuleHold rule = entry.rule.lock()) return rule;
  }
  const absl::StatusOr<uint32_t> location = nic_->AddRule(match, queue);
  if (!location.ok()) return location.status();
  RuleHold rule = std::make_shared<Rule>(this, *location);
  entries_.push_back({match, queue, rule});
  return rule;
}

// A rule that somebody else took away is not there to be removed.
void SteeringBook::Remove(uint32_t location) {
  const std::lock_guard<std::mutex> lock(mutex_);
  (void)nic_->RemoveRule(location);
}

size_t SteeringBook::size() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return static_cast<size_t>(std::count_if(
      entries_.begin(), entries_.end(), [](const Entry& entry) { return !entry.rule.expired(); }));
}

}  // namespace devmem
