// SPDX-License-Identifier: Apache-2.0
//
// The public interface of devmem: receive TCP so that the payload lands in device memory, and learn
// where. One interface over several backends; Session::Open() picks one and says which and why.
//
//     auto session  = devmem::Session::Open({.device = "dm0", .addresses = {"192.0.2.2"}});
//     auto region   = (*session)->Allocate({.bytes = 64 << 20});
//     auto binding  = (*session)->Bind(**region, {.queues = {1}});
//     auto listener = (*session)->Listen({.address = "192.0.2.2", .port = 5201}, *binding);
//     auto conn     = (*listener)->Accept();
//     std::array<devmem::Frag, 256> frags;
//     for (;;) {
//       auto n = (*conn)->Recv(frags);  // 0 at the end of the stream
//       if (!n.ok() || *n == 0) break;
//       Use(**region, std::span(frags).first(*n));
//       (*conn)->Release(std::span(frags).first(*n));
//     }
//
// Each StatusOr is checked in real code; examples/receive.cc is the whole program.
//
// Lifetimes: a Session outlives its listeners and connections. A Region may go at any time: a
// binding keeps the memory. Frags outlive their connection, until released; they end with their
// binding.
//
// Threads: in Threading::kInline (the default) one thread calls everything of a session, and
// received packets are processed inside its calls. In Threading::kThread each queue has a thread of
// its own; then different connections may be used by different threads, one thread at a time each,
// and the session, its listeners and its bindings by one thread at a time.
//
// Deadlines are on the session's clock (Session::Now()); kNever waits without limit, and 0, which
// has always passed, asks without waiting. A call whose deadline passes returns kDeadlineExceeded
// and has changed nothing.

#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "netmem/account.h"
#include "netmem/binding.h"
#include "netmem/frag.h"
#include "netmem/tcp/time.h"
#include "provider/quota.h"
#include "provider/region.h"
#include "uapi/fence.h"

namespace devmem {

class Clock;
class Netdev;

enum class Backend {
  kAuto,    // The best that works here.
  kStack,   // devmem's own TCP stack over a TAP (or a NIC of the caller's).
  kKernel,  // The kernel's TCP and its devmem TCP: a NIC with header split writes the region.
  kZcrx,    // The kernel's TCP and io_uring's zero-copy receive: such a NIC, host or device memory.
  kCopy,    // The kernel's TCP, recv() and a copy into the region: works anywhere, saves nothing.
};
absl::string_view ToString(Backend backend);

// How a TAP decides which queue a frame goes to.
enum class Steering {
  kBest,  // bpf, or auto where the kernel refuses programs.
  kBpf,   // A steering program with the session's flow rules: exact; needs CAP_BPF and
          // CAP_NET_ADMIN.
  kAuto,  // The kernel follows the queue that last sent for a flow: needs no rights beyond the
          // TAP's.
};

enum class Threading { kInline, kThread };

struct SessionOptions {
  // Name of the network device. The stack backend creates a TAP of this name, which goes with the
  // session; the backends kernel and zcrx receive on the NIC of this name; the copy backend has no
  // device of its own and ignores it.
  std::string device = "dm0";
  Backend backend = Backend::kAuto;
  // Addresses that are ours, of both families, each with an optional prefix length: "192.0.2.2/24",
  // "2001:db8::2/64". Left out, it is 24 for IPv4 and 64 for IPv6. A session with an IPv6 address
  // answers for a link-local one too.
  std::vector<std::string> addresses = {};
  // What the kernel's side of a TAP is called, with a prefix length: "192.0.2.1/24", or one of each
  // family joined by a comma: "192.0.2.1/24,2001:db8::1/64". Empty: the caller gives it one by
  // other means.
  std::string kernel_address = {};
  // Where packets to addresses outside of our prefixes go: one gateway of each family at most,
  // joined by a comma. Empty: nowhere.
  std::string gateway = {};
  uint32_t queue_count = 2;
  uint32_t mtu_bytes = 1500;
  Steering steering = Steering::kBest;
  Threading threading = Threading::kInline;
  // Host memory per queue for what is not steered into a region, in bytes.
  uint64_t host_bytes_per_queue = 8 << 20;
  uint32_t connections_max = 4096;      // Per queue.
  uint64_t window_bytes_max = 4 << 20;  // The most that one connection's peer may have in flight.
  // How many bytes of net_iovs the frags of one binding (zcrx: of one queue of it) may hold before
  // the backends kernel and zcrx stop to receive, so that the kernel closes the peer's window: the
  // NIC's ring and what waits in sockets need the rest. 0: half of the binding (zcrx: all but 4096
  // chunks of a large one).
  uint64_t held_bytes_max = 0;
  // Record the headers of all frames of a stack session into this pcap-ng file. Empty: no
  // recording.
  std::string record_path = {};
  // Where the session publishes its figures for `devmemctl stats`, in a file of 16 KiB that goes
  // with it. Empty: where DEVMEM_STATS_DIR says, else /run/devmem/sessions or
  // $XDG_RUNTIME_DIR/devmem/sessions. "none": nowhere. A session that cannot publish works all the
  // same; SessionInfo says why.
  std::string statistics_folder = {};
  // Counts the stack's staging memory (2 MiB for each queue that is bound to memory which the NIC
  // cannot write) against a user's limits; empty user: whoever runs this process. Null: nothing is
  // counted.
  std::shared_ptr<Quota> quota = nullptr;
  std::string quota_user = {};
  // For tests and embedders: a NIC and a clock of the caller's, which outlive the session. With a
  // NIC, `device`, `queue_count`, `mtu_bytes`, `steering` and `kernel_address` say nothing.
  Netdev* nic = nullptr;
  Clock* clock = nullptr;
  // Seeds sequence numbers and ports; unset: from the system's random source.
  std::optional<uint64_t> seed = {};
};

struct RegionOptions {
  // A provider's name, or "auto": the nearest GPU to the session's NIC whose memory can be had,
  // else "memfd". `device` says nothing then; Session::provider_choice() tells what was chosen.
  std::string provider = "memfd";
  uint64_t bytes = 64 << 20;  // A positive multiple of the page size.
  bool huge_pages = false;    // 2 MiB pages; needs vm.nr_hugepages.
  // What the exporter promises about the memory while it is attached.
  AttachmentKind kind = AttachmentKind::kPinned;
  std::string device = {};  // Which of the provider's devices; empty: the first usable.
  std::string label = "devmem region";
  ImportPolicy policy = ImportPolicy::Everyone();
  // Counts the region against a user's limits for as long as anybody uses its memory; empty user:
  // whoever runs this process. Null: nothing is counted.
  std::shared_ptr<Quota> quota = nullptr;
  std::string quota_user = {};
};

struct BindOptions {
  std::vector<uint32_t> queues = {1};
  uint64_t offset = 0;  // Of the sub-range, in bytes; a multiple of the page size.
  uint64_t bytes = 0;   // 0: to the region's end.
  uint32_t net_iov_bytes = kNetIovBytesDefault;
  uint32_t slab_bytes = kSlabBytesDefault;
};

struct ListenOptions {
  std::string address = {};
  uint16_t port = 0;
  uint32_t backlog = 128;
  // Which of the binding's queues; unset: the first.
  std::optional<uint32_t> queue = {};
};

struct ConnectOptions {
  std::string address = {};  // The peer's.
  uint16_t port = 0;
  std::string local_address = {};  // Empty: the session's in the peer's subnet, or of its family.
  uint16_t local_port = 0;         // 0: chosen (RFC 6056).
  std::optional<uint32_t> queue = {};
};

struct SessionInfo {
  Backend backend = Backend::kStack;
  std::string why;  // Why this backend, in one sentence.
  std::string device;
  std::string nic;            // "tap", "wire", "socket".
  std::string steering;       // "bpf", "auto", "rules", "none".
  std::string steering_note;  // What was tried first, when it is not what was asked for.
  uint32_t queue_count = 0;
  uint32_t mtu_bytes = 0;
  std::string statistics_page = {};  // The file in which its figures are published; empty: none.
  std::string statistics_note = {};  // Why there is none.
};

// One statistic: a stable name with its unit or noun last ("payload_bytes_bounced"), monotonic
// unless it says otherwise.
struct Statistic {
  std::string name;
  uint64_t value = 0;
};

struct ConnectionInfo {
  std::string local;  // "192.0.2.2:5201"
  std::string remote;
  std::string state;  // RFC 9293's name, "ESTABLISHED".
  uint32_t queue = 0;
  bool bound = false;
  uint64_t payload_bytes_received = 0;
  uint64_t payload_bytes_sent = 0;
};

// One TCP connection. Destroying it closes it: in order when everything received was read, else
// with a reset. Its frags stay valid.
class Connection {
 public:
  virtual ~Connection() = default;

  // The next received bytes in stream order, as frags; neighbours that touch are one frag. Returns
  // how many frags were written, at least one, or 0 at the end of the stream. Frags come only when
  // the device may read them.
  //
  // Errors: kDeadlineExceeded   nothing arrived in time.
  //         kFailedPrecondition the connection has no binding: use Read().
  //         kResourceExhausted  the owner holds so many tokens that there is no name for another
  //         frag. kUnavailable        the connection broke (reset, timed out), after all bytes were
  //         handed out. kInvalidArgument    `frags` is empty.
  virtual absl::StatusOr<size_t> Recv(std::span<Frag> frags, Nanos deadline = kNever) = 0;

  // Gives frags back; any frags of this session's owner, in any order and number. Those that name
  // nothing (unknown, foreign, returned before) are refused, counted, and free nothing; the others
  // are released all the same. kInvalidArgument says how many were refused; a stack in kThread
  // counts those of the connection's own queue without telling, because it does not wait for it.
  virtual absl::Status Release(std::span<const Frag> frags) = 0;
  // The same once `fence` signals: the device may read until then. The fence is asked whenever the
  // session is driven, and before it waits.
  virtual absl::Status Release(std::span<const Frag> frags, Fence fence) = 0;

  // The next received bytes, copied to host memory. Returns how many, at least one, or 0 at the end
  // of the stream. From device memory this is a copy back, counted as bytes_read_back. Errors as
  // Recv().
  virtual absl::StatusOr<size_t> Read(std::span<uint8_t> bytes, Nanos deadline = kNever) = 0;

  // Queues bytes to send; waits until at least one fits, and returns how many did.
  // Errors: kDeadlineExceeded, kUnavailable (broken), kFailedPrecondition (after Shutdown).
  virtual absl::StatusOr<size_t> Send(std::span<const uint8_t> bytes, Nanos deadline = kNever) = 0;
  // Queues bytes of a region to send, in stream order with those of Send(); returns how many. The
  // kernel backend's NIC reads them where they are, if it can, and then they may not change until
  // Flush(). Everywhere else they go through host memory, and the processor must be able to map the
  // region. The whole region is mapped anew for each such call: send much at a time.
  // Errors: as Send(), and kOutOfRange (outside the region), the region's own, and kUnavailable
  // when the way to the peer no longer leads over the session's NIC.
  virtual absl::StatusOr<size_t> SendFrom(const Region& region, uint64_t offset, uint64_t bytes,
                                          Nanos deadline = kNever);
  // Waits until everything queued was acknowledged by the peer, the FIN of Shutdown() included.
  virtual absl::Status Flush(Nanos deadline = kNever) = 0;

  // No more bytes from us: a FIN follows what was queued. Receiving goes on.
  virtual absl::Status Shutdown() = 0;
  // Resets the connection and drops what was not read.
  virtual void Abort() = 0;

  virtual ConnectionInfo info() const = 0;
};

// Where connections arrive. Destroying it removes its flow rule and resets what was not accepted.
class Listener {
 public:
  virtual ~Listener() = default;

  // Errors: kDeadlineExceeded; kResourceExhausted.
  virtual absl::StatusOr<std::unique_ptr<Connection>> Accept(Nanos deadline = kNever) = 0;
  virtual uint16_t port() const = 0;
};

class Session {
 public:
  // Opens a session. The message of a refusal names the value, its bound and what to do.
  static absl::StatusOr<std::unique_ptr<Session>> Open(const SessionOptions& options);
  virtual ~Session() = default;

  // Memory from a provider. Errors: kNotFound for an unknown provider (the message lists them), and
  // the provider's own.
  absl::StatusOr<std::unique_ptr<Region>> Allocate(const RegionOptions& options);
  // Why the last region of the provider "auto" is of the memory that it is, and what was passed
  // over, in one sentence. Empty before there is one.
  const std::string& provider_choice() const { return provider_choice_; }

  // A region over memory that somebody else allocated and passed on: a dma-buf of any exporter, or
  // the memfd of another process's region (Region::ShareHandle()). `fd` stays the caller's. The
  // range is in bytes, both multiples of the page size; 0 bytes: to the end of the file. A memfd is
  // sealed against shrinking unless it is already. Neither the memory nor what is bound needs the
  // exporter's process to go on.
  //
  // Errors: kInvalidArgument    the descriptor is closed, or neither of the two (the message says
  //                             what it is); the range is not of whole pages.
  //         kOutOfRange         the range leaves the file.
  //         kFailedPrecondition a memfd that cannot be sealed, or that is sealed against writing.
  //         kPermissionDenied   a descriptor for reading only.
  absl::StatusOr<std::unique_ptr<Region>> ImportDmabuf(int fd, uint64_t offset, uint64_t bytes);

  // Binds a range of a region to rx queues: from now on their steered payload lands there. Each
  // queue has one owner. Errors: see BindingTable::Bind(), and the exporter's refusal to be
  // attached.
  virtual absl::StatusOr<BindingId> Bind(const Region& region, const BindOptions& options) = 0;
  // Resets the binding's connections, returns every token, and lets the memory go. kNotFound;
  // kFailedPrecondition while a release waits for its fence, because a device may still read there.
  virtual absl::Status Unbind(BindingId binding) = 0;

  // OK while the binding receives. kFailedPrecondition while its region is being removed: no more
  // is received, and it ends when everything was given back. kAborted once the region was revoked
  // or has drained: its connections are reset, its tokens dead. kNotFound.
  virtual absl::Status BindingStatus(BindingId binding) = 0;
  // Region::Remove() for a region that this session uses: drives the session until everything was
  // given back, and revokes at the deadline. OK when it drained, kDeadlineExceeded when somebody
  // was revoked.
  virtual absl::Status Remove(Region& region, const std::string& reason, Nanos deadline) = 0;

  // Listens; with a binding, installs the flow rule that sends the connections to its queue, and
  // removes it with the listener. Without one, the connections live in host memory (Read() only).
  // Errors: kInvalidArgument (an address that is none), kFailedPrecondition (an address that is not
  // ours: the message lists ours), kAlreadyExists (port or rule in use), kOutOfRange (a queue that
  // is not the binding's), kNotFound (the binding).
  virtual absl::StatusOr<std::unique_ptr<Listener>> Listen(
      const ListenOptions& options, std::optional<BindingId> binding = std::nullopt) = 0;
  // Connects and waits for the handshake. Errors as Listen(), and kUnavailable (refused, timed
  // out).
  virtual absl::StatusOr<std::unique_ptr<Connection>> Connect(
      const ConnectOptions& options, std::optional<BindingId> binding = std::nullopt,
      Nanos deadline = kNever) = 0;

  // One turn without waiting: packets, timers, fences. For callers that wait on fd() themselves; in
  // kThread it does nothing. Returns the number of frames handled.
  virtual uint32_t Drive() = 0;
  // Becomes readable when Drive() has something to do, or, in kThread, when a connection or a
  // listener has news. Call Drive() just before you poll: it arms the timer behind this. One
  // descriptor for the session, good for poll, epoll and io_uring; -1 for a NIC in memory.
  virtual int fd() const = 0;
  // Waits until fd() would be readable, or for the deadline.
  virtual void Wait(Nanos deadline) = 0;
  virtual Nanos Now() const = 0;

  virtual const SessionInfo& info() const = 0;
  virtual uint32_t host_region_id() const = 0;
  // The region of host frags, to look at with RegionView; nullptr where there are never any.
  virtual const Region* host_region() const { return nullptr; }
  // The account of a binding: the sum over its queues. kNotFound.
  virtual absl::StatusOr<Account> account(BindingId binding) const = 0;
  // The account of the host memory, over all queues.
  virtual Account host_account() const = 0;
  virtual std::vector<Statistic> statistics() const = 0;

 private:
  std::string provider_choice_;
};

}  // namespace devmem
