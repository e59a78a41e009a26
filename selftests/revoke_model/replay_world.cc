// SPDX-License-Identifier: Apache-2.0
// See replay_world.h: the region, and what NICs and owners do.
#include "selftests/revoke_model/replay_world.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cstring>
#include <optional>
#include <vector>

#include "absl/strings/str_cat.h"
#include "provider/check.h"
#include "provider/dma_mapping.h"
#include "provider/memfd_provider.h"

namespace devmem::revoke_model {
namespace {

constexpr uint64_t kReplayBytes = kChunks * kChunkBytes;

// The exporter is another thread of the model: a NIC that lacks bytes is told to wait for it.
class NeverNow final : public PagingSource {
 public:
  bool FaultIn(uint64_t /*offset*/, uint64_t /*bytes*/) override { return false; }
};

class StepwiseRegion final : public Region {
 public:
  explicit StepwiseRegion(std::shared_ptr<ReplayPlaces> places)
      : Region({.provider_name = "replay",
                .label = "replay",
                .size_bytes = kReplayBytes,
                .page_bytes = kSmallPageBytes,
                .attachment_kind = AttachmentKind::kMayMove,
                .fd = UniqueFd(),
                .local_because = "it is a test"}),
        places_(std::move(places)) {}

 private:
  absl::StatusOr<MappedMemory> Map(MapAccess access) const override {
    absl::StatusOr<MappedMemory> memory =
        MappedMemory::MapFile(places_->fds[0].get(), kReplayBytes, access);
    for (uint8_t chunk = 0; chunk < kChunks && memory.ok(); ++chunk) {
      const size_t place = static_cast<size_t>(places_->lies_at[chunk]);
      const uint64_t offset = chunk * kChunkBytes;
      const bool mapped =
          memory->CoverWithFile(offset, kChunkBytes, places_->fds[place].get(), offset);
      DEVMEM_CHECK(mapped, "a chunk cannot be mapped");
    }
    return memory;
  }
  std::vector<RegionPlace> EvictedPlaces() const override {
    std::vector<RegionPlace> evicted;
    for (uint8_t chunk = 0; chunk < kChunks; ++chunk) {
      if (Has(places_->resident, chunk)) continue;
      evicted.push_back(
          {chunk * kChunkBytes, kChunkBytes, places_->fds[1].get(), chunk * kChunkBytes, false});
    }
    return evicted;
  }
  std::shared_ptr<PagingSource> paging() const override { return std::make_shared<NeverNow>(); }

  const std::shared_ptr<ReplayPlaces> places_;
};

std::unique_ptr<Region> MovingByItself() {
  auto region = MemfdProvider().Allocate(
      {.bytes = kReplayBytes, .label = "replay", .kind = AttachmentKind::kMayMove});
  DEVMEM_CHECK(region.ok(), "memory that moves cannot be had");
  return *std::move(region);
}

}  // namespace

ReplayWorld::ReplayWorld(const Protocol& protocol, bool stepwise)
    : protocol_(protocol), stepwise_(stepwise), places_(std::make_shared<ReplayPlaces>()) {
  for (UniqueFd& fd : places_->fds) {
    fd.Reset(::memfd_create("replay", MFD_CLOEXEC));
    DEVMEM_CHECK(fd.valid() && ::ftruncate(fd.get(), kReplayBytes) == 0, "no memfd");
  }
  if (stepwise) {
    region_ = std::make_unique<StepwiseRegion>(places_);
  } else {
    region_ = MovingByItself();
  }
  const State start = protocol.Start();
  for (uint8_t who = 0; who < kOwners; ++who) {
    if (start.owner[who].bound == Bound::kYes) Bind(who, start.tokens[who].lane);
  }
}

ReplayWorld::~ReplayWorld() = default;

void ReplayWorld::Expect(bool holds, const std::string& what) {
  if (!holds && wrong_.empty()) wrong_ = what;
}

void ReplayWorld::Bind(uint8_t who, uint8_t lane) {
  User& user = users_[who];
  user = User{};
  auto attachment = Attachment::Create(*region_, {.name = "dm0", .caps = ImporterCaps::kFault});
  if (!attachment.ok()) return Expect(!stepwise_, "an attachment is refused");
  user.attachment = *std::move(attachment);
  region_->life()->ForEachUser([&user](RegionUser& last) { user.user = &last; });
  const Environment& environment = protocol_.environment();
  const uint64_t first = environment.split ? who : 0;
  const uint64_t chunks = environment.split ? 1 : kChunks;
  auto pool = PagePool::Create({.region_id = region_->id(),
                                .region_offset = first * kChunkBytes,
                                .bytes = chunks * kChunkBytes,
                                .device = true,
                                .net_iov_bytes = kChunkBytes,
                                .slab_bytes = kChunkBytes},
                               kFramePayloadBytesMax);
  DEVMEM_CHECK(pool.ok(), "a pool cannot be had");
  user.pool = *std::move(pool);
  // Stepwise the lane and the serials are the model's, so that names can be compared.
  auto tokens = stepwise_ ? TokenTable::Create(lane, kSlots) : TokenTable::CreateInOwnLane(kSlots);
  DEVMEM_CHECK(tokens.ok(), "a token table cannot be had");
  user.tokens = std::make_unique<TokenTable>(*std::move(tokens));
}

void ReplayWorld::EndTokens(uint8_t who) {
  User& user = users_[who];
  while (user.tokens != nullptr && user.tokens->RemoveAny().has_value()) {
  }
  for (uint8_t chunk = 0; chunk < kChunks; ++chunk) {
    if (given_[chunk] && owners_[chunk] == who) Put(who, chunk);
  }
  user.given.clear();
}

void ReplayWorld::Unbind(uint8_t who) {
  User& user = users_[who];
  EndTokens(who);
  if (user.pool != nullptr) {
    for (uint8_t chunk = 0; chunk < kChunks; ++chunk) {
      if (owners_[chunk] == who) Put(who, chunk);
    }
    user.pool->CloseWindow();
    Expect(user.pool->account().idle(), user.pool->account().ToString());
    Expect(user.pool->Audit().ok(), std::string(user.pool->Audit().message()));
  }
  user = User{};
}

uint8_t ReplayWorld::IndexOf(uint8_t who, uint8_t chunk) const {
  return protocol_.environment().split && who == 1 ? static_cast<uint8_t>(chunk - 1) : chunk;
}

Piece ReplayWorld::PieceOf(uint8_t who, uint8_t chunk) const {
  return Piece{NetmemRef::Device(IndexOf(who, chunk)), 0, kChunkBytes};
}

// The pool gives what it likes; the model said which.
void ReplayWorld::Post(uint8_t who, uint8_t chunk) {
  PagePool& pool = *users_[who].pool;
  std::vector<NetmemRef> others;
  NetmemRef netmem = pool.Alloc();
  while (!netmem.is_null() && netmem.index() != IndexOf(who, chunk)) {
    others.push_back(netmem);
    netmem = pool.Alloc();
  }
  for (const NetmemRef other : others) pool.Put(other);
  users_[who].posted = netmem.is_null() ? kNobody : chunk;
  // In a story the code may well know better than the model that it is not free.
  if (netmem.is_null()) return Expect(!stepwise_, "the pool does not have a chunk that is free");
  owners_[chunk] = who;
  stamps_[chunk] = ++last_stamp_;
  users_[who].ready = false;
}

void ReplayWorld::Put(uint8_t who, uint8_t chunk) {
  if (owners_[chunk] != who) return;
  users_[who].pool->Put(NetmemRef::Device(IndexOf(who, chunk)));
  owners_[chunk] = kNobody;
  given_[chunk] = false;
}

// The loop of dma_mapping.h at once, where the model's NIC takes its parts in a wrong order.
void ReplayWorld::Loop(uint8_t who, uint8_t chunk) {
  User& user = users_[who];
  DmaMapping& mapping = user.attachment->mapping();
  do {
    user.before = mapping.generation();
    if (mapping.moving() || mapping.revoked()) return;
    if (!mapping.Resident(chunk * kChunkBytes, kChunkBytes)) return;
  } while (user.before != mapping.generation());
  user.ready = true;
}

void ReplayWorld::Write(uint8_t who, uint8_t chunk, uint8_t half) {
  User& user = users_[who];
  if (!stepwise_ && half == 0) Loop(who, chunk);
  if (!stepwise_ && !user.ready) return;
  std::array<uint8_t, sizeof(uint64_t)> bytes;
  std::memcpy(bytes.data(), &stamps_[chunk], sizeof(uint64_t));
  user.attachment->mapping().Write(chunk * kChunkBytes + half * kHalfBytes, bytes);
}

void ReplayWorld::AskLanded(uint8_t who, uint8_t chunk, bool should) {
  User& user = users_[who];
  const bool landed = (stepwise_ || user.ready) && user.attachment->mapping().Landed(user.before);
  ++(landed ? counts_.landed : counts_.not_landed);
  if (stepwise_) Expect(landed == should, absl::StrCat("landed is ", landed));
  if (!landed) return Put(who, chunk);
  given_[chunk] = true;
}

void ReplayWorld::TakeNic(const State& before, const Action& action, const State& after) {
  const uint8_t who = action.who;
  User& user = users_[who];
  const uint8_t chunk = before.nic[who].chunk;
  if (action.kind == ActionKind::kPost) return Post(who, action.what);
  if (chunk == kNobody || owners_[chunk] != who || user.posted != chunk) return;
  DmaMapping& mapping = user.attachment->mapping();
  const bool gives_up = after.nic[who].step == NicStep::kIdle;
  switch (action.kind) {
    case ActionKind::kReadGeneration:
      user.before = mapping.generation();
      if (stepwise_) Expect(mapping.revoked() == gives_up, "revoked() says otherwise");
      break;
    case ActionKind::kAskPlace: {
      if (!stepwise_) return;
      const bool wait = mapping.revoked() || mapping.moving();
      Expect(wait == gives_up, "moving() says otherwise");
      const bool away = after.nic[who].step == NicStep::kBringBack;
      const bool resident = wait || mapping.Resident(chunk * kChunkBytes, kChunkBytes);
      Expect(resident == !away, "Resident() says otherwise");
      break;
    }
    case ActionKind::kReread: {
      const bool same = user.before == mapping.generation();
      const bool goes_on = after.nic[who].step == NicStep::kWriteFirst;
      if (stepwise_) Expect(same == goes_on, "the generation compares otherwise");
      return;
    }
    case ActionKind::kWrite: return Write(who, chunk, action.what);
    case ActionKind::kAskLanded: return AskLanded(who, chunk, Has(after.queued, chunk));
    default: break;
  }
  if (!gives_up || !stepwise_) return;
  ++counts_.waited;
  Put(who, chunk);
}

void ReplayWorld::HandOut(const State& after, uint8_t who, uint8_t chunk) {
  if (!given_[chunk] || owners_[chunk] != who) return;
  User& user = users_[who];
  const Token token = user.tokens->Insert(PieceOf(who, chunk));
  for (uint8_t slot = 0; slot < kSlots; ++slot) {
    const Tokens& tokens = after.tokens[who];
    if (tokens.serial[slot] == 0 || tokens.chunk[slot] != chunk) continue;
    user.given[slot] = token;
    const Token named = Token{tokens.lane} << kTokenSerialBits | tokens.serial[slot];
    if (stepwise_) Expect(token == named, absl::StrCat("the token is ", token));
  }
}

void ReplayWorld::Release(uint8_t who, Token token, uint8_t chunk) {
  const std::optional<Piece> piece = users_[who].tokens->Remove(token);
  Expect(piece.has_value() && *piece == PieceOf(who, chunk), "a token does not name its frag");
  if (piece.has_value()) Put(who, chunk);
}

// A token that names nothing of the presenter's: whatever the model's wrong table does with it,
// the real one refuses it.
void ReplayWorld::Present(const Action& action) {
  User& user = users_[action.who];
  const uint64_t lane = action.what / uint32_t{kSerialsEnd};
  Token token = lane << kTokenSerialBits | action.what % uint32_t{kSerialsEnd};
  const auto ended = ended_.find(action.what);
  if (!stepwise_ && ended != ended_.end()) token = ended->second;
  ++counts_.refused;
  Expect(!user.tokens->Remove(token).has_value(), "a strange token freed a frag");
}

void ReplayWorld::TakeOwner(const State& before, const Action& action, const State& after) {
  const uint8_t who = action.who;
  User& user = users_[who];
  switch (action.kind) {
    case ActionKind::kHandOut: return HandOut(after, who, action.what);
    case ActionKind::kRelease:
    case ActionKind::kReleaseFenced:
    case ActionKind::kAskFence: {
      const Tokens& tokens = before.tokens[who];
      const uint8_t chunk = tokens.chunk[action.what];
      const auto given = user.given.find(action.what);
      if (given == user.given.end()) return;
      const Token token = given->second;
      const uint32_t name = tokens.lane * uint32_t{kSerialsEnd} + tokens.serial[action.what];
      if (action.kind == ActionKind::kReleaseFenced) {
        reading_[chunk] = true;
        const Frag frag = {region_->id(), kChunkBytes, chunk * kChunkBytes, token};
        fences_.Add({&frag, 1}, Fence::FromCallback([this, chunk] { return !reading_[chunk]; }));
        return;
      }
      ended_[static_cast<uint8_t>(name)] = token;
      user.given.erase(given);
      if (action.kind == ActionKind::kRelease) return Release(who, token, chunk);
      const size_t signaled = fences_.Poll([&](std::span<const Frag> frags) {
        for (const Frag& frag : frags) Release(who, frag.token, chunk);
      });
      return Expect(signaled == 1, "a fence is not signaled");
    }
    case ActionKind::kDeviceDone: reading_[action.what] = false; return;
    case ActionKind::kPresent: return Present(action);
    case ActionKind::kEndTokens: return EndTokens(who);
    case ActionKind::kUnbind:
    case ActionKind::kCrash:
      for (const auto& [slot, token] : user.given) {
        const Tokens& tokens = before.tokens[who];
        ended_[static_cast<uint8_t>(tokens.lane * kSerialsEnd + tokens.serial[slot])] = token;
      }
      return Unbind(who);
    case ActionKind::kMapForBind:  // The code knows no step between mapping and joining.
    case ActionKind::kBind: return Bind(who, after.tokens[who].lane);
    default: return;
  }
}

}  // namespace devmem::revoke_model
