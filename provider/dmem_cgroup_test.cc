// SPDX-License-Identifier: Apache-2.0
// Reading the kernel's account of device memory, from trees of files that the test writes.
#include "provider/dmem_cgroup.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <string>

namespace devmem {
namespace {

namespace fs = std::filesystem;

constexpr char kVram[] = "drm/0000:03:00.0/vram0";

// A machine with one GPU, and this process in /user/job.
class DmemCgroupTest : public testing::Test {
 protected:
  DmemCgroupTest() {
    std::string folder = (fs::temp_directory_path() / "devmem_dmem_XXXXXX").string();
    root_ = ::mkdtemp(folder.data());
    paths_ = {.cgroup_root = (root_ / "cgroup").string(), .own_cgroup = (root_ / "own").string()};
    Write("own", "12:cpu:/old\n0::/user/job\n");
    Write("cgroup/cgroup.controllers", "cpu memory dmem\n");
    Write("cgroup/dmem.capacity",
          "drm/0000:03:00.0/vram0 8514437120\ndrm/0000:03:00.0/stolen 67108864\n");
  }
  ~DmemCgroupTest() override { fs::remove_all(root_); }

  void Write(const std::string& path, const std::string& text) {
    fs::create_directories((root_ / path).parent_path());
    std::ofstream(root_ / path) << text;
  }

  fs::path root_;
  DmemPaths paths_;
};

TEST_F(DmemCgroupTest, RegionsAndTheLimitsOfTheCgroupAndItsParentsAreRead) {
  Write("cgroup/user/dmem.max", "drm/0000:03:00.0/stolen 7\ndrm/0000:03:00.0/vram0 max\n");
  Write("cgroup/user/dmem.current", "drm/0000:03:00.0/vram0 12550144\n");
  Write("cgroup/user/job/dmem.max", "drm/0000:03:00.0/vram0 1073741824\n");
  Write("cgroup/user/job/dmem.current", "drm/0000:03:00.0/vram0 8650752\n");
  const auto regions = ListDmemRegions(paths_);
  ASSERT_TRUE(regions.ok()) << regions.status();
  ASSERT_EQ(regions->size(), 2u);
  EXPECT_EQ((*regions)[0].name, kVram);
  EXPECT_EQ((*regions)[0].capacity_bytes, 8514437120u);
  const auto limits = FindDmemLimits(kVram, paths_);
  ASSERT_TRUE(limits.ok()) << limits.status();
  ASSERT_EQ(limits->size(), 2u);
  EXPECT_EQ((*limits)[0].cgroup, "/user/job");
  EXPECT_EQ((*limits)[0].max_bytes, 1073741824u);
  EXPECT_EQ((*limits)[0].current_bytes, 8650752u);
  EXPECT_EQ((*limits)[1].cgroup, "/user");
  EXPECT_FALSE((*limits)[1].max_bytes.has_value()) << "max is no limit";
  EXPECT_EQ((*limits)[1].current_bytes, 12550144u);
}

TEST_F(DmemCgroupTest, TheNoteNamesTheLimitThatLeavesLeast) {
  Write("cgroup/user/dmem.max", "drm/0000:03:00.0/vram0 2000\n");
  Write("cgroup/user/dmem.current", "drm/0000:03:00.0/vram0 1990\n");
  Write("cgroup/user/job/dmem.max", "drm/0000:03:00.0/vram0 1000\n");
  Write("cgroup/user/job/dmem.current", "drm/0000:03:00.0/vram0 900\n");
  const std::string note =
      "the dmem cgroup /user limits drm/0000:03:00.0/vram0 to 2000 bytes, 1990 in use";
  EXPECT_EQ(DmemNote("0000:03:00.0", paths_), note);
  EXPECT_EQ(DmemNote(kVram, paths_), note);
  EXPECT_EQ(DmemNote("0000:04:00.0", paths_), "");
  EXPECT_EQ(DmemNote("", paths_), "");
}

TEST_F(DmemCgroupTest, NoLimitMakesNoNote) {
  Write("cgroup/user/job/dmem.max", "drm/0000:03:00.0/vram0 max\n");
  EXPECT_EQ(DmemNote(kVram, paths_), "");
}

TEST_F(DmemCgroupTest, LinesThatMakeNoSenseAreSkipped) {
  Write("cgroup/user/job/dmem.max",
        "\nalone\ndrm/0000:03:00.0/vram0 -5\ndrm/0000:03:00.0/vram0 99999999999999999999999\n"
        "drm/0000:03:00.0/vram0 64\n");
  const auto limits = FindDmemLimits(kVram, paths_);
  ASSERT_TRUE(limits.ok()) << limits.status();
  ASSERT_EQ(limits->size(), 1u);
  EXPECT_EQ((*limits)[0].max_bytes, 64u);
}

TEST_F(DmemCgroupTest, AKernelWithoutTheControllerIsSaidToHaveNone) {
  fs::remove(root_ / "cgroup/dmem.capacity");
  const absl::Status absent = ListDmemRegions(paths_).status();
  EXPECT_TRUE(absl::IsUnavailable(absent));
  EXPECT_NE(absent.message().find("CONFIG_CGROUP_DMEM"), std::string::npos) << absent;
  EXPECT_EQ(DmemNote(kVram, paths_), "");
  fs::remove_all(root_ / "cgroup");
  EXPECT_NE(ListDmemRegions(paths_).status().message().find("no cgroup v2"), std::string::npos);
}

TEST_F(DmemCgroupTest, AProcessInTheRootHasNoLimits) {
  Write("own", "0::/\n");
  const auto limits = FindDmemLimits(kVram, paths_);
  ASSERT_TRUE(limits.ok());
  EXPECT_TRUE(limits->empty());
  Write("own", "12:cpu:/old\n");
  EXPECT_TRUE(absl::IsUnavailable(FindDmemLimits(kVram, paths_).status()));
}

}  // namespace
}  // namespace devmem
