// SPDX-License-Identifier: Apache-2.0
//
// What packetdrill does, for our tests: loads libdevmem_packetdrill.so, makes calls through its
// table, puts raw packets of a peer in and reads those that come out, with sequence numbers counted
// from both sides' initial ones. Used on the test's thread, as packetdrill's first one.

#pragma once

#include <gtest/gtest.h>
#include <netinet/in.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "netmem/wire/flow_key.h"
#include "netmem/wire/tcp_header.h"
#include "netmem/wire/tcp_options.h"
#include "tools/packetdrill/interface.h"

namespace devmem::packetdrill {

// One packet of ours, as the peer sees it. `seq` and `ack` are relative, as in a script.
struct FromHost {
  double at = 0;  // Seconds since the driver was made.
  uint8_t flags = 0;
  uint32_t seq = 0;
  uint32_t ack = 0;
  uint16_t window = 0;
  std::vector<uint8_t> payload;
  TcpOptions options;
  std::vector<uint8_t> option_bytes;
  FlowKey flow;
  std::vector<uint8_t> bytes;  // All of it, IP header first.

  // "S. 0:0(0) ack 1", as a script would say it.
  std::string Text() const;
};

struct ToHost {
  uint8_t flags = kTcpAck;
  uint32_t seq = 0;
  uint32_t ack = 0;
  uint16_t window = 32792;
  uint32_t bytes = 0;
  TcpOptions options = {};
  bool bad_checksum = false;
};

inline constexpr uint16_t kHostPort = 8080;

class PlugInDriver {
 public:
  explicit PlugInDriver(const char* flags = nullptr, bool v6 = false);
  ~PlugInDriver();
  PlugInDriver(const PlugInDriver&) = delete;
  PlugInDriver& operator=(const PlugInDriver&) = delete;

  // Ends the plug-in now.
  void Free();

  packetdrill_interface& calls() { return table_; }
  void* self() { return table_.userdata; }

  double Now();
  // Lets time pass until `seconds`.
  void At(double seconds);
  void Put(const ToHost& packet);
  void PutRaw(const std::vector<uint8_t>& packet);
  // The next packet of the host; fails the test when none comes.
  FromHost Take();
  // The texts of all packets that have come out by now, without letting time pass for more.
  std::vector<std::string> TakeAll();
  // Nothing has come out by now.
  void ExpectNothing() { EXPECT_EQ(TakeAll(), std::vector<std::string>()); }

  // --- Shorthand for what most tests begin with ---
  int Socket();
  int Listener();
  sockaddr_storage HostAddress(uint16_t port = kHostPort) const;
  sockaddr_storage PeerAddress(uint16_t port = kHostPort) const;
  socklen_t AddressBytes() const { return v6_ ? sizeof(sockaddr_in6) : sizeof(sockaddr_in); }
  // A connection that the peer opened: listener, handshake, accept. The peer's MSS is 1000.
  int Accepted(const TcpOptions& syn = {.mss = 1000, .sack_permitted = true});
  // One that we opened.
  int Connected(const TcpOptions& syn_ack = {.mss = 1000, .sack_permitted = true});

  uint16_t peer_port = 45678;

 private:
  std::vector<uint8_t> Build(const ToHost& packet) const;
  FromHost Parse(const std::vector<uint8_t>& packet, long long at_usecs);

  void* library_ = nullptr;
  packetdrill_interface table_ = {};
  bool v6_ = false;
  bool freed_ = false;
  long long start_usecs_ = 0;
  IpAddress host_;
  IpAddress peer_;
  uint16_t host_port_ = kHostPort;
  uint32_t host_isn_ = 0;
};

}  // namespace devmem::packetdrill
