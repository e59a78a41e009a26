// SPDX-License-Identifier: Apache-2.0
//
// The table of knobs: each has a name, how many numbers it takes, and what they do.

#include "tools/packetdrill/knobs.h"

#include <fstream>
#include <span>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"

namespace devmem::packetdrill {
namespace {

using Values = std::span<const uint32_t>;

struct KnobEntry {
  absl::string_view name;
  size_t value_count;
  uint32_t least;
  uint32_t most;
  void (*set)(Knobs& knobs, Values values);
};

void CopyThree(std::array<uint32_t, 3>& to, Values values) {
  for (size_t i = 0; i < to.size(); ++i) to[i] = values[i];
}

constexpr KnobEntry kKnobs[] = {
    {"mtu", 1, 128, 65535, [](Knobs& k, Values v) { k.mtu_bytes = v[0]; }},
    {"tcp_sack", 1, 0, 1, [](Knobs& k, Values v) { k.sack = v[0] != 0; }},
    {"tcp_timestamps", 1, 0, 2, [](Knobs& k, Values v) { k.timestamps = v[0] != 0; }},
    {"tcp_window_scaling", 1, 0, 1, [](Knobs& k, Values v) { k.window_scaling = v[0] != 0; }},
    {"tcp_ecn", 1, 0, 2, [](Knobs& k, Values v) { k.ecn = v[0]; }},
    {"tcp_rmem", 3, 1, 1u << 30, [](Knobs& k, Values v) { CopyThree(k.rmem_bytes, v); }},
    {"tcp_wmem", 3, 1, 1u << 30, [](Knobs& k, Values v) { CopyThree(k.wmem_bytes, v); }},
    {"rmem_max", 1, 1, 1u << 30, [](Knobs& k, Values v) { k.rmem_max_bytes = v[0]; }},
    {"wmem_max", 1, 1, 1u << 30, [](Knobs& k, Values v) { k.wmem_max_bytes = v[0]; }},
    {"delayed_ack_ms", 1, 1, 499, [](Knobs& k, Values v) { k.delayed_ack = v[0] * kMillisecond; }},
    {"tcp_syn_retries", 1, 1, 127, [](Knobs& k, Values v) { k.syn_retries = v[0]; }},
    {"tcp_retries2", 1, 1, 127, [](Knobs& k, Values v) { k.retries = v[0]; }},
    {"tcp_fin_timeout", 1, 1, 100000, [](Knobs& k, Values v) { k.fin_timeout = v[0] * kSecond; }},
    {"tcp_keepalive_time", 1, 1, 100000,
     [](Knobs& k, Values v) { k.keepalive_time = v[0] * kSecond; }},
    {"tcp_keepalive_intvl", 1, 1, 100000,
     [](Knobs& k, Values v) { k.keepalive_interval = v[0] * kSecond; }},
    {"tcp_keepalive_probes", 1, 1, 127, [](Knobs& k, Values v) { k.keepalive_probes = v[0]; }},
    {"tcp_syncookies", 1, 0, 2, [](Knobs& k, Values v) { k.syncookies = v[0]; }},
    {"tcp_early_retrans", 1, 0, 4, [](Knobs& k, Values v) { k.loss_probe = v[0] >= 3; }},
    {"tcp_invalid_ratelimit", 1, 0, 100000,
     [](Knobs& k, Values v) { k.invalid_answer_interval = v[0] * kMillisecond; }},
    {"somaxconn", 1, 1, 65535, [](Knobs& k, Values v) { k.somaxconn = v[0]; }},
    {"machine_sysctls", 1, 0, 1, [](Knobs& k, Values v) { k.of_machine = v[0] != 0; }},
};

// Sysctls that scripts like to set and that say nothing to this stack.
constexpr absl::string_view kWithoutEffect[] = {"tcp_no_metrics_save",
                                                "tcp_recovery",
                                                "tcp_autocorking",
                                                "tcp_min_tso_segs",
                                                "tcp_congestion_control",
                                                "tcp_fastopen",
                                                "tcp_slow_start_after_idle",
                                                "tcp_frto",
                                                "tcp_dsack",
                                                "tcp_fack",
                                                "tcp_reordering",
                                                "tcp_tso_win_divisor",
                                                "tcp_pacing_ss_ratio",
                                                "tcp_notsent_lowat",
                                                "tcp_pacing_ca_ratio",
                                                "tcp_synack_retries",
                                                "tcp_fastopen_key",
                                                "tcp_shrink_window",
                                                "tcp_limit_output_bytes",
                                                "tcp_moderate_rcvbuf",
                                                "tcp_comp_sack_nr",
                                                "tcp_tw_reuse"};

struct Assignment {
  std::string name;
  std::vector<absl::string_view> values;
};

// A token with '=' begins an assignment, any other one continues the one before it.
std::vector<Assignment> Split(absl::string_view flags, ParsedKnobs& parsed) {
  std::vector<Assignment> assignments;
  for (absl::string_view token :
       absl::StrSplit(flags, absl::ByAnyChar(", \t\n\"'"), absl::SkipEmpty())) {
    const size_t equals = token.find('=');
    if (equals != absl::string_view::npos) {
      absl::string_view name = token.substr(0, equals);
      (void)(absl::ConsumePrefix(&name, "net.ipv4.") || absl::ConsumePrefix(&name, "net.core."));
      assignments.push_back({std::string(name), {}});
      token.remove_prefix(equals + 1);
      if (token.empty()) continue;
    } else if (ParseIpAddress(token).has_value()) {
      assignments.push_back({"address", {}});
    } else if (assignments.empty()) {
      parsed.errors.push_back(absl::StrCat("'", token, "' names no knob"));
      continue;
    }
    assignments.back().values.push_back(token);
  }
  return assignments;
}

bool IsAddressName(absl::string_view name) {
  return name == "address" || name == "addr" || name == "ip" || name == "local_ip" ||
         name == "local";
}

void SetAddress(const Assignment& assignment, ParsedKnobs& parsed) {
  for (const absl::string_view text : assignment.values) {
    // A prefix length says nothing here: every packet goes to the one peer.
    const absl::string_view bare = text.substr(0, text.find('/'));
    const std::optional<IpAddress> address = ParseIpAddress(bare);
    if (!address.has_value()) {
      parsed.errors.push_back(absl::StrCat("'", text, "' is no address"));
    } else if (address->is_v4()) {
      parsed.knobs.address_v4 = address;
    } else {
      parsed.knobs.address_v6 = address;
    }
  }
}

void SetNumbers(const KnobEntry& entry, const Assignment& assignment, ParsedKnobs& parsed) {
  std::vector<uint32_t> numbers;
  for (const absl::string_view value : assignment.values) {
    for (const absl::string_view text : absl::StrSplit(value, ':')) {
      uint32_t number = 0;
      if (!absl::SimpleAtoi(text, &number) || number < entry.least || number > entry.most) {
        parsed.errors.push_back(absl::StrCat(entry.name, "=", text, ": choose a number from ",
                                             entry.least, " to ", entry.most));
        return;
      }
      numbers.push_back(number);
    }
  }
  if (numbers.size() != entry.value_count) {
    parsed.errors.push_back(
        absl::StrCat(entry.name, " takes ", entry.value_count, " numbers, not ", numbers.size()));
    return;
  }
  entry.set(parsed.knobs, numbers);
}

}  // namespace

ParsedKnobs ParseKnobs(absl::string_view flags) {
  ParsedKnobs parsed;
  for (const Assignment& assignment : Split(flags, parsed)) {
    if (IsAddressName(assignment.name)) {
      SetAddress(assignment, parsed);
      continue;
    }
    bool known = false;
    for (const absl::string_view name : kWithoutEffect) known = known || name == assignment.name;
    for (const KnobEntry& entry : kKnobs) {
      if (entry.name != assignment.name) continue;
      known = true;
      SetNumbers(entry, assignment, parsed);
    }
    if (!known) parsed.errors.push_back(absl::StrCat("there is no knob '", assignment.name, "'"));
  }
  return parsed;
}

std::string MachineFlags() {
  std::string flags;
  for (const KnobEntry& entry : kKnobs) {
    const absl::string_view folder = absl::StartsWith(entry.name, "tcp_") ? "ipv4/" : "core/";
    std::ifstream file(absl::StrCat("/proc/sys/net/", folder, entry.name));
    std::vector<std::string> values;
    for (std::string value; file >> value;) values.push_back(value);
    const std::string flag = absl::StrCat(entry.name, "=", absl::StrJoin(values, ":"));
    if (!values.empty() && ParseKnobs(flag).errors.empty()) absl::StrAppend(&flags, flag, " ");
  }
  return flags;
}

std::string KnobHelp() {
  std::string text = "knobs of the flags string (knob=value, separated by commas or spaces):\n";
  absl::StrAppend(&text, "  address=IP (or a bare IP)\n");
  for (const KnobEntry& entry : kKnobs) {
    absl::StrAppend(&text, "  ", entry.name, "=", entry.least, "..", entry.most);
    if (entry.value_count != 1) absl::StrAppend(&text, " (", entry.value_count, " numbers)");
    absl::StrAppend(&text, "\n");
  }
  absl::StrAppend(&text, "known and without effect:");
  for (const absl::string_view name : kWithoutEffect) absl::StrAppend(&text, " ", name);
  return text + "\n";
}

}  // namespace devmem::packetdrill
