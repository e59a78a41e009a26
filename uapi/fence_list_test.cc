// SPDX-License-Identifier: Apache-2.0
//
// Releases that wait for fences.

#include "uapi/fence_list.h"

#include <gtest/gtest.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <atomic>
#include <thread>
#include <vector>

namespace devmem {
namespace {

Frag Named(Token token) {
  Frag frag;
  frag.token = token;
  return frag;
}

class FenceListTest : public ::testing::Test {
 protected:
  void Add(Token token, Fence fence) {
    const Frag frag = Named(token);
    list_.Add({&frag, 1}, std::move(fence));
  }
  // The tokens that are released now.
  std::vector<Token> Poll() {
    std::vector<Token> tokens;
    list_.Poll([&](std::span<const Frag> frags) {
      for (const Frag& frag : frags) tokens.push_back(frag.token);
    });
    return tokens;
  }

  FenceList list_;
};

TEST_F(FenceListTest, ReleasesEachOnceInOrderWhenItsFenceSignals) {
  bool first = false;
  bool second = false;
  Add(1, Fence::FromCallback([&] { return first; }));
  Add(2, Fence::FromCallback([&] { return second; }));
  Add(3, Fence::FromCallback([&] { return first; }));
  EXPECT_TRUE(Poll().empty());
  first = true;
  EXPECT_EQ(Poll(), (std::vector<Token>{1, 3}));
  EXPECT_FALSE(list_.empty());
  second = true;
  EXPECT_EQ(Poll(), std::vector<Token>{2});
  EXPECT_TRUE(list_.empty());
  EXPECT_TRUE(Poll().empty());
}

TEST_F(FenceListTest, ADescriptorSignalsByBeingReadable) {
  UniqueFd event(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  const int number = event.get();
  const UniqueFd signal(::dup(number));
  Add(1, Fence::FromFd(std::move(event)));
  Add(2, Fence::FromCallback([] { return false; }));
  std::vector<int> fds;
  bool has_callbacks = false;
  list_.AppendFds(&fds, &has_callbacks);
  EXPECT_EQ(fds, std::vector<int>{number});
  EXPECT_TRUE(has_callbacks);
  EXPECT_TRUE(Poll().empty());
  const uint64_t one = 1;
  ASSERT_EQ(::write(signal.get(), &one, sizeof(one)), 8);
  EXPECT_EQ(Poll(), std::vector<Token>{1});
}

TEST_F(FenceListTest, AFenceOfNothingHasSignaled) {
  Add(7, Fence::FromFd(UniqueFd()));
  EXPECT_EQ(Poll(), std::vector<Token>{7});
}

TEST_F(FenceListTest, AReleaseMayAddAnotherFence) {
  Add(1, Fence::FromFd(UniqueFd()));
  list_.Poll([&](std::span<const Frag>) { Add(2, Fence::FromFd(UniqueFd())); });
  EXPECT_EQ(Poll(), std::vector<Token>{2});
}

TEST_F(FenceListTest, ThreadsAddWhileAnotherAsks) {
  constexpr uint64_t kEach = 500;
  std::vector<std::thread> adders;
  for (int i = 0; i < 3; ++i) {
    adders.emplace_back([&] {
      for (uint64_t n = 1; n <= kEach; ++n) Add(n, Fence::FromFd(UniqueFd()));
    });
  }
  uint64_t sum = 0;
  for (uint64_t count = 0; count < 3 * kEach;) {
    for (const Token token : Poll()) {
      sum += token;
      ++count;
    }
  }
  for (std::thread& thread : adders) thread.join();
  EXPECT_EQ(sum, 3 * kEach * (kEach + 1) / 2);
  EXPECT_TRUE(list_.empty());
}

}  // namespace
}  // namespace devmem
