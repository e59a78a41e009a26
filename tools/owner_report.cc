// SPDX-License-Identifier: Apache-2.0
//
// See owner_report.h.

#include "tools/owner_report.h"

#include <algorithm>
#include <bit>
#include <optional>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "tools/pool_report.h"

namespace devmem {
namespace {

// The rx queues that have memory of the session's, in order.
std::vector<uint32_t> BoundQueues(const PublishedSession& session) {
  std::vector<uint32_t> queues;
  for (const StatsFigures& record : session.records) {
    const bool bound = record.region_bytes != 0 || record.kernel_binding != 0;
    if (record.kind != StatsKind::kQueue || !bound) continue;
    queues.push_back(static_cast<uint32_t>(record.queue));
  }
  std::sort(queues.begin(), queues.end());
  return queues;
}

const PublishedSession* Find(const OwnerSample& sample, const std::string& path) {
  for (const PublishedSession& session : sample.listing.sessions) {
    if (session.path == path) return &session;
  }
  return nullptr;
}

// How what a session holds shrinks; nothing without an earlier look at it.
std::optional<double> DrainOf(const PublishedSession& session, const OwnerSample* before,
                              const OwnerSample& now) {
  if (before == nullptr || now.time_ns <= before->time_ns) return std::nullopt;
  const PublishedSession* const earlier = Find(*before, session.path);
  if (earlier == nullptr) return std::nullopt;
  return DrainBytesPerSecond(SumOf(*earlier).held_bytes, SumOf(session).held_bytes,
                             now.time_ns - before->time_ns);
}

std::optional<double> ReceiveRateOf(const PublishedSession& session, const OwnerSample* before,
                                    const OwnerSample& now) {
  if (before == nullptr || now.time_ns <= before->time_ns) return std::nullopt;
  const PublishedSession* const earlier = Find(*before, session.path);
  if (earlier == nullptr) return std::nullopt;
  const uint64_t bytes = SumOf(session).payload_bytes - SumOf(*earlier).payload_bytes;
  return static_cast<double>(bytes) * 1e9 / static_cast<double>(now.time_ns - before->time_ns);
}

// In parentheses: by the session's own word, because this PID namespace does not show the process
// or it is gone.
std::string PidText(const PublishedSession& session) {
  return session.pid_here.has_value() ? absl::StrCat(*session.pid_here)
                                      : absl::StrCat("(", session.pid, ")");
}

std::string StateText(const PublishedSession& session) {
  return absl::StrCat(session.live ? "live" : "gone", session.unsettled != 0 ? ", torn" : "");
}

std::string DashIfEmpty(std::string text) { return text.empty() ? "-" : text; }

std::optional<double> ShareOf(const StatsFigures& sum) {
  if (sum.region_bytes == 0) return std::nullopt;
  return static_cast<double>(sum.held_bytes) / static_cast<double>(sum.region_bytes);
}

// Who is asked, and how far that can be believed.
JsonObject IdentityToJson(const PublishedSession& session) {
  JsonObject json;
  if (session.pid_here.has_value()) {
    json.Number("pid", static_cast<uint64_t>(*session.pid_here));
  } else {
    json.Null("pid");
  }
  json.Number("own_pid", static_cast<uint64_t>(session.pid));
  json.Bool("same_pid_namespace", session.same_pid_namespace);
  json.Number("uid", session.uid).Text("command", session.command);
  json.Text("state", session.live ? "live" : "gone").Bool("torn", session.unsettled != 0);
  json.Text("page", session.path);
  json.Text("backend", session.backend).Text("device", session.device);
  json.Number("net_namespace", session.net_namespace);
  return json;
}

JsonObject OwnerToJson(const PublishedSession& session, const OwnerSample* before,
                       const OwnerSample& now) {
  const StatsFigures sum = SumOf(session);
  JsonObject json = IdentityToJson(session);
  json.Numbers("queues", BoundQueues(session));
  json.Number("region_bytes", sum.region_bytes).Number("held_bytes", sum.held_bytes);
  if (const std::optional<double> share = ShareOf(sum)) json.Fraction("share", *share);
  json.Number("tokens", sum.tokens_held).Number("tokens_issued", sum.tokens_issued);
  json.Number("tokens_returned", sum.tokens_returned);
  json.Number("tokens_refused", sum.tokens_refused);
  json.Number("connections", sum.connections);
  json.Number("connections_total", sum.connections_total);
  json.Number("net_iovs", sum.net_iovs);
  json.Number("net_iovs_free", sum.net_iovs - std::min(sum.net_iovs, sum.net_iovs_used));
  json.Number("payload_bytes", sum.payload_bytes);
  json.Number("payload_bytes_bounced", sum.bounced_bytes);
  json.Number("drop_pool_empty", sum.drop_pool_empty).Number("drop_other", sum.drop_other);
  json.Number("starved", sum.starved);
  const std::optional<double> drain = DrainOf(session, before, now);
  if (drain.has_value()) json.Fraction("drain_bytes_per_second", *drain);
  const std::optional<double> received = ReceiveRateOf(session, before, now);
  if (received.has_value()) json.Fraction("receive_bytes_per_second", *received);
  const std::optional<double> seconds = SecondsToEmpty(sum.held_bytes, drain);
  if (before != nullptr && seconds.has_value()) json.Fraction("seconds_to_empty", *seconds);
  return json;
}

// The rx queue that a pool fills, by the NAPI that both name.
std::optional<uint64_t> QueueOf(const PagePool& pool, const std::vector<NetdevQueue>& queues) {
  for (const NetdevQueue& queue : queues) {
    if (queue.type == QueueType::kRx && queue.io_uring && queue.ifindex == pool.ifindex &&
        queue.napi_id.has_value() && queue.napi_id == pool.napi_id) {
      return queue.id;
    }
  }
  return std::nullopt;
}

bool HasQueue(const PublishedSession& session, uint64_t queue) {
  const std::vector<uint32_t> bound = BoundQueues(session);
  return std::find(bound.begin(), bound.end(), queue) != bound.end();
}

bool HasBinding(const PublishedSession& session, uint64_t binding) {
  return std::any_of(
      session.records.begin(), session.records.end(),
      [binding](const StatsFigures& record) { return record.kernel_binding == binding; });
}

}  // namespace

StatsFigures SumOf(const PublishedSession& session) {
  StatsRecord::Words sum = {};
  for (const StatsFigures& record : session.records) {
    const auto words = std::bit_cast<StatsRecord::Words>(record);
    for (size_t i = 0; i < sum.size(); ++i) sum[i] += words[i];
  }
  auto figures = std::bit_cast<StatsFigures>(sum);
  // What the host region has is not bound, but frags of it are held.
  for (const StatsFigures& record : session.records) {
    if (record.kind != StatsKind::kHost) continue;
    figures.region_bytes -= record.region_bytes;
    figures.net_iovs -= record.net_iovs;
    figures.net_iovs_used -= record.net_iovs_used;
  }
  return figures;
}

void KeepDevice(absl::string_view device, uint64_t net_namespace, StatsListing* listing) {
  if (device.empty()) return;
  std::erase_if(listing->sessions, [&](const PublishedSession& session) {
    return session.device != device || session.net_namespace != net_namespace;
  });
}

std::map<uint64_t, pid_t> FindPoolOwners(const std::vector<PagePool>& pools,
                                         const std::vector<NetdevQueue>& queues,
                                         const std::vector<PublishedSession>& sessions,
                                         uint64_t net_namespace, const NameInterface& name) {
  std::map<uint64_t, pid_t> owners;
  for (const PagePool& pool : pools) {
    const std::optional<uint64_t> queue = pool.io_uring ? QueueOf(pool, queues) : std::nullopt;
    for (const PublishedSession& session : sessions) {
      if (!session.pid_here.has_value() || session.net_namespace != net_namespace) continue;
      const bool bound = pool.dmabuf.has_value() && HasBinding(session, *pool.dmabuf);
      const bool ringed =
          queue.has_value() && session.device == name(*pool.ifindex) && HasQueue(session, *queue);
      if (bound || ringed) owners[pool.id] = *session.pid_here;
    }
  }
  return owners;
}

TableRows OwnerRows(const OwnerSample* before, const OwnerSample& now) {
  TableRows rows = {{"PID", "UID", "COMMAND", "BACKEND", "DEVICE", "QUEUES", "CONNS", "TOKENS",
                     "HELD", "REGION", "SHARE", "CHANGE", "EMPTY-IN", "DROPS", "STATE"}};
  for (const PublishedSession& session : now.listing.sessions) {
    const StatsFigures sum = SumOf(session);
    const std::optional<double> drain = DrainOf(session, before, now);
    const std::optional<double> share = ShareOf(sum);
    rows.push_back({PidText(session), absl::StrCat(session.uid), DashIfEmpty(session.command),
                    DashIfEmpty(session.backend), DashIfEmpty(session.device),
                    DashIfEmpty(absl::StrJoin(BoundQueues(session), ",")),
                    absl::StrCat(sum.connections), absl::StrCat(sum.tokens_held),
                    absl::StrCat(sum.held_bytes), absl::StrCat(sum.region_bytes),
                    share.has_value() ? absl::StrFormat("%.1f%%", *share * 100) : "-",
                    DrainText(drain), EmptyText(SecondsToEmpty(sum.held_bytes, drain)),
                    absl::StrCat(sum.drop_pool_empty + sum.drop_other), StateText(session)});
  }
  return rows;
}

void AddOwners(const OwnerSample* before, const OwnerSample& now, JsonObject* json) {
  std::vector<JsonObject> owners;
  uint64_t gone = 0;
  uint64_t tokens = 0;
  uint64_t held_bytes = 0;
  for (const PublishedSession& session : now.listing.sessions) {
    owners.push_back(OwnerToJson(session, before, now));
    if (!session.live) {
      ++gone;
      continue;
    }
    const StatsFigures sum = SumOf(session);
    tokens += sum.tokens_held;
    held_bytes += sum.held_bytes;
  }
  json->List("owners", std::move(owners)).Number("owners_gone", gone);
  json->Number("tokens", tokens).Number("held_bytes", held_bytes);
  json->Texts("passed_over", now.listing.passed_over).Bool("complete", now.listing.complete);
}

}  // namespace devmem
