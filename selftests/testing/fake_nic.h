// SPDX-License-Identifier: Apache-2.0
//
// A NIC for tests of sessions over kernel sockets: it takes what KernelNic offers, remembers it,
// and refuses what the test wants refused. And a region whose dma-buf is a plain file, so that
// binding it needs no driver. One thread.

#pragma once

#include <fcntl.h>

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "provider/memfd_file.h"
#include "provider/region.h"
#include "uapi/kernel_nic.h"
#include "uapi/netlink/genl_channel.h"

namespace devmem::testing {

// What a fake NIC was asked for and still does; outlives it.
struct FakeNicState {
  struct Rule {
    FlowMatch match;
    uint32_t queue = 0;
  };
  std::vector<uint32_t> set_apart;
  std::map<uint32_t, std::vector<uint32_t>> rx_bindings;  // Queues by id.
  std::map<uint32_t, int> tx_bindings;
  std::map<uint32_t, Rule> rules;  // By location.
  uint32_t next_id = 7;
  uint32_t next_location = 100;
  // Answers of the next calls.
  absl::Status set_apart_answer = absl::OkStatus();
  absl::Status bind_rx_answer = absl::OkStatus();
  absl::Status bind_tx_answer = absl::OkStatus();
  absl::Status rule_answer = absl::OkStatus();
  std::string link_state;  // What a refusal to bind adds.
  std::function<void(const FlowMatch&)> on_rule = [](const FlowMatch&) {};
};

class FakeNic final : public KernelNic {
 public:
  explicit FakeNic(FakeNicState* state) : state_(state) {
    plan_.device = "fake0";
    plan_.driver = "fake";
    plan_.rx_queue_count = 4;
    plan_.mtu_bytes = 1500;
  }

  const NicPlan& plan() const override { return plan_; }
  absl::Status SetApart(std::span<const uint32_t> queues) override {
    if (!state_->set_apart_answer.ok()) return state_->set_apart_answer;
    state_->set_apart.insert(state_->set_apart.end(), queues.begin(), queues.end());
    return absl::OkStatus();
  }
  absl::StatusOr<std::unique_ptr<RxBinding>> BindRx(int /*dmabuf*/,
                                                    std::span<const uint32_t> queues) override {
    if (!state_->bind_rx_answer.ok()) return state_->bind_rx_answer;
    const uint32_t id = state_->next_id++;
    const std::vector<uint32_t> list(queues.begin(), queues.end());
    state_->rx_bindings[id] = list;
    return std::make_unique<RxBinding>(id, list, std::make_unique<Unbinder>([state = state_, id] {
                                         state->rx_bindings.erase(id);
                                       }));
  }
  absl::StatusOr<std::unique_ptr<TxBinding>> BindTx(int dmabuf) override {
    if (!state_->bind_tx_answer.ok()) return state_->bind_tx_answer;
    const uint32_t id = state_->next_id++;
    state_->tx_bindings[id] = dmabuf;
    return std::make_unique<TxBinding>(
        id, std::make_unique<Unbinder>([state = state_, id] { state->tx_bindings.erase(id); }));
  }
  absl::Status WithLinkState(const absl::Status& refusal) override {
    return absl::Status(refusal.code(), absl::StrCat(refusal.message(), state_->link_state));
  }
  absl::StatusOr<uint32_t> AddRule(const FlowMatch& match, uint32_t queue) override {
    if (!state_->rule_answer.ok()) return state_->rule_answer;
    state_->on_rule(match);
    state_->rules[state_->next_location] = {match, queue};
    return state_->next_location++;
  }
  absl::Status RemoveRule(uint32_t location) override {
    return state_->rules.erase(location) == 1 ? absl::OkStatus() : absl::NotFoundError("no rule");
  }

 private:
  // Closing a binding's socket is what unbinds.
  class Unbinder final : public GenlChannel {
   public:
    explicit Unbinder(std::function<void()> unbind) : unbind_(std::move(unbind)) {}
    ~Unbinder() override { unbind_(); }
    absl::StatusOr<GenlAnswer> Exchange(NetlinkRequest /*request*/) override {
      return absl::InternalError("nobody talks to a fake binding");
    }
    const GenlFamily& family() const override { return family_; }

   private:
    const std::function<void()> unbind_;
    const GenlFamily family_;
  };

  FakeNicState* const state_;
  NicPlan plan_;
};

// Pinned memory whose ExportDmabuf() hands out its file, and remembers the range.
class ExportableRegion final : public Region {
 public:
  explicit ExportableRegion(uint64_t bytes)
      : Region({.provider_name = "test",
                .label = "exportable",
                .size_bytes = bytes,
                .page_bytes = kSmallPageBytes,
                .fd = *MakeMemfdFile(SystemCalls::OfThisMachine(), {.provider_name = "test",
                                                                    .bytes = bytes,
                                                                    .page_bytes = kSmallPageBytes,
                                                                    .label = "exportable"})}) {}

  absl::StatusOr<UniqueFd> ExportDmabuf(uint64_t offset, uint64_t bytes) const override {
    exported_offset = offset;
    exported_bytes = bytes;
    return UniqueFd(::fcntl(fd(), F_DUPFD_CLOEXEC, 0));
  }

  mutable uint64_t exported_offset = 0;
  mutable uint64_t exported_bytes = 0;

 private:
  absl::StatusOr<MappedMemory> Map(MapAccess access) const override {
    return MappedMemory::MapFile(fd(), size_bytes(), access);
  }
};

}  // namespace devmem::testing
