// SPDX-License-Identifier: Apache-2.0
//
// Reads the command line with CLI11; of the files of gvnicd only this one pays for it.

#include "tools/gvnicd_options.h"

#include <CLI/CLI.hpp>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "tools/exit_codes.h"
#include "tools/gvnicd_device_options.h"
#include "tools/parse_values.h"

namespace devmem {
namespace {

constexpr char kDescription[] =
    "gvnicd: virtual gVNICs, which a guest's own gve driver drives through QEMU's vfio-user-pci.\n";

constexpr char kDetails[] = R"(
A device is socket=PATH and, joined by commas, any of
  name=TEXT mac=MAC queues=1..16 mtu=BYTES speed=MBIT/S revision=0|1 tx-ring=ENTRIES
  rx-ring=ENTRIES buffers=2048|4096 header-buffers=BYTES flow-rules=COUNT jumbo=yes|no
  ring-sizes=yes|no
and is driven by one QEMU at a time (10.1 or newer) with its memory in a memfd:
  -machine q35,memory-backend=ram -object memory-backend-memfd,id=ram,size=1G,share=on
  -device '{"driver":"vfio-user-pci","socket":{"path":"PATH","type":"unix"}}'
Links take the next devices in turn: "pair" and "wire" two, "tap=NAME[,address=A/N]" one. Without
any, each two devices are a pair. A wire is a pair with the faults that are asked for.

When all sockets listen, one line, "ready", is printed. SIGTERM and SIGINT end the program in order.

Examples:
  Two devices back to back:
      gvnicd --device socket=/tmp/a.sock --device socket=/tmp/b.sock
  A device whose guest reaches this machine through a TAP, recorded:
      gvnicd --device socket=/tmp/a.sock --link tap=gv0,address=192.0.2.1/24 --record a.pcapng

Exit status:
  0    ended by SIGTERM or SIGINT
  1    something was refused or failed
  2    the command line is wrong
)";

// The texts of options whose meaning depends on others, which may stand behind them.
struct Texts {
  std::vector<std::string> devices;
  std::vector<std::string> links;
  GvnicOptions defaults;
  bool no_flow_steering = false;
  bool no_jumbo = false;
  bool no_ring_sizes = false;
};

absl::Status CheckProbability(const std::string& name, double value) {
  if (value >= 0 && value <= 1) return absl::OkStatus();
  return absl::OutOfRangeError(absl::StrCat("--", name, " ", value, " is out of range: 0 to 1"));
}

void AddDevices(CLI::App* app, Texts* texts) {
  const auto number = [app](const std::string& name, uint32_t* value, const ValueBounds& bounds,
                            const std::string& help) {
    const auto set = [value, bounds](const std::string& text) {
      const auto parsed = ParseNumber(text, bounds);
      if (!parsed.ok()) throw CLI::ParseError(std::string(parsed.status().message()), kExitUsage);
      *value = static_cast<uint32_t>(*parsed);
    };
    app->add_option_function<std::string>(name, set, help)->group("Devices")->type_name("N");
  };
  app->add_option("--device", texts->devices, "A device; may be given several times")
      ->group("Devices")
      ->type_name("KEY=VALUE,...")
      ->allow_extra_args(false);
  number("--mtu", &texts->defaults.mtu_bytes, {"--mtu", kGvnicMtuMin, kGvnicMtuMax, "bytes"},
         "MTU of devices that say no other, 1500");
  number("--header-buffer-bytes", &texts->defaults.header_buffer_bytes,
         {"--header-buffer-bytes", 0, kRxHeaderBytesMax, "bytes"},
         "Room for headers of devices that say no other, 256; 0: no header split");
  const auto flag = [app](const std::string& name, bool* value, const std::string& help) {
    app->add_flag(name, *value, help)->group("Devices");
  };
  flag("--no-flow-steering", &texts->no_flow_steering, "Devices without flow rules");
  flag("--no-jumbo", &texts->no_jumbo, "Devices that offer no jumbo frames");
  flag("--no-ring-sizes", &texts->no_ring_sizes, "Devices whose rings have one size");
}

void AddNetwork(CLI::App* app, Texts* texts, GvnicdOptions* o) {
  const std::string group = "Network";
  app->add_option("--link", texts->links, "Network of the next devices; may be given several times")
      ->group(group)
      ->type_name("pair|wire|tap=NAME")
      ->allow_extra_args(false);
  ImpairmentConfig* const f = &o->wire_faults;
  const auto probability = [app, &group](const std::string& name, double* value,
                                         const std::string& help) {
    const auto set = [name, value](const double& parsed) {
      const absl::Status checked = CheckProbability(name, parsed);
      if (!checked.ok()) throw CLI::ParseError(std::string(checked.message()), kExitUsage);
      *value = parsed;
    };
    app->add_option_function<double>("--" + name, set, help)->group(group)->type_name("0..1");
  };
  probability("loss", &f->loss, "Of a wire: share of frames that are lost");
  probability("reorder", &f->reorder, "Of a wire: share of frames that others overtake");
  probability("duplicate", &f->duplication, "Of a wire: share of frames that arrive twice");
  probability("corrupt", &f->corruption, "Of a wire: share of frames with one bit flipped");
  const auto micros = [app, &group](const std::string& name, Nanos* value,
                                    const std::string& help) {
    const auto set = [name, value](const std::string& text) {
      const auto parsed = ParseNumber(text, {name, 0, 60'000'000, "microseconds"});
      if (!parsed.ok()) throw CLI::ParseError(std::string(parsed.status().message()), kExitUsage);
      *value = static_cast<Nanos>(*parsed) * 1000;
    };
    app->add_option_function<std::string>(name, set, help)->group(group)->type_name("US");
  };
  micros("--delay-us", &f->delay_ns, "Of a wire: time on the way");
  micros("--jitter-us", &f->jitter_ns, "Of a wire: up to so much more");
  app->add_option("--bits-per-s", f->bandwidth_bits_per_s, "Of a wire: 0 is no bound")
      ->group(group);
  app->add_option("--seed", o->seed, "Of a wire's chance; the same seed, the same faults")
      ->group(group);
}

void AddFiles(CLI::App* app, GvnicdOptions* o) {
  const auto path = [app](const std::string& name, std::string* value, const std::string& help) {
    app->add_option(name, *value, help)->group("Files")->type_name("PATH")->take_last();
  };
  path("--record", &o->record_path, "Record the headers of all frames (pcap-ng)");
  path("--control", &o->control_path, "Listen there for control commands, a line each");
  path("--stats-json", &o->stats_path, "Write all counters there at the end");
}

absl::Status Resolve(const Texts& texts, GvnicdOptions* o) {
  GvnicOptions defaults = texts.defaults;
  if (texts.no_flow_steering) defaults.flow_rules_max = 0;
  defaults.jumbo_frames = !texts.no_jumbo;
  defaults.ring_sizes_change = !texts.no_ring_sizes;
  if (texts.devices.empty()) {
    return absl::InvalidArgumentError("there is no device; write --device socket=PATH");
  }
  for (const std::string& text : texts.devices) {
    const auto number = static_cast<uint32_t>(o->devices.size());
    absl::StatusOr<GvnicdDevice> device = ParseGvnicdDevice(text, number, defaults);
    if (!device.ok()) return device.status();
    o->devices.push_back(*std::move(device));
  }
  uint32_t linked = 0;
  for (const std::string& text : texts.links) {
    absl::StatusOr<GvnicdLink> link = ParseGvnicdLink(text);
    if (!link.ok()) return link.status();
    linked += link->device_count();
    o->links.push_back(*std::move(link));
  }
  if (o->links.empty()) o->links.resize(o->devices.size() / 2);
  if (linked > o->devices.size()) {
    return absl::InvalidArgumentError(absl::StrCat("the links need ", linked,
                                                   " devices, there are ", o->devices.size(),
                                                   "; give more --device"));
  }
  return Impairment::Check(o->wire_faults);
}

}  // namespace

GvnicdCommandLine ParseGvnicdCommandLine(int argc, const char* const* argv) {
  GvnicdOptions options;
  Texts texts;
  CLI::App app(kDescription, "gvnicd");
  app.footer(kDetails);
  AddDevices(&app, &texts);
  AddNetwork(&app, &texts, &options);
  AddFiles(&app, &options);
  GvnicdCommandLine line;
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    std::ostringstream output;
    std::ostringstream complaint;
    line.exit_code = app.exit(error, output, complaint) == 0 ? kExitOk : kExitUsage;
    line.output = output.str();
    if (line.exit_code != kExitOk) {
      line.error = absl::StrCat("gvnicd: ", error.what(), "\nTry gvnicd --help\n");
    }
    return line;
  }
  const absl::Status resolved = Resolve(texts, &options);
  if (resolved.ok()) {
    line.options = std::move(options);
    return line;
  }
  line.error = absl::StrCat("gvnicd: ", resolved.message(), "\nTry gvnicd --help\n");
  line.exit_code = kExitUsage;
  return line;
}

}  // namespace devmem
