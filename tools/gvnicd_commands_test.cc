// SPDX-License-Identifier: Apache-2.0
//
// The control commands and the command line of gvnicd: what they set, and what they refuse.

#include "tools/gvnicd_commands.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "tools/gvnicd_options.h"

namespace devmem {
namespace {

class GvnicdCommandsTest : public testing::Test {
 protected:
  GvnicdCommandsTest() {
    for (uint8_t number = 0; number < 2; ++number) {
      GvnicOptions options;
      options.name = "gvnic" + std::to_string(number);
      options.mac = MacAddress({2, 0, 0, 0, 0, static_cast<uint8_t>(number + 1)});
      devices_.push_back(*GvnicDevice::Create(options, [] { return Nanos{0}; }));
      target_.devices.push_back(devices_.back().get());
    }
    target_.statistics = [] { return JsonObject(); };
  }

  bool Runs(const std::string& line) {
    const std::string answer = RunControlCommand(line, target_);
    EXPECT_EQ(answer.find('\n'), std::string::npos);
    return answer == "{\"ok\":true}";
  }
  bool Refuses(const std::string& line) {
    return RunControlCommand(line, target_).substr(0, 21) == "{\"ok\":false,\"error\":\"";
  }

  std::vector<std::unique_ptr<GvnicDevice>> devices_;
  ControlTarget target_;
};

TEST_F(GvnicdCommandsTest, FaultsReachTheDeviceThatIsNamed) {
  EXPECT_TRUE(Runs("unsplittable device=1 count=3"));
  EXPECT_EQ(devices_[1]->data_path().faults().unsplittable, 3u);
  EXPECT_EQ(devices_[0]->data_path().faults().unsplittable, 0u);
  EXPECT_TRUE(Runs("rx-error device=gvnic0 count=all"));
  EXPECT_EQ(devices_[0]->data_path().faults().rx_error, UINT64_MAX);
  EXPECT_TRUE(Runs("header-overflow"));
  EXPECT_EQ(devices_[0]->data_path().faults().header_overflow, 1u);
  EXPECT_TRUE(Runs("withhold-buffers state=on"));
  EXPECT_TRUE(devices_[0]->data_path().faults().withhold_buffers);
  EXPECT_TRUE(Runs("drop-interrupts count=2"));
  EXPECT_TRUE(Runs("delay-interrupts count=4 ms=30"));
  EXPECT_EQ(devices_[0]->interrupts().faults().drop, 2u);
  EXPECT_EQ(devices_[0]->interrupts().faults().delay, 4u);
  EXPECT_EQ(devices_[0]->interrupts().faults().delay_ns, 30'000'000);
  EXPECT_TRUE(Runs("fail-command opcode=create_rx_queue status=exhausted nth=2"));
  EXPECT_TRUE(devices_[0]->admin_queue().has_fault());
  EXPECT_TRUE(Runs("clear"));
  EXPECT_EQ(devices_[0]->data_path().faults().rx_error, 0u);
  EXPECT_EQ(devices_[0]->interrupts().faults().drop, 0u);
  EXPECT_FALSE(devices_[0]->admin_queue().has_fault());
  EXPECT_EQ(devices_[1]->data_path().faults().unsplittable, 3u);
}

TEST_F(GvnicdCommandsTest, TheLinkGoesDownAndUp) {
  EXPECT_TRUE(Runs("link state=down device=1"));
  EXPECT_FALSE(devices_[1]->link_up());
  EXPECT_TRUE(Runs("link state=up device=1"));
  EXPECT_TRUE(devices_[1]->link_up());
  EXPECT_TRUE(Runs("reset"));
}

TEST_F(GvnicdCommandsTest, LinesThatSayNothingSensibleChangeNothing) {
  for (const char* const line : {"",
                                 " ",
                                 "nonsense",
                                 "link",
                                 "link state=sideways",
                                 "link state=up extra=1",
                                 "unsplittable count=-1",
                                 "unsplittable count",
                                 "unsplittable count=",
                                 "rx-error device=2",
                                 "rx-error device=gvnic9",
                                 "rx-error count=1 count=2",
                                 "delay-interrupts count=1",
                                 "delay-interrupts ms=9999999",
                                 "fail-command status=weird",
                                 "fail-command opcode=weird",
                                 "fail-command nth=0",
                                 "fail-command count=0",
                                 "stats now",
                                 "=",
                                 "withhold-buffers"}) {
    EXPECT_TRUE(Refuses(line)) << line;
  }
  EXPECT_TRUE(Refuses(std::string("rx-error\0count=1", 16)));
  EXPECT_FALSE(devices_[0]->admin_queue().has_fault());
  EXPECT_EQ(devices_[0]->data_path().faults().unsplittable, 0u);
}

GvnicdCommandLine Parse(std::vector<const char*> words) {
  words.insert(words.begin(), "gvnicd");
  return ParseGvnicdCommandLine(static_cast<int>(words.size()), words.data());
}

TEST(GvnicdOptionsTest, DevicesTakeDefaultsAndSayOtherwise) {
  const auto line = Parse({"--mtu", "9000", "--no-flow-steering", "--device", "socket=/a",
                           "--device", "socket=/b,mac=02:00:00:00:00:09,mtu=1300,queues=8"});
  ASSERT_TRUE(line.options.has_value()) << line.error;
  const std::vector<GvnicdDevice>& devices = line.options->devices;
  ASSERT_EQ(devices.size(), 2u);
  EXPECT_EQ(devices[0].options.mtu_bytes, 9000u);
  EXPECT_EQ(devices[0].options.flow_rules_max, 0u);
  EXPECT_NE(devices[0].options.mac, devices[1].options.mac);
  EXPECT_EQ(devices[1].options.mtu_bytes, 1300u);
  EXPECT_EQ(devices[1].options.queues, 8u);
  EXPECT_EQ(devices[1].socket_path, "/b");
  ASSERT_EQ(line.options->links.size(), 1u);
  EXPECT_EQ(line.options->links[0].kind, GvnicdLink::Kind::kPair);
}

TEST(GvnicdOptionsTest, LinksAndTheFaultsOfAWireAreRead) {
  const auto line = Parse({"--device", "socket=/a", "--device", "socket=/b", "--device",
                           "socket=/c", "--link", "wire", "--link", "tap=gv0,address=192.0.2.1/24",
                           "--loss", "0.25", "--delay-us", "70", "--seed", "9"});
  ASSERT_TRUE(line.options.has_value()) << line.error;
  EXPECT_EQ(line.options->links[0].kind, GvnicdLink::Kind::kWire);
  EXPECT_EQ(line.options->links[1].tap_name, "gv0");
  EXPECT_EQ(line.options->links[1].tap_address, "192.0.2.1/24");
  EXPECT_EQ(line.options->wire_faults.loss, 0.25);
  EXPECT_EQ(line.options->wire_faults.delay_ns, 70'000);
  EXPECT_EQ(line.options->seed, 9u);
}

TEST(GvnicdOptionsTest, WrongCommandLinesAreRefusedWithWhatIsWrong) {
  const std::vector<std::vector<const char*>> wrong = {
      {},
      {"--device", "mac=02:00:00:00:00:01"},
      {"--device", "socket=/a,mac=01:00:00:00:00:01"},
      {"--device", "socket=/a,mac=nonsense"},
      {"--device", "socket=/a,colour=red"},
      {"--device", "socket=/a,queues=0"},
      {"--device", "socket=/a,queues"},
      {"--device", "socket=/a,rx-ring=100"},
      {"--device", "socket=/a,buffers=3000"},
      {"--device", "socket=/a,jumbo=perhaps"},
      {"--device", "socket=/a", "--link", "pair"},
      {"--device", "socket=/a", "--link", "tap="},
      {"--device", "socket=/a", "--link", "tap=a,colour=red"},
      {"--device", "socket=/a", "--link", "string"},
      {"--device", "socket=/a", "--loss", "1.5"},
      {"--device", "socket=/a", "--mtu", "10"},
      {"--device", "socket=/a", "--header-buffer-bytes", "2000"},
      {"--nonsense"},
  };
  for (const auto& words : wrong) {
    const GvnicdCommandLine line = Parse(words);
    EXPECT_FALSE(line.options.has_value());
    EXPECT_EQ(line.exit_code, 2);
    EXPECT_NE(line.error.find("Try gvnicd --help"), std::string::npos) << line.error;
  }
}

TEST(GvnicdOptionsTest, HelpIsPrintedAndEndsWell) {
  const GvnicdCommandLine line = Parse({"--help"});
  EXPECT_FALSE(line.options.has_value());
  EXPECT_EQ(line.exit_code, 0);
  EXPECT_NE(line.output.find("--device"), std::string::npos);
}

}  // namespace
}  // namespace devmem
