// SPDX-License-Identifier: Apache-2.0
// ReplayWorld: the real classes in the places of the model's parts, led step by step through what
// the model does: a region of two chunks, attachments, page pools, token tables and a fence list.
// One thread, in the model's order. After each step it says what is not as the model has it.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <utility>

#include "netmem/page_pool.h"
#include "netmem/token_table.h"
#include "provider/attachment.h"
#include "provider/limits.h"
#include "provider/region.h"
#include "selftests/revoke_model/protocol.h"
#include "uapi/fence_list.h"

namespace devmem::revoke_model {

inline constexpr uint64_t kChunkBytes = kPagingBlockBytes;  // What is evicted alone.
inline constexpr uint64_t kHalfBytes = kChunkBytes / 2;

// How often something happened on the real classes.
struct ReplayCounts {
  uint64_t steps = 0;
  uint64_t landed = 0;
  uint64_t not_landed = 0;
  uint64_t waited = 0;   // The NIC was told to wait, or that the region is gone.
  uint64_t refused = 0;  // Tokens.
  uint64_t moved = 0;
  uint64_t revoked = 0;
};

// What the exporter of a replay does is up to the steps, not to the region.
struct ReplayPlaces {
  std::array<UniqueFd, kPlaces> fds;
  std::array<Place, kChunks> lies_at = {Place::kA, Place::kA};
  uint8_t resident = 0b11;
};

class ReplayWorld {
 public:
  // `stepwise`: withdrawing, copying and putting back are steps of their own, and everything is
  // compared. Else the region is one of the memfd provider's that moves by itself, and only what
  // must never be is looked for: for stories of a protocol that the code does not follow.
  ReplayWorld(const Protocol& protocol, bool stepwise);
  ~ReplayWorld();

  // Takes the step that leads the model from `before` to `after`. Empty, or what is wrong.
  std::string Take(const State& before, const Action& action, const State& after);

  const ReplayCounts& counts() const { return counts_; }

 private:
  // What one owner has.
  struct User {
    std::unique_ptr<Attachment> attachment;
    RegionUser* user = nullptr;  // The attachment, as the region's life knows it.
    std::unique_ptr<PagePool> pool;
    std::unique_ptr<TokenTable> tokens;
    uint64_t before = 0;  // DmaMapping::generation()
    bool ready = false;   // The NIC went through the loop of dma_mapping.h.
    uint8_t posted = kNobody;
    std::map<uint8_t, Token> given;  // By the slot that the model has it in.
  };

  void Bind(uint8_t who, uint8_t lane);
  void Unbind(uint8_t who);
  void EndTokens(uint8_t who);
  void TakeNic(const State& before, const Action& action, const State& after);
  void TakeOwner(const State& before, const Action& action, const State& after);
  void TakeExporter(const State& before, const Action& action, const State& after);
  void TakeMover(const State& before, const Action& action, const State& after);
  void TakeRevoker(const State& before, const Action& action);
  void ExportAlone(const Action& action);
  void Post(uint8_t who, uint8_t chunk);
  void Loop(uint8_t who, uint8_t chunk);
  void Write(uint8_t who, uint8_t chunk, uint8_t half);
  void AskLanded(uint8_t who, uint8_t chunk, bool should);
  void HandOut(const State& after, uint8_t who, uint8_t chunk);
  void Release(uint8_t who, Token token, uint8_t chunk);
  void Put(uint8_t who, uint8_t chunk);
  void Present(const Action& action);
  void CopyHalves(uint8_t chunk, Place from, Place to);

  void Compare(const State& state);
  void CompareMapping(const State& state, uint8_t who);
  void CompareMemory(const State& state);
  void LookForWrongBytes();
  uint64_t ReadAt(int fd, uint8_t chunk, uint8_t half) const;
  uint8_t IndexOf(uint8_t who, uint8_t chunk) const;
  Piece PieceOf(uint8_t who, uint8_t chunk) const;
  void Expect(bool holds, const std::string& what);

  const Protocol& protocol_;
  const bool stepwise_;
  std::shared_ptr<ReplayPlaces> places_;
  std::unique_ptr<Region> region_;
  std::array<User, kOwners> users_;
  // Of the frame that a chunk is to hold; whether TCP or a user has it; whose it is.
  std::array<uint64_t, kChunks> stamps_ = {};
  std::array<bool, kChunks> given_ = {};
  std::array<uint8_t, kChunks> owners_ = {kNobody, kNobody};
  std::array<bool, kChunks> reading_ = {};
  // The last token that ended under a name of the model's.
  std::map<uint8_t, Token> ended_;
  FenceList fences_;
  uint64_t last_stamp_ = 0;
  ReplayCounts counts_;
  std::string wrong_;
};

}  // namespace devmem::revoke_model
