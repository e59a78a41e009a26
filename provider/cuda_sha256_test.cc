// SPDX-License-Identifier: Apache-2.0
// SHA-256 in a GPU's memory, through the fake driver: the kernel's own source on the processor,
// against the vectors of FIPS 180-4's examples and against libcrypto.
#include "provider/cuda_sha256.h"

#include <gtest/gtest.h>
#include <openssl/sha.h>

#include <array>
#include <cstdint>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "provider/attachment.h"
#include "provider/memfd_provider.h"
#include "provider/test_cuda.h"

namespace devmem {
namespace {

constexpr uint64_t kBytes = uint64_t{4} << 20;

std::string Hex(std::span<const uint8_t> bytes) {
  return absl::BytesToHexString({reinterpret_cast<const char*>(bytes.data()), bytes.size()});
}

std::string Reference(const std::vector<uint8_t>& bytes) {
  std::array<uint8_t, SHA256_DIGEST_LENGTH> digest;
  SHA256(bytes.data(), bytes.size(), digest.data());
  return Hex(digest);
}

// A region with the bytes of MakeStaging() in it, at the same offsets.
class CudaSha256Test : public CudaTest {
 protected:
  CudaSha256Test() : region_(MakeCudaRegion(kBytes)) { Fill(*MakeStaging(kBytes)); }

  void Fill(DmaMapping& from) {
    const auto attachment = Attachment::Create(*region_, {.name = "dm0"});
    const auto engine = (*attachment)->CreateEngine(*region_, from);
    const DmaCopy copy = {.staging_offset = 0, .region_offset = 0, .bytes = kBytes};
    EXPECT_EQ((*engine)->Submit({&copy, 1}), 1u);
    EXPECT_TRUE((*engine)->Fence());
  }

  std::unique_ptr<DeviceSha256> MakeHash() {
    auto hash = CreateDeviceSha256(*region_);
    EXPECT_TRUE(hash.ok()) << hash.status();
    return hash.ok() ? *std::move(hash) : nullptr;
  }

  std::string HashOf(const std::vector<RegionPiece>& pieces) {
    const auto hash = MakeHash();
    EXPECT_TRUE(hash->Update(pieces).ok());
    const auto digest = hash->Finish();
    EXPECT_TRUE(digest.ok()) << digest.status();
    return digest.ok() ? Hex(*digest) : "";
  }

  std::unique_ptr<CudaRegion> region_;
};

TEST_F(CudaSha256Test, TheExamplesOfTheStandardComeOut) {
  EXPECT_EQ(HashOf({}), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  const auto staging = MakeStaging(kBytes);
  staging->Write(0, std::array<uint8_t, 3>{'a', 'b', 'c'});
  Fill(*staging);
  EXPECT_EQ(HashOf({{0, 3}}), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

TEST_F(CudaSha256Test, EveryLengthAroundABlockComesOut) {
  for (uint64_t bytes = 1; bytes <= 200; ++bytes) {
    ASSERT_EQ(HashOf({{bytes, bytes}}), Reference(StagingBytes(bytes, bytes))) << bytes;
  }
}

TEST_F(CudaSha256Test, PiecesOfAnyCutAreOneStream) {
  std::mt19937 random(5);
  for (int round = 0; round < 50; ++round) {
    std::vector<uint8_t> stream;
    const auto hash = MakeHash();
    for (int call = 0; call < 5; ++call) {
      std::vector<RegionPiece> pieces(random() % 8);
      for (RegionPiece& piece : pieces) {
        piece = {random() % (kBytes - 5000), random() % 3 == 0 ? random() % 5000 : random() % 70};
        const std::vector<uint8_t> bytes = StagingBytes(piece.offset, piece.bytes);
        stream.insert(stream.end(), bytes.begin(), bytes.end());
      }
      ASSERT_TRUE(hash->Update(pieces).ok());
    }
    ASSERT_EQ(Hex(*hash->Finish()), Reference(stream)) << round;
  }
}

TEST_F(CudaSha256Test, BytesOfTheHostsTakeTheirPlaceBetweenThoseOfTheRegion) {
  const auto hash = MakeHash();
  const RegionPiece piece{7, 777};
  std::vector<uint8_t> stream = StagingBytes(7, 777);
  const std::vector<uint8_t> hosts(2 * kDeviceHashHostBytes + 1, 0x5A);
  stream.insert(stream.end(), hosts.begin(), hosts.end());
  const std::vector<uint8_t> again = StagingBytes(7, 777);
  stream.insert(stream.end(), again.begin(), again.end());
  ASSERT_TRUE(hash->Update({&piece, 1}).ok());
  ASSERT_TRUE(hash->UpdateFromHost(hosts).ok());
  ASSERT_TRUE(hash->Update({&piece, 1}).ok());
  EXPECT_EQ(Hex(*hash->Finish()), Reference(stream));
}

TEST_F(CudaSha256Test, APieceLongerThanABatchIsCutIntoSeveral) {
  EXPECT_EQ(HashOf({{1, kBytes - 1}}), Reference(StagingBytes(1, kBytes - 1)));
  EXPECT_EQ(FakeCuda().counts().launches, 5);  // Four batches, and the end.
}

TEST_F(CudaSha256Test, MorePiecesThanABatchAreCutIntoSeveral) {
  const std::vector<RegionPiece> pieces(kDeviceHashPiecesMax + 1, RegionPiece{3, 1});
  EXPECT_EQ(HashOf(pieces), Reference(std::vector<uint8_t>(pieces.size(), StagingByte(3))));
  EXPECT_EQ(FakeCuda().calls("cuEventRecord"), 1 + 2);  // One of the fixture's copy.
}

TEST_F(CudaSha256Test, AnUpdateIsReadWhenItsFunctionSaysSo) {
  const auto hash = MakeHash();
  FakeCuda().set_pace(FakeCudaPace::kOnOrder);
  const RegionPiece piece{0, 100};
  const auto first = hash->Update({&piece, 1});
  const auto second = hash->Update({&piece, 1});
  EXPECT_FALSE((*first)());
  FakeCuda().run(2);
  EXPECT_TRUE((*first)());
  EXPECT_FALSE((*second)());
  FakeCuda().run(2);
  EXPECT_TRUE((*second)());
}

TEST_F(CudaSha256Test, TheFunctionOutlivesTheHashAndTheRegion) {
  auto hash = MakeHash();
  const RegionPiece piece{0, 100};
  const auto read = hash->Update({&piece, 1});
  hash.reset();
  region_.reset();
  EXPECT_TRUE((*read)());
}

TEST_F(CudaSha256Test, ItIsFullWithTheMostBatchesAndWaitsForThemIfGivenMore) {
  const auto hash = MakeHash();
  FakeCuda().set_pace(FakeCudaPace::kOnOrder);
  const RegionPiece piece{0, 64};
  for (uint32_t batch = 0; batch < kDeviceHashLaunchesMax; ++batch) {
    EXPECT_FALSE(hash->full());
    ASSERT_TRUE(hash->Update({&piece, 1}).ok());
  }
  EXPECT_TRUE(hash->full());
  ASSERT_TRUE(hash->Update({&piece, 1}).ok());
  EXPECT_FALSE(hash->full());
}

TEST_F(CudaSha256Test, APieceOutsideOfTheRegionIsRefusedAndTheStreamGoesOn) {
  const auto hash = MakeHash();
  for (const RegionPiece& piece :
       {RegionPiece{kBytes, 1}, RegionPiece{1, kBytes}, RegionPiece{UINT64_MAX, 2}}) {
    EXPECT_EQ(hash->Update({&piece, 1}).status().code(), absl::StatusCode::kOutOfRange);
  }
  EXPECT_EQ(Hex(*hash->Finish()), Reference({}));
}

TEST_F(CudaSha256Test, AHashEndsOnce) {
  const auto hash = MakeHash();
  ASSERT_TRUE(hash->Finish().ok());
  EXPECT_EQ(hash->Finish().status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(hash->Update({}).status().code(), absl::StatusCode::kFailedPrecondition);
}

TEST_F(CudaSha256Test, ARevokeEndsTheReadingAndIsTheAnswerFromThenOn) {
  const auto hash = MakeHash();
  FakeCuda().set_pace(FakeCudaPace::kOnOrder);
  const RegionPiece piece{0, 100};
  const auto read = hash->Update({&piece, 1});
  region_->Revoke("wanted elsewhere");
  EXPECT_TRUE((*read)());
  const int launches = FakeCuda().counts().launches;
  EXPECT_EQ(hash->Update({&piece, 1}).status().code(), absl::StatusCode::kAborted);
  EXPECT_EQ(hash->Finish().status().code(), absl::StatusCode::kAborted);
  EXPECT_EQ(FakeCuda().counts().launches, launches);
  EXPECT_EQ(CreateDeviceSha256(*region_).status().code(), absl::StatusCode::kAborted);
}

TEST_F(CudaSha256Test, ALostDeviceRevokesTheRegionAndNobodyWaits) {
  const auto hash = MakeHash();
  FakeCuda().set_pace(FakeCudaPace::kOnOrder);
  const RegionPiece piece{0, 100};
  const auto read = hash->Update({&piece, 1});
  FakeCuda().lose(0, CUDA_ERROR_ILLEGAL_ADDRESS);
  EXPECT_FALSE(hash->Update({&piece, 1}).ok());
  EXPECT_TRUE(absl::StrContains(region_->status().message(), "device lost: CUDA_ERROR_ILLEGAL"));
  EXPECT_TRUE((*read)());
}

TEST_F(CudaSha256Test, AHashThatCannotBeMadeLeavesNothing) {
  for (const char* const call : {"cuModuleLoadData", "cuModuleGetFunction", "cuStreamCreate",
                                 "cuMemAlloc", "cuMemcpyHtoDAsync", "cuStreamSynchronize"}) {
    FakeCuda().fail(call, CUDA_ERROR_OUT_OF_MEMORY, 0);
    EXPECT_EQ(CreateDeviceSha256(*region_).status().code(), absl::StatusCode::kResourceExhausted)
        << call;
    const FakeCudaCounts counts = FakeCuda().counts();
    EXPECT_EQ(counts.modules + counts.streams + counts.allocations, 0) << call;
  }
  EXPECT_TRUE(region_->status().ok());
}

}  // namespace
}  // namespace devmem
