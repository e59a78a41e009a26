// SPDX-License-Identifier: Apache-2.0
//
// The netmem reference, and the account in sums and words.

#include "netmem/netmem_ref.h"

#include <gtest/gtest.h>

#include "netmem/account.h"

namespace devmem {
namespace {

TEST(NetmemRefTest, TheDefaultReferenceIsNull) {
  EXPECT_TRUE(NetmemRef().is_null());
  EXPECT_FALSE(NetmemRef::Host(0).is_null());
  EXPECT_FALSE(NetmemRef::Device(0).is_null());
}

TEST(NetmemRefTest, AReferenceKeepsItsKindAndItsIndexUpToTheLargest) {
  for (const uint32_t index : {0u, 1u, 4095u, 1u << 30, NetmemRef::kIndexMax - 1}) {
    EXPECT_TRUE(NetmemRef::Device(index).is_device());
    EXPECT_EQ(NetmemRef::Device(index).index(), index);
    EXPECT_FALSE(NetmemRef::Host(index).is_device());
    EXPECT_EQ(NetmemRef::Host(index).index(), index);
    EXPECT_EQ(NetmemRef::Make(true, index), NetmemRef::Device(index));
    EXPECT_EQ(NetmemRef::Make(false, index), NetmemRef::Host(index));
    EXPECT_NE(NetmemRef::Device(index), NetmemRef::Host(index));
  }
}

TEST(AccountTest, AnAccountIsIdleOnlyWhenItAddsUpAndNobodyHoldsAnything) {
  Account account{.total = 10, .free = 4, .returning = 3, .open = 3};
  EXPECT_TRUE(account.balanced());
  EXPECT_TRUE(account.idle());
  account.used = 1;
  EXPECT_FALSE(account.balanced());
  account.free = 3;
  EXPECT_TRUE(account.balanced());
  EXPECT_FALSE(account.idle());
  EXPECT_EQ(account.ToString(),
            "total 10: free 3, returning 3, open 3, used 1, staged 0, quarantined 0");
}

TEST(AccountTest, TheAccountsOfTwoPoolsAddUpStateByState) {
  Account sum{
      .total = 21, .free = 1, .returning = 2, .open = 3, .used = 4, .staged = 5, .quarantined = 6};
  const Account once = sum;
  sum += once;
  EXPECT_EQ(sum.ToString(),
            "total 42: free 2, returning 4, open 6, used 8, staged 10, quarantined 12");
}

}  // namespace
}  // namespace devmem
