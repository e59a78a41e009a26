// SPDX-License-Identifier: Apache-2.0
// What the model of revoke, moves and tokens knows in one state, and what can be asked of a run.
// Plain bytes, so that the explorer can compare and hash them. Read beside provider/dma_mapping.h,
// region_life.h, dma_engine.h and netmem/token_table.h. Documentation/memory.md, "Model check".
#pragma once

#include <array>
#include <cstdint>

namespace devmem::revoke_model {

inline constexpr uint8_t kOwners = 2;
inline constexpr uint8_t kChunks = 2;  // net_iovs of the one region.
inline constexpr uint8_t kHalves = 2;  // A DMA write is no single step.
inline constexpr uint8_t kSlots = 2;   // Of a token table, and of the staging memory.
inline constexpr uint8_t kLanes = 5;   // Lane 0 names nothing.
inline constexpr uint8_t kSerialsEnd = 8;
inline constexpr uint8_t kNobody = 0xff;

// Where a store goes. A region's chunk lies at A or at B: it moves from one to the other, and the
// one where it is not belongs to strangers.
enum class Place : uint8_t { kA, kB, kScratch, kNowhere };
inline constexpr uint8_t kPlaces = 2;

// DmaMapping::generation(), without the number: that it only grows is what `changed` stands for.
enum class Generation : uint8_t { kEven, kOdd, kRevoking, kRevoked };

// The steps of a NIC's thread in the picture of dma_mapping.h, and of HostDmaEngine::CopyOne().
enum class NicStep : uint8_t {
  kIdle,            // Between two turns: the user's calls run here, on the same thread.
  kReadGeneration,  // before = generation()
  kAskPlace,        // moving(), Resident()
  kBringBack,       // PagingSource::FaultIn() waits for the exporter's lock
  kAwaitPlace,      // FaultIn() runs
  kReread,          // while (before != generation())
  kWriteFirst,      // readv, Write()
  kWriteSecond,
  kAskLanded,     // Landed(before)
  kWriteStaging,  // A staged frame
  kSubmit,
};

struct Nic {
  NicStep step = NicStep::kIdle;
  uint8_t chunk = kNobody;
  uint8_t slot = kNobody;   // Of the staging memory.
  uint8_t before_even = 0;  // The parity of `before`.
  uint8_t changed = 0;      // Whether the generation was stored to since `before` was read.
  uint8_t early = 0;        // The load in Landed() was made early: 1 saw no change, 2 saw one.
  std::array<Place, kHalves> buffer = {Place::kNowhere, Place::kNowhere};  // Stores on their way.
};

// One Attachment with its DmaMapping.
struct Mapping {
  uint8_t joined = 0;  // RegionLife::Join(): told of revoke and moves.
  Generation generation = Generation::kRevoked;
  uint8_t halted = 0;  // Its engine.
  uint8_t away = 0;    // Bit c: DmaMapping::away_ of chunk c.
  std::array<Place, kChunks> maps = {Place::kNowhere, Place::kNowhere};
};

// A TokenTable. serial 0 is an empty slot.
struct Tokens {
  uint8_t lane = 0;
  uint8_t next = 1;
  uint8_t fenced = 0;  // Bit s: the token in slot s waits in a FenceList.
  std::array<uint8_t, kSlots> serial = {};
  std::array<uint8_t, kSlots> chunk = {};
};

enum class Bound : uint8_t { kNo, kMapped, kYes };

struct Owner {
  Bound bound = Bound::kNo;
  uint8_t receiving = 0;  // Recv() has asked for the phase, and not yet taken a piece.
  uint8_t frames_left = 0;
};

// A copy from staging memory, one per chunk.
enum class JobStep : uint8_t { kNone, kSubmitted, kFirstHalf, kSecondHalf, kDone };
struct Job {
  JobStep step = JobStep::kNone;
  uint8_t slot = kNobody;
  uint8_t owner = kNobody;
  uint8_t orphan = 0;  // 1: its frame was dropped; 2: its binding has gone.
};

enum class MoveStep : uint8_t {
  kIdle,
  kLock,     // ForEachUser(Withdraw) waits for the life's lock
  kMark,     // Withdraw(): the generation becomes odd
  kBarrier,  // membarrier(2)
  kSwap,     // Scratch memory in the place of the pages
  kCopy,
  kLockAgain,  // The owner looks at the new place; ForEachUser(PutBack)
  kMap,        // PutBack(): the new place
  kEven,       // The generation becomes even
};
enum class MoveKind : uint8_t { kMove, kEvict, kFaultIn };
struct Mover {
  MoveStep step = MoveStep::kIdle;
  MoveKind kind = MoveKind::kMove;
  uint8_t chunks = 0;          // Bit c.
  uint8_t user = 0;            // Whose turn it is.
  uint8_t for_whom = kNobody;  // Who waits in FaultIn().
};

enum class RevokeStep : uint8_t {
  kIdle,
  kAwaitUsers,  // Remove(): WaitForUsers()
  kLock,        // Revoke() waits for the life's lock
  kMark,
  kBarrier,
  kSwap,
  kFinalMark,
  kHalt,
  kAwaitCopies,
  kTell,  // The phase, the events
  kDone,
};
struct Revoker {
  RevokeStep step = RevokeStep::kIdle;
  uint8_t user = 0;
};

enum class Phase : uint8_t { kLive, kRemoving, kRevoked };
enum class LifeLock : uint8_t { kFree, kMover, kRevoker };

// What must never be true. The number says which property of Documentation/memory.md it breaks.
enum class Fault : uint8_t {
  kNone,
  kWriteToGivenBack,      // P1
  kWriteToWithdrawn,      // P1
  kWriteUnderReader,      // P1: a device still reads there
  kWriteToAnothersChunk,  // P1: the chunk is not in the writer's hands any more
  kWrongBytes,            // P2
  kFreedByStaleToken,     // P3
  kFreedByForeignToken,   // P3
  kBooksDiffer,           // P4
  kPutTwice,              // P4
  kUntold,                // P5: memory went and its holders were not told
  kPutBackOfNothing,      // The program stops: PutBack() of what was not withdrawn
};

struct State {
  std::array<Nic, kOwners> nic;
  std::array<Mapping, kOwners> mapping;
  std::array<Tokens, kOwners> tokens;
  std::array<Owner, kOwners> owner;
  std::array<Job, kChunks> job;
  Mover mover;
  Revoker revoker;

  // The region.
  Phase phase = Phase::kLive;
  LifeLock life_lock = LifeLock::kFree;
  uint8_t given_back = 0;  // The exporter has its memory back, and may give it to others.
  uint8_t exporter_dead = 0;
  std::array<Place, kChunks> lies_at = {Place::kA, Place::kA};
  uint8_t resident = 0b11;  // Bit c.
  // Bit (2 * place + half): there lie the bytes of the frame that the chunk is to hold.
  std::array<uint8_t, kChunks> right = {};

  // The pools of the bindings.
  std::array<uint8_t, kChunks> refs = {};
  uint8_t queued = 0;   // Bit c: in TCP's queue.
  uint8_t reading = 0;  // Bit c: a device of its owner reads it.

  // Of the staging memory: whose frame a slot holds.
  std::array<uint8_t, kSlots> staged_for = {kNobody, kNobody};

  // Ghosts: what no code knows.
  std::array<uint8_t, kLanes> ended = {};  // Bit n: serial n of the lane was given out and ended.
  uint8_t lanes_used = 0;

  // What the environment may still do.
  uint8_t moves_left = 0;
  uint8_t evictions_left = 0;
  uint8_t binds_left = 0;
  uint8_t crashes_left = 0;
  uint8_t fences_left = 0;
  Fault fault = Fault::kNone;
  std::array<uint8_t, 6> unused = {};  // To whole words.
};

// A protocol that is wrong in one way. Each must be found out.
enum class Flaw : uint8_t {
  kNone,
  kNoBarrier,               // Withdraw() and Revoke() make no running thread pass a barrier
  kSwapBeforeMark,          // The pages go before the generation says so
  kPlaceAskedFirst,         // Resident() before generation(), and not asked again
  kLandedNotAsked,          // What was written is taken
  kCopyBeforeWithdraw,      // A move copies while NICs still write
  kCopyAfterFirstWithdraw,  // A move copies when the first of two NICs has stopped
  kOwnerLooksLast,          // NICs write the new place before the owner looks there
  kJoinUnguarded,           // Attaching maps and joins while the region may move
  kLowestFreeToken,         // Tokens are the lowest free number, as Linux gives them out
  kLanesRepeat,             // Few lanes, each table's serials from 1
  kHaltDoesNotWait,         // A revoke leaves copies on their way
  kDeliverBeforeCopied,     // A staged frame is handed out when it is submitted
  kStagingReusedEarly,      // A slot is written again before its copy was made
  kUnbindDoesNotFence,      // A binding goes while the device still copies for it
  kFenceIgnored,            // Release(frags, fence) frees at once
  kRemoveWhileHeld,         // Remove() gives the memory back when nothing is posted any more
  kRevokeSkipsTelling,      // Revoke() takes access and does not say so
};

// How staged frames reach the region.
enum class Engine : uint8_t {
  kNone,    // The NIC writes the region.
  kHost,    // HostDmaEngine: the worker copies, through the mapping.
  kDevice,  // A device copies, when it likes. Such memory does not move.
};

// The environment of one run.
struct Environment {
  Flaw flaw = Flaw::kNone;
  Engine engine = Engine::kNone;
  uint8_t owners = 1;
  bool split = false;        // Each owner has one chunk; else who is bound has both.
  bool weak_memory = false;  // Stores are buffered, the load of Landed() may be made early.
  bool small_steps = true;   // Else Withdraw(), PutBack() and TakeAway() are one step each.
  bool refusals = false;     // Tokens that are refused are steps, too.
  bool revokes = true;
  bool removes = false;
  bool exporter_dies = false;
  uint8_t frames = 2;  // Per owner.
  uint8_t moves = 0;
  uint8_t evictions = 0;
  uint8_t binds = 0;  // Beyond the first of each owner.
  uint8_t crashes = 0;
  uint8_t fences = 0;
};

}  // namespace devmem::revoke_model
