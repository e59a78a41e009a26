// SPDX-License-Identifier: Apache-2.0
// Regions and attachments for the tests of this folder: makers that fail the test, not the caller.
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <memory>
#include <utility>

#include "provider/attachment.h"
#include "provider/memfd_provider.h"
#include "provider/region.h"

namespace devmem {

inline std::unique_ptr<Region> MakeRegion(uint64_t bytes,
                                          ImportPolicy policy = ImportPolicy::Everyone()) {
  auto region =
      MemfdProvider().Allocate({.bytes = bytes, .label = "test", .policy = std::move(policy)});
  EXPECT_TRUE(region.ok()) << region.status();
  return region.ok() ? *std::move(region) : nullptr;
}

inline std::unique_ptr<Attachment> MakeAttachment(const Region& region) {
  auto attachment = Attachment::Create(region, {.name = "dm0"});
  EXPECT_TRUE(attachment.ok()) << attachment.status();
  return attachment.ok() ? *std::move(attachment) : nullptr;
}

}  // namespace devmem
