// SPDX-License-Identifier: Apache-2.0
//
// The life of a region, every way that it can end or change: {allocated, bound, receiving, tokens
// held} x {what happens} x {kind of memory}. Each cell has the outcome that the table in
// Documentation/memory.md states. In every cell another connection, bound to another region, goes
// on with the right bytes, and nothing is left over: no token, no net_iov, no promise, no
// attachment, no descriptor.

#include <gtest/gtest.h>

#include <array>
#include <filesystem>
#include <iterator>
#include <tuple>
#include <vector>

#include "provider/quota.h"
#include "selftests/testing/device_region.h"
#include "selftests/testing/nic_fixture.h"
#include "selftests/testing/wire_world.h"

namespace devmem::testing {
namespace {

enum class Stage { kAllocated, kBound, kReceiving, kHolding };
enum class Event {
  kMove,
  kEvict,
  kRevoke,
  kRemove,
  kExporterDies,
  kImporterDies,
  kOwnerDies,
  kQuotaHit,
  kDeviceLost
};
enum class Kind { kPinned, kRevocable, kMovable, kStaged };

enum class Outcome {
  kGoesOn,    // As if nothing had happened.
  kRefused,   // The act is refused with its reason, and everything goes on.
  kEnds,      // The region's connections end with the reason, its tokens are dead.
  kDrains,    // What is out is given back, then the binding ends in order.
  kDeadline,  // It did not drain, so it was revoked.
  kRebound,   // The region outlives its user and serves another.
  kGone,      // Everything went.
};

// The table of Documentation/memory.md.
Outcome Expected(Stage stage, Event event, Kind kind) {
  switch (event) {
    case Event::kMove:
    case Event::kEvict: return kind == Kind::kMovable ? Outcome::kGoesOn : Outcome::kRefused;
    case Event::kRevoke:
    case Event::kDeviceLost: return Outcome::kEnds;
    case Event::kRemove: return stage == Stage::kHolding ? Outcome::kDeadline : Outcome::kDrains;
    case Event::kExporterDies: return Outcome::kGoesOn;
    case Event::kImporterDies: return Outcome::kRebound;
    case Event::kOwnerDies: return Outcome::kGone;
    case Event::kQuotaHit: return Outcome::kRefused;
  }
  return Outcome::kGone;
}

constexpr uint64_t kRegionBytes = 4 << 20;
constexpr uint64_t kStreamBytes = 3 << 20;
constexpr uint64_t kOtherBytes = 1 << 20;
constexpr uint16_t kOtherPort = 80;

size_t OpenDescriptors() {
  return static_cast<size_t>(std::distance(std::filesystem::directory_iterator("/proc/self/fd"),
                                           std::filesystem::directory_iterator()));
}

WireWorldOptions ThreeQueues() {
  WireWorldOptions options;
  options.link.b.queue_count = 3;
  return options;
}

// The far end of one stream: checks each byte where the device has it, and gives it back or not.
class Consumer {
 public:
  Consumer(Connection* connection, uint64_t seed,
           std::function<std::vector<uint8_t>(const Frag&)> bytes_of)
      : connection_(connection), seed_(seed), bytes_of_(std::move(bytes_of)) {}

  // Takes what is there. False once the stream has ended, in order or not.
  bool Take(bool hold) {
    std::array<Frag, 16> frags;
    while (!over_) {
      const absl::StatusOr<size_t> count = connection_->Recv(frags, 0);
      if (absl::IsDeadlineExceeded(count.status())) return true;
      over_ = !count.ok() || *count == 0;
      if (over_) {
        end_ = count.status();
        return false;
      }
      for (const Frag& frag : std::span(frags).first(*count)) {
        const auto wrong = FindMismatch(seed_, received_, bytes_of_(frag));
        EXPECT_FALSE(wrong.has_value()) << "stream " << seed_ << " at " << received_ + *wrong;
        received_ += frag.length_bytes;
        if (hold) held_.push_back(frag);
      }
      if (hold) return true;
      EXPECT_TRUE(connection_->Release(std::span(frags).first(*count)).ok());
    }
    return false;
  }

  Connection& connection() { return *connection_; }
  uint64_t received() const { return received_; }
  const absl::Status& end() const { return end_; }
  std::vector<Frag>& held() { return held_; }

 private:
  Connection* const connection_;
  const uint64_t seed_;
  const std::function<std::vector<uint8_t>(const Frag&)> bytes_of_;
  uint64_t received_ = 0;
  bool over_ = false;
  absl::Status end_;
  std::vector<Frag> held_;
};

class RegionLifecycleTest : public ::testing::TestWithParam<std::tuple<Stage, Event, Kind>> {
 protected:
  Stage stage() const { return std::get<0>(GetParam()); }
  Event event() const { return std::get<1>(GetParam()); }
  Kind kind() const { return std::get<2>(GetParam()); }
  Session& server() { return world_->server(); }

  void SetUp() override {
    descriptors_ = OpenDescriptors();
    world_ = std::make_unique<WireWorld>(ThreeQueues());
    StartOther();
    Allocate();
    if (stage() != Stage::kAllocated) BindAndOpen();
    if (stage() == Stage::kReceiving || stage() == Stage::kHolding) {
      world_->PumpFrom(*pair_.client, 1, kStreamBytes);
      ASSERT_TRUE(world_->RunUntil([&] {
        (void)consumer_->Take(stage() == Stage::kHolding);
        return consumer_->received() > kStreamBytes / 16;
      }));
    }
  }

  void TearDown() override {
    if (world_ != nullptr) EndWorld();
    region_.reset();
    device_.reset();
    view_.reset();
    EXPECT_EQ(life_.use_count(), 1) << "something still refers to the region";
    EXPECT_EQ(life_->user_count(), 0u);
    life_.reset();
    device_charge_ = QuotaCharge();
    EXPECT_EQ(quota_->UsageOf("tester").pinned_bytes, 0u);
    if (shared_device_ != nullptr) {
      EXPECT_EQ(shared_device_->engines, 0);
    }
    EXPECT_EQ(OpenDescriptors(), descriptors_);
  }

  // A stream into another region of the same session, that has nothing to do with all this.
  void StartOther() {
    other_listener_ = world_->Listen(true, kOtherPort);
    other_ = world_->Open(*other_listener_);
    other_consumer_ = std::make_unique<Consumer>(other_.server.get(), 2, [this](const Frag& frag) {
      const std::span<const uint8_t> bytes = world_->Bytes(frag);
      return std::vector<uint8_t>(bytes.begin(), bytes.end());
    });
    world_->PumpFrom(*other_.client, 2, kOtherBytes);
    world_->OnWait([this] { (void)other_consumer_->Take(false); });
  }

  void Allocate() {
    if (kind() == Kind::kStaged) {
      device_ = std::make_unique<TestDeviceRegion>(kRegionBytes);
      shared_device_ = device_->shared_device();
      device_charge_ = ValueOrFail(
          quota_->Charge("tester", QuotaKind::kPinned, "device", kRegionBytes), "charge");
    } else {
      RegionOptions options{.bytes = kRegionBytes};
      if (kind() == Kind::kRevocable) options.kind = AttachmentKind::kMayRevoke;
      if (kind() == Kind::kMovable) options.kind = AttachmentKind::kMayMove;
      options.quota = quota_;
      options.quota_user = "tester";
      region_ = ValueOrFail(server().Allocate(options), "region of the cell");
      view_ = ValueOrFail(RegionView::Map(*region_), "view of the region");
    }
    life_ = region().life();
  }
  Region& region() { return device_ != nullptr ? *device_ : *region_; }

  void BindAndOpen() {
    binding_ = ValueOrFail(server().Bind(region(), {.queues = {2}}), "binding of the cell");
    listener_ = ValueOrFail(server().Listen({.address = kServerAddress, .port = kPort}, *binding_),
                            "listener of the cell");
    pair_ = world_->Open(*listener_);
    consumer_ = std::make_unique<Consumer>(pair_.server.get(), 1,
                                           [this](const Frag& frag) { return BytesOf(frag); });
  }
  std::vector<uint8_t> BytesOf(const Frag& frag) {
    if (shared_device_ == nullptr) {
      const auto bytes = view_->bytes().subspan(frag.offset, frag.length_bytes);
      return {bytes.begin(), bytes.end()};
    }
    const std::lock_guard<std::mutex> lock(shared_device_->mutex);
    const auto first = shared_device_->bytes.begin() + static_cast<ptrdiff_t>(frag.offset);
    return {first, first + frag.length_bytes};
  }

  // The stream of the cell, if there is one, comes to its end with every byte right; so do tokens
  // that were held.
  void ExpectItGoesOn() {
    if (consumer_ == nullptr) return;
    if (stage() == Stage::kBound) world_->PumpFrom(*pair_.client, 1, kStreamBytes);
    if (!consumer_->held().empty()) {
      EXPECT_TRUE(consumer_->connection().Release(consumer_->held()).ok());
    }
    EXPECT_TRUE(world_->RunUntil([&] { return !consumer_->Take(false); }, 60 * kSecond));
    EXPECT_TRUE(consumer_->end().ok()) << consumer_->end();
    EXPECT_EQ(consumer_->received(), kStreamBytes);
    EXPECT_TRUE(server().BindingStatus(*binding_).ok()) << server().BindingStatus(*binding_);
  }

  // Everybody learns it, in words that have `reason`; nothing of it can be used any more.
  void ExpectItEnds(const std::string& reason) {
    EXPECT_TRUE(absl::IsAborted(region().status())) << region().status();
    EXPECT_NE(region().status().message().find(reason), absl::string_view::npos);
    EXPECT_TRUE(absl::IsAborted(server().Bind(region(), {.queues = {2}}).status()) ||
                stage() != Stage::kAllocated);
    if (!binding_.has_value()) return;
    EXPECT_TRUE(absl::IsAborted(server().BindingStatus(*binding_)));
    EXPECT_TRUE(absl::IsAborted(server().account(*binding_).status()));
    EXPECT_FALSE(consumer_->Take(false));
    EXPECT_TRUE(absl::IsAborted(consumer_->end())) << consumer_->end();
    if (!consumer_->held().empty()) {
      const absl::Status dead = consumer_->connection().Release(consumer_->held());
      EXPECT_TRUE(absl::IsInvalidArgument(dead)) << dead;
    }
    EXPECT_TRUE(server().Unbind(*binding_).ok());
    binding_.reset();
  }

  void ExpectTheOtherIsUnharmed() {
    EXPECT_TRUE(world_->RunUntil([&] { return !other_consumer_->Take(false); }, 60 * kSecond));
    EXPECT_TRUE(other_consumer_->end().ok()) << other_consumer_->end();
    EXPECT_EQ(other_consumer_->received(), kOtherBytes);
  }

  // Ends connections, listeners and bindings in order, and looks at the books.
  void EndWorld() {
    ExpectTheOtherIsUnharmed();
    CloseAll();
    if (binding_.has_value()) {
      EXPECT_TRUE(server().Unbind(*binding_).ok());
    }
    binding_.reset();
    world_->ExpectNothingLeft();
    world_.reset();
  }
  void CloseAll() {
    world_->StopTasks();
    pair_ = {};
    other_ = {};
    listener_.reset();
    other_listener_.reset();
  }

  // Everything of the session goes at once, tokens held or not, as when its process ends.
  void KillWorld() {
    CloseAll();
    binding_.reset();
    world_.reset();
  }

  // A removal that the cell's consumer is given the chance to drain.
  absl::Status Remove() {
    if (consumer_ != nullptr && stage() != Stage::kHolding) {
      world_->OnWait([this] { (void)consumer_->Take(false); });
    }
    return server().Remove(region(), "maintenance", world_->now() + kSecond);
  }

  absl::Status Act() {
    switch (event()) {
      case Event::kMove: return region().Move();
      case Event::kEvict: return region().Evict(0, kRegionBytes);
      case Event::kRevoke: region().Revoke("sold to somebody else"); break;
      case Event::kRemove: return Remove();
      case Event::kExporterDies:
        region_.reset();
        device_.reset();
        break;
      case Event::kImporterDies:
      case Event::kOwnerDies: KillWorld(); break;
      case Event::kQuotaHit:
        return server()
            .Allocate({.bytes = kRegionBytes, .quota = quota_, .quota_user = "tester"})
            .status();
      case Event::kDeviceLost:
        device_ != nullptr ? device_->Lose() : region_->Revoke("device lost: reported by a test");
        break;
    }
    return absl::OkStatus();
  }

  // The region serves another session, its bytes intact.
  void ExpectItServesAnother() {
    EXPECT_TRUE(region().status().ok()) << region().status();
    EXPECT_EQ(region().life()->user_count(), 0u);
    world_ = std::make_unique<WireWorld>(ThreeQueues());
    StartOther();
    BindAndOpen();
    world_->PumpFrom(*pair_.client, 1, kStreamBytes);
    EXPECT_TRUE(world_->RunUntil([&] { return !consumer_->Take(false); }, 60 * kSecond));
    EXPECT_EQ(consumer_->received(), kStreamBytes);
  }

  // The limit, what is used, and by which region.
  void ExpectItNamesTheHolder(const absl::Status& refusal) {
    const std::string holder = kind() == Kind::kStaged ? "device" : "devmem region";
    for (const std::string& word : {std::to_string(kRegionBytes + kRegionBytes / 2),
                                    std::to_string(kRegionBytes), std::string("tester"), holder}) {
      EXPECT_NE(refusal.message().find(word), absl::string_view::npos) << word << ": " << refusal;
    }
  }

  void Check(Outcome outcome, const absl::Status& said) {
    switch (outcome) {
      case Outcome::kGoesOn: EXPECT_TRUE(said.ok()) << said; return ExpectItGoesOn();
      case Outcome::kRefused:
        EXPECT_EQ(said.code(), event() == Event::kQuotaHit ? absl::StatusCode::kResourceExhausted
                                                           : absl::StatusCode::kFailedPrecondition)
            << said;
        if (event() == Event::kQuotaHit) ExpectItNamesTheHolder(said);
        return ExpectItGoesOn();
      case Outcome::kEnds:
        return ExpectItEnds(event() == Event::kRevoke ? "sold to somebody else" : "device lost");
      case Outcome::kDrains: EXPECT_TRUE(said.ok()) << said; return ExpectItEnds("maintenance");
      case Outcome::kDeadline:
        EXPECT_TRUE(absl::IsDeadlineExceeded(said)) << said;
        return ExpectItEnds("maintenance");
      case Outcome::kRebound: return ExpectItServesAnother();
      case Outcome::kGone: return;
    }
  }

  size_t descriptors_ = 0;
  // One region of the cell's size and no second.
  const std::shared_ptr<Quota> quota_ =
      Quota::Create({.pinned_bytes = kRegionBytes + kRegionBytes / 2});
  QuotaCharge device_charge_;  // Of the test's device, which no provider allocates.
  std::unique_ptr<WireWorld> world_;
  std::unique_ptr<Region> region_;  // One of the two is set.
  std::unique_ptr<TestDeviceRegion> device_;
  std::shared_ptr<TestDevice> shared_device_;
  std::optional<RegionView> view_;
  std::shared_ptr<RegionLife> life_;
  std::optional<BindingId> binding_;
  std::unique_ptr<Listener> listener_, other_listener_;
  ConnectionPair pair_, other_;
  std::unique_ptr<Consumer> consumer_, other_consumer_;
};

TEST_P(RegionLifecycleTest, EndsAsTheTableSays) {
  const absl::Status said = Act();
  Check(Expected(stage(), event(), kind()), said);
}

constexpr const char* kStages[] = {"Allocated", "Bound", "Receiving", "Holding"};
constexpr const char* kEvents[] = {"Move",      "Evict",        "Revoke",
                                   "Remove",    "ExporterDies", "ImporterDies",
                                   "OwnerDies", "QuotaHit",     "DeviceLost"};
constexpr const char* kKinds[] = {"Pinned", "Revocable", "Movable", "Staged"};

INSTANTIATE_TEST_SUITE_P(
    AllCells, RegionLifecycleTest,
    ::testing::Combine(
        ::testing::Values(Stage::kAllocated, Stage::kBound, Stage::kReceiving, Stage::kHolding),
        ::testing::Values(Event::kMove, Event::kEvict, Event::kRevoke, Event::kRemove,
                          Event::kExporterDies, Event::kImporterDies, Event::kOwnerDies,
                          Event::kQuotaHit, Event::kDeviceLost),
        ::testing::Values(Kind::kPinned, Kind::kRevocable, Kind::kMovable, Kind::kStaged)),
    [](const auto& cell) {
      return std::string(kStages[static_cast<int>(std::get<0>(cell.param))]) + "_" +
             kEvents[static_cast<int>(std::get<1>(cell.param))] + "_" +
             kKinds[static_cast<int>(std::get<2>(cell.param))];
    });

}  // namespace
}  // namespace devmem::testing
