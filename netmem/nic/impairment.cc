// SPDX-License-Identifier: Apache-2.0
//
// The decisions of a bad link, in virtual time.

#include "netmem/nic/impairment.h"

#include <algorithm>

#include "absl/strings/str_cat.h"

namespace devmem {
namespace {

absl::Status CheckProbability(absl::string_view name, double value) {
  if (value >= 0 && value <= 1) return absl::OkStatus();
  return absl::OutOfRangeError(
      absl::StrCat(name, " probability is ", value, "; choose a value from 0 to 1"));
}

absl::Status CheckTime(absl::string_view name, Nanos value, Nanos least) {
  if (value >= least) return absl::OkStatus();
  return absl::OutOfRangeError(
      absl::StrCat(name, " is ", value, " ns; choose at least ", least, " ns"));
}

}  // namespace

absl::Status Impairment::Check(const ImpairmentConfig& config) {
  for (const absl::Status& status :
       {CheckProbability("loss", config.loss), CheckProbability("duplication", config.duplication),
        CheckProbability("corruption", config.corruption),
        CheckProbability("reorder", config.reorder), CheckTime("delay", config.delay_ns, 0),
        CheckTime("jitter", config.jitter_ns, 0),
        CheckTime("reorder delay", config.reorder_delay_ns, 1)}) {
    if (!status.ok()) return status;
  }
  return absl::OkStatus();
}

Impairment::Impairment(const ImpairmentConfig& config, uint64_t seed, uint64_t stream)
    : config_(config),
      is_perfect_(config.bandwidth_bits_per_s == 0 && config.jitter_ns == 0 && config.loss == 0 &&
                  config.duplication == 0 && config.corruption == 0 && config.reorder == 0),
      random_(SeededRandom(seed).Next() ^ SeededRandom(~stream).Next()) {}

bool Impairment::Happens(double probability) {
  // 53 bits are what a double holds exactly, so 0 never happens and 1 always does.
  constexpr double kOne = 9007199254740992.0;  // 2^53.
  return static_cast<double>(random_.Next() >> 11) < probability * kOne;
}

FrameFate Impairment::Next(Nanos now, uint64_t line_bytes) {
  FrameFate fate;
  if (is_perfect_) {
    last_in_order_ = std::max(now + config_.delay_ns, last_in_order_);
    fate.due = last_in_order_;
    fate.duplicate_due = last_in_order_;
    return fate;
  }
  fate.lost = Happens(config_.loss);
  fate.duplicated = Happens(config_.duplication);
  fate.corrupted = Happens(config_.corruption);
  fate.reordered = Happens(config_.reorder);
  fate.corrupt_bit = random_.Next();
  const uint64_t jitter_range = static_cast<uint64_t>(config_.jitter_ns) + 1;
  const Nanos jitter = static_cast<Nanos>(random_.Below(jitter_range));
  const Nanos duplicate_jitter = static_cast<Nanos>(random_.Below(jitter_range));
  const Nanos held_back =
      1 + static_cast<Nanos>(random_.Below(static_cast<uint64_t>(config_.reorder_delay_ns)));

  line_free_ = std::max(line_free_, now);
  if (config_.bandwidth_bits_per_s != 0) {
    constexpr uint64_t kBitNanos = 8ull * 1'000'000'000;
    line_free_ += static_cast<Nanos>(line_bytes * kBitNanos / config_.bandwidth_bits_per_s);
  }
  const Nanos in_order = std::max(line_free_ + config_.delay_ns + jitter, last_in_order_);
  fate.due = fate.reordered ? in_order + held_back : in_order;
  fate.duplicate_due = in_order + duplicate_jitter;
  if (!fate.lost && !fate.reordered) last_in_order_ = in_order;
  return fate;
}

}  // namespace devmem
