// SPDX-License-Identifier: Apache-2.0
//
// The driver's packets and its view of time.

#include "tools/packetdrill/plugin_driver.h"

#include <dlfcn.h>
#include <fcntl.h>

#include <cstring>

#include "absl/strings/str_cat.h"
#include "netmem/wire/checksum.h"
#include "netmem/wire/frame.h"
#include "netmem/wire/frame_builder.h"
#include "provider/check.h"

namespace devmem::packetdrill {
namespace {

constexpr size_t kEthernetBytes = 14;
constexpr double kMicrosecondsPerSecond = 1e6;

}  // namespace

std::string FromHost::Text() const {
  std::string text;
  for (const auto& [flag, letter] :
       {std::pair{kTcpSyn, "S"}, {kTcpFin, "F"}, {kTcpRst, "R"}, {kTcpPsh, "P"}, {kTcpAck, "."}}) {
    if ((flags & flag) != 0) text += letter;
  }
  const size_t bytes_count = payload.size();
  absl::StrAppend(&text, " ", seq, ":", seq + static_cast<uint32_t>(bytes_count), "(", bytes_count,
                  ")");
  if ((flags & kTcpAck) != 0) absl::StrAppend(&text, " ack ", ack);
  return text;
}

PlugInDriver::PlugInDriver(const char* flags, bool v6) : v6_(v6) {
  library_ = dlopen(DEVMEM_PACKETDRILL_LIBRARY, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
  DEVMEM_CHECK(library_ != nullptr, "the plug-in does not load");
  const auto init = reinterpret_cast<decltype(&packetdrill_interface_init)>(
      dlsym(library_, "packetdrill_interface_init"));
  DEVMEM_CHECK(init != nullptr, "the plug-in does not export its function");
  init(flags, &table_);
  host_ = *ParseIpAddress(v6 ? "fd3d:fa7b:d17d::1" : "192.168.0.1");
  peer_ = *ParseIpAddress(v6 ? "2001:db8::1" : "192.0.2.1");
  struct timeval time = {};
  table_.gettimeofday(self(), &time, nullptr);
  start_usecs_ = time.tv_sec * 1'000'000LL + time.tv_usec;
}

PlugInDriver::~PlugInDriver() { Free(); }

void PlugInDriver::Free() {
  if (freed_) return;
  freed_ = true;
  table_.free(self());
  dlclose(library_);
}

double PlugInDriver::Now() {
  struct timeval time = {};
  table_.gettimeofday(self(), &time, nullptr);
  const long long usecs = time.tv_sec * 1'000'000LL + time.tv_usec - start_usecs_;
  return static_cast<double>(usecs) / kMicrosecondsPerSecond;
}

void PlugInDriver::At(double seconds) {
  const double left = seconds - Now();
  if (left > 0) table_.usleep(self(), static_cast<useconds_t>(left * kMicrosecondsPerSecond));
}

std::vector<uint8_t> PlugInDriver::Build(const ToHost& packet) const {
  const std::vector<uint8_t> payload(packet.bytes);
  TcpFrameSpec spec;
  spec.flow = {peer_, host_, peer_port, host_port_};
  spec.seq = SeqNum(packet.seq);
  spec.ack = SeqNum((packet.flags & kTcpAck) != 0 ? packet.ack + host_isn_ : 0);
  spec.flags = packet.flags;
  spec.window = packet.window;
  spec.options = packet.options;
  spec.payload_bytes = packet.bytes;
  spec.payload_sum = PartialSum(payload) + (packet.bad_checksum ? 1 : 0);
  std::vector<uint8_t> frame(kTcpFrameHeaderBytesMax);
  frame.resize(BuildTcpFrame(spec, frame));
  frame.insert(frame.end(), payload.begin(), payload.end());
  return {frame.begin() + kEthernetBytes, frame.end()};
}

void PlugInDriver::Put(const ToHost& packet) { PutRaw(Build(packet)); }

void PlugInDriver::PutRaw(const std::vector<uint8_t>& packet) {
  EXPECT_EQ(table_.netdev_send(self(), packet.data(), packet.size()), 0);
}

FromHost PlugInDriver::Parse(const std::vector<uint8_t>& packet, long long at_usecs) {
  FromHost seen;
  seen.bytes = packet;
  seen.at = static_cast<double>(at_usecs - start_usecs_) / kMicrosecondsPerSecond;
  std::vector<uint8_t> frame(kEthernetBytes);
  StoreBe16(&frame[12], packet[0] >> 4 == 6 ? 0x86dd : 0x0800);
  frame.insert(frame.end(), packet.begin(), packet.end());
  const FrameHeaders headers = ParseFrame(frame, static_cast<uint32_t>(frame.size()));
  EXPECT_EQ(headers.kind, FrameKind::kTcp);
  if (headers.kind != FrameKind::kTcp) return seen;
  seen.payload.assign(frame.begin() + headers.header_bytes, frame.end());
  EXPECT_TRUE(VerifyTcpChecksum(frame, headers, PartialSum(seen.payload)));
  const TcpHeader tcp = *TcpHeader::Parse(std::span(frame).subspan(headers.l4_offset));
  seen.flags = tcp.flags();
  seen.window = tcp.window();
  seen.options = ParseTcpOptions(tcp.options());
  seen.option_bytes.assign(tcp.options().begin(), tcp.options().end());
  seen.flow = headers.flow;
  if (tcp.has(kTcpSyn)) {
    host_isn_ = tcp.seq().value();
    host_ = headers.flow.remote;  // Seen from the peer.
    host_port_ = headers.flow.remote_port;
  }
  seen.seq = tcp.seq().value() - host_isn_;
  seen.ack = tcp.ack().value();
  return seen;
}

FromHost PlugInDriver::Take() {
  std::vector<uint8_t> packet(70000);
  size_t bytes = packet.size();
  long long at_usecs = 0;
  EXPECT_EQ(table_.netdev_receive(self(), packet.data(), &bytes, &at_usecs), 0);
  EXPECT_NE(bytes, 0u) << "no packet comes";
  if (bytes == 0) return {};
  packet.resize(bytes);
  return Parse(packet, at_usecs);
}

std::vector<std::string> PlugInDriver::TakeAll() {
  // A packet of the peer that is sure to be answered with a reset marks the end.
  TcpFrameSpec spec;
  spec.flow = {peer_, host_, 1, 1};
  spec.flags = kTcpAck;
  std::vector<uint8_t> frame(kTcpFrameHeaderBytesMax);
  frame.resize(BuildTcpFrame(spec, frame));
  PutRaw({frame.begin() + kEthernetBytes, frame.end()});
  std::vector<std::string> texts;
  for (;;) {
    const FromHost packet = Take();
    if (packet.flow.remote_port == 1 || packet.bytes.empty()) return texts;
    texts.push_back(packet.Text());
  }
}

sockaddr_storage PlugInDriver::HostAddress(uint16_t port) const {
  sockaddr_storage storage = {};
  if (v6_) {
    sockaddr_in6 in6 = {};
    in6.sin6_family = AF_INET6;
    in6.sin6_port = htons(port);
    host_.StoreTo(in6.sin6_addr.s6_addr);
    std::memcpy(&storage, &in6, sizeof(in6));
  } else {
    sockaddr_in in = {};
    in.sin_family = AF_INET;
    in.sin_port = htons(port);
    in.sin_addr.s_addr = htonl(host_.v4());
    std::memcpy(&storage, &in, sizeof(in));
  }
  return storage;
}

sockaddr_storage PlugInDriver::PeerAddress(uint16_t port) const {
  PlugInDriver const& self = *this;
  sockaddr_storage storage = self.HostAddress(port);
  if (v6_) {
    peer_.StoreTo(reinterpret_cast<sockaddr_in6*>(&storage)->sin6_addr.s6_addr);
  } else {
    reinterpret_cast<sockaddr_in*>(&storage)->sin_addr.s_addr = htonl(peer_.v4());
  }
  return storage;
}

int PlugInDriver::Socket() {
  return table_.socket(self(), v6_ ? AF_INET6 : AF_INET, SOCK_STREAM, IPPROTO_TCP);
}

int PlugInDriver::Listener() {
  const int fd = Socket();
  const sockaddr_storage address = HostAddress();
  EXPECT_EQ(table_.bind(self(), fd, reinterpret_cast<const sockaddr*>(&address), AddressBytes()),
            0);
  EXPECT_EQ(table_.listen(self(), fd, 1), 0);
  return fd;
}

int PlugInDriver::Accepted(const TcpOptions& syn) {
  const int listener = Listener();
  Put({.flags = kTcpSyn, .options = syn});
  EXPECT_EQ(Take().Text(), "S. 0:0(0) ack 1");
  Put({.seq = 1, .ack = 1, .window = 257});
  const int fd = table_.accept(self(), listener, nullptr, nullptr);
  EXPECT_GE(fd, 0);
  return fd;
}

int PlugInDriver::Connected(const TcpOptions& syn_ack) {
  const int fd = Socket();
  EXPECT_EQ(table_.fcntl(self(), fd, F_SETFL, O_RDWR | O_NONBLOCK), 0);
  const sockaddr_storage address = PeerAddress(peer_port);
  EXPECT_EQ(table_.connect(self(), fd, reinterpret_cast<const sockaddr*>(&address), AddressBytes()),
            -1);
  EXPECT_EQ(errno, EINPROGRESS);
  EXPECT_EQ(Take().Text(), "S 0:0(0)");
  Put({.flags = kTcpSyn | kTcpAck, .ack = 1, .options = syn_ack});
  EXPECT_EQ(Take().Text(), ". 1:1(0) ack 1");
  return fd;
}

}  // namespace devmem::packetdrill
