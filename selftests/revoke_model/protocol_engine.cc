// SPDX-License-Identifier: Apache-2.0
// See protocol.h: frames that are received into staging memory and copied on by an engine:
// provider/dma_engine.h. A device's engine copies at any later moment; a host engine copies on the
// thread of the queue, by the steps of protocol_nic.cc.
#include "selftests/revoke_model/protocol.h"

namespace devmem::revoke_model {

uint8_t Protocol::FreeSlot(const State& state) const {
  for (uint8_t slot = 0; slot < kSlots; ++slot) {
    bool used = false;
    for (const Job& job : state.job) {
      const bool waits = job.step != JobStep::kNone && job.orphan == 0 && job.slot == slot;
      used |= waits && !(flawed(Flaw::kStagingReusedEarly) && job.step == JobStep::kSubmitted);
    }
    for (const Nic& nic : state.nic) used |= nic.step != NicStep::kIdle && nic.slot == slot;
    if (!used) return slot;
  }
  return kNobody;
}

void EndJob(State& next, uint8_t chunk) {
  Job& job = next.job[chunk];
  if (job.slot != kNobody && next.staged_for[job.slot] == chunk) {
    next.staged_for[job.slot] = kNobody;
  }
  job = Job{};
}

void Protocol::ExpandStaging(const State& state, uint8_t who, Steps& out) const {
  const Nic& nic = state.nic[who];
  if (nic.step == NicStep::kWriteStaging) {
    // Staging memory is the session's own: nobody takes it away.
    State& next = out.Add(state, ActionKind::kWriteStaging, who);
    next.staged_for[nic.slot] = nic.chunk;
    next.nic[who].step = NicStep::kSubmit;
    return;
  }
  State& next = out.Add(state, ActionKind::kSubmit, who);
  next.nic[who] = Nic{};
  if (state.mapping[who].halted != 0 || Revoking(state.mapping[who])) {
    next.staged_for[nic.slot] = kNobody;
    Put(next, nic.chunk);  // Submit() returned 0.
    return;
  }
  next.job[nic.chunk] = Job{JobStep::kSubmitted, nic.slot, who, 0};
  if (!flawed(Flaw::kDeliverBeforeCopied)) return;
  next.refs[nic.chunk] = 2;  // Handed on, and still to be copied.
  SetBit(next.queued, nic.chunk, true);
  --next.owner[who].frames_left;
}

// What a worker does with one of its copies between two turns.
void Protocol::ExpandJob(const State& state, uint8_t who, uint8_t chunk, Steps& out) const {
  const Job& job = state.job[chunk];
  if (job.step == JobStep::kNone || job.owner != who || job.orphan != 0) return;
  if (StoresOnTheirWay(state.nic[who])) return;
  if (job.step == JobStep::kDone) {
    State& next = out.Add(state, ActionKind::kComplete, who, chunk);
    EndJob(next, chunk);
    if (flawed(Flaw::kDeliverBeforeCopied)) return Put(next, chunk);
    SetBit(next.queued, chunk, true);
    --next.owner[who].frames_left;
    return;
  }
  const bool host = environment_.engine == Engine::kHost;
  if (job.step == JobStep::kSubmitted && host && !Revoking(state.mapping[who])) {
    State& next = out.Add(state, ActionKind::kTryCopy, who, chunk);
    next.nic[who].chunk = chunk;
    next.nic[who].step = NicStep::kReadGeneration;
    return;
  }
  // lost(): the frame is dropped, even while the device is still at its copy.
  const bool lost = host ? Revoking(state.mapping[who]) : state.mapping[who].halted != 0;
  if (!lost) return;
  State& next = out.Add(state, ActionKind::kDropLost, who, chunk);
  if (job.step == JobStep::kSubmitted) {
    EndJob(next, chunk);
  } else {
    next.job[chunk].orphan = 1;
  }
  Put(next, chunk);
}

void Protocol::ExpandCopies(const State& state, Steps& out) const {
  for (uint8_t chunk = 0; chunk < kChunks; ++chunk) {
    const Job& job = state.job[chunk];
    if (job.step == JobStep::kNone || job.step == JobStep::kDone) continue;
    if (job.step == JobStep::kSubmitted) {
      if (state.mapping[job.owner].halted != 0) continue;
      out.Add(state, ActionKind::kStartCopy, chunk).job[chunk].step = JobStep::kFirstHalf;
      continue;
    }
    const uint8_t half = job.step == JobStep::kFirstHalf ? 0 : 1;
    CopyHalf(out.Add(state, ActionKind::kCopyHalf, chunk, half), chunk, half);
  }
}

void Protocol::CopyHalf(State& next, uint8_t chunk, uint8_t half) const {
  Job& job = next.job[chunk];
  // What was dropped may be written as long as nobody else has it, and the binding is there.
  if (job.orphan == 2 || (job.orphan == 1 && IsGiven(next, chunk))) {
    SetFault(next, Fault::kWriteToAnothersChunk);
  }
  const bool right = next.staged_for[job.slot] == chunk && job.orphan == 0;
  Land(next, chunk, half, next.lies_at[chunk], right, environment_.flaw);
  job.step = half == 0 ? JobStep::kSecondHalf : JobStep::kDone;
  if (job.step == JobStep::kDone && job.orphan != 0) EndJob(next, chunk);
}

}  // namespace devmem::revoke_model
