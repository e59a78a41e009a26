// SPDX-License-Identifier: Apache-2.0

#include "uapi/netlink/attribute_names.h"

#include "absl/strings/str_cat.h"
#include "uapi/abi/ethtool_netlink.h"
#include "uapi/abi/netdev.h"
#include "uapi/netlink/attributes.h"

namespace devmem {
namespace {

constexpr AttributeName kDevNames[] = {{1, "ifindex"},
                                       {3, "xdp-features"},
                                       {4, "xdp-zc-max-segs"},
                                       {5, "xdp-rx-metadata-features"},
                                       {6, "xsk-features"}};
constexpr AttributeSet kDev = {kDevNames};

constexpr AttributeName kIoUringNames[] = {{1, "rx-buf-len"}};
constexpr AttributeSet kIoUring = {kIoUringNames};

constexpr AttributeName kPagePoolNames[] = {
    {1, "id"},           {2, "ifindex"},     {3, "napi-id"}, {4, "inflight"},
    {5, "inflight-mem"}, {6, "detach-time"}, {7, "dmabuf"},  {8, "io-uring", &kIoUring}};
constexpr AttributeSet kPagePool = {kPagePoolNames};

constexpr AttributeName kPagePoolStatsNames[] = {
    {1, "info", &kPagePool},       {8, "alloc-fast"},         {9, "alloc-slow"},
    {10, "alloc-slow-high-order"}, {11, "alloc-empty"},       {12, "alloc-refill"},
    {13, "alloc-waive"},           {14, "recycle-cached"},    {15, "recycle-cache-full"},
    {16, "recycle-ring"},          {17, "recycle-ring-full"}, {18, "recycle-released-refcnt"}};
constexpr AttributeSet kPagePoolStats = {kPagePoolStatsNames};

constexpr AttributeName kNapiNames[] = {{1, "ifindex"},
                                        {2, "id"},
                                        {3, "irq"},
                                        {4, "pid"},
                                        {5, "defer-hard-irqs"},
                                        {6, "gro-flush-timeout"},
                                        {7, "irq-suspend-timeout"},
                                        {8, "threaded"}};
constexpr AttributeSet kNapi = {kNapiNames};

constexpr AttributeName kQueueIdNames[] = {{1, "id"}, {3, "type"}};
constexpr AttributeSet kQueueId = {kQueueIdNames};

constexpr AttributeName kLeaseNames[] = {{1, "ifindex"}, {2, "queue", &kQueueId}, {3, "netns-id"}};
constexpr AttributeSet kLease = {kLeaseNames};

constexpr AttributeName kQueueNames[] = {{1, "id"},     {2, "ifindex"},
                                         {3, "type"},   {4, "napi-id"},
                                         {5, "dmabuf"}, {6, "io-uring", &kIoUring},
                                         {7, "xsk"},    {8, "lease", &kLease}};
constexpr AttributeSet kQueue = {kQueueNames};

constexpr AttributeName kDmabufNames[] = {
    {1, "ifindex"}, {2, "queues", &kQueueId}, {3, "fd"}, {4, "id"}};
constexpr AttributeSet kDmabuf = {kDmabufNames};

constexpr AttributeName kQstatsNames[] = {{1, "ifindex"},
                                          {2, "queue-type"},
                                          {3, "queue-id"},
                                          {4, "scope"},
                                          {8, "rx-packets"},
                                          {9, "rx-bytes"},
                                          {10, "tx-packets"},
                                          {11, "tx-bytes"},
                                          {12, "rx-alloc-fail"},
                                          {13, "rx-hw-drops"},
                                          {14, "rx-hw-drop-overruns"},
                                          {15, "rx-csum-complete"},
                                          {16, "rx-csum-unnecessary"},
                                          {17, "rx-csum-none"},
                                          {18, "rx-csum-bad"},
                                          {19, "rx-hw-gro-packets"},
                                          {20, "rx-hw-gro-bytes"},
                                          {21, "rx-hw-gro-wire-packets"},
                                          {22, "rx-hw-gro-wire-bytes"},
                                          {23, "rx-hw-drop-ratelimits"},
                                          {24, "tx-hw-drops"},
                                          {25, "tx-hw-drop-errors"},
                                          {26, "tx-csum-none"},
                                          {27, "tx-needs-csum"},
                                          {28, "tx-hw-gso-packets"},
                                          {29, "tx-hw-gso-bytes"},
                                          {30, "tx-hw-gso-wire-packets"},
                                          {31, "tx-hw-gso-wire-bytes"},
                                          {32, "tx-hw-drop-ratelimits"},
                                          {33, "tx-stop"},
                                          {34, "tx-wake"}};
constexpr AttributeSet kQstats = {kQstatsNames};

constexpr CommandName kNetdevCommands[] = {{1, "dev-get", &kDev},
                                           {2, "dev-add-ntf", &kDev},
                                           {3, "dev-del-ntf", &kDev},
                                           {4, "dev-change-ntf", &kDev},
                                           {5, "page-pool-get", &kPagePool},
                                           {6, "page-pool-add-ntf", &kPagePool},
                                           {7, "page-pool-del-ntf", &kPagePool},
                                           {8, "page-pool-change-ntf", &kPagePool},
                                           {9, "page-pool-stats-get", &kPagePoolStats},
                                           {10, "queue-get", &kQueue},
                                           {11, "napi-get", &kNapi},
                                           {12, "qstats-get", &kQstats},
                                           {13, "bind-rx", &kDmabuf},
                                           {14, "napi-set", &kNapi},
                                           {15, "bind-tx", &kDmabuf},
                                           {16, "queue-create", &kQueue}};

constexpr AttributeName kHeaderNames[] = {{1, "dev-index"}, {2, "dev-name"}, {3, "flags"}};
constexpr AttributeSet kHeader = {kHeaderNames};

constexpr AttributeName kRingsNames[] = {{1, "header", &kHeader},
                                         {2, "rx-max"},
                                         {5, "tx-max"},
                                         {6, "rx"},
                                         {9, "tx"},
                                         {10, "rx-buf-len"},
                                         {11, "tcp-data-split"},
                                         {12, "cqe-size"},
                                         {13, "tx-push"},
                                         {14, "rx-push"},
                                         {15, "tx-push-buf-len"},
                                         {16, "tx-push-buf-len-max"},
                                         {17, "hds-thresh"},
                                         {18, "hds-thresh-max"}};
constexpr AttributeSet kRings = {kRingsNames};

constexpr AttributeName kChannelsNames[] = {
    {1, "header", &kHeader}, {2, "rx-max"},       {3, "tx-max"},
    {4, "other-max"},        {5, "combined-max"}, {6, "rx-count"},
    {7, "tx-count"},         {8, "other-count"},  {9, "combined-count"}};
constexpr AttributeSet kChannels = {kChannelsNames};

constexpr AttributeName kBitNames[] = {{1, "index"}, {2, "name"}, {3, "value"}};
constexpr AttributeSet kBit = {kBitNames};
constexpr AttributeName kBitsNames[] = {{1, "bit", &kBit}};
constexpr AttributeSet kBits = {kBitsNames};
constexpr AttributeName kBitsetNames[] = {{1, "nomask"}, {2, "size"}, {3, "bits", &kBits}};
constexpr AttributeSet kBitset = {kBitsetNames};
constexpr AttributeName kFeaturesNames[] = {{1, "header", &kHeader},
                                            {2, "hw", &kBitset},
                                            {3, "wanted", &kBitset},
                                            {4, "active", &kBitset},
                                            {5, "nochange", &kBitset}};
constexpr AttributeSet kFeatures = {kFeaturesNames};

constexpr AttributeName kRssNames[] = {
    {1, "header", &kHeader}, {2, "context"},      {3, "hfunc"}, {4, "indir"}, {5, "hkey"},
    {6, "input-xfrm"},       {7, "start-context"}};
constexpr AttributeSet kRss = {kRssNames};

constexpr CommandName kEthtoolRequests[] = {
    {abi::ETHTOOL_MSG_FEATURES_GET, "features-get", &kFeatures},
    {abi::ETHTOOL_MSG_FEATURES_SET, "features-set", &kFeatures},
    {abi::ETHTOOL_MSG_RINGS_GET, "rings-get", &kRings},
    {abi::ETHTOOL_MSG_RINGS_SET, "rings-set", &kRings},
    {abi::ETHTOOL_MSG_CHANNELS_GET, "channels-get", &kChannels},
    {abi::ETHTOOL_MSG_CHANNELS_SET, "channels-set", &kChannels},
    {abi::ETHTOOL_MSG_RSS_GET, "rss-get", &kRss},
    {abi::ETHTOOL_MSG_RSS_SET, "rss-set", &kRss},
    {abi::ETHTOOL_MSG_RSS_CREATE_ACT, "rss-create-act", &kRss},
    {abi::ETHTOOL_MSG_RSS_DELETE_ACT, "rss-delete-act", &kRss}};

constexpr CommandName kEthtoolNotifications[] = {
    {abi::ETHTOOL_MSG_FEATURES_NTF, "features-ntf", &kFeatures},
    {abi::ETHTOOL_MSG_RINGS_NTF, "rings-ntf", &kRings},
    {abi::ETHTOOL_MSG_CHANNELS_NTF, "channels-ntf", &kChannels},
    {abi::ETHTOOL_MSG_RSS_NTF, "rss-ntf", &kRss},
    {abi::ETHTOOL_MSG_RSS_CREATE_NTF, "rss-create-ntf", &kRss},
    {abi::ETHTOOL_MSG_RSS_DELETE_NTF, "rss-delete-ntf", &kRss}};

std::span<const CommandName> Commands(absl::string_view family, bool requests) {
  if (family == "netdev") return kNetdevCommands;
  if (family == "ethtool" && requests) return kEthtoolRequests;
  if (family == "ethtool") return kEthtoolNotifications;
  return {};
}

const CommandName* Find(absl::string_view family, bool requests, uint8_t command) {
  for (const CommandName& each : Commands(family, requests)) {
    if (each.command == command) return &each;
  }
  return nullptr;
}

const AttributeName* Find(const AttributeSet* set, uint16_t type) {
  if (set == nullptr) return nullptr;
  for (const AttributeName& each : set->names) {
    if (each.type == type) return &each;
  }
  return nullptr;
}

std::string NameIn(absl::string_view family, bool requests, uint8_t command) {
  const CommandName* const found = Find(family, requests, command);
  return found != nullptr ? std::string(found->name)
                          : absl::StrCat("command ", static_cast<uint32_t>(command));
}

}  // namespace

const AttributeSet* RequestAttributes(absl::string_view family, uint8_t command) {
  const CommandName* const found = Find(family, true, command);
  return found != nullptr ? found->attributes : nullptr;
}

const AttributeSet* NotificationAttributes(absl::string_view family, uint8_t command) {
  const CommandName* const found = Find(family, false, command);
  return found != nullptr ? found->attributes : nullptr;
}

std::string RequestName(absl::string_view family, uint8_t command) {
  return NameIn(family, true, command);
}

std::string NotificationName(absl::string_view family, uint8_t command) {
  return NameIn(family, false, command);
}

std::string NameOf(const AttributeSet* set, uint16_t type) {
  const AttributeName* const found = Find(set, type);
  return found != nullptr ? std::string(found->name) : absl::StrCat("attribute ", type);
}

const AttributeSet* NestedSet(const AttributeSet* set, uint16_t type) {
  const AttributeName* const found = Find(set, type);
  return found != nullptr ? found->nested : nullptr;
}

std::string PathAt(const AttributeSet* set, std::span<const uint8_t> attributes, uint32_t offset) {
  const Attributes parsed(attributes);
  for (const Attributes::Item& item : parsed.items()) {
    if (item.offset == offset) return NameOf(set, item.type);
    const uint32_t start = item.offset + 4;
    if (offset < start || offset >= start + item.payload.size()) continue;
    const AttributeName* const name = Find(set, item.type);
    if (name == nullptr || name->nested == nullptr) return {};
    const std::string inner = PathAt(name->nested, item.payload, offset - start);
    return inner.empty() ? inner : absl::StrCat(name->name, ".", inner);
  }
  return {};
}

const AttributeSet* SetAt(const AttributeSet* set, std::span<const uint8_t> attributes,
                          uint32_t offset) {
  const Attributes parsed(attributes);
  for (const Attributes::Item& item : parsed.items()) {
    const AttributeName* const name = Find(set, item.type);
    if (name == nullptr || name->nested == nullptr) continue;
    if (item.offset == offset) return name->nested;
    const uint32_t start = item.offset + 4;
    if (offset >= start && offset < start + item.payload.size()) {
      return SetAt(name->nested, item.payload, offset - start);
    }
  }
  return set;
}

}  // namespace devmem
