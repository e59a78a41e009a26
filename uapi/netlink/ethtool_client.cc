// SPDX-License-Identifier: Apache-2.0

#include "uapi/netlink/ethtool_client.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "uapi/abi/ethtool_netlink.h"
#include "uapi/netlink/limits.h"

namespace devmem {
namespace {

// The header is attribute 1 of every message of the family.
constexpr uint16_t kHeader = 1;

NetlinkRequest Request(uint8_t command, absl::string_view device) {
  NetlinkRequest request = NetlinkRequest::Generic(command);
  request.Begin(kHeader).String(abi::ETHTOOL_A_HEADER_DEV_NAME, device).End();
  return request;
}

absl::Status NoAnswer(absl::string_view device) {
  return absl::InternalError(
      absl::StrCat("the kernel acknowledged a question about ", device, " without its answer"));
}

// The names of the bits that are set in a bitset.
std::set<std::string> Names(const Attributes& features, uint16_t which) {
  std::set<std::string> names;
  const std::optional<Attributes> bitset = features.Nest(which);
  if (!bitset) return names;
  const bool listed_are_set = bitset->Has(abi::ETHTOOL_A_BITSET_NOMASK);
  const std::optional<Attributes> bits = bitset->Nest(abi::ETHTOOL_A_BITSET_BITS);
  if (!bits) return names;
  for (const Attributes::Item& item : bits->items()) {
    const Attributes bit(item.payload);
    const std::optional<std::string> name = bit.String(abi::ETHTOOL_A_BITSET_BIT_NAME);
    if (name && (listed_are_set || bit.Has(abi::ETHTOOL_A_BITSET_BIT_VALUE))) names.insert(*name);
  }
  return names;
}

}  // namespace

RingsInfo DecodeRings(const Attributes& attributes) {
  RingsInfo rings;
  rings.rx = attributes.U32(abi::ETHTOOL_A_RINGS_RX);
  rings.rx_max = attributes.U32(abi::ETHTOOL_A_RINGS_RX_MAX);
  rings.tx = attributes.U32(abi::ETHTOOL_A_RINGS_TX);
  rings.tx_max = attributes.U32(abi::ETHTOOL_A_RINGS_TX_MAX);
  rings.rx_buf_len_bytes = attributes.U32(abi::ETHTOOL_A_RINGS_RX_BUF_LEN);
  const std::optional<uint8_t> split = attributes.U8(abi::ETHTOOL_A_RINGS_TCP_DATA_SPLIT);
  if (split == abi::ETHTOOL_TCP_DATA_SPLIT_DISABLED) rings.tcp_data_split = DataSplit::kDisabled;
  if (split == abi::ETHTOOL_TCP_DATA_SPLIT_ENABLED) rings.tcp_data_split = DataSplit::kEnabled;
  rings.hds_thresh_bytes = attributes.U32(abi::ETHTOOL_A_RINGS_HDS_THRESH);
  rings.hds_thresh_bytes_max = attributes.U32(abi::ETHTOOL_A_RINGS_HDS_THRESH_MAX);
  return rings;
}

ChannelsInfo DecodeChannels(const Attributes& attributes) {
  ChannelsInfo channels;
  channels.rx = attributes.U32(abi::ETHTOOL_A_CHANNELS_RX_COUNT).value_or(0);
  channels.tx = attributes.U32(abi::ETHTOOL_A_CHANNELS_TX_COUNT).value_or(0);
  channels.other = attributes.U32(abi::ETHTOOL_A_CHANNELS_OTHER_COUNT).value_or(0);
  channels.combined = attributes.U32(abi::ETHTOOL_A_CHANNELS_COMBINED_COUNT).value_or(0);
  channels.rx_max = attributes.U32(abi::ETHTOOL_A_CHANNELS_RX_MAX).value_or(0);
  channels.tx_max = attributes.U32(abi::ETHTOOL_A_CHANNELS_TX_MAX).value_or(0);
  channels.other_max = attributes.U32(abi::ETHTOOL_A_CHANNELS_OTHER_MAX).value_or(0);
  channels.combined_max = attributes.U32(abi::ETHTOOL_A_CHANNELS_COMBINED_MAX).value_or(0);
  return channels;
}

RssTable DecodeRss(const Attributes& attributes) {
  RssTable rss;
  rss.context = attributes.U32(abi::ETHTOOL_A_RSS_CONTEXT).value_or(0);
  rss.hash_function = attributes.U32(abi::ETHTOOL_A_RSS_HFUNC);
  rss.input_transform = attributes.U32(abi::ETHTOOL_A_RSS_INPUT_XFRM);
  if (const auto table = attributes.Bytes(abi::ETHTOOL_A_RSS_INDIR)) {
    rss.queues.resize(std::min<size_t>(table->size() / sizeof(uint32_t), kRssTableEntriesMax));
    if (!rss.queues.empty()) {
      std::memcpy(rss.queues.data(), table->data(), rss.queues.size() * sizeof(uint32_t));
    }
  }
  if (const auto key = attributes.Bytes(abi::ETHTOOL_A_RSS_HKEY)) {
    rss.key.assign(key->begin(), key->end());
  }
  return rss;
}

absl::StatusOr<std::unique_ptr<EthtoolClient>> EthtoolClient::Open(absl::string_view netns_path) {
  absl::StatusOr<std::unique_ptr<GenlSocket>> socket = GenlSocket::Open("ethtool", netns_path);
  if (!socket.ok()) return socket.status();
  return std::make_unique<EthtoolClient>(*std::move(socket));
}

EthtoolClient::EthtoolClient(std::unique_ptr<GenlChannel> channel) : channel_(std::move(channel)) {}

absl::StatusOr<std::vector<GenlMessage>> EthtoolClient::Ask(absl::string_view device,
                                                            NetlinkRequest request,
                                                            KernelOperation operation) {
  RefusalContext context;
  context.device = std::string(device);
  context.command_known = family().Has(request.command());
  absl::StatusOr<GenlAnswer> answer = channel_->Exchange(std::move(request));
  if (!answer.ok()) return answer.status();
  if (!answer->error.ok()) return ExplainRefusal(operation, answer->error, context);
  return std::move(answer->messages);
}

absl::StatusOr<RingsInfo> EthtoolClient::Rings(absl::string_view device) {
  const auto messages =
      Ask(device, Request(abi::ETHTOOL_MSG_RINGS_GET, device), KernelOperation::kRead);
  if (!messages.ok()) return messages.status();
  if (messages->empty()) return NoAnswer(device);
  return DecodeRings(messages->front().attributes());
}

absl::Status EthtoolClient::SetDataSplit(absl::string_view device, DataSplit split) {
  NetlinkRequest request = Request(abi::ETHTOOL_MSG_RINGS_SET, device);
  request.U8(abi::ETHTOOL_A_RINGS_TCP_DATA_SPLIT, static_cast<uint8_t>(split));
  return Ask(device, std::move(request), KernelOperation::kRingsSet).status();
}

absl::Status EthtoolClient::SetHdsThresh(absl::string_view device, uint32_t bytes) {
  NetlinkRequest request = Request(abi::ETHTOOL_MSG_RINGS_SET, device);
  request.U32(abi::ETHTOOL_A_RINGS_HDS_THRESH, bytes);
  return Ask(device, std::move(request), KernelOperation::kRingsSet).status();
}

absl::StatusOr<ChannelsInfo> EthtoolClient::Channels(absl::string_view device) {
  const auto messages =
      Ask(device, Request(abi::ETHTOOL_MSG_CHANNELS_GET, device), KernelOperation::kRead);
  if (!messages.ok()) return messages.status();
  if (messages->empty()) return NoAnswer(device);
  return DecodeChannels(messages->front().attributes());
}

absl::Status EthtoolClient::SetCombinedChannels(absl::string_view device, uint32_t count) {
  NetlinkRequest request = Request(abi::ETHTOOL_MSG_CHANNELS_SET, device);
  request.U32(abi::ETHTOOL_A_CHANNELS_COMBINED_COUNT, count);
  return Ask(device, std::move(request), KernelOperation::kChannelsSet).status();
}

absl::Status EthtoolClient::SetRxChannels(absl::string_view device, uint32_t count) {
  NetlinkRequest request = Request(abi::ETHTOOL_MSG_CHANNELS_SET, device);
  request.U32(abi::ETHTOOL_A_CHANNELS_RX_COUNT, count);
  return Ask(device, std::move(request), KernelOperation::kChannelsSet).status();
}

absl::StatusOr<std::vector<FeatureState>> EthtoolClient::Features(absl::string_view device) {
  const auto messages =
      Ask(device, Request(abi::ETHTOOL_MSG_FEATURES_GET, device), KernelOperation::kRead);
  if (!messages.ok()) return messages.status();
  if (messages->empty()) return NoAnswer(device);
  const Attributes attributes = messages->front().attributes();
  const std::set<std::string> changeable = Names(attributes, abi::ETHTOOL_A_FEATURES_HW);
  const std::set<std::string> wanted = Names(attributes, abi::ETHTOOL_A_FEATURES_WANTED);
  const std::set<std::string> active = Names(attributes, abi::ETHTOOL_A_FEATURES_ACTIVE);
  const std::set<std::string> fixed = Names(attributes, abi::ETHTOOL_A_FEATURES_NOCHANGE);
  std::set<std::string> all = changeable;
  for (const std::set<std::string>* const more : {&wanted, &active, &fixed}) {
    all.insert(more->begin(), more->end());
  }
  std::vector<FeatureState> features;
  for (const std::string& name : all) {
    features.push_back({.name = name,
                        .changeable = changeable.count(name) != 0 && fixed.count(name) == 0,
                        .wanted = wanted.count(name) != 0,
                        .active = active.count(name) != 0});
  }
  return features;
}

absl::Status EthtoolClient::SetFeature(absl::string_view device, absl::string_view name, bool on) {
  NetlinkRequest request = Request(abi::ETHTOOL_MSG_FEATURES_SET, device);
  request.Begin(abi::ETHTOOL_A_FEATURES_WANTED)
      .Begin(abi::ETHTOOL_A_BITSET_BITS)
      .Begin(abi::ETHTOOL_A_BITSET_BITS_BIT)
      .String(abi::ETHTOOL_A_BITSET_BIT_NAME, name);
  if (on) request.Flag(abi::ETHTOOL_A_BITSET_BIT_VALUE);
  request.End().End().End();
  const auto messages = Ask(device, std::move(request), KernelOperation::kFeaturesSet);
  if (!messages.ok()) return messages.status();
  // A wish that the driver does not follow is no error of the kernel's.
  const absl::StatusOr<std::vector<FeatureState>> now = Features(device);
  if (!now.ok()) return now.status();
  const auto found = std::find_if(now->begin(), now->end(),
                                  [&](const FeatureState& each) { return each.name == name; });
  if (found != now->end() && found->active == on) return absl::OkStatus();
  if (found == now->end() && !on) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat("setting ", name, on ? " on" : " off", " on ", device,
                   ": the driver does not follow; see what is fixed: ethtool -k ", device));
}

absl::StatusOr<std::vector<RssTable>> EthtoolClient::RssTables(absl::string_view device) {
  NetlinkRequest request = NetlinkRequest::Generic(abi::ETHTOOL_MSG_RSS_GET, true);
  request.Begin(kHeader).String(abi::ETHTOOL_A_HEADER_DEV_NAME, device).End();
  const auto messages = Ask(device, std::move(request), KernelOperation::kRead);
  std::vector<RssTable> tables;
  if (messages.ok()) {
    for (const GenlMessage& message : *messages) tables.push_back(DecodeRss(message.attributes()));
    std::stable_sort(tables.begin(), tables.end(),
                     [](const RssTable& a, const RssTable& b) { return a.context < b.context; });
  }
  if (!tables.empty()) return tables;
  // Kernels before 6.11 have no dump of contexts.
  absl::StatusOr<RssTable> main = MainRssTable(device);
  if (!main.ok()) return main.status();
  tables.push_back(*std::move(main));
  return tables;
}

absl::StatusOr<RssTable> EthtoolClient::MainRssTable(absl::string_view device) {
  const auto messages =
      Ask(device, Request(abi::ETHTOOL_MSG_RSS_GET, device), KernelOperation::kRead);
  if (!messages.ok()) return messages.status();
  if (messages->empty()) return NoAnswer(device);
  return DecodeRss(messages->front().attributes());
}

bool EthtoolClient::CanSetRss() const { return family().Has(abi::ETHTOOL_MSG_RSS_SET); }

absl::Status EthtoolClient::SetMainRssTable(absl::string_view device,
                                            std::span<const uint32_t> queues) {
  if (queues.size() > kRssTableEntriesMax) {
    return absl::OutOfRangeError(
        absl::StrCat("an RSS table of ", queues.size(), " entries; at most ", kRssTableEntriesMax));
  }
  NetlinkRequest request = Request(abi::ETHTOOL_MSG_RSS_SET, device);
  request.Bytes(abi::ETHTOOL_A_RSS_INDIR,
                {reinterpret_cast<const uint8_t*>(queues.data()), queues.size_bytes()});
  return Ask(device, std::move(request), KernelOperation::kRssSet).status();
}

}  // namespace devmem
