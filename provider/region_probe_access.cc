// SPDX-License-Identifier: Apache-2.0
// See region_probe_access.h.
#include "provider/region_probe_access.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "provider/dma_mapping.h"
#include "provider/memfd_provider.h"

namespace devmem {
namespace {

// What is written and compared at a time, and the size of the staging memory of the reader.
constexpr size_t kChunkBytes = size_t{1} << 20;

// The finaliser of splitmix64: every bit of the result depends on every bit of the input.
uint64_t Mix(uint64_t value) {
  value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9u;
  value = (value ^ (value >> 27)) * 0x94d049bb133111ebu;
  return value ^ (value >> 31);
}

}  // namespace

void FillPattern(uint64_t seed, uint64_t offset, std::span<uint8_t> bytes) {
  for (size_t i = 0; i < bytes.size();) {
    const uint64_t at = offset + i;
    const uint64_t word = Mix(seed * 0x9e3779b97f4a7c15u + at / 8);
    const size_t skip = at % 8;
    const size_t count = std::min<size_t>(8 - skip, bytes.size() - i);
    std::array<uint8_t, 8> word_bytes;
    std::memcpy(word_bytes.data(), &word, word_bytes.size());
    std::memcpy(&bytes[i], &word_bytes[skip], count);
    i += count;
  }
}

absl::StatusOr<std::unique_ptr<RegionProbeAccess>> RegionProbeAccess::Create(
    const Region& region, Attachment& attachment) {
  std::unique_ptr<RegionProbeAccess> access(new RegionProbeAccess(region, attachment));
  access->chunk_.resize(std::min<uint64_t>(kChunkBytes, region.size_bytes()));
  access->read_.resize(access->chunk_.size());
  absl::StatusOr<RegionWriter> writer = RegionWriter::Create(region, attachment);
  if (!writer.ok()) return writer.status();
  access->writer_ = *std::move(writer);
  if (region.cpu_visible()) {
    absl::StatusOr<RegionView> view = RegionView::Map(region);
    if (!view.ok()) return view.status();
    access->view_ = *std::move(view);
    return access;
  }
  absl::Status reads = access->SetUpReader();
  if (!reads.ok()) return reads;
  return access;
}

RegionProbeAccess::~RegionProbeAccess() {
  if (reader_ != nullptr) attachment_.EndEngine(reader_);
}

absl::Status RegionProbeAccess::SetUpReader() {
  auto region = MemfdProvider().Allocate({.bytes = kChunkBytes, .label = "devmemctl"});
  if (!region.ok()) return region.status();
  staging_region_ = *std::move(region);
  auto staging = Attachment::Create(*staging_region_, {.name = "devmemctl"});
  if (!staging.ok()) return staging.status();
  staging_ = *std::move(staging);
  const auto engine = attachment_.CreateEngine(region_, staging_->mapping());
  if (!engine.ok()) return engine.status();
  reader_ = *engine;
  return absl::OkStatus();
}

absl::Status RegionProbeAccess::WriteAll(uint64_t seed) {
  for (uint64_t offset = 0; offset < region_.size_bytes(); offset += chunk_.size()) {
    const std::span<uint8_t> bytes =
        std::span(chunk_).first(std::min<uint64_t>(chunk_.size(), region_.size_bytes() - offset));
    FillPattern(seed, offset, bytes);
    if (!writer_->Write(offset, bytes)) {
      return absl::DataLossError(absl::StrCat(bytes.size(), " bytes at offset ", offset, " of ",
                                              region_.Describe(), " did not arrive"));
    }
  }
  return absl::OkStatus();
}

absl::Status RegionProbeAccess::CompareAll(uint64_t seed) {
  for (uint64_t offset = 0; offset < region_.size_bytes(); offset += chunk_.size()) {
    const size_t count = std::min<uint64_t>(chunk_.size(), region_.size_bytes() - offset);
    FillPattern(seed, offset, std::span(chunk_).first(count));
    std::span<const uint8_t> found;
    if (view_.has_value()) {
      found = view_->bytes().subspan(offset, count);
    } else if (reader_->ReadBack(offset, std::span(read_).first(count))) {
      found = std::span<const uint8_t>(read_).first(count);
    } else {
      return absl::DataLossError(
          absl::StrCat("the device does not give back ", count, " bytes at offset ", offset));
    }
    const auto wrong = std::mismatch(found.begin(), found.end(), chunk_.begin());
    if (wrong.first != found.end()) {
      const auto at = offset + static_cast<uint64_t>(wrong.first - found.begin());
      return absl::DataLossError(absl::StrCat("the byte at offset ", at, " is ", *wrong.first,
                                              ", not ", *wrong.second, " as was written"));
    }
  }
  return absl::OkStatus();
}

bool RegionProbeAccess::TryWrite(uint64_t seed) {
  FillPattern(seed, 0, chunk_);
  if (attachment_.staged()) return writer_->Write(0, chunk_);
  DmaMapping& mapping = attachment_.mapping();
  const uint64_t before = mapping.generation();
  mapping.Write(0, chunk_);
  return mapping.Landed(before);
}

}  // namespace devmem
