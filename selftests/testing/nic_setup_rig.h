// SPDX-License-Identifier: Apache-2.0
//
// Setups of a NIC that is played, with journals in a folder of the test's own. One thread.

#pragma once

#include <gtest/gtest.h>
#include <cstdlib>

#include <filesystem>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "selftests/testing/fake_nic_control.h"
#include "uapi/netlink/nic_journal_reader.h"
#include "uapi/netlink/nic_restore.h"
#include "uapi/netlink/nic_setup.h"

namespace devmem {

class NicSetupTest : public ::testing::Test {
 protected:
  NicSetupTest() {
    std::string pattern = ::testing::TempDir() + "nic_setup_XXXXXX";
    folder_ = mkdtemp(pattern.data());
  }
  ~NicSetupTest() override { std::filesystem::remove_all(folder_); }

  NicSetupOptions Options(std::vector<uint32_t> queues) {
    NicSetupOptions options;
    options.device = "eth0";
    options.queues = std::move(queues);
    options.journal_path = absl::StrCat(folder_, "/", ++journals_, ".journal");
    return options;
  }
  absl::StatusOr<std::unique_ptr<NicSetup>> Open(std::vector<uint32_t> queues) {
    return Open(Options(std::move(queues)));
  }
  absl::StatusOr<std::unique_ptr<NicSetup>> Open(const NicSetupOptions& options) {
    return NicSetup::Open(options, std::make_unique<FakeNicControl>(nic_));
  }
  std::unique_ptr<NicSetup> Applied(std::vector<uint32_t> queues) {
    absl::StatusOr<std::unique_ptr<NicSetup>> setup = Open(std::move(queues));
    EXPECT_TRUE(setup.ok()) << setup.status();
    const absl::Status applied = (*setup)->Apply();
    EXPECT_TRUE(applied.ok()) << applied;
    return *std::move(setup);
  }
  size_t JournalCount() const { return ListJournals(folder_).size(); }
  RestoreReport Restore() {
    const absl::StatusOr<RestoreReport> report =
        RestoreNics({.folder = folder_},
                    [this](const std::string&) -> absl::StatusOr<std::unique_ptr<NicControl>> {
                      return std::make_unique<FakeNicControl>(nic_);
                    });
    EXPECT_TRUE(report.ok()) << report.status();
    return *report;
  }
  // What is left when the owner of a setup dies: its journal without its lock. Settings stay.
  void Crash(std::unique_ptr<NicSetup> setup) {
    const JournalRecord record = ListJournals(folder_).at(0);
    const std::string copy = record.path + ".copy";
    std::filesystem::copy_file(record.path, copy);
    const FakeNicSettings state = *nic_;
    setup.reset();
    *nic_ = state;
    std::filesystem::rename(copy, record.path);
  }

  std::string folder_;
  int journals_ = 0;
  std::shared_ptr<FakeNicSettings> nic_ = std::make_shared<FakeNicSettings>();
  const FlowMatch listener_ = {.local = ParseIpAddress("192.0.2.1"), .local_port = 5201};
};

}  // namespace devmem
