// SPDX-License-Identifier: Apache-2.0
//
// dmsend: an ordinary TCP client of the kernel that sends content which a receiver can check, as
// fast as it can, and prints one JSON object. It is the peer of ncdevmem in the demo and knows
// nothing of devmem: blocking send() of 256 KiB blocks. See pattern.h for the content.

#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <optional>
#include <span>
#include <string>

#include "absl/strings/str_cat.h"
#include "provider/posix_error.h"
#include "tools/blocking_tcp.h"
#include "tools/exit_codes.h"
#include "tools/json_object.h"
#include "tools/long_options.h"
#include "tools/parse_values.h"
#include "tools/pattern.h"
#include "tools/process_time.h"
#include "tools/sha256.h"

namespace devmem {
namespace {

constexpr char kUsage[] = R"(usage: dmsend --to ADDRESS [--port PORT] [--bytes BYTES]
              [--send-pattern mod:N|demo-block:SEED] [--congestion NAME] [--sha256 yes|no]
Sends a checkable stream over the kernel's TCP, closes, waits for the peer to close, and prints one
JSON object: bytes, seconds, gbit_per_s, cpu_s and, with --sha256 yes, sha256.
Defaults: port 5201, 1G, demo-block:1, the system's congestion control, no hash.
Exit status: 0 all was sent and the peer closed in order; 1 it did not; 2 the command line is wrong.
)";

struct Options {
  std::string to;
  uint16_t port = 5201;
  uint64_t bytes = uint64_t{1} << 30;
  PatternSpec pattern{PatternSpec::Kind::kDemoBlock, 1};
  std::string congestion_control;
  bool sha256 = false;
};

absl::StatusOr<Options> ParseOptions(int argc, const char* const* argv) {
  Options options;
  const LongOptions handlers = {
      {"--to",
       [&](const std::string& text) {
         options.to = text;
         return absl::OkStatus();
       }},
      {"--port",
       [&](const std::string& text) {
         const auto port = ParseNumber(text, {"--port", 1, 65535});
         if (port.ok()) options.port = static_cast<uint16_t>(*port);
         return port.status();
       }},
      {"--bytes",
       [&](const std::string& text) {
         const auto bytes = ParseBytes(text, {"--bytes", 0, UINT64_MAX, "bytes"});
         if (bytes.ok()) options.bytes = *bytes;
         return bytes.status();
       }},
      {"--send-pattern",
       [&](const std::string& text) {
         const auto pattern = ParsePatternSpec(text, "--send-pattern");
         if (pattern.ok()) options.pattern = *pattern;
         return pattern.status();
       }},
      {"--congestion",
       [&](const std::string& text) {
         options.congestion_control = text;
         return absl::OkStatus();
       }},
      {"--sha256",
       [&](const std::string& text) {
         static constexpr absl::string_view kWords[] = {"no", "yes"};
         const auto choice = ParseChoice(text, "--sha256", kWords);
         if (choice.ok()) options.sha256 = *choice == 1;
         return choice.status();
       }},
  };
  const absl::Status parsed = ParseLongOptions(argc, argv, handlers);
  if (!parsed.ok()) return parsed;
  if (options.to.empty()) return absl::InvalidArgumentError("--to is missing: name the receiver");
  return options;
}

absl::Status SendAll(int socket, std::span<const uint8_t> bytes) {
  while (!bytes.empty()) {
    const ssize_t sent = ::send(socket, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent < 0) {
      const int err = errno;
      if (err == EINTR) continue;
      return ErrnoToStatus(err, "sending broke off");
    }
    bytes = bytes.subspan(static_cast<size_t>(sent));
  }
  return absl::OkStatus();
}

// The peer closes when it has everything; what it says before that is a reply and is dropped.
absl::Status WaitForTheEnd(int socket) {
  (void)::shutdown(socket, SHUT_WR);
  std::array<uint8_t, 4096> reply;
  for (;;) {
    const ssize_t got = ::recv(socket, reply.data(), reply.size(), 0);
    if (got == 0) return absl::OkStatus();
    const int err = errno;
    if (got < 0 && err != EINTR) return ErrnoToStatus(err, "the receiver did not close in order");
  }
}

absl::StatusOr<JsonObject> Send(const Options& options) {
  Pattern pattern(options.pattern);
  std::optional<Sha256> hash;
  if (options.sha256) hash.emplace();
  const auto socket = ConnectTo(options.to, options.port, options.congestion_control);
  if (!socket.ok()) return socket.status();
  const double start = MonotonicSeconds();
  const double cpu_start = ProcessCpuSeconds();
  absl::Status status;
  for (uint64_t sent = 0; sent < options.bytes && status.ok();) {
    const uint64_t left = options.bytes - sent;
    const auto block = pattern.At(sent, std::min<uint64_t>(left, kPatternBlockBytes));
    if (hash.has_value()) hash->Update(block);
    status = SendAll(socket->get(), block);
    sent += block.size();
  }
  if (status.ok()) status = WaitForTheEnd(socket->get());
  if (!status.ok()) return status;
  const double seconds = MonotonicSeconds() - start;
  JsonObject json;
  json.Number("bytes", options.bytes).Fraction("seconds", seconds);
  json.Fraction("gbit_per_s", static_cast<double>(options.bytes) * 8 / 1e9 / seconds);
  json.Fraction("cpu_s", ProcessCpuSeconds() - cpu_start);
  if (hash.has_value()) json.Text("sha256", hash->Finish());
  return json;
}

int Main(int argc, const char* const* argv) {
  if (argc == 2 && std::string(argv[1]) == "--help") {
    std::fputs(kUsage, stdout);
    return kExitOk;
  }
  const absl::StatusOr<Options> options = ParseOptions(argc, argv);
  if (!options.ok()) {
    std::fprintf(stderr, "dmsend: %s\nTry dmsend --help\n",
                 std::string(options.status().message()).c_str());
    return kExitUsage;
  }
  const absl::StatusOr<JsonObject> report = Send(*options);
  if (!report.ok()) {
    std::fprintf(stderr, "dmsend: %s\n", std::string(report.status().message()).c_str());
    return kExitFailed;
  }
  std::printf("%s\n", report->ToString().c_str());
  return kExitOk;
}

}  // namespace
}  // namespace devmem

int main(int argc, char** argv) { return devmem::Main(argc, argv); }
