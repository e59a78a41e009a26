// SPDX-License-Identifier: Apache-2.0
//
// A worker and ICMP, on the worker's thread: pings are answered, and errors about segments of ours
// (RFC 792, RFC 4443) are told to the TCP engine that has the connection, which decides what of
// them it believes. An error of a connection that this worker does not have goes on to the next
// one, as a segment would.

#include <algorithm>
#include <cerrno>

#include "netmem/stack/worker.h"
#include "netmem/tcp/icmp_error.h"
#include "netmem/wire/icmp.h"

namespace devmem {
namespace {

// What Linux tells sockets, code by code, so that programs find the error that they know.
struct Meaning {
  IcmpErrorKind kind;
  int32_t system_error;
};

// RFC 1122 section 3.2.2.1 and section 4.2.3.9.
Meaning MeaningOfUnreachableV4(uint8_t code) {
  switch (code) {
    case kIcmpCodeNetUnreachable:
    case kIcmpCodeNetUnreachableForTos: return {IcmpErrorKind::kSoft, ENETUNREACH};
    case kIcmpCodeHostUnreachable:
    case kIcmpCodeHostUnreachableForTos: return {IcmpErrorKind::kSoft, EHOSTUNREACH};
    case kIcmpCodeSourceRouteFailed: return {IcmpErrorKind::kSoft, EOPNOTSUPP};
    case kIcmpCodeProtocolUnreachable: return {IcmpErrorKind::kUnreachable, ENOPROTOOPT};
    case kIcmpCodePortUnreachable: return {IcmpErrorKind::kUnreachable, ECONNREFUSED};
    default: return {IcmpErrorKind::kUnreachable, EHOSTUNREACH};
  }
}

// RFC 4443 section 3.1.
Meaning MeaningOfUnreachableV6(uint8_t code) {
  switch (code) {
    case kIcmpV6CodeNoRoute: return {IcmpErrorKind::kSoft, ENETUNREACH};
    case kIcmpV6CodeBeyondScope:
    case kIcmpV6CodeAddressUnreachable: return {IcmpErrorKind::kSoft, EHOSTUNREACH};
    case kIcmpV6CodePortUnreachable: return {IcmpErrorKind::kUnreachable, ECONNREFUSED};
    default: return {IcmpErrorKind::kUnreachable, EACCES};
  }
}

Meaning MeaningOf(const IcmpQuote& quote) {
  switch (quote.type) {
    case IcmpErrorType::kTooBig: return {IcmpErrorKind::kTooBig, EMSGSIZE};
    case IcmpErrorType::kTimeExceeded: return {IcmpErrorKind::kSoft, EHOSTUNREACH};
    case IcmpErrorType::kParameterProblem: return {IcmpErrorKind::kSoft, EPROTO};
    case IcmpErrorType::kUnreachable: break;
  }
  return quote.is_v6 ? MeaningOfUnreachableV6(quote.code) : MeaningOfUnreachableV4(quote.code);
}

void Count(IcmpErrorType type, WorkerStats& stats) {
  switch (type) {
    case IcmpErrorType::kUnreachable: ++stats.icmp_unreachable; return;
    case IcmpErrorType::kTooBig: ++stats.icmp_too_big; return;
    case IcmpErrorType::kTimeExceeded: ++stats.icmp_time_exceeded; return;
    case IcmpErrorType::kParameterProblem: ++stats.icmp_parameter_problem; return;
  }
}

bool IsNeighbourDiscovery(const FrameHeaders& headers, uint8_t type) {
  return headers.is_v6 &&
         (type == kIcmpV6NeighbourSolicitation || type == kIcmpV6NeighbourAdvertisement);
}

}  // namespace

// `visited`: workers that had this frame before; their copies of neighbour discovery count as such.
void Worker::HandleIcmp(const RxDescriptor& frame, uint32_t visited, Nanos now) {
  const FrameHeaders& headers = frame.headers;
  const uint8_t type = frame.header[headers.l4_offset];
  if (IsNeighbourDiscovery(headers, type)) return HandleNeighbour(frame, visited == 0);
  if (!addresses_->IsOurs(headers.flow.local)) {
    // Groups are everybody's; what the kernel tells them (RFC 3810) is not for us.
    if (!headers.flow.local.is_multicast()) ++stats_.not_ours;
    return;
  }
  const std::span<const uint8_t> whole = Gather(frame);
  if (whole.empty()) return;
  const std::optional<IcmpQuote> quote = ParseIcmpQuote(whole, headers);
  if (quote.has_value()) return HandleIcmpError(*quote, frame, visited, now);
  HandleEcho(whole, headers);
}

// The frame in one piece of memory, valid until the next call; empty when it is too long or memory
// ran out behind its beginning.
std::span<const uint8_t> Worker::Gather(const RxDescriptor& frame) {
  size_t bytes = frame.header.size();
  if (frame.placed_bytes < frame.headers.payload_bytes) return {};
  if (bytes + frame.placed_bytes > echo_in_->size()) return {};
  std::copy(frame.header.begin(), frame.header.end(), echo_in_->begin());
  for (const Piece& piece : batch_->PiecesOf(frame)) {
    const auto room = std::span(*echo_in_).subspan(bytes, piece.length_bytes);
    if (!reader_.CopyOut(piece, 0, room)) return {};
    bytes += piece.length_bytes;
  }
  return std::span(*echo_in_).first(bytes);
}

void Worker::HandleEcho(std::span<const uint8_t> whole, const FrameHeaders& headers) {
  const size_t reply = BuildIcmpEchoReply(whole, headers, netdev_->info().mac, *echo_out_);
  if (reply == 0) return;
  if (queue_->Transmit(TxFrame{std::span(*echo_out_).first(reply), {}})) ++stats_.echo_replies;
}

void Worker::HandleIcmpError(const IcmpQuote& quote, const RxDescriptor& frame, uint32_t visited,
                             Nanos now) {
  if (visited == 0) Count(quote.type, stats_);
  if (!engine_->InUse(quote.flow)) {
    if (!MayTakeStranger(now)) {
      ++stats_.icmp_limited;
      return;
    }
    if (visited + 1 < rings_->workers()) {
      HandOver(frame, visited + 1, (config_.queue + 1) % rings_->workers());
      return;
    }
  }
  const Meaning meaning = MeaningOf(quote);
  engine_->InputIcmp({.flow = quote.flow,
                      .seq = quote.seq,
                      .kind = meaning.kind,
                      .mtu_bytes = quote.mtu_bytes,
                      .system_error = meaning.system_error},
                     now);
}

bool Worker::MayTakeStranger(Nanos now) {
  if (now - strangers_since_ >= kSecond) {
    strangers_since_ = now;
    strangers_ = 0;
  }
  return strangers_++ < kIcmpStrangersPerSecondMax;
}

}  // namespace devmem
