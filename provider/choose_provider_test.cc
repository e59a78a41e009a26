// SPDX-License-Identifier: Apache-2.0
// `auto` over a made-up machine and made-up providers: what is chosen, and what is said about it.
#include "provider/choose_provider.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "provider/memfd_provider.h"

namespace devmem {
namespace {

// A provider of that name, whose memory is host memory in truth.
class FakeGpuProvider final : public Provider {
 public:
  explicit FakeGpuProvider(std::string name) : name_(std::move(name)) {}

  absl::string_view name() const override { return name_; }
  absl::StatusOr<std::string> Probe() override { return probe; }
  std::vector<ProviderDevice> Devices() override { return devices; }
  absl::StatusOr<std::unique_ptr<Region>> Allocate(const AllocateOptions& options) override {
    asked.push_back(options.device);
    if (options.device == full_device) {
      return absl::ResourceExhaustedError("the device's memory is used up");
    }
    AllocateOptions host = options;
    host.device.clear();
    return MemfdProvider().Allocate(host);
  }

  absl::StatusOr<std::string> probe = "a fake";
  std::vector<ProviderDevice> devices;
  std::string full_device = "none";
  std::vector<std::string> asked;

 private:
  const std::string name_;
};

ProviderDevice Gpu(const std::string& name, const std::string& pci) {
  return {name, "Example GPU", pci, DeviceClass::kGpu};
}

class ChooseProviderTest : public testing::Test {
 protected:
  ChooseProviderTest() {
    auto topology = Topology::FromXml("selftests/topologies/two_sockets.xml");
    EXPECT_TRUE(topology.ok()) << topology.status();
    if (topology.ok()) topology_ = std::make_unique<Topology>(*std::move(topology));
    cuda_.devices = {Gpu("0", "0000:81:00.0"), Gpu("1", "0000:21:00.0"), Gpu("2", "0000:03:00.0"),
                     Gpu("3", "0000:10:00.0")};
    opencl_.devices = {Gpu("0", "0000:07:00.0"),
                       {"1", "PoCL", "", DeviceClass::kProcessor},
                       {"2", "Accelerator", "0000:83:00.0", DeviceClass::kOther}};
  }

  // The names of the candidates, "cuda 2:PIX".
  std::vector<std::string> Ranked(const std::string& nic) {
    std::vector<std::string> names;
    for (const auto& candidate : RankProviders(*topology_, nic, providers_).candidates) {
      names.push_back(
          std::string(candidate.provider->name()) + " " + candidate.device.name + ":" +
          (candidate.distance.has_value() ? std::string(ToString(*candidate.distance)) : "-"));
    }
    return names;
  }
  ChosenRegion Choose(const std::string& nic) {
    auto chosen = AllocateNearest({.bytes = 1u << 20}, nic, *topology_, providers_);
    EXPECT_TRUE(chosen.ok()) << chosen.status();
    return chosen.ok() ? *std::move(chosen) : ChosenRegion{};
  }

  std::unique_ptr<Topology> topology_;
  FakeGpuProvider cuda_{"cuda"};
  FakeGpuProvider opencl_{"opencl"};
  FakeGpuProvider other_{"dma-heap"};
  MemfdProvider memfd_;
  std::vector<Provider*> providers_ = {&memfd_, &opencl_, &other_, &cuda_};
};

TEST_F(ChooseProviderTest, TheNearestGpuComesFirst) {
  EXPECT_EQ(Ranked("eth0"), (std::vector<std::string>{"cuda 2:PIX", "opencl 0:PXB", "cuda 3:PHB",
                                                      "cuda 1:NODE", "cuda 0:SYS"}));
  EXPECT_EQ(Ranked("eth2").front(), "cuda 0:PHB");
}

TEST_F(ChooseProviderTest, AtOneDistanceCudaIsPreferredAndThenTheProvidersOrder) {
  opencl_.devices = {Gpu("0", "0000:03:00.0"), Gpu("1", "0000:07:00.0")};
  cuda_.devices = {Gpu("0", "0000:07:00.0"), Gpu("1", "0000:03:00.0")};
  EXPECT_EQ(Ranked("eth0"),
            (std::vector<std::string>{"cuda 1:PIX", "opencl 0:PIX", "cuda 0:PXB", "opencl 1:PXB"}));
}

TEST_F(ChooseProviderTest, SoftwareIsNearToNothingAndTakesTheFirst) {
  EXPECT_EQ(Ranked("dm0").front(), "cuda 0:-");
  EXPECT_EQ(Ranked("no_such_nic").front(), "cuda 0:-");
  const ChosenRegion chosen = Choose("dm0");
  EXPECT_EQ(chosen.why.rfind("cuda 0 (Example GPU): at no known distance, the first GPU that gives "
                             "memory (dm0 is software, and near to nothing)",
                             0),
            0u)
      << chosen.why;
  EXPECT_NE(Choose("no_such_nic").why.find("does not know the NIC no_such_nic"), std::string::npos);
}

TEST_F(ChooseProviderTest, AGpuWithoutAPlaceComesBehindThoseThatHaveOne) {
  cuda_.devices = {Gpu("0", ""), Gpu("1", "0000:ff:00.0"), Gpu("2", "0000:81:00.0")};
  opencl_.devices.clear();
  EXPECT_EQ(Ranked("eth0"), (std::vector<std::string>{"cuda 2:SYS", "cuda 0:-", "cuda 1:-"}));
}

TEST_F(ChooseProviderTest, TheSentenceSaysWhatWasChosenAndWhatWasPassedOver) {
  const ChosenRegion chosen = Choose("eth0");
  EXPECT_EQ(chosen.why,
            "cuda 2 (Example GPU): PIX, the nearest GPU that gives memory (the distance from eth0 "
            "decides); passed over: opencl 0 (Example GPU): PXB; cuda 3 (Example GPU): PHB; cuda 1 "
            "(Example GPU): NODE; cuda 0 (Example GPU): SYS; opencl 1: it is the processor, whose "
            "memory the host has anyway; opencl 2: it is no GPU");
  EXPECT_EQ(cuda_.asked, std::vector<std::string>{"2"});
  EXPECT_TRUE(opencl_.asked.empty());
}

TEST_F(ChooseProviderTest, AGpuThatGivesNoMemoryIsPassedOverWithItsReason) {
  cuda_.full_device = "2";
  const ChosenRegion chosen = Choose("eth0");
  EXPECT_EQ(chosen.why.rfind("opencl 0 (Example GPU): PXB", 0), 0u) << chosen.why;
  EXPECT_NE(chosen.why.find("cuda 2 (Example GPU): the device's memory is used up"),
            std::string::npos)
      << chosen.why;
}

TEST_F(ChooseProviderTest, AProcessorIsNeverChosen) {
  cuda_.probe = absl::UnavailableError("libcuda.so.1 is not there");
  opencl_.devices = {{"0", "PoCL", "", DeviceClass::kProcessor}};
  other_.devices = {{"system", "", "", DeviceClass::kOther}};
  const ChosenRegion chosen = Choose("eth0");
  EXPECT_EQ(chosen.region->provider_name(), "memfd");
  EXPECT_EQ(chosen.why,
            "memfd: no GPU's memory can be had here; passed over: cuda: libcuda.so.1 is not there; "
            "opencl 0: it is the processor, whose memory the host has anyway");
  EXPECT_TRUE(opencl_.asked.empty());
  EXPECT_TRUE(other_.asked.empty());
}

TEST_F(ChooseProviderTest, AWrongRequestIsRefusedWithTheReasonOfHostMemory) {
  const auto chosen = AllocateNearest({.bytes = 4097}, "eth0", *topology_, providers_);
  EXPECT_EQ(chosen.status().code(), absl::StatusCode::kInvalidArgument) << chosen.status();
}

TEST(ChooseProviderHereTest, ThisMachineGivesMemoryAndSaysWhy) {
  const auto chosen = AllocateNearest({.bytes = 1u << 20}, "lo");
  ASSERT_TRUE(chosen.ok()) << chosen.status();
  EXPECT_EQ(chosen->region->size_bytes(), 1u << 20);
  EXPECT_EQ(chosen->why.rfind(std::string(chosen->region->provider_name()), 0), 0u) << chosen->why;
}

}  // namespace
}  // namespace devmem
