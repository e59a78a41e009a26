// SPDX-License-Identifier: Apache-2.0
//
// The ring of the admin queue: order, wrap-around, faults, and doorbells that lie.

#include "netmem/gvnic/admin_queue.h"

#include <gtest/gtest.h>

#include <vector>

#include "netmem/gvnic/admin_commands.h"
#include "selftests/testing/gvnic_guest.h"

namespace devmem {
namespace {

using testing::GvnicGuest;

class AdminQueueTest : public ::testing::Test {
 protected:
  AdminQueueTest() { queue_.Start(page_); }

  void Put(uint32_t slot, uint32_t opcode) {
    uint8_t* const bytes = guest_.At(page_ + slot * kAdminSlotBytes, kAdminSlotBytes);
    StoreBe32(bytes, opcode);
    StoreBe32(bytes + 4, 0);
  }
  uint32_t Status(uint32_t slot) {
    return LoadBe32(guest_.At(page_ + slot * kAdminSlotBytes, 8) + 4);
  }

  GvnicGuest guest_;
  const uint64_t page_ = guest_.Alloc(4096);
  std::vector<uint32_t> seen_;
  absl::Status answer_;
  AdminQueue queue_{guest_.memory(), [this](const AdminCommand& command) {
                      seen_.push_back(command.opcode);
                      return answer_;
                    }};
};

TEST_F(AdminQueueTest, CommandsOfOneDoorbellAreExecutedInOrder) {
  for (uint32_t i = 0; i < 3; ++i) Put(i, 10 + i);
  queue_.Announce(3);
  EXPECT_EQ(seen_, (std::vector<uint32_t>{10, 11, 12}));
  EXPECT_EQ(queue_.completed(), 3u);
  EXPECT_EQ(Status(2), 1u);
  EXPECT_EQ(Status(3), 0u);
}

TEST_F(AdminQueueTest, TheRingWrapsAfterItsLastSlot) {
  for (uint32_t i = 0; i < kAdminQueueSlots; ++i) Put(i, i + 1);
  queue_.Announce(kAdminQueueSlots);
  Put(0, 0x77);
  queue_.Announce(kAdminQueueSlots + 1);
  EXPECT_EQ(seen_.size(), kAdminQueueSlots + 1u);
  EXPECT_EQ(seen_.back(), 0x77u);
}

TEST_F(AdminQueueTest, EveryStatusHasItsWord) {
  EXPECT_EQ(AdminQueue::StatusWord(absl::OkStatus()), 1u);
  EXPECT_EQ(AdminQueue::StatusWord(absl::AbortedError("")), 0xfffffff0u);
  EXPECT_EQ(AdminQueue::StatusWord(absl::DeadlineExceededError("")), 0xfffffff4u);
  EXPECT_EQ(AdminQueue::StatusWord(absl::UnimplementedError("")), 0xfffffffeu);
  EXPECT_EQ(AdminQueue::StatusWord(absl::UnknownError("")), 0xffffffffu);
  answer_ = absl::InvalidArgumentError("no such thing");
  Put(0, 5);
  queue_.Announce(1);
  EXPECT_EQ(Status(0), 0xfffffff7u);
  EXPECT_EQ(queue_.stats().refused, 1u);
  EXPECT_EQ(queue_.last_refusal(), "create_tx_queue (0x5): no such thing");
}

TEST_F(AdminQueueTest, ADoorbellThatAnnouncesMoreThanTheRingHoldsIsIgnored) {
  queue_.Announce(kAdminQueueSlots + 1);
  queue_.Announce(UINT32_MAX);
  EXPECT_TRUE(seen_.empty());
  EXPECT_EQ(queue_.stats().bad_doorbells, 2u);
}

TEST_F(AdminQueueTest, NothingIsExecutedWithoutARing) {
  queue_.Stop();
  queue_.Announce(1);
  EXPECT_TRUE(seen_.empty());
}

TEST_F(AdminQueueTest, ARingThatIsNotInTheGuestsMemoryIsCountedAndLeftAlone) {
  for (const uint64_t address : {uint64_t{0}, guest_.end(), guest_.end() - 32, UINT64_MAX - 8}) {
    queue_.Start(address);
    queue_.Announce(1);
    EXPECT_EQ(queue_.completed(), 0u);
  }
  queue_.Start(page_);
  guest_.memory().UnmapAll();
  queue_.Announce(1);
  EXPECT_TRUE(seen_.empty());
  EXPECT_EQ(queue_.stats().bad_doorbells, 5u);
}

TEST_F(AdminQueueTest, TheNthCommandOfAnOpcodeFailsAndIsNotExecuted) {
  queue_.SetFault({.opcode = 6, .nth = 2, .status = absl::StatusCode::kResourceExhausted});
  const uint32_t opcodes[] = {6, 5, 6, 6};
  for (uint32_t i = 0; i < 4; ++i) Put(i, opcodes[i]);
  queue_.Announce(4);
  EXPECT_EQ(seen_, (std::vector<uint32_t>{6, 5, 6}));
  EXPECT_EQ(Status(0), 1u);
  EXPECT_EQ(Status(2), 0xfffffffcu);
  EXPECT_EQ(Status(3), 1u);
  EXPECT_FALSE(queue_.has_fault());
  EXPECT_EQ(queue_.stats().failed_by_fault, 1u);
}

TEST_F(AdminQueueTest, AFaultOfSeveralCommandsFailsSoManyOfAnyOpcode) {
  queue_.SetFault({.count = 2});
  for (uint32_t i = 0; i < 3; ++i) Put(i, i + 1);
  queue_.Announce(3);
  EXPECT_EQ(seen_, (std::vector<uint32_t>{3}));
  EXPECT_EQ(Status(0), 0xfffffff6u);
  EXPECT_EQ(Status(1), 0xfffffff6u);
}

TEST_F(AdminQueueTest, ACommandThatIsNeverAnsweredStopsTheQueueUntilItsRestart) {
  queue_.SetFault({.never_answered = true});
  Put(0, 1);
  Put(1, 2);
  queue_.Announce(2);
  EXPECT_EQ(queue_.completed(), 0u);
  EXPECT_EQ(Status(0), 0u);
  queue_.Start(page_);
  queue_.Announce(2);
  EXPECT_EQ(queue_.completed(), 2u);
}

TEST_F(AdminQueueTest, TheOpcodeOfAnExtendedCommandIsTheInnerOne) {
  queue_.SetFault({.opcode = 0x101});
  Put(0, 0xff);
  StoreBe32(guest_.At(page_ + 8, 4), 0x101);
  queue_.Announce(1);
  EXPECT_EQ(queue_.stats().failed_by_fault, 1u);
  EXPECT_EQ(queue_.executed().at(0x101), 1u);
}

}  // namespace
}  // namespace devmem
