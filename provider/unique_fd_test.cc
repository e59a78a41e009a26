// SPDX-License-Identifier: Apache-2.0
// Who closes a descriptor, and when.
#include "provider/unique_fd.h"

#include <fcntl.h>
#include <gtest/gtest.h>

#include <utility>

namespace devmem {
namespace {

UniqueFd OpenNull() { return UniqueFd(::open("/dev/null", O_RDWR | O_CLOEXEC)); }

bool IsOpen(int fd) { return ::fcntl(fd, F_GETFD) >= 0; }

TEST(UniqueFdTest, TheEndOfItsLifeClosesTheDescriptor) {
  int number = -1;
  {
    const UniqueFd fd = OpenNull();
    ASSERT_TRUE(fd.valid());
    number = fd.get();
    EXPECT_TRUE(IsOpen(number));
  }
  EXPECT_FALSE(IsOpen(number));
}

TEST(UniqueFdTest, AMovedFromOwnerOwnsNothing) {
  UniqueFd from = OpenNull();
  const int number = from.get();
  const UniqueFd to = std::move(from);
  EXPECT_EQ(from.get(), -1);  // NOLINT(bugprone-use-after-move): the state is part of the contract.
  EXPECT_EQ(to.get(), number);
  EXPECT_TRUE(IsOpen(number));
}

TEST(UniqueFdTest, AssignmentClosesWhatWasOwnedBefore) {
  UniqueFd fd = OpenNull();
  const int before = fd.get();
  UniqueFd other = OpenNull();
  const int after = other.get();
  fd = std::move(other);
  EXPECT_FALSE(IsOpen(before));
  EXPECT_EQ(fd.get(), after);
}

TEST(UniqueFdTest, ATakenDescriptorStaysOpen) {
  UniqueFd fd = OpenNull();
  const UniqueFd taken(fd.Take());
  EXPECT_FALSE(fd.valid());
  EXPECT_TRUE(IsOpen(taken.get()));
}

}  // namespace
}  // namespace devmem
