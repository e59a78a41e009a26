// SPDX-License-Identifier: Apache-2.0
// Finding a provider by its name.
#include "provider/provider.h"

#include <gtest/gtest.h>

#include <string>

#include "provider/limits.h"

namespace devmem {
namespace {

TEST(ProviderTest, AProviderIsFoundByItsName) {
  const auto provider = FindProvider("memfd");
  ASSERT_TRUE(provider.ok()) << provider.status();
  EXPECT_EQ((*provider)->name(), "memfd");
  const auto region = (*provider)->Allocate({.bytes = kSmallPageBytes});
  ASSERT_TRUE(region.ok()) << region.status();
  EXPECT_EQ((*region)->provider_name(), "memfd");
}

TEST(ProviderTest, TheSameNameGivesTheSameProvider) {
  EXPECT_EQ(*FindProvider("memfd"), *FindProvider("memfd"));
}

TEST(ProviderTest, AnUnknownNameIsRefusedWithTheNamesThatExist) {
  const absl::Status refusal = FindProvider("vram").status();
  EXPECT_EQ(refusal.code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(std::string(refusal.message()),
            "there is no provider \"vram\"; choose one of: "
            "memfd, hugetlb, udmabuf, dma-heap, import, p2pmem, cuda, opencl");
}

}  // namespace
}  // namespace devmem
