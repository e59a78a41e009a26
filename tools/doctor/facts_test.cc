// SPDX-License-Identifier: Apache-2.0
//
// What the doctor reads from a machine's files, on machines that are made of files, and what it
// learns by asking, held against the files of the machine that the test runs on.

#include <gtest/gtest.h>
#include <unistd.h>
#include <zlib.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

#include "tools/doctor/examine_nics.h"
#include "tools/doctor/io_uring_facts.h"
#include "tools/doctor/kernel_facts.h"
#include "tools/doctor/limits.h"
#include "tools/doctor/machine_files.h"
#include "tools/doctor/permission_facts.h"

namespace devmem {
namespace {

namespace fs = std::filesystem;

// A folder that is a machine's root, gone with the test.
class FactsTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string name = (fs::temp_directory_path() / "devmem-machine-XXXXXX").string();
    ASSERT_NE(mkdtemp(name.data()), nullptr);
    root_ = name;
  }
  void TearDown() override { fs::remove_all(root_); }

  void Write(const std::string& path, const std::string& text) {
    fs::create_directories((root_ + path).substr(0, (root_ + path).rfind('/')));
    std::ofstream(root_ + path) << text;
  }

  void WriteGzip(const std::string& path, const std::string& text) {
    Write(path, "");
    const gzFile file = gzopen((root_ + path).c_str(), "wb");
    ASSERT_EQ(gzwrite(file, text.data(), static_cast<unsigned>(text.size())),
              static_cast<int>(text.size()));
    gzclose(file);
  }

  void Link(const std::string& path, const std::string& target) {
    fs::create_directories((root_ + path).substr(0, (root_ + path).rfind('/')));
    fs::create_symlink(target, root_ + path);
  }

  MachineFiles Files() const { return MachineFiles(root_); }

  std::string root_;
};

TEST_F(FactsTest, TheKernelsOwnPackedConfigurationIsReadFirst) {
  Write("/proc/sys/kernel/osrelease", "7.2.13\n");
  WriteGzip("/proc/config.gz", "# CONFIG_UDMABUF is not set\nCONFIG_NET_DEVMEM=y\nCONFIG_TUN=m\n");
  Write("/boot/config-7.2.13", "CONFIG_UDMABUF=y\n");
  const KernelFacts facts = ReadKernelFacts(Files());
  EXPECT_EQ(facts.release, "7.2.13");
  EXPECT_EQ(facts.config_source, "/proc/config.gz");
  EXPECT_EQ(facts.Option("NET_DEVMEM"), "CONFIG_NET_DEVMEM=y");
  EXPECT_EQ(facts.Option("TUN"), "CONFIG_TUN=m");
  EXPECT_EQ(facts.Option("UDMABUF"), "CONFIG_UDMABUF is off");
  EXPECT_EQ(facts.Option("IO_URING_ZCRX"), "CONFIG_IO_URING_ZCRX is off");
}

TEST_F(FactsTest, ADistributionsConfigurationIsReadNext) {
  Write("/proc/sys/kernel/osrelease", "6.1.0-9-amd64\n");
  Write("/boot/config-6.1.0-9-amd64", "CONFIG_IO_URING=y\n");
  Write("/boot/config-other", "CONFIG_NET_DEVMEM=y\n");
  const KernelFacts facts = ReadKernelFacts(Files());
  EXPECT_EQ(facts.config_source, "/boot/config-6.1.0-9-amd64");
  EXPECT_EQ(facts.Option("IO_URING"), "CONFIG_IO_URING=y");
  EXPECT_EQ(facts.Option("NET_DEVMEM"), "CONFIG_NET_DEVMEM is off");
}

TEST_F(FactsTest, AKernelThatHidesItsConfigurationSaysNothingAboutAnOption) {
  Write("/proc/sys/kernel/osrelease", "6.12.0\n");
  Write("/boot/config-6.12.0", "");  // An empty file is no configuration.
  const KernelFacts facts = ReadKernelFacts(Files());
  EXPECT_EQ(facts.config_source, "");
  EXPECT_EQ(facts.Option("NET_DEVMEM"), "");
}

TEST_F(FactsTest, AFileIsReadUpToItsBound) {
  Write("/proc/large", std::string(kMachineFileBytesMax + 17, 'x'));
  EXPECT_EQ(Files().Read("/proc/large")->size(), kMachineFileBytesMax);
  EXPECT_EQ(Files().Read("/proc/none"), std::nullopt);
  EXPECT_EQ(Files().ReadLine("/proc/none"), "");
}

TEST_F(FactsTest, RootOfTheInitialNamespaceMayDoEverything) {
  Write("/proc/self/status", "Name:\tx\nUid:\t0\t0\t0\t0\nCapEff:\t000001ffffffffff\n");
  Write("/proc/self/uid_map", "         0          0 4294967295\n");
  Write("/proc/self/limits",
        "Limit                     Soft Limit           Hard Limit           Units\n"
        "Max locked memory         8388608              8388608              bytes\n");
  const PermissionFacts facts = ReadPermissionFacts(Files());
  EXPECT_EQ(facts.effective_user, 0u);
  EXPECT_TRUE(facts.net_admin && facts.bpf && facts.ipc_lock && facts.initial_user_namespace);
  EXPECT_EQ(facts.memlock_bytes, 8388608u);
  EXPECT_EQ(ToString(facts), "root, CAP_NET_ADMIN, CAP_BPF, memlock unlimited");
}

TEST_F(FactsTest, AnOrdinaryUserLacksCapabilities) {
  Write("/proc/self/status", "Uid:\t1000\t1000\t1000\t1000\nCapEff:\t0000000000000000\n");
  Write("/proc/self/uid_map", "         0          0 4294967295\n");
  Write("/proc/self/limits", "Max locked memory         65536  65536  bytes\n");
  EXPECT_EQ(ToString(ReadPermissionFacts(Files())),
            "user 1000, no CAP_NET_ADMIN, no CAP_BPF, memlock 64 KiB");
}

TEST_F(FactsTest, RootOfAUserNamespaceIsToldApart) {
  Write("/proc/self/status", "Uid:\t0\t0\t0\t0\nCapEff:\t0000000000001000\n");
  Write("/proc/self/uid_map", "         0       1000          1\n");
  Write("/proc/self/limits", "Max locked memory         unlimited  unlimited  bytes\n");
  const PermissionFacts facts = ReadPermissionFacts(Files());
  EXPECT_TRUE(facts.net_admin);
  EXPECT_FALSE(facts.initial_user_namespace);
  EXPECT_EQ(ToString(facts),
            "root of a user namespace, CAP_NET_ADMIN, no CAP_BPF, memlock unlimited");
}

TEST_F(FactsTest, TheSysctlOfIoUringIsOptional) {
  IoUringFacts facts;
  ReadIoUringSysctl(Files(), &facts);
  EXPECT_EQ(facts.disabled, std::nullopt);
  Write("/proc/sys/kernel/io_uring_disabled", "2\n");
  ReadIoUringSysctl(Files(), &facts);
  EXPECT_EQ(facts.disabled, 2u);
}

TEST_F(FactsTest, NicsAreListedByTheirIndexWithDriverLinkAndQueues) {
  Write("/sys/class/net/bonding_masters", "\n");
  Write("/sys/class/net/eth1/ifindex", "3\n");
  Write("/sys/class/net/eth1/flags", "0x1003\n");
  Write("/sys/class/net/eth1/device/vendor", "0x1ae0\n");
  Link("/sys/class/net/eth1/device/driver", "../../../bus/pci/drivers/gve");
  for (const char* const queue : {"rx-0", "rx-1", "tx-0"}) {
    Write(std::string("/sys/class/net/eth1/queues/") + queue + "/x", "");
  }
  Write("/sys/class/net/lo/ifindex", "1\n");
  Write("/sys/class/net/lo/flags", "0x8\n");
  const std::vector<NicFacts> nics = ListNics(Files());
  ASSERT_EQ(nics.size(), 2u);
  EXPECT_EQ(nics[0].name, "lo");
  EXPECT_FALSE(nics[0].hardware || nics[0].up);
  EXPECT_EQ(nics[0].driver, "");
  EXPECT_EQ(nics[1].name, "eth1");
  EXPECT_EQ(nics[1].driver, "gve");
  EXPECT_TRUE(nics[1].hardware && nics[1].up);
  EXPECT_EQ(nics[1].rx_queues, 2u);
}

TEST(NicAnswersTest, EachAnswerFillsInItsFacts) {
  NicFacts nic{.name = "eth1", .ifindex = 3};
  RingsInfo rings;
  rings.tcp_data_split = DataSplit::kDisabled;
  rings.hds_thresh_bytes = 640;
  AddRings(rings, &nic);
  EXPECT_EQ(nic.split, Switch::kOff);
  EXPECT_EQ(nic.hds_threshold_bytes, 640u);
  ChannelsInfo channels;
  channels.combined = 4;
  channels.combined_max = 16;
  AddChannels(channels, &nic);
  EXPECT_EQ(nic.rx_queues, 4u);
  EXPECT_EQ(nic.rx_queues_max, 16u);
  AddFeatures({{"rx-gro", true, true, true}, {"rx-ntuple-filter", true, false, false}}, &nic);
  EXPECT_EQ(nic.ntuple, Switch::kOff);
  AddFeatures({{"rx-ntuple-filter", false, false, false}}, &nic);
  EXPECT_EQ(nic.ntuple, Switch::kAbsent);
  RssTable table;
  table.queues = {2, 0, 1, 0, 2};
  AddRss(table, &nic);
  EXPECT_EQ(nic.rss_queues, (std::vector<uint32_t>{0, 1, 2}));
}

TEST(NicAnswersTest, OnlyItsOwnReceiveQueuesAreBoundOnANic) {
  NicFacts nic{.name = "eth1", .ifindex = 3};
  NetdevQueue bound;
  bound.ifindex = 3;
  bound.id = 2;
  bound.dmabuf = 9;
  NetdevQueue others = bound;
  others.ifindex = 4;
  others.id = 1;
  NetdevQueue sending = bound;
  sending.type = QueueType::kTx;
  sending.id = 0;
  AddQueues({others, sending, bound}, &nic);
  EXPECT_EQ(nic.bound, (std::map<uint32_t, std::string>{{2, "devmem 9"}}));
}

// The two ways to know about zero-copy receive must not disagree on the machine at hand.
TEST(AskIoUringTest, TheRunningKernelAnswersAsItsConfigurationSays) {
  const MachineFiles files;
  const IoUringFacts facts = AskIoUring(files);
  if (facts.setup_errno != 0) GTEST_SKIP() << "no io_uring here: errno " << facts.setup_errno;
  const std::string option = ReadKernelFacts(files).Option("IO_URING_ZCRX");
  if (option.empty()) GTEST_SKIP() << "this kernel hides its configuration";
  EXPECT_EQ(facts.zcrx, option == "CONFIG_IO_URING_ZCRX=y");
}

}  // namespace
}  // namespace devmem
