// SPDX-License-Identifier: Apache-2.0
//
// The plug-in behind one packetdrill_interface: Linux's socket calls over the in-memory host, on
// virtual time. packetdrill calls from two threads. The first one, the driver, runs the script: it
// moves packets and time and makes the calls that do not block. The second one makes those that
// the script says block. One lock covers everything.
//
// A call that cannot be answered yet leaves an attempt behind, which whoever changes something
// repeats, and sleeps until one succeeds. So a call is answered at the very moment of virtual time
// at which it can be, however late its thread wakes; that thread's next gettimeofday() tells that
// moment. A call that blocks on the driver's own thread moves the time by itself.
//
// The public functions are called with the lock held, except Create() and Shutdown().
//
// Which file answers what:
//   plugin.cc          time, packets, waiting, what changed      socket_calls.cc  socket ... accept
//   stream_calls.cc    read and write in all their forms         connect_call.cc  connect
//   close_calls.cc     close, shutdown, fcntl, ioctl             poll_calls.cc    poll and epoll
//   option_calls.cc    setsockopt                                pipe_calls.cc    pipe and splice
//   option_queries.cc  getsockopt and TCP_INFO                   send_room.cc     SO_SNDBUF
//   interface.cc       the table

#pragma once

#include <poll.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/uio.h>

#include <condition_variable>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "tools/packetdrill/epoll.h"
#include "tools/packetdrill/host_stack.h"
#include "tools/packetdrill/knobs.h"
#include "tools/packetdrill/socket.h"

namespace devmem::packetdrill {

struct TcpInfo;

class PlugIn {
 public:
  static absl::StatusOr<std::unique_ptr<PlugIn>> Create(const Knobs& knobs,
                                                        absl::string_view flags);
  ~PlugIn();

  std::mutex& mutex() { return mutex_; }
  // Makes every blocked call return ECANCELED and waits until their threads have left. Nothing may
  // be called any more.
  void Shutdown();

  // --- Opening ---
  CallResult OpenSocket(int domain, int type, int protocol);
  CallResult Bind(int fd, const sockaddr* address, socklen_t bytes);
  CallResult Listen(int fd, int backlog);
  CallResult Accept(int fd, sockaddr* address, socklen_t* bytes);
  CallResult Connect(int fd, const sockaddr* address, socklen_t bytes);

  // --- The stream ---
  CallResult Receive(int fd, std::span<const iovec> iov, int flags);
  // What recvmsg() says beside the data: TCP_CM_INQ, when TCP_INQ asks for it.
  void WriteControl(int fd, msghdr* message);
  CallResult Send(int fd, std::span<const iovec> iov, int flags);
  // Writes the peer's address as recvfrom() does for TCP: none.
  CallResult SendTo(int fd, std::span<const iovec> iov, int flags, const sockaddr* address,
                    socklen_t bytes);

  // --- Closing and settings ---
  CallResult Close(int fd);
  CallResult ShutdownSocket(int fd, int how);
  CallResult Fcntl(int fd, int command, int argument);
  CallResult Ioctl(int fd, unsigned long request, void* argument);
  CallResult SetOption(int fd, int level, int option, const void* value, socklen_t bytes);
  CallResult GetOption(int fd, int level, int option, void* value, socklen_t* bytes);

  // --- Waiting for several ---
  CallResult Poll(std::span<pollfd> fds, int timeout_ms);
  CallResult EpollCreate(int size);
  CallResult EpollCtl(int epoll_fd, int operation, int fd, const epoll_event* event);
  CallResult EpollWait(int epoll_fd, epoll_event* events, int events_max, int timeout_ms);

  // --- Pipes ---
  CallResult Pipe(int fds[2]);
  CallResult Splice(int fd_in, int fd_out, size_t bytes, unsigned flags);

  // --- The wire and the clock ---
  CallResult PutPacket(std::span<const uint8_t> packet);
  // Looks ahead for the next packet. The value is its length, 0: none comes.
  CallResult TakePacket(std::span<uint8_t> buffer, Nanos* sent_at);
  void Sleep(Nanos duration);
  Nanos TimeOfDay();

 private:
  using Attempt = std::function<std::optional<CallResult>()>;
  struct Waiter {
    Attempt attempt;
    Nanos deadline = kNever;
    CallResult late;  // What the deadline answers.
    bool done = false;
    CallResult result;
    Nanos ended_at = 0;
  };
  struct ThreadEnd {
    std::thread::id thread;
    Nanos at = 0;
  };

  PlugIn(const Knobs& knobs, absl::string_view flags, std::unique_ptr<HostStack> stack);

  // --- plugin.cc ---
  // Answers what `attempt` does, now or when it first has an answer; at `deadline`, `late`.
  CallResult Complete(const Attempt& attempt, Nanos deadline, CallResult late);
  void DriveUntilDone(Waiter& waiter);
  Nanos NextEvent() const;
  void AdvanceTo(Nanos time);
  // Lets everything happen that can happen at this moment.
  void Settle();
  bool RunWaiters();
  void NoteChanges();
  void NoteChange(Socket& socket);
  void NoteEnd(Socket& socket, const TcpConnection& connection);
  void ForgetEnd();
  Nanos DeadlineAfter(Nanos timeout) const;

  std::shared_ptr<Socket> Find(int fd) const;
  std::shared_ptr<Socket> AddSocket(int domain, bool nonblocking);
  TcpConnection* ConnectionOf(const Socket& socket);
  TcpState StateOf(const Socket& socket);
  uint32_t PendingOf(const Socket& socket);
  static int TakeError(Socket& socket);
  static bool HasPeerFin(TcpState state);

  // --- socket_calls.cc ---
  CallResult AutoBind(Socket& socket, const IpAddress& remote, uint16_t remote_port);
  bool PortIsTaken(const Socket& asking, const IpAddress& local, uint16_t port) const;
  std::optional<CallResult> TryAccept(Socket& listener);
  static std::optional<std::pair<IpAddress, uint16_t>> ReadAddress(const sockaddr* address,
                                                                   socklen_t bytes);
  static void WriteAddress(const Socket& socket, const IpAddress& ip, uint16_t port,
                           sockaddr* address, socklen_t* bytes);

  // --- connect_call.cc ---
  CallResult StartConnect(Socket& socket, const IpAddress& remote, uint16_t port);
  std::optional<CallResult> TryFinishConnect(Socket& socket);
  void Disconnect(Socket& socket);

  // --- stream_calls.cc ---
  size_t QueueParts(Socket& socket, TcpConnection& connection, std::span<const iovec> parts);

  // --- send_room.cc ---
  size_t SendRoom(Socket& socket, const TcpConnection& connection);

  // How much SO_SNDBUF is now: autotuning moves it until the user sets it.
  uint32_t ReceiveBufferBytes(const Socket& socket);
  uint32_t SendBufferBytes(const Socket& socket);
  bool IsWritable(Socket& socket, const TcpConnection& connection);

  // --- close_calls.cc ---
  void LetGo(Socket& socket);

  // --- option_calls.cc, option_queries.cc ---
  CallResult SetSocketOption(Socket& socket, int option, const void* data, socklen_t bytes);
  CallResult SetTcpOption(Socket& socket, int option, const void* data, socklen_t bytes);
  CallResult SetIpOption(Socket& socket, int option, const void* data, socklen_t bytes);
  CallResult SetIpv6Option(Socket& socket, int option, const void* data, socklen_t bytes);
  SocketOptions OptionsOf(const SocketSettings& settings) const;
  // Tells the connection, or those to come, what the settings are now.
  void ApplySettings(Socket& socket);
  void TakeMachineKnobs();
  void PushCorked(Socket& socket);
  void NoteSendLimit(Socket& socket, const TcpConnection& connection);
  std::optional<int> SocketOptionValue(Socket& socket, int option);
  std::optional<int> TcpOptionValue(Socket& socket, int option);
  std::optional<int> IpOptionValue(const Socket& socket, int level, int option) const;
  CallResult GetTcpInfo(Socket& socket, void* value, socklen_t* bytes);
  void FillTcpInfo(const TcpConnection& connection, TcpInfo* info) const;
  void FillTimes(Socket& socket, const TcpConnection& connection, TcpInfo* info);
  CallResult GetMemInfo(Socket& socket, void* value, socklen_t* bytes);

  // --- poll_calls.cc ---
  uint32_t PollMask(Socket& socket);
  int64_t HarvestEpoll(Epoll& epoll, std::span<epoll_event> events);
  void Wake(const Socket& socket, uint32_t events);
  void ForgetInEpolls(int fd);

  // --- pipe_calls.cc ---
  static CallResult ReadPipe(int fd, std::span<const iovec> iov);
  static CallResult WritePipe(int fd, std::span<const iovec> iov);

  Knobs knobs_;
  const std::string flags_;
  bool machine_asked_ = false;  // Whether its settings have been read, if they count.
  std::mutex mutex_;            // Guards everything below.
  std::condition_variable changed_;
  std::unique_ptr<HostStack> stack_;
  std::map<int, std::shared_ptr<Socket>> sockets_;  // By descriptor.
  std::map<int, std::shared_ptr<Epoll>> epolls_;
  std::set<int> pipes_;
  std::list<Waiter*> waiters_;  // Each lies on its thread's stack.
  uint32_t blocked_threads_ = 0;
  bool closing_ = false;
  std::thread::id driver_;
  std::vector<ThreadEnd> ends_;  // When a blocked call of a thread was answered.
  uint16_t next_port_ = 0;
};

}  // namespace devmem::packetdrill
