// SPDX-License-Identifier: Apache-2.0
// See region_writer.h.
#include "provider/region_writer.h"

#include <algorithm>
#include <array>
#include <thread>
#include <utility>

#include "provider/dma_engine.h"
#include "provider/dma_mapping.h"
#include "provider/memfd_provider.h"

namespace devmem {
namespace {

constexpr uint64_t kStagingBytes = uint64_t{256} << 10;

}  // namespace

// The engine belongs to the target's attachment, and goes before the memory that it copies from.
struct RegionWriter::Staging {
  ~Staging() {
    if (engine != nullptr) target->EndEngine(engine);
  }

  Attachment* target = nullptr;
  std::unique_ptr<Region> region;
  std::unique_ptr<Attachment> attachment;  // Of the staging memory.
  DmaEngine* engine = nullptr;
};

absl::StatusOr<RegionWriter> RegionWriter::Create(const Region& region, Attachment& attachment) {
  if (!attachment.staged()) return RegionWriter(&attachment.mapping(), nullptr);
  auto staging = std::make_unique<Staging>();
  staging->target = &attachment;
  absl::StatusOr<std::unique_ptr<Region>> memory =
      MemfdProvider().Allocate({.bytes = kStagingBytes, .label = "devmem staging"});
  if (!memory.ok()) return memory.status();
  staging->region = *std::move(memory);
  absl::StatusOr<std::unique_ptr<Attachment>> attached =
      Attachment::Create(*staging->region, {.name = std::string(attachment.importer_name())});
  if (!attached.ok()) return attached.status();
  staging->attachment = *std::move(attached);
  absl::StatusOr<DmaEngine*> engine =
      attachment.CreateEngine(region, staging->attachment->mapping());
  if (!engine.ok()) return engine.status();
  staging->engine = *engine;
  return RegionWriter(nullptr, std::move(staging));
}

RegionWriter::RegionWriter(DmaMapping* mapping, std::unique_ptr<Staging> staging)
    : mapping_(mapping), staging_(std::move(staging)) {}
RegionWriter::~RegionWriter() = default;
RegionWriter::RegionWriter(RegionWriter&&) noexcept = default;
RegionWriter& RegionWriter::operator=(RegionWriter&&) noexcept = default;

bool RegionWriter::Ready(uint64_t offset, uint64_t bytes) {
  if (mapping_ == nullptr || mapping_->revoked()) return true;
  return !mapping_->moving() && mapping_->Resident(offset, bytes);
}

bool RegionWriter::Write(uint64_t offset, std::span<const uint8_t> bytes) {
  if (staging_ == nullptr) return WriteMapped(offset, bytes);
  while (!bytes.empty()) {
    const std::span part = bytes.first(std::min<size_t>(bytes.size(), kStagingBytes));
    staging_->attachment->mapping().Write(0, part);
    const std::array copy = {DmaCopy{0, offset, static_cast<uint32_t>(part.size())}};
    if (staging_->engine->Submit(copy) == 0) return false;
    while (!staging_->engine->Fence()) {
      if (staging_->engine->lost()) return false;
      std::this_thread::yield();
    }
    (void)staging_->engine->Completed();  // Frees the batch's place.
    offset += part.size();
    bytes = bytes.subspan(part.size());
  }
  return true;
}

bool RegionWriter::WriteMapped(uint64_t offset, std::span<const uint8_t> bytes) {
  while (!mapping_->revoked()) {
    const uint64_t before = mapping_->generation();
    if (mapping_->Resident(offset, bytes.size())) {
      mapping_->Write(offset, bytes);
      if (mapping_->Landed(before)) return true;
    }
    // On its way to another place, or out of it with no room to come back now.
    std::this_thread::yield();
  }
  return false;
}

}  // namespace devmem
