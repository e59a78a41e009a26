// SPDX-License-Identifier: Apache-2.0
//
// Charge, allocate, pass on, read what lands, and go on alone when the importer dies.

#include "selftests/two_process/exporter.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <memory>
#include <utility>
#include <vector>

#include "provider/attachment.h"
#include "provider/memfd_provider.h"
#include "provider/region_view.h"
#include "provider/region_writer.h"
#include "selftests/testing/wire_world.h"

namespace devmem::testing {
namespace {

constexpr char kWho[] = "exporter";

std::unique_ptr<Region> AllocateCharged(int referee) {
  Message answer;
  if (!Send(referee, {.word = Word::kCharge, .length = kSharedBytes}) ||
      !Receive(referee, &answer) || answer.word != Word::kGranted) {
    GiveUp(kWho, "the referee granted nothing");
  }
  auto region = MemfdProvider().Allocate({.bytes = kSharedBytes, .label = kRegionLabel});
  if (!region.ok()) GiveUp(kWho, region.status().ToString().c_str());
  return *std::move(region);
}

// Reads each announced piece where it landed. Returns when the importer has finished or died.
bool ReadAll(int importer, const RegionView& view, uint64_t seed, LifeLine* life) {
  uint64_t next = 0;
  Message message;
  while (Receive(importer, &message)) {
    life->Step();
    if (message.word == Word::kAllSent) {
      if (next != kStreamBytes) GiveUp(kWho, "the stream ended early");
      return true;
    }
    if (message.stream_offset != next || message.region_offset > kSharedBytes ||
        message.length > kSharedBytes - message.region_offset) {
      GiveUp(kWho, "a piece was announced that cannot be");
    }
    const auto piece = view.bytes().subspan(message.region_offset, message.length);
    if (FindMismatch(seed, message.stream_offset, piece)) GiveUp(kWho, "a byte is wrong");
    next += message.length;
    life->Step();
    if (!Send(importer, {.word = Word::kRead})) return false;
  }
  return false;
}

// The importer may have died while it wrote: the region is still whole, and still ours to use.
void UseAlone(const Region& region, const RegionView& view, LifeLine* life) {
  auto attachment = Attachment::Create(region, {.name = "exporter"});
  if (!attachment.ok()) GiveUp(kWho, attachment.status().ToString().c_str());
  auto writer = RegionWriter::Create(region, **attachment);
  if (!writer.ok()) GiveUp(kWho, writer.status().ToString().c_str());
  life->Step();
  const std::vector<uint8_t> filling(kSharedBytes, 0x5a);
  if (!writer->Write(0, filling)) GiveUp(kWho, "the region cannot be written any more");
  if (!std::equal(filling.begin(), filling.end(), view.bytes().begin())) {
    GiveUp(kWho, "what was written is not there");
  }
}

}  // namespace

void RunExporter(ChildLines lines, UniqueFd alive, uint64_t seed, LifeLine life) {
  life.Step();
  const std::unique_ptr<Region> region = AllocateCharged(lines.referee.get());
  life.Step();
  const auto view = RegionView::Map(*region);
  auto handle = region->ShareHandle();
  if (!view.ok() || !handle.ok()) GiveUp(kWho, "the region cannot be shared");
  life.Step();
  const bool passed =
      SendHandles(lines.other.get(), {.word = Word::kHandle}, {handle->get(), alive.get()});
  handle->Reset();
  life.Step();
  if (passed) (void)ReadAll(lines.other.get(), *view, seed, &life);
  UseAlone(*region, *view, &life);
  life.Step();
  ::_exit(0);
}

}  // namespace devmem::testing
