// SPDX-License-Identifier: Apache-2.0
//
// The set-up half of NcdevmemReceiver: session, memory, listeners or the connection to the server.

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <numeric>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "netmem/wire/ip_address.h"
#include "provider/posix_error.h"
#include "provider/unique_fd.h"
#include "tools/ncdevmem_receive.h"

namespace devmem {
namespace {

// The most that --send and --reply read: enough for any request, little enough to be sent at once.
constexpr size_t kMessageBytesMax = 1u << 20;

// A whole file, or stdin for "-".
absl::StatusOr<std::vector<uint8_t>> ReadMessage(const std::string& path, const char* option) {
  UniqueFd file;
  if (path != "-") file.Reset(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (path != "-" && !file.valid()) {
    const int err = errno;
    return ErrnoToStatus(err, absl::StrCat(option, ": cannot read ", path));
  }
  const int from = path == "-" ? STDIN_FILENO : file.get();
  std::vector<uint8_t> bytes(kMessageBytesMax + 1);
  size_t count = 0;
  while (count < bytes.size()) {
    const ssize_t got = ::read(from, &bytes[count], bytes.size() - count);
    if (got == 0) break;
    const int err = errno;
    if (got < 0 && err != EINTR)
      return ErrnoToStatus(err, absl::StrCat(option, ": reading ", path));
    if (got > 0) count += static_cast<size_t>(got);
  }
  if (count > kMessageBytesMax) {
    return absl::OutOfRangeError(
        absl::StrCat(option, " ", path, " is longer than ", kMessageBytesMax, " bytes: send less"));
  }
  bytes.resize(count);
  return bytes;
}

bool IsV4(absl::string_view address) {
  const std::optional<IpAddress> parsed = ParseIpAddress(address);
  return parsed.has_value() && parsed->is_v4();
}

// "192.0.2.2:5201" or "[2001:db8::2]:5201".
std::string Endpoint(absl::string_view address, uint16_t port) {
  return IsV4(address) ? absl::StrCat(address, ":", port) : absl::StrCat("[", address, "]:", port);
}

// The one of our addresses that is of the server's family; empty leaves the choice to the session.
std::string OursLike(absl::string_view server, absl::string_view ours) {
  for (const std::string& text : SplitAddresses(ours)) {
    std::string address = WithoutPrefixLength(text);
    if (IsV4(address) == IsV4(server)) return address;
  }
  return "";
}

}  // namespace

absl::Status NcdevmemReceiver::SetUp() {
  absl::Status status = SetUpPolicy();
  if (!status.ok()) return status;
  absl::StatusOr<std::unique_ptr<Session>> session = Session::Open(options_.ToSessionOptions());
  if (!session.ok()) return session.status();
  session_ = *std::move(session);
  if (!options_.unbound) status = SetUpMemory();
  if (!status.ok()) return status;
  return options_.listen ? ListenOnAll() : ConnectToServer();
}

absl::Status NcdevmemReceiver::SetUpPolicy() {
  policy_.bytes_max = options_.bytes_max;
  policy_.hold_bytes = options_.hold_bytes;
  policy_.reply_after_bytes = options_.reply_after_bytes;
  if (options_.reply_path.empty()) return absl::OkStatus();
  absl::StatusOr<std::vector<uint8_t>> reply = ReadMessage(options_.reply_path, "--reply");
  if (!reply.ok()) return reply.status();
  policy_.reply = *std::move(reply);
  return absl::OkStatus();
}

absl::Status NcdevmemReceiver::SetUpMemory() {
  std::vector<uint32_t> queues(options_.queue_count);
  std::iota(queues.begin(), queues.end(), options_.first_queue);
  if (!options_.region_per_queue) return BindRegion(queues);
  for (const uint32_t queue : queues) {
    const absl::Status bound = BindRegion({queue});
    if (!bound.ok()) return bound;
  }
  return absl::OkStatus();
}

namespace {

// Asked after the bind, because attaching may have moved the bytes.
std::string DescribeResidence(const Region& region) {
  const absl::StatusOr<Residence> residence = region.FindResidence();
  if (!residence.ok()) return absl::StrCat("unknown: ", residence.status().message());
  return absl::StrCat(residence->device_bytes, " bytes in place, ", residence->host_bytes,
                      " in host memory instead, ", residence->absent_bytes,
                      " absent: ", residence->where);
}

}  // namespace

absl::Status NcdevmemReceiver::BindRegion(const std::vector<uint32_t>& queues) {
  absl::StatusOr<std::unique_ptr<Region>> region =
      session_->Allocate({.provider = options_.provider,
                          .bytes = options_.region_bytes,
                          .huge_pages = options_.huge_pages,
                          .device = options_.memory_device});
  if (!region.ok()) return region.status();
  const absl::StatusOr<BindingId> binding =
      session_->Bind(**region, {.queues = queues,
                                .net_iov_bytes = options_.net_iov_bytes,
                                .slab_bytes = options_.slab_bytes});
  if (!binding.ok()) return binding.status();
  bindings_.push_back(*binding);
  result_.provider = std::string((*region)->provider_name());
  result_.region_bytes += (*region)->size_bytes();
  result_.residence = DescribeResidence(**region);
  regions_.push_back(*std::move(region));
  return options_.looks_at_payload() ? SetUpLook(*regions_.back()) : absl::OkStatus();
}

absl::Status NcdevmemReceiver::SetUpLook(const Region& region) {
  std::vector<const Region*> to_look_at;
  if (region.cpu_visible()) {
    to_look_at.push_back(&region);
  } else if (options_.pattern.has_value() || !options_.output_path.empty()) {
    return absl::FailedPreconditionError(
        absl::StrCat("-v, --validate and -o read the payload with the processor, which cannot map ",
                     region.Describe(), "; use --sha256, which its device computes"));
  } else {
    // A trial: what the device needs is compiled now, not under a stream, or refused in time.
    const absl::Status hashes = CreateDeviceSha256(region).status();
    if (!hashes.ok()) return hashes;
  }
  // Bytes that missed the region lie in the session's host region, mapped once.
  if (bindings_.size() == 1 && session_->host_region() != nullptr) {
    to_look_at.push_back(session_->host_region());
  }
  for (const Region* one : to_look_at) {
    absl::StatusOr<RegionView> view = RegionView::Map(*one);
    if (!view.ok()) return view.status();
    policy_.regions.push_back({one->id(), view->bytes()});
    views_.push_back(*std::move(view));
  }
  return absl::OkStatus();
}

const Region& NcdevmemReceiver::RegionOf(uint32_t queue) const {
  return options_.region_per_queue ? *regions_[queue - options_.first_queue] : *regions_.front();
}

std::optional<BindingId> NcdevmemReceiver::BindingOf(uint32_t queue_index) const {
  if (options_.unbound) return std::nullopt;
  return options_.region_per_queue ? bindings_[queue_index] : bindings_.front();
}

absl::Status NcdevmemReceiver::ListenOnAll() {
  for (const std::string& text : SplitAddresses(options_.server_address)) {
    const absl::Status status = ListenOn(WithoutPrefixLength(text));
    if (!status.ok()) return status;
  }
  hooks_.ready();
  return absl::OkStatus();
}

absl::Status NcdevmemReceiver::ListenOn(const std::string& address) {
  const size_t first = ports_.size();
  const uint32_t count = options_.unbound ? 1 : options_.queue_count;
  for (uint32_t i = 0; i < count; ++i) {
    const uint32_t port = options_.port == 0 ? 0 : options_.port + i;
    ListenOptions listen{.address = address, .port = static_cast<uint16_t>(port)};
    if (!options_.unbound) listen.queue = options_.first_queue + i;
    absl::StatusOr<std::unique_ptr<Listener>> listener = session_->Listen(listen, BindingOf(i));
    if (!listener.ok()) return listener.status();
    ports_.push_back(Port{*std::move(listener), true});
  }
  if (options_.unsteered_port.has_value()) {
    auto listener =
        session_->Listen({.address = address, .port = *options_.unsteered_port}, std::nullopt);
    if (!listener.ok()) return listener.status();
    ports_.push_back(Port{*std::move(listener), false});
  }
  for (size_t i = first; i < ports_.size(); ++i) {
    hooks_.listening(Endpoint(address, ports_[i].listener->port()));
  }
  return absl::OkStatus();
}

absl::Status NcdevmemReceiver::ConnectToServer() {
  std::vector<uint8_t> request;
  if (!options_.send_path.empty()) {
    absl::StatusOr<std::vector<uint8_t>> read = ReadMessage(options_.send_path, "--send");
    if (!read.ok()) return read.status();
    request = *std::move(read);
  }
  const std::string server = WithoutPrefixLength(options_.server_address);
  ConnectOptions connect{.address = server,
                         .port = options_.port,
                         .local_address = OursLike(server, options_.own_address)};
  if (!options_.unbound) connect.queue = options_.first_queue;
  const Nanos deadline = session_->Now() + options_.connect_timeout_s * kSecond;
  auto connection = session_->Connect(connect, BindingOf(0), deadline);
  if (!connection.ok()) return connection.status();
  for (size_t sent = 0; sent < request.size();) {
    const auto count = (*connection)->Send(std::span(request).subspan(sent), deadline);
    if (!count.ok()) return count.status();
    sent += *count;
  }
  accepted_ = options_.connection_count - 1;  // The one connection that there will be.
  return Add(*std::move(connection), true);
}

}  // namespace devmem
