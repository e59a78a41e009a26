// SPDX-License-Identifier: Apache-2.0
//
// The receive loop of ncdevmem: who is waited for, and how long. Set-up is in ncdevmem_setup.cc.

#include "tools/ncdevmem_receive.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "tools/process_time.h"

namespace devmem {
namespace {

// A lone stream is waited for this long before we look whether somebody wants us to stop.
constexpr Nanos kLoneSlice = 100 * kMillisecond;
// With several things to wait for, each is looked at this often.
constexpr Nanos kSharedSlice = kMillisecond;
constexpr Nanos kShowEvery = 100 * kMillisecond;

}  // namespace

RunResult NcdevmemReceiver::Run() {
  result_.status = SetUp();
  if (result_.status.ok()) result_.status = ReceiveAll();
  TearDown();
  return std::move(result_);
}

absl::Status NcdevmemReceiver::ReceiveAll() {
  while (!Done()) {
    if (hooks_.stopped()) return absl::CancelledError("stopped by a signal");
    const absl::Status turned = Turn();
    if (!turned.ok()) return turned;
  }
  return absl::OkStatus();
}

// Unsteered connections that are still open are waited for.
bool NcdevmemReceiver::Done() const { return !AcceptsMore() && streams_.empty(); }

absl::Status NcdevmemReceiver::Turn() {
  const Nanos now = session_->Now();
  if (hooks_.progress && now >= next_show_) Show(now);
  const bool lone = streams_.size() == 1 && !AcceptsMore() && !options_.unsteered_port.has_value();
  if (lone) {
    ReceiveFrom(0, now + kLoneSlice);
    return absl::OkStatus();
  }
  if (now >= next_look_) {
    next_look_ = now + kSharedSlice;
    const absl::Status looked = LookAround();
    if (!looked.ok()) return looked;
  }
  // The bound streams go in turn; a single one is waited for, which costs no empty question.
  const auto bound_end = std::partition(streams_.begin(), streams_.end(),
                                        [](const auto& stream) { return stream->bound(); });
  const size_t bound_count = static_cast<size_t>(bound_end - streams_.begin());
  progressed_ = false;
  for (size_t i = bound_count > 1 ? bound_count : 0; i-- > 0;) ReceiveFrom(i, 0);
  if (progressed_) return absl::OkStatus();
  if (!streams_.empty()) {
    ReceiveFrom(0, now + kSharedSlice);
    return absl::OkStatus();
  }
  return AcceptFrom(&ports_.front(), now + (ports_.size() == 1 ? kLoneSlice : kSharedSlice));
}

// Everybody but the stream that is waited for: new connections, and the unsteered ones.
absl::Status NcdevmemReceiver::LookAround() {
  for (Port& port : ports_) {
    if (port.counted && !AcceptsMore()) continue;
    const absl::Status accepted = AcceptFrom(&port, 0);
    if (!accepted.ok()) return accepted;
  }
  for (size_t i = streams_.size(); i-- > 0;) {
    if (!streams_[i]->bound()) ReceiveFrom(i, 0);
  }
  return absl::OkStatus();
}

absl::Status NcdevmemReceiver::AcceptFrom(Port* port, Nanos deadline) {
  absl::StatusOr<std::unique_ptr<Connection>> accepted = port->listener->Accept(deadline);
  if (accepted.ok()) return Add(*std::move(accepted), port->counted);
  return absl::IsDeadlineExceeded(accepted.status()) ? absl::OkStatus() : accepted.status();
}

// A region that the processor cannot map is hashed where it lies; host bytes always here.
absl::StatusOr<StreamLook> NcdevmemReceiver::LookFor(const Connection& connection,
                                                     bool counted) const {
  StreamLook look;
  if (!options_.looks_at_payload()) return look;
  const ConnectionInfo info = connection.info();
  if (info.bound && !RegionOf(info.queue).cpu_visible()) {
    const Region& region = RegionOf(info.queue);
    absl::StatusOr<std::unique_ptr<DeviceSha256>> hash = CreateDeviceSha256(region);
    if (!hash.ok()) return hash.status();
    look.device_hash = *std::move(hash);
    look.device_region_id = region.id();
    return look;
  }
  const bool several = options_.connection_count > 1 || options_.unsteered_port.has_value();
  const std::string suffix = several ? absl::StrCat(".", streams_made_) : "";
  auto sink = StreamSink::Create(
      {.pattern = counted ? options_.pattern : std::nullopt,
       .sha256 = options_.sha256,
       .output_path = options_.output_path.empty() ? "" : options_.output_path + suffix});
  if (!sink.ok()) return sink.status();
  look.sink = *std::move(sink);
  return look;
}

absl::Status NcdevmemReceiver::Add(std::unique_ptr<Connection> connection, bool counted) {
  absl::StatusOr<StreamLook> look = LookFor(*connection, counted);
  if (!look.ok()) return look.status();
  if (counted) {
    ++accepted_;
    if (started_ == kNever) {
      started_ = session_->Now();
      cpu_at_start_s_ = ProcessCpuSeconds();
    }
  }
  streams_.push_back(std::make_unique<Stream>(streams_made_++, counted, std::move(connection),
                                              *std::move(look), session_.get(), &policy_));
  return absl::OkStatus();
}

void NcdevmemReceiver::ReceiveFrom(size_t index, Nanos deadline) {
  switch (streams_[index]->Receive(deadline)) {
    case Stream::Step::kProgress: progressed_ = true; return;
    case Stream::Step::kIdle: return;
    case Stream::Step::kDone:
      progressed_ = true;
      FinishStream(index);
      return;
  }
}

void NcdevmemReceiver::FinishStream(size_t index) {
  if (streams_[index]->counted()) {
    ended_ = session_->Now();
    result_.cpu_s = ProcessCpuSeconds() - cpu_at_start_s_;
  }
  finished_bytes_ += streams_[index]->bytes();
  result_.streams.push_back(streams_[index]->Finish());
  streams_.erase(streams_.begin() + static_cast<std::ptrdiff_t>(index));
}

void NcdevmemReceiver::Show(Nanos now) {
  next_show_ = now + kShowEvery;
  Progress progress{.bytes = finished_bytes_, .now = now, .account = {}};
  for (const auto& stream : streams_) progress.bytes += stream->bytes();
  for (const BindingId binding : bindings_) {
    const absl::StatusOr<Account> account = session_->account(binding);
    if (!account.ok()) continue;
    progress.account.total += account->total;
    progress.account.used += account->used;
  }
  hooks_.progress(progress);
}

void NcdevmemReceiver::TearDown() {
  for (size_t i = streams_.size(); i-- > 0;) {
    streams_[i]->Cancel(absl::CancelledError("cut short"));
    FinishStream(i);
  }
  std::sort(result_.streams.begin(), result_.streams.end(),
            [](const StreamResult& a, const StreamResult& b) { return a.index < b.index; });
  ports_.clear();
  if (session_ == nullptr) return;
  result_.info = session_->info();
  result_.provider_choice = session_->provider_choice();
  if (started_ != kNever) result_.seconds = static_cast<double>(ended_ - started_) / kSecond;
  session_->Drive();
  result_.net_iovs_leaked = LeakedNetIovs();
  result_.statistics = session_->statistics();
  for (const BindingId binding : bindings_) (void)session_->Unbind(binding);
  session_.reset();
}

// Everything was given back and every connection is closed, so whatever is still used has no owner.
uint64_t NcdevmemReceiver::LeakedNetIovs() const {
  uint64_t leaked = 0;
  for (const BindingId binding : bindings_) {
    const absl::StatusOr<Account> account = session_->account(binding);
    if (!account.ok()) continue;
    leaked += account->used + account->staged + account->quarantined;
    if (!account->balanced()) leaked += 1;
  }
  return leaked;
}

}  // namespace devmem
