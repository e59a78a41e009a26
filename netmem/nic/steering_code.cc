// SPDX-License-Identifier: Apache-2.0
//
// The steering program, written instruction by instruction. It must agree with ParseFrame() on what
// a TCP frame is: a frame that the NIC would find steered and the program not would reach a queue
// that may not place it, and be dropped for ever.

#include "netmem/nic/steering_code.h"

#include <arpa/inet.h>
#include <linux/if_ether.h>

#include <algorithm>
#include <cstddef>

#include "netmem/nic/steering_assembler.h"
#include "netmem/wire/byte_order.h"
#include "netmem/wire/ethernet.h"
#include "netmem/wire/ipv4.h"
#include "netmem/wire/ipv6.h"
#include "netmem/wire/ipv6_extensions.h"

namespace devmem {
namespace {

using enum BpfReg;
using enum BpfSize;
using Label = BpfAssembler::Label;

// The stack, from its end: the frame's own key, the key of one class, and room to load headers
// into.
constexpr int kKeyBytes = sizeof(SteeringKey);
constexpr int kKey = -kKeyBytes;
constexpr int kClassKey = 2 * -kKeyBytes;
constexpr int kScratchBytes = 40;  // The longest load: an IPv6 header.
constexpr int kScratch = kClassKey - kScratchBytes;
constexpr int kLocal = offsetof(SteeringKey, local);
constexpr int kRemote = offsetof(SteeringKey, remote);
constexpr int kLocalPort = offsetof(SteeringKey, local_port);
constexpr int kRemotePort = offsetof(SteeringKey, remote_port);
constexpr int kFields = offsetof(SteeringKey, fields);

// Registers that outlive calls.
constexpr BpfReg kContext = kR6;
constexpr BpfReg kOffset = kR7;    // Of the header to load next; later the best rank.
constexpr BpfReg kProtocol = kR8;  // Of that header; later the best queue.
constexpr BpfReg kBestRank = kR7;
constexpr BpfReg kBestQueue = kR8;

// Any odd number with bits everywhere mixes: the fraction of the golden ratio.
constexpr uint64_t kMixer = 0x9e3779b97f4a7c15;

class SteeringWriter {
 public:
  SteeringWriter(std::span<const uint32_t> classes, std::span<const uint32_t> rss_queues,
                 int map_fd)
      : classes_(classes), rss_queues_(rss_queues), map_fd_(map_fd) {}

  std::vector<bpf_insn> Write() {
    WriteStart();
    WriteIpv4();
    WriteIpv6();
    WritePorts();
    WriteLookups();
    WriteSpread();
    return code_.Finish();
  }

 private:
  // Loads `bytes` bytes of the frame at kOffset to the scratch room; a frame that has fewer is
  // spread.
  void LoadHeader(int bytes) {
    code_.Move(kR1, kContext);
    code_.Move(kR2, kOffset);
    code_.Move(kR3, kFrame);
    code_.ComputeImmediate(BPF_ADD, kR3, kScratch);
    code_.MoveImmediate(kR4, bytes);
    code_.Call(BPF_FUNC_skb_load_bytes);
    code_.JumpIfImmediate(BPF_JNE, kR0, 0, spread_);
  }

  void CopyWord(BpfSize size, int from, int to) {
    code_.Load(size, kR1, kFrame, from);
    code_.Store(size, kFrame, to, kR1);
  }

  // Empties the key, and branches by EtherType.
  void WriteStart() {
    code_.Move(kContext, kR1);
    for (int word = 0; word < kKeyBytes; word += 8) {
      code_.StoreImmediate(k64, kFrame, kKey + word, 0);
    }
    // The kernel keeps a VLAN tag beside the frame; we would read it as one inside.
    code_.Load(k32, kR1, kContext, offsetof(__sk_buff, vlan_present));
    code_.JumpIfImmediate(BPF_JNE, kR1, 0, spread_);
    code_.MoveImmediate(kOffset, offsetof(ethhdr, h_proto));
    LoadHeader(2);
    code_.MoveImmediate(kOffset, kEthernetHeaderBytes);
    code_.Load(k16, kR1, kFrame, kScratch);
    code_.JumpIfImmediate(BPF_JEQ, kR1, htons(kEtherTypeIpv6), ipv6_);
    code_.JumpIfImmediate(BPF_JNE, kR1, htons(kEtherTypeIpv4), spread_);
  }

  // Leaves kOffset at the TCP header; fragments and other protocols are spread by their addresses.
  void WriteIpv4() {
    LoadHeader(kIpv4HeaderBytesMin);
    code_.StoreImmediate(k16, kFrame, kKey + kLocal + 10, 0xffff);
    code_.StoreImmediate(k16, kFrame, kKey + kRemote + 10, 0xffff);
    CopyWord(k32, kScratch + 12, kKey + kRemote + 12);
    CopyWord(k32, kScratch + 16, kKey + kLocal + 12);
    code_.Load(k8, kR1, kFrame, kScratch);
    code_.Move(kR2, kR1);
    code_.ComputeImmediate(BPF_RSH, kR2, 4);
    code_.JumpIfImmediate(BPF_JNE, kR2, 4, spread_);
    code_.ComputeImmediate(BPF_AND, kR1, 0xf);
    code_.JumpIfImmediate(BPF_JLT, kR1, kIpv4HeaderBytesMin / 4, spread_);
    code_.ComputeImmediate(BPF_LSH, kR1, 2);
    code_.Compute(BPF_ADD, kOffset, kR1);
    code_.Load(k16, kR1, kFrame, kScratch + 6);
    code_.ComputeImmediate(BPF_AND, kR1, htons(0x3fff));  // More fragments, and the offset.
    code_.JumpIfImmediate(BPF_JNE, kR1, 0, spread_);
    code_.Load(k8, kR1, kFrame, kScratch + 9);
    code_.JumpIfImmediate(BPF_JNE, kR1, kIpProtocolTcp, spread_);
    code_.Jump(ports_);
  }

  void WriteIpv6() {
    code_.Place(ipv6_);
    LoadHeader(kIpv6HeaderBytes);
    for (int half = 0; half < 16; half += 8) {
      CopyWord(k64, kScratch + 8 + half, kKey + kRemote + half);
      CopyWord(k64, kScratch + 24 + half, kKey + kLocal + half);
    }
    code_.Load(k8, kR1, kFrame, kScratch);
    code_.ComputeImmediate(BPF_RSH, kR1, 4);
    code_.JumpIfImmediate(BPF_JNE, kR1, 6, spread_);
    code_.Load(k8, kProtocol, kFrame, kScratch + 6);
    code_.ComputeImmediate(BPF_ADD, kOffset, kIpv6HeaderBytes);
    // Unrolled: a loop would need Linux 5.3.
    for (size_t count = 0; count < kIpv6ExtensionsMax; ++count) WriteExtension();
    code_.JumpIfImmediate(BPF_JNE, kProtocol, kIpProtocolTcp, spread_);
  }

  // Steps over one extension header, or goes on to the ports, or gives up.
  void WriteExtension() {
    const Label fragment = code_.NewLabel();
    const Label variable = code_.NewLabel();
    const Label next = code_.NewLabel();
    code_.JumpIfImmediate(BPF_JEQ, kProtocol, kIpProtocolTcp, ports_);
    code_.JumpIfImmediate(BPF_JEQ, kProtocol, kIpv6Fragment, fragment);
    for (const uint8_t kind : {kIpv6HopByHop, kIpv6Routing, kIpv6DestinationOptions}) {
      code_.JumpIfImmediate(BPF_JEQ, kProtocol, kind, variable);
    }
    code_.Jump(spread_);

    code_.Place(variable);
    LoadHeader(8);
    code_.Load(k8, kR1, kFrame, kScratch + 1);
    code_.ComputeImmediate(BPF_LSH, kR1, 3);  // In units of 8 bytes, the first not counted.
    code_.Compute(BPF_ADD, kOffset, kR1);
    code_.Jump(next);

    // A real fragment is spread; a whole packet in a fragment header (RFC 6946) is read on.
    code_.Place(fragment);
    LoadHeader(8);
    code_.Load(k16, kR1, kFrame, kScratch + 2);
    code_.ComputeImmediate(BPF_AND, kR1, htons(0xfff9));
    code_.JumpIfImmediate(BPF_JNE, kR1, 0, spread_);

    code_.Place(next);
    code_.ComputeImmediate(BPF_ADD, kOffset, 8);
    code_.Load(k8, kProtocol, kFrame, kScratch);
  }

  void WritePorts() {
    code_.Place(ports_);
    LoadHeader(4);
    CopyWord(k16, kScratch, kKey + kRemotePort);
    CopyWord(k16, kScratch + 2, kKey + kLocalPort);
  }

  // Asks the map once for each class, and keeps the best answer.
  void WriteLookups() {
    if (classes_.empty()) return;
    code_.MoveImmediate(kBestRank, -1);
    code_.MoveImmediate(kBestQueue, 0);
    for (const uint32_t fields : classes_) WriteLookup(fields);
    code_.JumpIfImmediate(BPF_JEQ, kBestRank, -1, spread_);
    code_.Move(kR0, kBestQueue);
    code_.Exit();
  }

  void WriteLookup(uint32_t fields) {
    WriteMasked(k64, kLocal, 16, fields & kSteerLocal);
    WriteMasked(k64, kRemote, 16, fields & kSteerRemote);
    WriteMasked(k16, kLocalPort, 2, fields & kSteerLocalPort);
    WriteMasked(k16, kRemotePort, 2, fields & kSteerRemotePort);
    code_.StoreImmediate(k32, kFrame, kClassKey + kFields, static_cast<int32_t>(fields));
    const Label next = code_.NewLabel();
    code_.LoadMap(kR1, map_fd_);
    code_.Move(kR2, kFrame);
    code_.ComputeImmediate(BPF_ADD, kR2, kClassKey);
    code_.Call(BPF_FUNC_map_lookup_elem);
    code_.JumpIfImmediate(BPF_JEQ, kR0, 0, next);
    code_.Load(k64, kR1, kR0, offsetof(SteeringValue, rank));
    code_.JumpIf(BPF_JGE, kR1, kBestRank, next);
    code_.Move(kBestRank, kR1);
    code_.Load(k32, kBestQueue, kR0, offsetof(SteeringValue, queue));
    code_.Place(next);
  }

  // Copies one field from the frame's key to the class's, or clears it there.
  void WriteMasked(BpfSize size, int field, int bytes, uint32_t given) {
    for (int word = 0; word < bytes; word += 8) {
      if (given != 0) {
        CopyWord(size, kKey + field + word, kClassKey + field + word);
      } else {
        code_.StoreImmediate(size, kFrame, kClassKey + field + word, 0);
      }
    }
  }

  // One of the RSS queues by a hash of what the key holds. The kernel's own hash will not do: a
  // connection changes it when it times out, and would change its queue.
  void WriteSpread() {
    code_.Place(spread_);
    code_.MoveImmediate(kR0, 0);
    code_.Load64(kR2, kMixer);
    for (int word = 0; word < kKeyBytes; word += 8) {
      code_.Load(k64, kR1, kFrame, kKey + word);
      code_.Compute(BPF_XOR, kR0, kR1);
      code_.Compute(BPF_MUL, kR0, kR2);
      code_.Move(kR1, kR0);
      code_.ComputeImmediate(BPF_RSH, kR1, 32);
      code_.Compute(BPF_XOR, kR0, kR1);
    }
    code_.Move(kR1, kR0);
    code_.ComputeImmediate(BPF_MOD, kR1, static_cast<int32_t>(rss_queues_.size()));
    for (size_t index = 0; index < rss_queues_.size(); ++index) {
      const Label next = code_.NewLabel();
      code_.MoveImmediate(kR0, static_cast<int32_t>(rss_queues_[index]));
      // The remainder is below the count: the last one needs no question.
      if (index + 1 < rss_queues_.size()) {
        code_.JumpIfImmediate(BPF_JNE, kR1, static_cast<int32_t>(index), next);
      }
      code_.Exit();
      code_.Place(next);
    }
  }

  const std::span<const uint32_t> classes_;
  const std::span<const uint32_t> rss_queues_;
  const int map_fd_;
  BpfAssembler code_;
  const Label ipv6_ = code_.NewLabel();
  const Label ports_ = code_.NewLabel();
  const Label spread_ = code_.NewLabel();
};

}  // namespace

SteeringKey SteeringKeyFor(const FlowMatch& match) {
  SteeringKey key;
  if (match.local) {
    match.local->StoreTo(key.local);
    key.fields |= kSteerLocal;
  }
  if (match.remote) {
    match.remote->StoreTo(key.remote);
    key.fields |= kSteerRemote;
  }
  if (match.local_port) {
    StoreBe16(key.local_port, *match.local_port);
    key.fields |= kSteerLocalPort;
  }
  if (match.remote_port) {
    StoreBe16(key.remote_port, *match.remote_port);
    key.fields |= kSteerRemotePort;
  }
  return key;
}

SteeringValue SteeringValueFor(const FlowRule& rule) {
  const uint64_t vagueness = UINT32_MAX - rule.match.specificity();
  // Below the rank of "no rule": the vagueness of a rule with no fields at all is the highest, and
  // an id never reaches 2^32 - 1.
  return {.rank = vagueness << 32 | rule.id, .queue = rule.queue};
}

std::vector<bpf_insn> BuildSteeringCode(std::span<const uint32_t> classes,
                                        std::span<const uint32_t> rss_queues, int map_fd) {
  return SteeringWriter(classes, rss_queues, map_fd).Write();
}

}  // namespace devmem
