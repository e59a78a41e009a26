// SPDX-License-Identifier: Apache-2.0
//
// The TCP engine of one worker: all its connections and listeners, driven by segments, timers and
// user calls. It is a function of its inputs: it reads no clock, draws no random number, knows no
// NIC, and sees payload as references only. The receive path (Input, Flush, Expire) allocates
// nothing.
//
// Which file answers which question of RFC 9293 section 3.10:
//   engine.cc     the user's calls, connection slots, lists        3.10.1 - 3.10.6
//   listeners.cc  passive OPEN, backlog, accept queue              3.10.1
//   backlog.cc    half-open connections, SYN cookies               RFC 4987
//   input.cc      a segment arrives                                3.10.7.4, RFC 7323 PAWS
//   fast_path.cc  the same for payload in order and nothing else
//   handshake.cc  LISTEN, SYN-SENT, SYN-RECEIVED                   3.10.7.2, 3.10.7.3
//   reset.cc      segments for nobody, RST both ways               3.10.7.1, RFC 5961
//   icmp_error.cc ICMP about a segment of ours                     RFC 5927, RFC 1191, RFC 8201
//   closing.cc    FIN both ways, TIME-WAIT, end of a connection    3.6, RFC 1337, RFC 6191
//   output.cc     what goes out: data, and ACKs by policy          3.8
//   acknowledgment.cc  what segments say of what was received    3.8.6
//   timers.cc     what happens when time passes                    3.10.8, RFC 6298
//
// One turn of the owner looks like this: Input() for each segment of a batch, Flush() once, and
// Expire() when NextDeadline() has come, with a Flush() of its own. What the user's calls and
// OnMemoryReturned() have to say leaves with the next Flush(), too. `now` never goes back.

#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "netmem/piece_store.h"
#include "netmem/tcp/connection.h"
#include "netmem/tcp/connection_table.h"
#include "netmem/tcp/engine_config.h"
#include "netmem/tcp/engine_stats.h"
#include "netmem/tcp/icmp_error.h"
#include "netmem/tcp/isn.h"
#include "netmem/tcp/limits.h"
#include "netmem/tcp/listener_table.h"
#include "netmem/tcp/segment.h"
#include "netmem/tcp/syn_cookie.h"
#include "netmem/tcp/timer_wheel.h"
#include "netmem/tcp/window_ledger.h"
#include "provider/lazy_array.h"

namespace devmem {

class TcpEngine {
 public:
  using Config = TcpEngineConfig;

  // `store` and `sink` outlive the engine. The store's host pool serves connections that are not
  // bound. Errors: kInvalidArgument for a bound of the configuration, kResourceExhausted.
  static absl::StatusOr<std::unique_ptr<TcpEngine>> Create(const Config& config, PieceStore* store,
                                                           SegmentSink* sink);
  ~TcpEngine();
  TcpEngine(const TcpEngine&) = delete;
  TcpEngine& operator=(const TcpEngine&) = delete;

  // The queue's binding came: connections may be bound from now on. `reserve_bytes` of its pool are
  // kept for data at rcv_nxt. kInvalidArgument when the pool is not larger than its reserve.
  absl::Status AttachDevice(uint64_t reserve_bytes);
  void StopDevice(Nanos now);  // It takes no more: listeners close, what lies behind holes goes.
  // The binding goes: bound connections are reset, their pieces put back.
  void DetachDevice(Nanos now, CloseReason reason = CloseReason::kAborted);
  void CloseAll(CloseReason reason, Nanos now);  // All connections; their peers hear nothing.

  // --- What drives it ---
  void Input(const Segment& segment, Nanos now);
  // Takes a run of payload if it is exactly what its connection waits for, and says so. Else
  // nothing happened: give it to Input(). `hash` is HashOf(flow).
  bool InputRun(const FlowKey& flow, uint64_t hash, const SegmentRun& run, Nanos now);
  void InputIcmp(const IcmpError& error, Nanos now);
  // For a whole batch before its segments, in two rounds: the first fetches where the lookup of a
  // flow begins, the second the lines of the connection that it leads to.
  uint64_t HashOf(const FlowKey& flow) const { return table_.Hash(flow); }
  void PrefetchLookup(uint64_t hash) const { table_.Prefetch(hash); }
  void PrefetchConnection(uint64_t hash) const {
    const uint32_t index = table_.Guess(hash);
    if (index == ConnectionTable::kNone) return;
    const auto* line = reinterpret_cast<const uint8_t*>(&slots_[index]);
    for (uint32_t n = 0; n < kHotLines; ++n) __builtin_prefetch(line + n * 64, 1);
  }
  void Flush(Nanos now);
  void Expire(Nanos now);
  Nanos NextDeadline() const { return credit_goes_on_ ? now_ : wheel_.NextDeadline(); }
  // Pieces came back to a pool: connections that wait for credit may get some.
  void OnMemoryReturned(Nanos now) {
    if (credit_count_ != 0) [[unlikely]]
      GrantWaiting(now);
  }

  // Whether a segment belongs to a connection here or asks a listener here for one.
  bool Knows(const Segment& segment) const;

  // --- The user's calls ---
  // Errors: kAlreadyExists when the address and port have a listener (or the unspecified address
  // has).
  absl::StatusOr<ListenerId> Listen(const IpAddress& local, uint16_t port, uint32_t backlog,
                                    bool bound);
  // Resets what was not accepted. Errors: kNotFound.
  absl::Status CloseListener(ListenerId id, Nanos now);
  bool HasPending(ListenerId id) const;
  // The oldest established connection that nobody took yet, attached to the caller now.
  std::optional<ConnectionId> Accept(ListenerId id);
  // Sends a SYN. Errors: kAlreadyExists for a 4-tuple in use, kResourceExhausted.
  absl::StatusOr<ConnectionId> Connect(const FlowKey& flow, bool bound, Nanos now,
                                       const SocketOptionsRef& options = {});
  bool InUse(const FlowKey& flow) const { return Lookup(flow) != nullptr; }
  const TcpConnection* Lookup(const FlowKey& flow) const;  // Whoever holds it; nullptr: none.

  // The connection, until the user detaches it; nullptr for a handle that names none.
  TcpConnection* Find(ConnectionId id);
  // The next received piece in stream order; the caller has its references then.
  bool TakePiece(TcpConnection& connection, Piece* piece);
  // After a run of TakePiece(): the window may open.
  void OnConsumed(TcpConnection& connection, Nanos now);
  // Queues what fits; returns how much that was. 0 after Shutdown() or a close.
  size_t Send(TcpConnection& connection, std::span<const uint8_t> bytes, Nanos now);
  // The stream to the peer ends behind what was queued.
  void Shutdown(TcpConnection& connection, Nanos now);
  // RST to the peer; unread data is dropped.
  void Abort(TcpConnection& connection, Nanos now);
  // The user lets go of the connection: it closes in order by itself, or by RST when data was left
  // unread (RFC 9293 section 3.6.1).
  void Detach(TcpConnection& connection, Nanos now);
  void SetKeepalive(TcpConnection& connection, Nanos idle, Nanos now);
  // Takes the place of all options that the connection has. Those of the handshake (windows, MSS)
  // matter only before it: pass them to Connect(), or give them to the listener, whose connections
  // to come inherit its options. Errors: kNotFound.
  // Whether acknowledgments are hurried from now on, or wait for an answer to carry them.
  void SetQuickAck(TcpConnection& connection, bool quick, Nanos now);
  void SetOptions(TcpConnection& connection, const SocketOptionsRef& options, Nanos now);
  absl::Status SetListenerOptions(ListenerId id, const SocketOptionsRef& options);

  // Connections with news for their user since the last ClearChanged(): by slot. One that had no
  // user may have ended since, so its slot is empty or another's.
  std::span<const uint32_t> changed() { return {changed_list_.data(), changed_count_}; }
  void ClearChanged();
  TcpConnection& at(uint32_t index) { return slots_[index].connection(); }
  ConnectionId IdOf(const TcpConnection& connection) const {
    return ConnectionId{IndexOf(connection), connection.generation};
  }

  // Every connection there is, half-open and closing ones too: for statistics and for checks.
  void VisitConnections(absl::FunctionRef<void(const TcpConnection&)> visit) const;

  const EngineStats& stats() const { return stats_; }
  uint32_t connection_count() const { return in_use_; }
  uint64_t promised_bytes(bool bound) const;
  // Pieces that connections hold in queues; with the pools' accounts this finds every reference.
  const ReassemblyRanges& ranges() const { return ranges_; }

 private:
  // What a slot keeps when its connection goes, and the connection behind it: the two share the
  // first cache line.
  struct alignas(64) Slot {
    uint32_t generation;
    uint32_t next_free_plus_one;
    uint8_t constructed;
    uint8_t list_flags;  // kInFlush | kInChanged | kInCredit; outlives the connection.
    alignas(TcpConnection) std::array<uint8_t, sizeof(TcpConnection)> memory;

    TcpConnection& connection() { return *reinterpret_cast<TcpConnection*>(memory.data()); }
    const TcpConnection& connection() const {
      return *reinterpret_cast<const TcpConnection*>(memory.data());
    }
  };
  static constexpr uint8_t kInFlush = 1, kInChanged = 2, kInCredit = 4;
  static constexpr uint32_t kHotLines = 5;  // Of a slot; see TcpConnection.

  using Listener = TcpListener;

  TcpEngine(const Config& config, PieceStore* store, SegmentSink* sink, ConnectionTable table,
            TimerWheel wheel, WindowLedger host_ledger);

  // engine.cc
  static absl::Status NotBound();
  uint32_t IndexOf(const TcpConnection& connection) const {
    const auto* memory = reinterpret_cast<const uint8_t*>(&connection) - offsetof(Slot, memory);
    return static_cast<uint32_t>(reinterpret_cast<const Slot*>(memory) - &slots_[0]);
  }
  // The index of the flow's connection, or ConnectionTable::kNone.
  uint32_t IndexOf(const FlowKey& flow) const { return IndexOf(flow, table_.Hash(flow)); }
  uint32_t IndexOf(const FlowKey& flow, uint64_t hash) const {
    return table_.Find(hash,
                       [&](uint32_t index) { return slots_[index].connection().flow == flow; });
  }
  TcpConnection* NewConnection(const FlowKey& flow, bool bound);
  void Free(TcpConnection& connection);
  void EraseFromTable(const TcpConnection& connection);
  void MarkFlush(const TcpConnection& connection) { Mark(connection, kInFlush); }
  void MarkChanged(const TcpConnection& connection) { Mark(connection, kInChanged); }
  void Mark(const TcpConnection& connection, uint8_t flag);
  // MarkFlush() and MarkChanged().
  void MarkReceived(uint32_t index) {
    uint8_t& flags = slots_[index].list_flags;
    if ((flags & kInFlush) == 0) flush_list_[flush_count_++] = index;
    if ((flags & kInChanged) == 0) changed_list_[changed_count_++] = index;
    flags |= kInFlush | kInChanged;
  }

  // listeners.cc
  Listener* FindListener(ListenerId id) { return listeners_.Find(id); }
  const Listener* ListenerFor(const FlowKey& flow) const {
    return listeners_.For(flow.local, flow.local_port);
  }
  void CloseListenersOfDevice(Nanos now);
  // Linux's sk_acceptq_is_full(): one more than the backlog may wait.
  static bool AcceptQueueFull(const Listener& listener) {
    return listener.queue.size() > listener.backlog;
  }
  auto LinksInQueue() {
    return [this](uint32_t index) -> AcceptLinks& { return at(index).accept_links; };
  }
  bool HalfOpenFull(const Listener& listener) const;
  TcpConnection* NewHalfOpen(Listener& listener, const Segment& segment, SeqNum iss);
  bool MayComplete(const TcpConnection& connection);
  void PutInAcceptQueue(TcpConnection& connection);
  void LeaveHalfOpen(TcpConnection& connection);
  void SendCookie(Listener& listener, const Segment& segment);
  void InputCookie(Listener& listener, const Segment& segment);
  std::optional<CookieOptions> CookieOf(const Listener& listener, const Segment& segment) const;
  void LeaveListener(TcpConnection& connection);

  // fast_path.cc
  static bool IsPlain(const Segment& segment);
  static SegmentRun RunOf(const Segment& segment);
  bool ShortPath(uint32_t index, const SegmentRun& run);

  // input.cc
  void InputSynchronized(TcpConnection& connection, const Segment& segment);
  bool OutdatedByPaws(TcpConnection& connection, const Segment& segment);
  void NotAcceptable(TcpConnection& connection, const Segment& segment);
  void CountNonsense(const TcpConnection& connection, const Segment& segment);
  bool AcceptAck(TcpConnection& connection, const Segment& segment);
  bool RefuseUntilRead(TcpConnection& connection, const Segment& segment);
  void ReceivePayload(TcpConnection& connection, const Segment& segment);
  void Drop(const Segment& segment, TcpDrop reason);
  void CountReceived(TcpConnection& connection, const ReceiveResult& result);
  void MakeRoomAtEdge(const TcpConnection* like);

  // socket_options.cc
  void ArmKeepalive(TcpConnection& connection);
  static void TakeOptions(TcpConnection& connection, const SocketOptionsRef& options);
  uint64_t WindowBytesMax(const SocketOptions& options) const;
  uint8_t WindowScaleOf(const SocketOptions& options) const;
  uint16_t MssOf(const FlowKey& flow, const SocketOptions& options) const;

  // handshake.cc
  void InputListen(Listener& listener, const Segment& segment);
  void InputSynSent(TcpConnection& connection, const Segment& segment);
  void TakeSynOptions(TcpConnection& connection, const Segment& segment);
  void AgreeOnEcn(TcpConnection& connection, const Segment& segment);
  void OnSynAcked(TcpConnection& connection);
  void SendSyn(TcpConnection& connection);
  uint16_t OurMss(const FlowKey& flow) const;
  bool RecycleTimeWait();

  // reset.cc
  void InputNoConnection(const Segment& segment);
  void OnReset(TcpConnection& connection, const Segment& segment);
  bool ResetIsBelieved(const TcpConnection& connection, SeqNum seq) const;
  bool MayAnswerInvalid(TcpConnection& connection);
  void AnswerInvalid(TcpConnection& connection, const Segment& segment);
  void ChallengeAck(TcpConnection& connection);
  void SendResetFor(const Segment& segment);
  void SendReset(TcpConnection& connection);

  // icmp_error.cc
  void OnUnreachable(TcpConnection& connection, const IcmpError& error);
  void LowerPathMtu(TcpConnection& connection, uint32_t mtu_bytes);

  // closing.cc
  void OnPeerFin(TcpConnection& connection);
  void OnOurFinAcked(TcpConnection& connection);
  void EnterTimeWait(TcpConnection& connection);
  void RestartTimeWait(TcpConnection& connection);
  void ListInTimeWait(const TcpConnection& connection);
  bool IsListedInTimeWait(ConnectionId id) const;
  void CloseNow(TcpConnection& connection, CloseReason reason);
  void LeaveLedger(TcpConnection& connection);
  void EndFirstPromise(TcpConnection& connection) {
    if (!connection.first_promise) return;
    connection.first_promise = false;
    LedgerOf(connection).EndFirstPromise(connection.receiver.outstanding_bytes());
  }
  // Before the first payload is taken.
  void JoinLedger(TcpConnection& connection) {
    if (!connection.joined_ledger) [[unlikely]] {
      connection.joined_ledger = true;
      EndFirstPromise(connection);
      LedgerOf(connection).Join(connection.receiver.outstanding_bytes());
    }
  }
  bool MayReuseTimeWait(const TcpConnection& connection, const Segment& segment) const;

  // output.cc
  void Output(TcpConnection& connection);
  [[gnu::noinline]] void SendData(TcpConnection& connection);
  void SendPlanned(TcpConnection& connection, const SendPlan& plan);
  void RestartRetransmit(TcpConnection& connection);

  // acknowledgment.cc
  void SendAck(TcpConnection& connection);
  void EmitSegment(TcpConnection& connection, OutSegment& out);
  size_t SackRoom(const TcpConnection& connection, size_t payload_bytes) const;
  inline void OnAckLeaves(TcpConnection& connection);
  inline uint16_t WindowToAnnounce(TcpConnection& connection, bool with_syn);
  uint64_t FirstWindow(const FlowKey& flow, bool bound, bool timestamps,
                       const SocketOptions& options) const;
  uint64_t CookieWindow(const FlowKey& flow, bool bound, const SocketOptions& options) const;
  void GrantFirst(TcpConnection& connection, uint8_t scale);
  inline void Grant(TcpConnection& connection, bool memory_may_have_come);
  [[gnu::noinline]] void AskLedger(TcpConnection& connection, uint64_t wanted, uint32_t mss);
  void RightSize(TcpConnection& connection, uint32_t consumed_bytes);
  bool OpenWindow(TcpConnection& connection);
  void GrantWaiting(Nanos now);

  // timers.cc
  void SetTimer(TcpConnection& connection, TimerKind kind, Nanos deadline);
  void StopTimer(TcpConnection& connection, TimerKind kind) {
    connection.set_deadline(kind, kNever);
  }
  void DisarmIfIdle(TcpConnection& connection);
  void OnTimer(TcpConnection& connection);
  void DoubtTheWay(const TcpConnection& connection);
  void OnRetransmitTimer(TcpConnection& connection);
  void OnProbeTimer(TcpConnection& connection);
  void OnPersistTimer(TcpConnection& connection);
  void OnKeepaliveTimer(TcpConnection& connection);
  void SendProbe(TcpConnection& connection);
  void GiveUp(TcpConnection& connection);
  static bool WaitedTooLong(const TcpConnection& connection);

  WindowLedger& LedgerOf(const TcpConnection& connection) {
    return connection.bound ? *device_ledger_ : host_ledger_;
  }
  PagePool& PoolOf(const TcpConnection& connection) const {
    return connection.bound ? *store_->device() : store_->host();
  }
  ReceiveMemory MemoryOf() {
    return {&ranges_, store_, host_reserve_bytes_, device_reserve_bytes_, config_.whole_segments};
  }

  const Config config_;
  PieceStore* const store_;
  SegmentSink* const sink_;
  Nanos now_ = 0;  // Of the call being served.

  ConnectionTable table_;
  TimerWheel wheel_;
  ReassemblyRanges ranges_;
  WindowLedger host_ledger_;
  std::optional<WindowLedger> device_ledger_;
  uint64_t host_reserve_bytes_ = 0;
  uint64_t device_reserve_bytes_ = 0;
  uint8_t window_scale_ = 0;

  LazyArray<Slot> slots_;
  uint32_t free_plus_one_ = 0;
  uint32_t fresh_ = 0;
  uint32_t in_use_ = 0;
  uint32_t half_open_count_ = 0;
  // The connection of the last segment: neighbours of a batch mostly belong together.
  uint32_t last_index_ = kNoConnectionIndex;

  LazyArray<uint32_t> flush_list_;
  LazyArray<uint32_t> changed_list_;
  LazyArray<uint32_t> credit_ring_;  // credit_count_ slots from credit_first_ on, each once.
  uint32_t flush_count_ = 0;
  uint32_t changed_count_ = 0;
  uint32_t credit_first_ = 0;
  uint32_t credit_count_ = 0;
  bool credit_goes_on_ = false;  // GrantWaiting() has more to do, without further memory.
  uint32_t room_scan_ = 0;       // Where MakeRoomAtEdge() looked last.
  // The engine itself put pieces back since the last Flush(), as OnMemoryReturned() would say.
  bool memory_came_back_ = false;
  // Connections in TIME-WAIT that no user holds, oldest first; entries may be stale (see
  // RecycleTimeWait).
  LazyArray<ConnectionId> time_wait_ring_;
  uint32_t time_wait_first_ = 0;
  uint32_t time_wait_count_ = 0;

  ListenerTable listeners_;
  Nanos challenge_second_ = 0;  // RFC 5961 section 7: the second that is being counted.
  uint32_t challenge_count_ = 0;

  EngineStats stats_;
};

}  // namespace devmem
