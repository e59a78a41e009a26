// SPDX-License-Identifier: Apache-2.0
//
// The verbs of the control socket, one function each.

#include "tools/gvnicd_commands.h"

#include <array>
#include <map>
#include <optional>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "tools/parse_values.h"

namespace devmem {
namespace {

constexpr uint64_t kDelayMsMax = 60'000;

// Names of admin queue statuses, at the place of their absl::StatusCode.
constexpr std::array<absl::string_view, 17> kStatusNames = {
    "ok",        "cancelled",      "unknown",           "invalid_argument", "deadline",
    "not_found", "already_exists", "permission_denied", "exhausted",        "failed_precondition",
    "aborted",   "out_of_range",   "unimplemented",     "internal",         "unavailable",
    "data_loss", "unauthenticated"};
constexpr absl::string_view kNeverAnswered = "none";

// The KEY=VALUE words of a line. What is not asked for by the end is a mistake of the line.
class Arguments {
 public:
  static absl::StatusOr<Arguments> Parse(const std::vector<absl::string_view>& words) {
    Arguments arguments;
    for (size_t i = 1; i < words.size(); ++i) {
      const std::pair<absl::string_view, absl::string_view> pair =
          absl::StrSplit(words[i], absl::MaxSplits('=', 1));
      if (pair.second.empty() || !arguments.values_.emplace(pair).second) {
        return absl::InvalidArgumentError(absl::StrCat(
            "\"", words[i], "\" is no KEY=VALUE, or its key stands in the line twice"));
      }
    }
    return arguments;
  }

  std::optional<std::string> Take(absl::string_view key) {
    const auto value = values_.find(std::string(key));
    if (value == values_.end()) return std::nullopt;
    std::string taken = std::move(value->second);
    values_.erase(value);
    return taken;
  }
  // Without the key, `otherwise`. The word "all" is a count without end.
  absl::StatusOr<uint64_t> TakeCount(absl::string_view key, uint64_t otherwise) {
    const std::optional<std::string> text = Take(key);
    if (!text) return otherwise;
    if (*text == "all") return UINT64_MAX;
    return ParseNumber(*text, {key, 0, UINT64_MAX, ""});
  }
  absl::StatusOr<bool> TakeChoice(absl::string_view key, absl::string_view no,
                                  absl::string_view yes) {
    const std::array<absl::string_view, 2> words = {no, yes};
    const absl::StatusOr<size_t> choice =
        ParseChoice(Take(key).value_or(std::string()), key, words);
    if (!choice.ok()) return choice.status();
    return *choice == 1;
  }
  absl::Status CheckAllTaken() const {
    if (values_.empty()) return absl::OkStatus();
    return absl::InvalidArgumentError(
        absl::StrCat("the command has no key \"", values_.begin()->first, "\"; see help"));
  }

 private:
  std::map<std::string, std::string> values_;
};

absl::StatusOr<GvnicDevice*> TakeDevice(Arguments& arguments, const ControlTarget& target) {
  const std::string name = arguments.Take("device").value_or("0");
  uint64_t number = 0;
  if (absl::SimpleAtoi(name, &number) && number < target.devices.size()) {
    return target.devices[number];
  }
  for (GvnicDevice* const device : target.devices) {
    if (device->options().name == name) return device;
  }
  return absl::NotFoundError(absl::StrCat("there is no device ", name, "; the devices are 0 to ",
                                          target.devices.size() - 1, ", or their names"));
}

absl::StatusOr<uint32_t> ParseOpcode(const std::string& text) {
  uint32_t opcode = 0;
  if (absl::SimpleHexAtoi(text, &opcode) && text.substr(0, 2) == "0x") return opcode;
  for (opcode = 0; opcode <= static_cast<uint32_t>(AdminOpcode::kConfigureFlowRule); ++opcode) {
    if (text == AdminOpcodeName(opcode)) return opcode;
  }
  return absl::InvalidArgumentError(absl::StrCat(
      "opcode=", text, " is none; write a number like 0x06 or a name like create_rx_queue"));
}

absl::Status FailCommand(Arguments& arguments, GvnicDevice& device) {
  AdminFault fault;
  const std::string status = arguments.Take("status").value_or("internal");
  fault.never_answered = status == kNeverAnswered;
  if (!fault.never_answered) {
    const absl::StatusOr<size_t> code = ParseChoice(status, "status", kStatusNames);
    if (!code.ok()) return code.status();
    fault.status = static_cast<absl::StatusCode>(*code);
  }
  if (const std::optional<std::string> text = arguments.Take("opcode")) {
    const absl::StatusOr<uint32_t> opcode = ParseOpcode(*text);
    if (!opcode.ok()) return opcode.status();
    fault.opcode = *opcode;
  }
  const absl::StatusOr<uint64_t> nth = arguments.TakeCount("nth", 1);
  const absl::StatusOr<uint64_t> count = arguments.TakeCount("count", 1);
  if (!nth.ok()) return nth.status();
  if (!count.ok()) return count.status();
  if (*nth == 0 || *count == 0) {
    return absl::OutOfRangeError("nth and count are from 1 on; \"clear\" takes faults away");
  }
  fault.nth = *nth;
  fault.count = *count;
  const absl::Status all_taken = arguments.CheckAllTaken();
  if (all_taken.ok()) device.admin_queue().SetFault(fault);
  return all_taken;
}

absl::Status DropInterrupts(Arguments& arguments, GvnicDevice& device) {
  const absl::StatusOr<uint64_t> count = arguments.TakeCount("count", 1);
  if (!count.ok()) return count.status();
  InterruptFaults faults = device.interrupts().faults();
  faults.drop = *count;
  const absl::Status all_taken = arguments.CheckAllTaken();
  if (all_taken.ok()) device.interrupts().SetFaults(faults);
  return all_taken;
}

absl::Status DelayInterrupts(Arguments& arguments, GvnicDevice& device) {
  const absl::StatusOr<uint64_t> count = arguments.TakeCount("count", 1);
  if (!count.ok()) return count.status();
  const absl::StatusOr<uint64_t> ms =
      ParseNumber(arguments.Take("ms").value_or(""), {"ms", 0, kDelayMsMax, "milliseconds"});
  if (!ms.ok()) return ms.status();
  InterruptFaults faults = device.interrupts().faults();
  faults.delay = *count;
  faults.delay_ns = static_cast<Nanos>(*ms) * 1'000'000;
  const absl::Status all_taken = arguments.CheckAllTaken();
  if (all_taken.ok()) device.interrupts().SetFaults(faults);
  return all_taken;
}

// Faults of received packets that are counted down.
absl::Status SetRxFault(Arguments& arguments, GvnicDevice& device, uint64_t RxFaults::*which) {
  const absl::StatusOr<uint64_t> count = arguments.TakeCount("count", 1);
  if (!count.ok()) return count.status();
  RxFaults faults = device.data_path().faults();
  faults.*which = *count;
  const absl::Status all_taken = arguments.CheckAllTaken();
  if (all_taken.ok()) device.data_path().SetFaults(faults);
  return all_taken;
}

absl::Status WithholdBuffers(Arguments& arguments, GvnicDevice& device) {
  const absl::StatusOr<bool> state = arguments.TakeChoice("state", "off", "on");
  if (!state.ok()) return state.status();
  RxFaults faults = device.data_path().faults();
  faults.withhold_buffers = *state;
  const absl::Status all_taken = arguments.CheckAllTaken();
  if (all_taken.ok()) device.data_path().SetFaults(faults);
  return all_taken;
}

absl::Status SetLink(Arguments& arguments, GvnicDevice& device) {
  const absl::StatusOr<bool> up = arguments.TakeChoice("state", "down", "up");
  if (!up.ok()) return up.status();
  const absl::Status all_taken = arguments.CheckAllTaken();
  if (all_taken.ok()) device.SetLink(*up);
  return all_taken;
}

absl::Status RequestReset(Arguments& arguments, GvnicDevice& device) {
  const absl::Status all_taken = arguments.CheckAllTaken();
  if (all_taken.ok()) device.RequestReset();
  return all_taken;
}

absl::Status ClearFaults(Arguments& arguments, GvnicDevice& device) {
  const absl::Status all_taken = arguments.CheckAllTaken();
  if (!all_taken.ok()) return all_taken;
  device.admin_queue().ClearFault();
  device.interrupts().SetFaults({});
  device.data_path().SetFaults({});
  return absl::OkStatus();
}

using Verb = std::function<absl::Status(Arguments&, GvnicDevice&)>;

const std::map<std::string, Verb>& Verbs() {
  static const std::map<std::string, Verb>* const verbs = [] {
    const auto rx_fault = [](uint64_t RxFaults::*which) {
      return [which](Arguments& a, GvnicDevice& d) { return SetRxFault(a, d, which); };
    };
    return new std::map<std::string, Verb>{
        {"clear", ClearFaults},
        {"delay-interrupts", DelayInterrupts},
        {"drop-interrupts", DropInterrupts},
        {"fail-command", FailCommand},
        {"header-overflow", rx_fault(&RxFaults::header_overflow)},
        {"link", SetLink},
        {"reset", RequestReset},
        {"rx-error", rx_fault(&RxFaults::rx_error)},
        {"unsplittable", rx_fault(&RxFaults::unsplittable)},
        {"withhold-buffers", WithholdBuffers},
    };
  }();
  return *verbs;
}

std::string VerbNames() {
  return absl::StrJoin(
      Verbs(), ", ", [](std::string* out, const auto& verb) { absl::StrAppend(out, verb.first); });
}

absl::Status RunVerb(const std::vector<absl::string_view>& words, const ControlTarget& target) {
  const auto verb = Verbs().find(std::string(words.front()));
  if (verb == Verbs().end()) {
    return absl::InvalidArgumentError(absl::StrCat("\"", words.front(), "\" is no command; the ",
                                                   "commands are stats, ", VerbNames()));
  }
  absl::StatusOr<Arguments> arguments = Arguments::Parse(words);
  if (!arguments.ok()) return arguments.status();
  const absl::StatusOr<GvnicDevice*> device = TakeDevice(*arguments, target);
  if (!device.ok()) return device.status();
  return verb->second(*arguments, **device);
}

}  // namespace

std::string RunControlCommand(absl::string_view line, const ControlTarget& target) {
  const std::vector<absl::string_view> words =
      absl::StrSplit(line, absl::ByAnyChar(" \t\r"), absl::SkipEmpty());
  JsonObject answer;
  if (words.size() == 1 && words.front() == "stats") {
    answer.Bool("ok", true).Object("statistics", target.statistics());
    return answer.ToString();
  }
  if (words.size() == 1 && words.front() == "help") {
    answer.Bool("ok", true).Text("commands", absl::StrCat("stats, ", VerbNames()));
    return answer.ToString();
  }
  const absl::Status done =
      words.empty() ? absl::InvalidArgumentError("the line is empty; write a command, or help")
                    : RunVerb(words, target);
  answer.Bool("ok", done.ok());
  if (!done.ok()) answer.Text("error", absl::string_view(done.message()));
  return answer.ToString();
}

}  // namespace devmem
