// SPDX-License-Identifier: Apache-2.0
//
// See ncdevmem_report.h.

#include "tools/ncdevmem_report.h"

#include <algorithm>
#include <array>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "tools/json_object.h"

namespace devmem {
namespace {

uint64_t Find(const RunResult& result, absl::string_view name) {
  for (const Statistic& statistic : result.statistics) {
    if (statistic.name == name) return statistic.value;
  }
  return 0;
}

double GbitPerSecond(uint64_t bytes, double seconds) {
  return seconds > 0 ? static_cast<double>(bytes) * 8 / 1e9 / seconds : 0;
}

double CpuSecondsPerGb(const RunResult& result) {
  const double gb = static_cast<double>(CountedBytes(result)) / 1e9;
  return gb > 0 ? result.cpu_s / gb : 0;
}

// The first connection that counts, whose queue and hash are the run's.
const StreamResult* FirstCounted(const RunResult& result) {
  for (const StreamResult& stream : result.streams) {
    if (stream.counted) return &stream;
  }
  return nullptr;
}

// Decimal units, as network people count.
std::string HumanBytes(uint64_t bytes) {
  static constexpr std::array<absl::string_view, 5> kUnits = {"B", "kB", "MB", "GB", "TB"};
  double value = static_cast<double>(bytes);
  size_t unit = 0;
  for (; value >= 1000 && unit + 1 < kUnits.size(); ++unit) value /= 1000;
  if (unit == 0) return absl::StrCat(bytes, " B");
  return absl::StrFormat("%.2f %s", value, kUnits[unit]);
}

std::string EndOf(const StreamResult& stream) {
  if (!stream.status.ok()) return std::string(stream.status.message());
  return stream.cut ? "as many bytes as asked for" : "end of stream";
}

std::vector<JsonObject> StreamsJson(const RunResult& result) {
  std::vector<JsonObject> list;
  for (const StreamResult& stream : result.streams) {
    JsonObject one;
    one.Text("local", stream.local).Text("remote", stream.remote).Bool("bound", stream.bound);
    one.Number("queue", stream.queue).Number("bytes", stream.bytes).Number("frags", stream.frags);
    if (!stream.sha256.empty()) {
      one.Text("sha256", stream.sha256).Text("hash_on", stream.hash_on);
    }
    one.Bool("ok", stream.status.ok()).Text("end", EndOf(stream));
    list.push_back(std::move(one));
  }
  return list;
}

}  // namespace

bool Succeeded(const RunResult& result) {
  return result.status.ok() && result.net_iovs_leaked == 0 &&
         std::all_of(result.streams.begin(), result.streams.end(),
                     [](const StreamResult& stream) { return stream.status.ok(); });
}

uint64_t CountedBytes(const RunResult& result) {
  uint64_t bytes = 0;
  for (const StreamResult& stream : result.streams) bytes += stream.counted ? stream.bytes : 0;
  return bytes;
}

std::string ReportJson(const RunResult& result) {
  const uint64_t bytes = CountedBytes(result);
  const StreamResult* const first = FirstCounted(result);
  JsonObject json;
  json.Bool("ok", Succeeded(result));
  if (!result.status.ok()) json.Text("error", result.status.message());
  json.Text("backend", ToString(result.info.backend)).Text("why", result.info.why);
  json.Text("device", result.info.device).Text("nic", result.info.nic);
  json.Text("steering", result.info.steering).Text("steering_note", result.info.steering_note);
  if (!result.provider_choice.empty()) json.Text("provider_choice", result.provider_choice);
  json.Number("queue", first != nullptr ? first->queue : 0);
  json.Number("bytes", bytes).Fraction("seconds", result.seconds);
  json.Fraction("gbit_per_s", GbitPerSecond(bytes, result.seconds));
  json.Fraction("cpu_s", result.cpu_s).Fraction("cpu_s_per_gb", CpuSecondsPerGb(result));
  if (first != nullptr && !first->sha256.empty()) {
    json.Text("sha256", first->sha256).Text("hash_on", first->hash_on);
  }
  json.Text("provider", result.provider);
  json.Number("region_bytes", result.region_bytes);
  if (!result.residence.empty()) json.Text("residence", result.residence);
  json.Number("net_iovs_leaked", result.net_iovs_leaked);
  for (const char* name : {"payload_bytes_bounced", "payload_bytes_staged", "presteer_bytes",
                           "missteered_bytes", "host_bytes", "bytes_read_back", "frags",
                           "tokens_issued", "tokens_returned", "tokens_refused"}) {
    json.Number(name, Find(result, name));
  }
  JsonObject drops;
  JsonObject statistics;
  for (const Statistic& statistic : result.statistics) {
    const bool drop = absl::StrContains(statistic.name, "drop");
    if (drop && statistic.value > 0) drops.Number(statistic.name, statistic.value);
    statistics.Number(statistic.name, statistic.value);
  }
  json.Object("drops", std::move(drops)).List("streams", StreamsJson(result));
  json.Object("statistics", std::move(statistics));
  return json.ToString();
}

std::string ReportSummary(const RunResult& result) {
  const uint64_t bytes = CountedBytes(result);
  const StreamResult* const first = FirstCounted(result);
  std::string text = absl::StrFormat("%s in %.3f s, %.1f Gbit/s", HumanBytes(bytes), result.seconds,
                                     GbitPerSecond(bytes, result.seconds));
  if (first != nullptr && first->bound) {
    absl::StrAppendFormat(&text, " into a region of %s on queue %d",
                          HumanBytes(result.region_bytes), first->queue);
  }
  absl::StrAppendFormat(&text, " (%s over %s, %s); bounced %s, %d net_iovs leaked\n",
                        ToString(result.info.backend), result.info.nic, result.info.steering,
                        HumanBytes(Find(result, "payload_bytes_bounced")), result.net_iovs_leaked);
  if (!result.provider_choice.empty()) {
    absl::StrAppend(&text, "memory: ", result.provider_choice, "\n");
  }
  for (const StreamResult& stream : result.streams) {
    if (!stream.sha256.empty()) absl::StrAppend(&text, stream.sha256, "  ", stream.remote, "\n");
  }
  return text;
}

std::string ReportFailures(const RunResult& result) {
  std::string text;
  for (const StreamResult& stream : result.streams) {
    if (stream.status.ok()) continue;
    absl::StrAppend(&text, "stream ", stream.index, " from ", stream.remote, " after ",
                    stream.bytes, " bytes: ", stream.status.message(), "\n");
  }
  if (!result.status.ok()) {
    absl::StrAppend(&text, result.status.message(), "\n");
    // What was refused may only make sense to somebody who knows who refused it.
    if (!result.info.why.empty()) {
      absl::StrAppend(&text, "(backend ", ToString(result.info.backend), ": ", result.info.why,
                      ")\n");
    }
  }
  if (result.net_iovs_leaked > 0) {
    absl::StrAppend(&text, result.net_iovs_leaked,
                    " net_iovs are still in use although everything was given back\n");
  }
  return text;
}

std::string ReportTable(const RunResult& result) {
  std::string text = absl::StrFormat(
      "%-28s %s\n", "backend", absl::StrCat(ToString(result.info.backend), ": ", result.info.why));
  for (const Statistic& statistic : result.statistics) {
    if (statistic.value == 0) continue;
    absl::StrAppendFormat(&text, "%-28s %d\n", statistic.name, statistic.value);
  }
  return text;
}

std::string ProgressLine::Format(const Progress& progress) {
  constexpr uint64_t kGaugeWidth = 20;
  const double seconds = static_cast<double>(progress.now - last_.now) / kSecond;
  const uint64_t news = progress.bytes - last_.bytes;
  const double rate = last_.now == 0 ? 0 : GbitPerSecond(news, seconds);
  last_ = progress;
  std::string line = absl::StrFormat("%12s  %6.1f Gbit/s", HumanBytes(progress.bytes), rate);
  const Account& pool = progress.account;
  if (pool.total == 0) return line;
  const uint64_t filled = (pool.used * kGaugeWidth + pool.total - 1) / pool.total;
  absl::StrAppendFormat(&line, "  pool [%s%s] %3d %% used", std::string(filled, '#'),
                        std::string(kGaugeWidth - filled, '.'), pool.used * 100 / pool.total);
  return line;
}

}  // namespace devmem
