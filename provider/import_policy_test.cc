// SPDX-License-Identifier: Apache-2.0
// Whom an exporter lets in.
#include "provider/import_policy.h"

#include <gtest/gtest.h>

namespace devmem {
namespace {

TEST(ImportPolicyTest, EveryoneIsAnyName) {
  EXPECT_TRUE(ImportPolicy::Everyone().Allows("dm0"));
  EXPECT_TRUE(ImportPolicy::Everyone().Allows(""));
  EXPECT_EQ(ImportPolicy::Everyone().Describe(), "everyone");
}

TEST(ImportPolicyTest, OnlyTheNamedImportersAreAllowed) {
  const ImportPolicy policy = ImportPolicy::Only({"dm1", "dm0"});
  EXPECT_TRUE(policy.Allows("dm0"));
  EXPECT_TRUE(policy.Allows("dm1"));
  EXPECT_FALSE(policy.Allows("dm"));
  EXPECT_FALSE(policy.Allows("dm00"));
  EXPECT_EQ(policy.Describe(), "only dm0, dm1");
}

TEST(ImportPolicyTest, AnEmptySetAllowsNobody) {
  EXPECT_FALSE(ImportPolicy::Only({}).Allows("dm0"));
  EXPECT_EQ(ImportPolicy::Only({}).Describe(), "nobody");
}

}  // namespace
}  // namespace devmem
