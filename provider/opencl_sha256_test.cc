// SPDX-License-Identifier: Apache-2.0
// SHA-256 on a real OpenCL device against the vectors of FIPS 180-4's examples and against
// libcrypto, over pieces of every length and place. Skipped without any device.
#include "provider/opencl_sha256.h"

#include <gtest/gtest.h>
#include <openssl/sha.h>

#include <array>
#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "provider/device_sha256.h"
#include "provider/limits.h"
#include "provider/test_opencl.h"

namespace devmem {
namespace {

constexpr uint64_t kBytes = 1 << 20;

std::string Hex(std::span<const uint8_t> bytes) {
  return absl::BytesToHexString({reinterpret_cast<const char*>(bytes.data()), bytes.size()});
}

std::string Reference(std::span<const uint8_t> bytes) {
  std::array<uint8_t, SHA256_DIGEST_LENGTH> digest;
  SHA256(bytes.data(), bytes.size(), digest.data());
  return Hex(digest);
}

class OpenClSha256Test : public ::testing::Test {
 protected:
  void SetUp() override {
    DEVMEM_NEED_OPENCL();
    test_ = std::make_unique<TestOpenCl>(&provider_, kBytes, kBytes);
    ASSERT_NE(test_->engine, nullptr);
  }

  std::unique_ptr<DeviceSha256> MakeHash() {
    auto hash = CreateDeviceSha256(*test_->region);
    EXPECT_TRUE(hash.ok()) << hash.status();
    return hash.ok() ? *std::move(hash) : nullptr;
  }
  std::string FinishOf(DeviceSha256* hash) {
    const auto digest = hash->Finish();
    EXPECT_TRUE(digest.ok()) << digest.status();
    return digest.ok() ? Hex(*digest) : "";
  }
  // The hash of one message at `offset`, given in one piece.
  std::string HashAt(uint64_t offset, std::span<const uint8_t> message) {
    if (!message.empty()) test_->Put(offset, message);
    const auto hash = MakeHash();
    const RegionPiece piece{offset, message.size()};
    EXPECT_TRUE(hash->Update({&piece, 1}).ok());
    return FinishOf(hash.get());
  }

  OpenClProvider provider_;
  std::unique_ptr<TestOpenCl> test_;
};

TEST_F(OpenClSha256Test, TheExamplesOfTheStandardComeOut) {
  const auto hash_of = [this](const std::string& text) {
    return HashAt(0, {reinterpret_cast<const uint8_t*>(text.data()), text.size()});
  };
  EXPECT_EQ(hash_of(""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(hash_of("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(hash_of("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"),
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
  EXPECT_EQ(hash_of(std::string(1'000'000, 'a')),
            "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

TEST_F(OpenClSha256Test, EveryLengthUpToThreeBlocksIsPaddedRight) {
  const std::vector<uint8_t> bytes = RandomBytes(192, 1);
  for (size_t length = 0; length <= bytes.size(); ++length) {
    const auto message = std::span(bytes).first(length);
    EXPECT_EQ(HashAt(length, message), Reference(message)) << length << " bytes";
  }
}

TEST_F(OpenClSha256Test, EveryAlignmentReadsTheSameBytes) {
  const std::vector<uint8_t> bytes = RandomBytes(1000, 2);
  for (uint64_t offset = 0; offset < 67; ++offset) {
    EXPECT_EQ(HashAt(offset, bytes), Reference(bytes)) << "at " << offset;
  }
}

// The stream in pieces of 1 to 200 bytes, which lie all over the region and are given in lists of
// every length, longer ones than a launch takes among them.
TEST_F(OpenClSha256Test, SmallPiecesInAnyOrderOfPlaceMakeTheHashOfTheirStream) {
  const std::vector<uint8_t> memory = RandomBytes(kBytes, 3);
  test_->Put(0, memory);
  std::mt19937_64 random(4);
  const auto hash = MakeHash();
  std::vector<uint8_t> stream;
  for (int list = 0; list < 60; ++list) {
    std::vector<RegionPiece> pieces(random() % (2 * kDeviceHashPiecesMax + 100));
    for (RegionPiece& piece : pieces) {
      piece.bytes = 1 + random() % 200;
      piece.offset = random() % (kBytes - piece.bytes);
      const auto from = memory.begin() + static_cast<std::ptrdiff_t>(piece.offset);
      stream.insert(stream.end(), from, from + static_cast<std::ptrdiff_t>(piece.bytes));
    }
    ASSERT_TRUE(hash->Update(pieces).ok());
  }
  EXPECT_EQ(FinishOf(hash.get()), Reference(stream));
}

TEST_F(OpenClSha256Test, WhatUpdateReturnsTurnsTrueAndOutlivesTheHash) {
  auto hash = MakeHash();
  const RegionPiece all{0, kBytes};
  const auto read = hash->Update({&all, 1});
  ASSERT_TRUE(read.ok()) << read.status();
  FinishOf(hash.get());
  EXPECT_TRUE((*read)());
  const auto later = MakeHash()->Update({&all, 1});
  hash.reset();
  ASSERT_TRUE(later.ok());
  EXPECT_TRUE((*later)());
  EXPECT_TRUE((*MakeHash()->Update({}))());
}

TEST_F(OpenClSha256Test, BytesThatWereOverwrittenAfterTheyWereReadCountAsTheyWere) {
  const std::vector<uint8_t> first = RandomBytes(300'000, 5);
  const std::vector<uint8_t> second = RandomBytes(300'000, 6);
  const auto hash = MakeHash();
  const RegionPiece piece{77, first.size()};
  test_->Put(77, first);
  const auto read = hash->Update({&piece, 1});
  ASSERT_TRUE(read.ok());
  while (!(*read)()) std::this_thread::yield();
  test_->Put(77, second);
  ASSERT_TRUE(hash->Update({&piece, 1}).ok());
  std::vector<uint8_t> stream = first;
  stream.insert(stream.end(), second.begin(), second.end());
  EXPECT_EQ(FinishOf(hash.get()), Reference(stream));
}

TEST_F(OpenClSha256Test, BytesOfTheHostsTakeTheirPlaceBetweenThoseOfTheRegion) {
  const std::vector<uint8_t> memory = RandomBytes(kBytes, 7);
  const std::vector<uint8_t> hosts = RandomBytes(3 * kDeviceHashHostBytes, 8);
  test_->Put(0, memory);
  const auto hash = MakeHash();
  std::vector<uint8_t> stream;
  for (const size_t count :
       {size_t{1}, size_t{63}, size_t{0}, kDeviceHashHostBytes, hosts.size()}) {
    const RegionPiece piece{count % 1000, 777};
    ASSERT_TRUE(hash->Update({&piece, 1}).ok());
    const auto from = memory.begin() + static_cast<std::ptrdiff_t>(piece.offset);
    stream.insert(stream.end(), from, from + 777);
    ASSERT_TRUE(hash->UpdateFromHost(std::span(hosts).first(count)).ok());
    stream.insert(stream.end(), hosts.begin(), hosts.begin() + static_cast<std::ptrdiff_t>(count));
  }
  EXPECT_EQ(FinishOf(hash.get()), Reference(stream));
}

TEST_F(OpenClSha256Test, FullLastsUntilTheDeviceCatchesUp) {
  const auto hash = MakeHash();
  EXPECT_FALSE(hash->full());
  const RegionPiece all{0, kBytes};
  for (uint32_t i = 0; i < kDeviceHashLaunchesMax; ++i) ASSERT_TRUE(hash->Update({&all, 1}).ok());
  while (hash->full()) std::this_thread::yield();
  // A further one does not have to wait, and one that has to comes out right as well.
  std::vector<uint8_t> stream(kBytes * kDeviceHashLaunchesMax);
  EXPECT_EQ(FinishOf(hash.get()), Reference(stream));
}

TEST_F(OpenClSha256Test, PiecesOutsideOfTheRegionAreRefusedAndTheHashGoesOn) {
  const auto hash = MakeHash();
  const std::vector<RegionPiece> outside = {
      {kBytes, 1}, {kBytes - 1, 2}, {UINT64_MAX, 1}, {0, kBytes + 1}, {1, UINT64_MAX}};
  for (const RegionPiece& piece : outside) {
    EXPECT_EQ(hash->Update({&piece, 1}).status().code(), absl::StatusCode::kOutOfRange);
  }
  EXPECT_EQ(FinishOf(hash.get()), Reference({}));
  const RegionPiece inside{0, 1};
  EXPECT_EQ(hash->Update({&inside, 1}).status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(hash->UpdateFromHost(RandomBytes(1, 1)).code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(hash->Finish().status().code(), absl::StatusCode::kFailedPrecondition);
}

TEST_F(OpenClSha256Test, ARevokedRegionIsReadNoMore) {
  const auto hash = MakeHash();
  const RegionPiece all{0, kBytes};
  for (uint32_t i = 0; i < kDeviceHashLaunchesMax; ++i) ASSERT_TRUE(hash->Update({&all, 1}).ok());
  test_->region->Revoke("its owner needs it");
  EXPECT_FALSE(hash->full());
  EXPECT_EQ(hash->Update({&all, 1}).status().code(), absl::StatusCode::kAborted);
  EXPECT_EQ(hash->UpdateFromHost(RandomBytes(1, 1)).code(), absl::StatusCode::kAborted);
  const absl::Status refusal = hash->Finish().status();
  EXPECT_EQ(refusal.code(), absl::StatusCode::kAborted);
  EXPECT_TRUE(absl::StrContains(refusal.message(), "its owner needs it")) << refusal;
  EXPECT_EQ(CreateDeviceSha256(*test_->region).status().code(), absl::StatusCode::kAborted);
}

TEST_F(OpenClSha256Test, ARemovalLetsAHashReadButDoesNotWaitForIt) {
  const auto hash = MakeHash();
  test_->region->BeginRemoval("its owner needs it");
  const RegionPiece all{0, kBytes};
  EXPECT_TRUE(hash->Update({&all, 1}).ok());
  test_->attachment.reset();
  EXPECT_TRUE(test_->region->Remove("its owner needs it", std::chrono::seconds(60)).ok());
  EXPECT_EQ(hash->Finish().status().code(), absl::StatusCode::kAborted);
}

TEST(DeviceSha256Test, MemoryOnNoDeviceIsRefused) {
  const auto region = MakeRegion(kSmallPageBytes);
  const absl::Status refusal = CreateDeviceSha256(*region).status();
  EXPECT_EQ(refusal.code(), absl::StatusCode::kUnimplemented);
  EXPECT_TRUE(absl::StrContains(refusal.message(), "RegionView")) << refusal;
}

}  // namespace
}  // namespace devmem
