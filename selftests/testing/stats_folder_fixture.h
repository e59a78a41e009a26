// SPDX-License-Identifier: Apache-2.0
//
// A folder of its own for tests of statistics pages, removed with all that lies in it.

#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <utility>

#include "absl/strings/string_view.h"
#include "provider/unique_fd.h"
#include "uapi/stats_page.h"
#include "uapi/stats_reader.h"

namespace devmem::testing {

class StatsFolderTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string path = ::testing::TempDir() + "devmem-stats-XXXXXX";
    ASSERT_NE(mkdtemp(path.data()), nullptr);
    folder_ = path;
    fd_ = UniqueFd(open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    ASSERT_TRUE(fd_.valid());
  }
  void TearDown() override {
    std::error_code ignored;
    if (!folder_.empty()) std::filesystem::remove_all(folder_, ignored);
  }

  const std::string& folder() const { return folder_; }
  int folder_fd() const { return fd_.get(); }

  std::unique_ptr<StatsPage> MakePage(absl::string_view backend = "stack",
                                      absl::string_view device = "dm0") const {
    absl::StatusOr<std::unique_ptr<StatsPage>> page = StatsPage::Create(folder_, backend, device);
    EXPECT_TRUE(page.ok()) << page.status();
    return page.ok() ? *std::move(page) : nullptr;
  }
  void WriteFile(const std::string& name, absl::string_view bytes) const {
    std::ofstream file(folder_ + "/" + name, std::ios::binary | std::ios::trunc);
    file.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  }
  std::string ReadFile(const std::string& path) const {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  }

  StatsListing List() const { return ListStatsFolder(folder_fd(), folder_); }
  // The one session that is published.
  PublishedSession ReadOnly() const {
    StatsListing listing = List();
    EXPECT_EQ(listing.sessions.size(), 1u);
    EXPECT_TRUE(listing.passed_over.empty());
    return listing.sessions.empty() ? PublishedSession{} : std::move(listing.sessions[0]);
  }

 private:
  std::string folder_;
  UniqueFd fd_;
};

}  // namespace devmem::testing
