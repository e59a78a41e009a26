// SPDX-License-Identifier: Apache-2.0

#include "uapi/netlink/netdev_client.h"

#include <net/if.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "uapi/abi/netdev.h"
#include "uapi/netlink/netdev_decode.h"

namespace devmem {
namespace {

constexpr absl::string_view kFamily = "netdev";

RefusalContext ContextOf(uint32_t ifindex, std::span<const uint32_t> queues = {}) {
  RefusalContext context;
  context.device = absl::StrCat("interface ", ifindex);
  context.queues.assign(queues.begin(), queues.end());
  return context;
}

absl::Status NoAnswer(absl::string_view what) {
  return absl::InternalError(absl::StrCat("the kernel acknowledged ", what, " without its answer"));
}

}  // namespace

absl::StatusOr<std::unique_ptr<NetdevClient>> NetdevClient::Open(absl::string_view netns_path) {
  absl::StatusOr<std::unique_ptr<GenlSocket>> socket = GenlSocket::Open(kFamily, netns_path);
  if (!socket.ok()) return socket.status();
  return std::make_unique<NetdevClient>(*std::move(socket));
}

NetdevClient::NetdevClient(std::unique_ptr<GenlChannel> channel) : channel_(std::move(channel)) {}

absl::StatusOr<std::vector<GenlMessage>> NetdevClient::Ask(NetlinkRequest request,
                                                           KernelOperation operation,
                                                           RefusalContext context) {
  context.command_known = family().Has(request.command());
  absl::StatusOr<GenlAnswer> answer = channel_->Exchange(std::move(request));
  if (!answer.ok()) return answer.status();
  if (!answer->error.ok()) return ExplainRefusal(operation, answer->error, context);
  return std::move(answer->messages);
}

template <typename Value>
absl::StatusOr<std::vector<Value>> NetdevClient::Dump(uint8_t command, uint16_t filter,
                                                      std::optional<uint32_t> ifindex,
                                                      Value (*decode)(const Attributes&)) {
  NetlinkRequest request = NetlinkRequest::Generic(command, true);
  if (ifindex) request.U32(filter, *ifindex);
  absl::StatusOr<std::vector<GenlMessage>> messages = Ask(
      std::move(request), KernelOperation::kRead, ifindex ? ContextOf(*ifindex) : RefusalContext());
  if (!messages.ok()) return messages.status();
  std::vector<Value> values;
  for (const GenlMessage& message : *messages) values.push_back(decode(message.attributes()));
  return values;
}

absl::StatusOr<std::vector<NetdevDevice>> NetdevClient::Devices(std::optional<uint32_t> ifindex) {
  // A dump of devices takes no filter.
  if (!ifindex) return Dump(abi::NETDEV_CMD_DEV_GET, 0, ifindex, DecodeDevice);
  NetlinkRequest request = NetlinkRequest::Generic(abi::NETDEV_CMD_DEV_GET);
  request.U32(abi::NETDEV_A_DEV_IFINDEX, *ifindex);
  const auto messages = Ask(std::move(request), KernelOperation::kRead, ContextOf(*ifindex));
  if (!messages.ok()) return messages.status();
  if (messages->empty()) return NoAnswer("dev-get");
  return std::vector<NetdevDevice>{DecodeDevice(messages->front().attributes())};
}

absl::StatusOr<std::vector<NetdevQueue>> NetdevClient::Queues(std::optional<uint32_t> ifindex) {
  return Dump(abi::NETDEV_CMD_QUEUE_GET, abi::NETDEV_A_QUEUE_IFINDEX, ifindex, DecodeQueue);
}

absl::StatusOr<NetdevQueue> NetdevClient::Queue(uint32_t ifindex, QueueType type, uint32_t id) {
  NetlinkRequest request = NetlinkRequest::Generic(abi::NETDEV_CMD_QUEUE_GET);
  request.U32(abi::NETDEV_A_QUEUE_IFINDEX, ifindex)
      .U32(abi::NETDEV_A_QUEUE_TYPE, static_cast<uint32_t>(type))
      .U32(abi::NETDEV_A_QUEUE_ID, id);
  const uint32_t queues[] = {id};
  const auto messages = Ask(std::move(request), KernelOperation::kRead, ContextOf(ifindex, queues));
  if (!messages.ok()) return messages.status();
  if (messages->empty()) return NoAnswer("queue-get");
  return DecodeQueue(messages->front().attributes());
}

absl::StatusOr<std::vector<NetdevNapi>> NetdevClient::Napis(std::optional<uint32_t> ifindex) {
  return Dump(abi::NETDEV_CMD_NAPI_GET, abi::NETDEV_A_NAPI_IFINDEX, ifindex, DecodeNapi);
}

absl::StatusOr<std::vector<PagePool>> NetdevClient::PagePools(std::optional<uint32_t> ifindex) {
  // The kernel's dump takes no filter here, so the choice is ours.
  absl::StatusOr<std::vector<PagePool>> pools =
      Dump(abi::NETDEV_CMD_PAGE_POOL_GET, 0, std::nullopt, DecodePagePool);
  if (pools.ok() && ifindex) {
    std::erase_if(*pools, [&](const PagePool& pool) { return pool.ifindex != ifindex; });
  }
  return pools;
}

absl::StatusOr<std::vector<PagePoolStats>> NetdevClient::PagePoolsStats(
    std::optional<uint32_t> ifindex) {
  absl::StatusOr<std::vector<PagePoolStats>> stats =
      Dump(abi::NETDEV_CMD_PAGE_POOL_STATS_GET, 0, std::nullopt, DecodePagePoolStats);
  if (stats.ok() && ifindex) {
    std::erase_if(*stats, [&](const PagePoolStats& each) { return each.ifindex != ifindex; });
  }
  return stats;
}

absl::StatusOr<std::vector<QueueStats>> NetdevClient::Statistics(std::optional<uint32_t> ifindex,
                                                                 bool per_queue) {
  NetlinkRequest request = NetlinkRequest::Generic(abi::NETDEV_CMD_QSTATS_GET, true);
  if (ifindex) request.U32(abi::NETDEV_A_QSTATS_IFINDEX, *ifindex);
  if (per_queue) request.U32(abi::NETDEV_A_QSTATS_SCOPE, abi::NETDEV_QSTATS_SCOPE_QUEUE);
  const auto messages = Ask(std::move(request), KernelOperation::kRead,
                            ifindex ? ContextOf(*ifindex) : RefusalContext());
  if (!messages.ok()) return messages.status();
  std::vector<QueueStats> values;
  for (const GenlMessage& message : *messages) {
    values.push_back(DecodeQueueStats(message.attributes()));
  }
  return values;
}

absl::StatusOr<uint32_t> NetdevClient::BindRx(uint32_t ifindex, int dmabuf_fd,
                                              std::span<const uint32_t> queues) {
  NetlinkRequest request = NetlinkRequest::Generic(abi::NETDEV_CMD_BIND_RX);
  request.U32(abi::NETDEV_A_DMABUF_IFINDEX, ifindex)
      .U32(abi::NETDEV_A_DMABUF_FD, static_cast<uint32_t>(dmabuf_fd));
  for (const uint32_t queue : queues) {
    request.Begin(abi::NETDEV_A_DMABUF_QUEUES)
        .U32(abi::NETDEV_A_QUEUE_ID, queue)
        .U32(abi::NETDEV_A_QUEUE_TYPE, abi::NETDEV_QUEUE_TYPE_RX)
        .End();
  }
  const auto messages =
      Ask(std::move(request), KernelOperation::kBindRx, ContextOf(ifindex, queues));
  if (!messages.ok()) return messages.status();
  if (messages->empty()) return NoAnswer("bind-rx");
  return messages->front().attributes().U32(abi::NETDEV_A_DMABUF_ID).value_or(0);
}

absl::StatusOr<uint32_t> NetdevClient::BindTx(uint32_t ifindex, int dmabuf_fd) {
  NetlinkRequest request = NetlinkRequest::Generic(abi::NETDEV_CMD_BIND_TX);
  request.U32(abi::NETDEV_A_DMABUF_IFINDEX, ifindex)
      .U32(abi::NETDEV_A_DMABUF_FD, static_cast<uint32_t>(dmabuf_fd));
  const auto messages = Ask(std::move(request), KernelOperation::kBindTx, ContextOf(ifindex));
  if (!messages.ok()) return messages.status();
  if (messages->empty()) return NoAnswer("bind-tx");
  return messages->front().attributes().U32(abi::NETDEV_A_DMABUF_ID).value_or(0);
}

absl::StatusOr<uint32_t> NetdevClient::CreateQueue(const QueueLeaseRequest& lease) {
  NetlinkRequest request = NetlinkRequest::Generic(abi::NETDEV_CMD_QUEUE_CREATE);
  request.U32(abi::NETDEV_A_QUEUE_IFINDEX, lease.virtual_ifindex)
      .U32(abi::NETDEV_A_QUEUE_TYPE, abi::NETDEV_QUEUE_TYPE_RX)
      .Begin(abi::NETDEV_A_QUEUE_LEASE)
      .U32(abi::NETDEV_A_LEASE_IFINDEX, lease.physical_ifindex)
      .Begin(abi::NETDEV_A_LEASE_QUEUE)
      .U32(abi::NETDEV_A_QUEUE_ID, lease.physical_queue)
      .U32(abi::NETDEV_A_QUEUE_TYPE, abi::NETDEV_QUEUE_TYPE_RX)
      .End();
  if (lease.netns_id) {
    request.U32(abi::NETDEV_A_LEASE_NETNS_ID, static_cast<uint32_t>(*lease.netns_id));
  }
  request.End();
  const uint32_t queues[] = {lease.physical_queue};
  const auto messages = Ask(std::move(request), KernelOperation::kQueueCreate,
                            ContextOf(lease.virtual_ifindex, queues));
  if (!messages.ok()) return messages.status();
  if (messages->empty()) return NoAnswer("queue-create");
  return messages->front().attributes().U32(abi::NETDEV_A_QUEUE_ID).value_or(0);
}

RxBinding::RxBinding(uint32_t id, std::vector<uint32_t> queues,
                     std::unique_ptr<GenlChannel> channel)
    : id_(id), queues_(std::move(queues)), channel_(std::move(channel)) {}
RxBinding::~RxBinding() = default;

TxBinding::TxBinding(uint32_t id, std::unique_ptr<GenlChannel> channel)
    : id_(id), channel_(std::move(channel)) {}
TxBinding::~TxBinding() = default;

}  // namespace devmem
