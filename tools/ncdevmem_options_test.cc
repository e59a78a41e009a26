// SPDX-License-Identifier: Apache-2.0
//
// The command line of ncdevmem: what each option means, and what the refusals say.

#include "tools/ncdevmem_options.h"

#include <gtest/gtest.h>

#include <initializer_list>
#include <string>
#include <vector>

#include "tools/exit_codes.h"

namespace devmem {
namespace {

NcdevmemCommandLine Parse(std::initializer_list<const char*> words) {
  std::vector<const char*> argv = {"ncdevmem"};
  argv.insert(argv.end(), words.begin(), words.end());
  return ParseNcdevmemCommandLine(static_cast<int>(argv.size()), argv.data());
}

NcdevmemOptions ParseGood(std::initializer_list<const char*> words) {
  NcdevmemCommandLine line = Parse(words);
  EXPECT_TRUE(line.options.has_value()) << line.error;
  return line.options.value_or(NcdevmemOptions{});
}

// The text of a refusal, which must be one of usage.
std::string Refusal(std::initializer_list<const char*> words) {
  const NcdevmemCommandLine line = Parse(words);
  EXPECT_FALSE(line.options.has_value());
  EXPECT_EQ(line.exit_code, kExitUsage);
  EXPECT_EQ(line.output, "");
  return line.error;
}

TEST(NcdevmemOptionsTest, ListeningNeedsOnlyAnAddress) {
  const NcdevmemOptions options = ParseGood({"-l", "-s", "192.0.2.2"});
  EXPECT_TRUE(options.listen);
  EXPECT_EQ(options.server_address, "192.0.2.2");
  EXPECT_EQ(options.port, 5201);
  EXPECT_EQ(options.device, "dm0");
  EXPECT_EQ(options.backend, Backend::kAuto);
  EXPECT_EQ(options.region_bytes, 64u << 20);
  EXPECT_EQ(options.first_queue, 1u);
  EXPECT_EQ(options.connection_count, 1u);
  EXPECT_FALSE(options.looks_at_payload());
}

TEST(NcdevmemOptionsTest, TheMemoryIsAProvidersAndOneOfItsDevices) {
  const NcdevmemOptions usual = ParseGood({"-l", "-s", "192.0.2.2"});
  EXPECT_EQ(usual.provider, "memfd");
  EXPECT_EQ(usual.memory_device, "");
  const NcdevmemOptions options = ParseGood(
      {"-l", "-s", "192.0.2.2", "--provider", "opencl", "--memory-device", "0000:17:00.0"});
  EXPECT_EQ(options.provider, "opencl");
  EXPECT_EQ(options.memory_device, "0000:17:00.0");
}

TEST(NcdevmemOptionsTest, TheKernelToolsLettersMeanTheSame) {
  const NcdevmemOptions options =
      ParseGood({"-l", "-s", "192.0.2.2", "-c", "192.0.2.1", "-p", "5999", "-f", "eth7", "-t", "3",
                 "-q", "2", "-v", "7"});
  EXPECT_EQ(options.port, 5999);
  EXPECT_EQ(options.device, "eth7");
  EXPECT_EQ(options.first_queue, 3u);
  EXPECT_EQ(options.queue_count, 2u);
  EXPECT_EQ(options.pattern, (PatternSpec{PatternSpec::Kind::kModulo, 7}));
  EXPECT_TRUE(options.looks_at_payload());
}

TEST(NcdevmemOptionsTest, SizesTakeSuffixes) {
  const NcdevmemOptions options =
      ParseGood({"-l", "-s", "192.0.2.2", "--region-size", "1G", "--chunk", "64K", "--slab", "2M",
                 "--hold", "8M", "--bytes", "4G", "--window", "16M"});
  EXPECT_EQ(options.region_bytes, uint64_t{1} << 30);
  EXPECT_EQ(options.net_iov_bytes, 64u << 10);
  EXPECT_EQ(options.slab_bytes, 2u << 20);
  EXPECT_EQ(options.hold_bytes, 8u << 20);
  EXPECT_EQ(options.bytes_max, uint64_t{4} << 30);
  EXPECT_EQ(options.window_bytes, 16u << 20);
}

TEST(NcdevmemOptionsTest, ChoicesAreWords) {
  const NcdevmemOptions options =
      ParseGood({"-l", "-s", "192.0.2.2", "--backend", "copy", "--steering", "auto", "--threads",
                 "thread", "--validate", "demo-block:42"});
  EXPECT_EQ(options.backend, Backend::kCopy);
  EXPECT_EQ(options.steering, Steering::kAuto);
  EXPECT_EQ(options.threading, Threading::kThread);
  EXPECT_EQ(options.pattern, (PatternSpec{PatternSpec::Kind::kDemoBlock, 42}));
}

TEST(NcdevmemOptionsTest, TheSessionHasOneUnboundQueueAtLeast) {
  const SessionOptions usual = ParseGood({"-l", "-s", "192.0.2.2/28"}).ToSessionOptions();
  EXPECT_EQ(usual.queue_count, 2u);
  EXPECT_EQ(usual.addresses, std::vector<std::string>{"192.0.2.2/28"});
  const auto from_zero = ParseGood({"-l", "-s", "192.0.2.2", "-t", "0", "-q", "3"});
  EXPECT_EQ(from_zero.ToSessionOptions().queue_count, 4u);
  const auto unbound = ParseGood({"-l", "-s", "192.0.2.2", "--unbound"});
  EXPECT_EQ(unbound.ToSessionOptions().queue_count, 1u);
}

TEST(NcdevmemOptionsTest, WhenConnectingTheSessionsAddressIsOurOwn) {
  const NcdevmemOptions options = ParseGood({"-s", "192.0.2.1", "-c", "192.0.2.2", "-p", "80"});
  EXPECT_FALSE(options.listen);
  EXPECT_EQ(options.ToSessionOptions().addresses, std::vector<std::string>{"192.0.2.2"});
  EXPECT_NE(Refusal({"-s", "192.0.2.1"}).find("-c is missing"), std::string::npos);
  EXPECT_TRUE(ParseGood({"-s", "192.0.2.1", "--backend", "copy"}).own_address.empty());
}

TEST(NcdevmemOptionsTest, ARefusalNamesTheOptionTheValueAndTheBounds) {
  EXPECT_EQ(Refusal({"-l", "-s", "192.0.2.2", "-p", "65536"}),
            "ncdevmem: -p 65536 is out of range: write 0 to 65535\nTry ncdevmem --help\n");
  EXPECT_EQ(Refusal({"-l", "-s", "192.0.2.2", "--mtu", "100"}),
            "ncdevmem: --mtu 100 is out of range: write 576 to 65521 bytes\n"
            "Try ncdevmem --help\n");
  EXPECT_EQ(Refusal({"-l", "-s", "192.0.2.2", "--backend", "magic"}),
            "ncdevmem: --backend \"magic\" is none of: auto, stack, kernel, zcrx, copy\n"
            "Try ncdevmem --help\n");
}

TEST(NcdevmemOptionsTest, BadValuesOfEachKindAreRefused) {
  const std::vector<std::pair<const char*, const char*>> bad = {
      {"-t", "63"},          {"-t", "-1"},      {"-q", "0"},           {"-q", "64"},
      {"--count", "0"},      {"--chunk", "1K"}, {"--chunk", "4M"},     {"--region-size", "64K"},
      {"--region-size", ""}, {"-v", "0"},       {"-v", "257"},         {"--validate", "zeros"},
      {"--bytes", "0"},      {"--window", "1"}, {"--ready-fd", "-1"},  {"--steering", "fast"},
      {"--threads", "2"},    {"--slab", "1"},   {"--reply-after", "0"}};
  for (const auto& [option, value] : bad) {
    const std::string refusal = Refusal({"-l", "-s", "192.0.2.2", option, value});
    EXPECT_NE(refusal.find(option), std::string::npos) << option << " " << value << ": " << refusal;
  }
}

TEST(NcdevmemOptionsTest, OptionsThatContradictEachOtherAreRefused) {
  EXPECT_NE(Refusal({"-l"}).find("-s is missing"), std::string::npos);
  EXPECT_NE(Refusal({"-l", "-s", "localhost"}).find("\"localhost\" is no IP address"),
            std::string::npos);
  EXPECT_NE(Refusal({"-l", "-s", "192.0.2.2", "--hold", "64M"}).find("--hold 67108864"),
            std::string::npos);
  EXPECT_NE(Refusal({"-l", "-s", "192.0.2.2", "--send", "-"}).find("--reply"), std::string::npos);
  EXPECT_NE(Refusal({"-l", "-s", "192.0.2.2", "-t", "60", "-q", "9"}).find("fewer queues"),
            std::string::npos);
  EXPECT_NE(Refusal({"-l", "-s", "192.0.2.2", "-p", "65535", "-q", "2"}).find("lower port"),
            std::string::npos);
}

TEST(NcdevmemOptionsTest, AnUnknownOptionIsRefusedByName) {
  EXPECT_NE(Refusal({"-l", "-s", "192.0.2.2", "--frobnicate"}).find("--frobnicate"),
            std::string::npos);
}

TEST(NcdevmemOptionsTest, HelpHasGroupsExamplesAndTheExitStatus) {
  const NcdevmemCommandLine line = Parse({"--help"});
  EXPECT_FALSE(line.options.has_value());
  EXPECT_EQ(line.exit_code, kExitOk);
  EXPECT_EQ(line.error, "");
  for (const char* text : {"Connection", "Device", "Memory", "Reports", "Examples:", "nc -N",
                           "unshare -Urn", "Exit status:", "130"}) {
    EXPECT_NE(line.output.find(text), std::string::npos) << text;
  }
}

TEST(NcdevmemOptionsTest, AddressesOfBothFamiliesCanBeGivenAtOnce) {
  const NcdevmemOptions listens =
      ParseGood({"-l", "-s", "192.0.2.2,2001:db8::2/64", "--kernel-address",
                 "192.0.2.1/24,2001:db8::1/64", "--gateway", "192.0.2.1,2001:db8::1"});
  const SessionOptions session = listens.ToSessionOptions();
  EXPECT_EQ(session.addresses, (std::vector<std::string>{"192.0.2.2", "2001:db8::2/64"}));
  EXPECT_EQ(session.kernel_address, "192.0.2.1/24,2001:db8::1/64");
  EXPECT_EQ(session.gateway, "192.0.2.1,2001:db8::1");
  const NcdevmemOptions connects = ParseGood({"-s", "2001:db8::1", "-c", "192.0.2.2,2001:db8::2"});
  EXPECT_EQ(connects.ToSessionOptions().addresses,
            (std::vector<std::string>{"192.0.2.2", "2001:db8::2"}));
}

TEST(NcdevmemOptionsTest, ThePartOfAListThatIsNoAddressIsNamed) {
  EXPECT_NE(Refusal({"-l", "-s", "192.0.2.2,2001:db8::g"}).find("\"2001:db8::g\""),
            std::string::npos);
  EXPECT_NE(Refusal({"-l", "-s", "192.0.2.2,"}).find("\"\" is no IP address"), std::string::npos);
  EXPECT_NE(Refusal({"-s", "192.0.2.1,2001:db8::1", "-c", "192.0.2.2"}).find("several servers"),
            std::string::npos);
}

}  // namespace
}  // namespace devmem
