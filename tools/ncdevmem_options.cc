// SPDX-License-Identifier: Apache-2.0
//
// Reads the command line with CLI11 and judges each value with parse_values.h, whose refusals name
// the value, its bounds and what to write. Of all files here only this one pays for CLI11.

#include "tools/ncdevmem_options.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <functional>
#include <optional>
#include <sstream>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "netmem/limits.h"
#include "netmem/nic/limits.h"
#include "netmem/wire/ip_address.h"
#include "provider/limits.h"
#include "tools/exit_codes.h"
#include "tools/parse_values.h"

namespace devmem {
namespace {

constexpr char kDescription[] =
    "ncdevmem: receives TCP so that the payload lands in device memory, and shows that it did.\n";

constexpr char kExamples[] = R"(
Examples:
  Serve one connection on a TAP, dm0, which lives as long as the program, and print what landed:
      ncdevmem -l -s 192.0.2.2 --kernel-address 192.0.2.1/24 -p 5201 --sha256 --json
      nc -N 192.0.2.2 5201 < FILE                      # in another shell
  The same over IPv6 too, on whichever address is connected to:
      ncdevmem -l -s 192.0.2.2,2001:db8::2 --kernel-address 192.0.2.1/24,2001:db8::1/64
  Fetch something over HTTP into a region. The request asks the server to close at its end:
      printf 'GET /FILE HTTP/1.1\r\nHost: 192.0.2.1\r\nConnection: close\r\n\r\n' |
        ncdevmem -s 192.0.2.1 -c 192.0.2.2 --kernel-address 192.0.2.1/24 -p 80 --send - -o FILE
  The same with no rights at all, in namespaces of one's own (/dev/net/tun must be open to all):
      unshare -Urn ncdevmem -l -s 192.0.2.2 --kernel-address 192.0.2.1/24 --steering auto
  Without any device, over the kernel's own TCP:
      ncdevmem -l -s 127.0.0.1 --backend copy -v 7 --stats

Sizes take K, M, G or T behind the number, in powers of 1024.

Exit status:
  0    everything arrived, was right and was given back
  1    a stream failed, its content was wrong, something was refused, or net_iovs leaked
  2    the command line is wrong
  130  stopped by Ctrl-C (SIGINT); 143 by SIGTERM. Statistics are printed, nothing is left behind
)";

// Adds options to one group of an App and turns refused values into CLI11's errors.
class Group {
 public:
  Group(CLI::App* app, std::string name) : app_(app), name_(std::move(name)) {}

  void Flag(const std::string& names, bool* value, const std::string& help) {
    app_->add_flag(names, *value, help)->group(name_);
  }
  void Text(const std::string& names, std::string* value, const std::string& type,
            const std::string& help) {
    app_->add_option(names, *value, help)->group(name_)->type_name(type);
  }
  // Hands the text to `parse`, which returns a Status.
  template <typename Parse>
  void Parsed(const std::string& names, const std::string& type, const std::string& help,
              Parse parse) {
    const auto check = [parse](const std::string& text) {
      const absl::Status status = parse(text);
      if (!status.ok()) throw CLI::ParseError(std::string(status.message()), kExitUsage);
    };
    app_->add_option_function<std::string>(names, check, help)->group(name_)->type_name(type);
  }
  template <typename Value>
  void Number(const std::string& names, Value* value, const ValueBounds& bounds,
              const std::string& type, const std::string& help) {
    Parsed(names, type, help, [value, bounds](const std::string& text) -> absl::Status {
      const absl::StatusOr<uint64_t> number = ParseNumber(text, bounds);
      if (number.ok()) *value = static_cast<Value>(*number);
      return number.status();
    });
  }
  template <typename Value>
  void Bytes(const std::string& names, Value* value, const ValueBounds& bounds,
             const std::string& help) {
    Parsed(names, "BYTES", help, [value, bounds](const std::string& text) -> absl::Status {
      const absl::StatusOr<uint64_t> number = ParseBytes(text, bounds);
      if (number.ok()) *value = static_cast<Value>(*number);
      return number.status();
    });
  }
  template <typename Value, size_t kCount>
  void Choice(const std::string& name, Value* value,
              const std::array<absl::string_view, kCount>& words,
              const std::array<Value, kCount>& values, const std::string& help) {
    const std::string type = CLI::detail::join(words, "|");
    Parsed(name, type, help, [value, name, words, values](const std::string& text) -> absl::Status {
      const absl::StatusOr<size_t> index = ParseChoice(text, name, words);
      if (index.ok()) *value = values[*index];
      return index.status();
    });
  }

 private:
  CLI::App* const app_;
  const std::string name_;
};

void AddConnection(CLI::App* app, NcdevmemOptions* o) {
  Group group(app, "Connection");
  group.Flag("-l,--listen", &o->listen, "Listen; without it, connect");
  group.Text("-s,--server", &o->server_address, "ADDRESS",
             "Address to listen on (\"/24\" may follow; several joined by commas), or the server's "
             "to connect to");
  group.Text("-c,--client", &o->own_address, "ADDRESS",
             "Our own address when we connect (\"/24\" may follow; one of each family, joined by a "
             "comma)");
  group.Number("-p,--port", &o->port, {"-p", 0, 65535}, "PORT",
               "TCP port; 5201 if not given. Listening, 0 takes any that is free");
  group.Number("--count", &o->connection_count, {"--count", 1, 1'000'000'000, "connections"}, "N",
               "Serve this many connections, then exit; 1 if not given");
  group.Parsed("--unsteered-port", "PORT",
               "Also serve connections on this port, without a flow rule, from host memory",
               [o](const std::string& text) -> absl::Status {
                 const auto port = ParseNumber(text, {"--unsteered-port", 1, 65535});
                 if (port.ok()) o->unsteered_port = static_cast<uint16_t>(*port);
                 return port.status();
               });
  group.Number("--connect-timeout", &o->connect_timeout_s,
               {"--connect-timeout", 1, 3600, "seconds"}, "SECONDS",
               "Give up connecting after this long; 10 if not given");
  group.Text("--send", &o->send_path, "FILE|-",
             "When connecting: send this first, at most 1 MiB (- is stdin)");
  group.Text("--reply", &o->reply_path, "FILE",
             "Answer each connection with this, at most 1 MiB, and close our side");
  group.Bytes("--reply-after", &o->reply_after_bytes, {"--reply-after", 1, UINT64_MAX, "bytes"},
              "Reply when this many bytes of the connection have arrived; 1 if not given");
}

void AddDevice(CLI::App* app, NcdevmemOptions* o) {
  Group group(app, "Device");
  group.Text("-f,--device", &o->device, "NAME",
             "The NIC to receive on, or the name of the TAP to create; dm0 if not given");
  group.Number("-t,--queue", &o->first_queue, {"-t", 0, kQueuesMax - 2}, "QUEUE",
               "First rx queue to bind; 1 if not given");
  group.Number("-q,--queues", &o->queue_count, {"-q", 1, kQueuesMax - 1, "queues"}, "COUNT",
               "Number of queues to bind; queue t+i serves port p+i. 1 if not given");
  group.Choice<Backend, 5>(
      "--backend", &o->backend, {"auto", "stack", "kernel", "zcrx", "copy"},
      {Backend::kAuto, Backend::kStack, Backend::kKernel, Backend::kZcrx, Backend::kCopy},
      "Who runs TCP: devmem's stack; the kernel, with its devmem TCP or with "
      "io_uring's zero-copy receive on the NIC --device; the kernel and a copy");
  group.Choice<Steering, 3>("--steering", &o->steering, {"best", "bpf", "auto"},
                            {Steering::kBest, Steering::kBpf, Steering::kAuto},
                            "How frames find their queue: bpf needs rights, auto does not");
  group.Choice<Threading, 2>("--threads", &o->threading, {"inline", "thread"},
                             {Threading::kInline, Threading::kThread},
                             "Run the stack inside our calls, or in a thread for each queue");
  group.Text("--kernel-address", &o->kernel_address, "ADDRESS/BITS",
             "Address of the kernel's side of the TAP, like 192.0.2.1/24 or 2001:db8::1/64; of "
             "both families, joined by a comma");
  group.Text("--gateway", &o->gateway, "ADDRESS",
             "Where packets to other networks go; of both families, joined by a comma");
  group.Number("--mtu", &o->mtu_bytes, {"--mtu", kMtuMin, kMtuMax, "bytes"}, "BYTES",
               "MTU of the TAP; 1500 if not given");
  group.Bytes("--window", &o->window_bytes, {"--window", 4096, 1u << 30, "bytes"},
              "Largest receive window of a connection; 4M if not given");
  group.Text("--record", &o->record_path, "FILE", "Record the headers of all frames (pcap-ng)");
}

void AddMemory(CLI::App* app, NcdevmemOptions* o) {
  Group group(app, "Memory");
  group.Text("--provider", &o->provider, "NAME",
             "Where the region comes from (auto: the nearest GPU, else memfd); memfd if not given");
  group.Text("--memory-device", &o->memory_device, "DEVICE",
             "Which of the provider's devices: its index, PCI address or name; the first usable "
             "one if not given");
  group.Bytes("--region-size", &o->region_bytes,
              {"--region-size", kBindingBytesMin, kRegionBytesMax, "bytes"},
              "Size of the region; 64M if not given");
  group.Flag("--region-per-queue", &o->region_per_queue,
             "A region of its own for each queue, in place of a part of one");
  group.Flag("--huge-pages", &o->huge_pages, "2 MiB pages (needs vm.nr_hugepages)");
  group.Bytes("--chunk", &o->net_iov_bytes,
              {"--chunk", kNetIovBytesMin, kNetIovBytesMax, "bytes, a power of two"},
              "Size of a net_iov; 4K if not given");
  group.Bytes("--slab", &o->slab_bytes,
              {"--slab", kNetIovBytesMin, kSlabBytesMax, "bytes, a power of two"},
              "Neighbouring net_iovs that are recycled together; 64K if not given");
  group.Bytes("--hold", &o->hold_bytes, {"--hold", 0, kRegionBytesMax, "bytes"},
              "Keep this much of what landed before giving it back; 0 if not given");
  group.Flag("--unbound", &o->unbound, "Bind nothing: everything goes through host memory");
}

void AddChecks(CLI::App* app, NcdevmemOptions* o) {
  Group group(
      app, "What landed (read with the CPU; memory it cannot map only by --sha256, on its device)");
  group.Parsed("-v,--validate-mod", "N", "Byte i of the stream must be i % N; fail where it is not",
               [o](const std::string& text) -> absl::Status {
                 const auto modulus = ParseNumber(text, {"-v", 1, kPatternModulusMax});
                 if (modulus.ok()) o->pattern = PatternSpec{PatternSpec::Kind::kModulo, *modulus};
                 return modulus.status();
               });
  group.Parsed("--validate", "PATTERN", "The same for mod:N or demo-block:SEED, as dmsend sends",
               [o](const std::string& text) -> absl::Status {
                 const auto pattern = ParsePatternSpec(text, "--validate");
                 if (pattern.ok()) o->pattern = *pattern;
                 return pattern.status();
               });
  group.Flag("--sha256", &o->sha256, "Print the SHA-256 of what landed");
  group.Text("-o,--output", &o->output_path, "FILE",
             "Write what landed there; with several connections FILE.0, FILE.1, ...");
  group.Bytes("--bytes", &o->bytes_max, {"--bytes", 1, UINT64_MAX, "bytes"},
              "Stop a connection after this much");
}

void AddReports(CLI::App* app, NcdevmemOptions* o) {
  Group group(app, "Reports");
  group.Flag("--stats", &o->stats, "A table of statistics on stderr at the end");
  group.Flag("--json", &o->json, "One JSON object on stdout at the end");
  group.Flag("--quiet", &o->quiet, "No progress and no summary, only errors");
  group.Number("--ready-fd", &o->ready_fd, {"--ready-fd", 0, 1'000'000}, "FD",
               "Write one byte to this descriptor and close it when listening");
}

// The first part of a list that is no address; nothing when all are.
std::optional<std::string> WhatIsNoAddress(const std::string& list) {
  for (const std::string& text : SplitAddresses(list)) {
    if (!ParseIpAddress(WithoutPrefixLength(text)).has_value()) return text;
  }
  return std::nullopt;
}

// What no single option can say. Empty when all is well.
std::string Contradiction(const NcdevmemOptions& o) {
  if (o.server_address.empty()) {
    return "-s is missing: name the address to listen on (with -l) or the server's";
  }
  for (const std::string* address : {&o.server_address, &o.own_address, &o.kernel_address}) {
    const std::optional<std::string> wrong = WhatIsNoAddress(*address);
    if (wrong.has_value()) {
      return absl::StrCat("\"", *wrong,
                          "\" is no IP address: write one like 192.0.2.2 or "
                          "2001:db8::2/64, no name");
    }
  }
  if (!o.listen && SplitAddresses(o.server_address).size() > 1) {
    return absl::StrCat("-s ", o.server_address, " names several servers: connect to one");
  }
  const bool own_stack = o.backend == Backend::kAuto || o.backend == Backend::kStack;
  if (!o.listen && o.own_address.empty() && own_stack) {
    return "-c is missing: devmem's stack needs an address of its own to connect from, like "
           "-c 192.0.2.2; or use --backend copy";
  }
  if (!o.listen && o.port == 0) return "-p 0 needs -l: name the server's port";
  if (o.listen && !o.send_path.empty()) {
    return "--send is for connecting; with -l use --reply";
  }
  if (o.first_queue + o.queue_count > kQueuesMax - 1) {
    return absl::StrCat("-t ", o.first_queue, " -q ", o.queue_count, " ends beyond queue ",
                        kQueuesMax - 2, ": choose fewer queues");
  }
  if (o.port + o.queue_count - 1 > 65535) {
    return absl::StrCat("-p ", o.port, " -q ", o.queue_count,
                        " needs ports beyond 65535: choose a lower port");
  }
  if (!o.listen && o.queue_count > 1) return "-q above 1 needs -l: one connection has one queue";
  if (o.hold_bytes >= o.region_bytes) {
    return absl::StrCat("--hold ", o.hold_bytes, " would hold the whole region of ", o.region_bytes,
                        " bytes, and nothing more could arrive: hold less or enlarge the region");
  }
  return "";
}

}  // namespace

std::vector<std::string> SplitAddresses(absl::string_view text) {
  if (text.empty()) return {};
  return absl::StrSplit(text, ',');
}

std::string WithoutPrefixLength(absl::string_view address) {
  return std::string(address.substr(0, address.find('/')));
}

SessionOptions NcdevmemOptions::ToSessionOptions() const {
  SessionOptions session;
  session.device = device;
  session.backend = backend;
  const std::string& own = listen ? server_address : own_address;
  session.addresses = SplitAddresses(own);
  session.kernel_address = kernel_address;
  session.gateway = gateway;
  // One queue at least stays unbound, for ARP, ping and everything that no rule names.
  const uint32_t queues = unbound ? 1 : first_queue + queue_count;
  session.queue_count = first_queue == 0 && !unbound ? queues + 1 : queues;
  session.mtu_bytes = mtu_bytes;
  session.steering = steering;
  session.threading = threading;
  session.window_bytes_max = window_bytes;
  session.record_path = record_path;
  return session;
}

NcdevmemCommandLine ParseNcdevmemCommandLine(int argc, const char* const* argv) {
  NcdevmemOptions options;
  CLI::App app(kDescription, "ncdevmem");
  app.get_formatter()->column_width(34);
  app.footer(kExamples);
  AddConnection(&app, &options);
  AddDevice(&app, &options);
  AddMemory(&app, &options);
  AddChecks(&app, &options);
  AddReports(&app, &options);
  NcdevmemCommandLine result;
  try {
    app.parse(argc, argv);
  } catch (const CLI::Success&) {
    result.output = app.help();
    return result;
  } catch (const CLI::ParseError& error) {
    result.error = error.what();
  }
  if (result.error.empty()) result.error = Contradiction(options);
  if (result.error.empty()) {
    result.options = std::move(options);
  } else {
    result.error = absl::StrCat("ncdevmem: ", result.error, "\nTry ncdevmem --help\n");
    result.exit_code = kExitUsage;
  }
  return result;
}

}  // namespace devmem
