// SPDX-License-Identifier: Apache-2.0
//
// See netdev_report.h.

#include "tools/netdev_report.h"

#include <net/if.h>

#include <array>
#include <cstdlib>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace devmem {
namespace {

// Names of bits, in the order of the specification.
constexpr std::array<const char*, 7> kXdpFeatures = {
    "basic", "redirect", "ndo-xmit", "xsk-zerocopy", "hw-offload", "rx-sg", "ndo-xmit-sg"};
constexpr std::array<const char*, 3> kRxMetadata = {"timestamp", "hash", "vlan-tag"};
constexpr std::array<const char*, 3> kXskFeatures = {"tx-timestamp", "tx-checksum",
                                                     "tx-launch-time-fifo"};
constexpr std::array<const char*, 3> kThreaded = {"disabled", "enabled", "busy-poll"};

template <size_t N>
std::vector<std::string> BitNames(uint64_t bits, const std::array<const char*, N>& names) {
  std::vector<std::string> words;
  for (uint32_t bit = 0; bit < 64; ++bit) {
    if ((bits >> bit & 1) == 0) continue;
    words.push_back(bit < N ? names[bit] : absl::StrCat("bit-", bit));
  }
  return words;
}

const char* ToString(QueueType type) { return type == QueueType::kRx ? "rx" : "tx"; }

template <typename Number>
std::string Cell(const std::optional<Number>& value) {
  return value.has_value() ? absl::StrCat(*value) : "-";
}

std::string Cell(const std::vector<std::string>& words) {
  return words.empty() ? "-" : absl::StrJoin(words, ",");
}

std::string ThreadedWord(uint32_t threaded) {
  return threaded < kThreaded.size() ? kThreaded[threaded] : absl::StrCat(threaded);
}

template <typename Number>
void AddNumber(absl::string_view key, const std::optional<Number>& value, JsonObject* json) {
  if (value.has_value()) json->Number(key, *value);
}

JsonObject IoUringToJson(const std::optional<uint64_t>& rx_buf_len_bytes) {
  JsonObject json;
  AddNumber("rx-buf-len", rx_buf_len_bytes, &json);
  return json;
}

JsonObject LeaseToJson(const QueueLease& lease) {
  JsonObject queue;
  queue.Number("id", lease.queue).Text("type", ToString(lease.type));
  JsonObject json;
  json.Number("ifindex", lease.ifindex).Object("queue", std::move(queue));
  if (lease.netns_id.has_value()) {
    json.Number("netns-id", static_cast<uint64_t>(*lease.netns_id));
  }
  return json;
}

std::string LeaseCell(const NetdevQueue& queue, const NameInterface& name) {
  if (!queue.lease.has_value()) return "-";
  const QueueLease& lease = *queue.lease;
  // A number of another namespace means nothing in this one.
  return lease.netns_id.has_value()
             ? absl::StrCat("netns ", *lease.netns_id, " if", lease.ifindex, ":", lease.queue)
             : absl::StrCat(name(lease.ifindex), ":", lease.queue);
}

std::string Dash(std::string text) { return text.empty() ? "-" : text; }

}  // namespace

std::string InterfaceName(uint32_t ifindex) {
  char name[IF_NAMESIZE] = {};
  return if_indextoname(ifindex, name) != nullptr ? name : absl::StrCat("if", ifindex);
}

std::string MemoryOwner(const NetdevQueue& queue) {
  if (queue.dmabuf.has_value()) return absl::StrCat("devmem ", *queue.dmabuf);
  if (queue.io_uring) return "io_uring";
  return queue.af_xdp ? "xsk" : "";
}

std::string MemoryOwner(const PagePool& pool) {
  if (pool.dmabuf.has_value()) return absl::StrCat("devmem ", *pool.dmabuf);
  return pool.io_uring ? "io_uring" : "";
}

TableRows DeviceRows(const std::vector<NetdevDevice>& devices, const NameInterface& name) {
  TableRows rows = {{"DEVICE", "IFINDEX", "XDP", "RX-METADATA", "XSK"}};
  for (const NetdevDevice& device : devices) {
    rows.push_back({name(device.ifindex), absl::StrCat(device.ifindex),
                    Cell(BitNames(device.xdp_features, kXdpFeatures)),
                    Cell(BitNames(device.xdp_rx_metadata_features.value_or(0), kRxMetadata)),
                    Cell(BitNames(device.xsk_features.value_or(0), kXskFeatures))});
  }
  return rows;
}

TableRows QueueRows(const std::vector<NetdevQueue>& queues, const NameInterface& name) {
  TableRows rows = {{"DEVICE", "TYPE", "QUEUE", "NAPI", "MEMORY", "LEASED-TO"}};
  for (const NetdevQueue& queue : queues) {
    rows.push_back({name(queue.ifindex), ToString(queue.type), absl::StrCat(queue.id),
                    Cell(queue.napi_id), Dash(MemoryOwner(queue)), LeaseCell(queue, name)});
  }
  return rows;
}

TableRows NapiRows(const std::vector<NetdevNapi>& napis, const NameInterface& name) {
  TableRows rows = {
      {"DEVICE", "NAPI", "IRQ", "PID", "THREADED", "DEFER-IRQS", "GRO-FLUSH-NS", "IRQ-SUSPEND-NS"}};
  for (const NetdevNapi& napi : napis) {
    rows.push_back({name(napi.ifindex), absl::StrCat(napi.id), Cell(napi.irq), Cell(napi.pid),
                    napi.threaded.has_value() ? ThreadedWord(*napi.threaded) : "-",
                    Cell(napi.defer_hard_irqs), Cell(napi.gro_flush_timeout_ns),
                    Cell(napi.irq_suspend_timeout_ns)});
  }
  return rows;
}

TableRows PagePoolRows(const std::vector<PagePool>& pools, const NameInterface& name,
                       uint64_t now_seconds) {
  TableRows rows = {{"POOL", "DEVICE", "NAPI", "INFLIGHT", "BYTES", "MEMORY", "DETACHED"}};
  for (const PagePool& pool : pools) {
    std::string detached = "-";
    if (pool.detached_at_seconds.has_value()) {
      const uint64_t at = *pool.detached_at_seconds;
      detached = absl::StrCat(now_seconds > at ? now_seconds - at : 0, " s ago");
    }
    rows.push_back({absl::StrCat(pool.id), pool.ifindex.has_value() ? name(*pool.ifindex) : "gone",
                    Cell(pool.napi_id), Cell(pool.inflight_buffers), Cell(pool.inflight_bytes),
                    Dash(MemoryOwner(pool)), detached});
  }
  return rows;
}

JsonObject ToJson(const NetdevDevice& device, const NameInterface& name) {
  JsonObject json;
  json.Text("ifname", name(device.ifindex)).Number("ifindex", device.ifindex);
  json.Texts("xdp-features", BitNames(device.xdp_features, kXdpFeatures));
  AddNumber("xdp-zc-max-segs", device.xdp_zc_max_segs, &json);
  if (device.xdp_rx_metadata_features.has_value()) {
    json.Texts("xdp-rx-metadata-features", BitNames(*device.xdp_rx_metadata_features, kRxMetadata));
  }
  if (device.xsk_features.has_value()) {
    json.Texts("xsk-features", BitNames(*device.xsk_features, kXskFeatures));
  }
  return json;
}

JsonObject ToJson(const NetdevQueue& queue, const NameInterface& name) {
  JsonObject json;
  json.Text("ifname", name(queue.ifindex)).Number("ifindex", queue.ifindex);
  json.Text("type", ToString(queue.type)).Number("id", queue.id);
  AddNumber("napi-id", queue.napi_id, &json);
  AddNumber("dmabuf", queue.dmabuf, &json);
  if (queue.io_uring) json.Object("io-uring", IoUringToJson(queue.io_uring_rx_buf_len_bytes));
  if (queue.af_xdp) json.Object("xsk", JsonObject());
  if (queue.lease.has_value()) json.Object("lease", LeaseToJson(*queue.lease));
  return json;
}

JsonObject ToJson(const NetdevNapi& napi, const NameInterface& name) {
  JsonObject json;
  json.Text("ifname", name(napi.ifindex)).Number("ifindex", napi.ifindex).Number("id", napi.id);
  AddNumber("irq", napi.irq, &json);
  AddNumber("pid", napi.pid, &json);
  if (napi.threaded.has_value()) json.Text("threaded", ThreadedWord(*napi.threaded));
  AddNumber("defer-hard-irqs", napi.defer_hard_irqs, &json);
  AddNumber("gro-flush-timeout", napi.gro_flush_timeout_ns, &json);
  AddNumber("irq-suspend-timeout", napi.irq_suspend_timeout_ns, &json);
  return json;
}

JsonObject ToJson(const PagePool& pool, const NameInterface& name) {
  JsonObject json;
  json.Number("id", pool.id);
  if (pool.ifindex.has_value()) {
    json.Text("ifname", name(*pool.ifindex)).Number("ifindex", *pool.ifindex);
  }
  AddNumber("napi-id", pool.napi_id, &json);
  AddNumber("inflight", pool.inflight_buffers, &json);
  AddNumber("inflight-mem", pool.inflight_bytes, &json);
  AddNumber("detach-time", pool.detached_at_seconds, &json);
  AddNumber("dmabuf", pool.dmabuf, &json);
  if (pool.io_uring) json.Object("io-uring", IoUringToJson(pool.io_uring_rx_buf_len_bytes));
  return json;
}

}  // namespace devmem
