// SPDX-License-Identifier: Apache-2.0
//
// What the processes of this test say to each other over Unix sockets of whole messages, and how a
// process lives only up to a step of its work that a seed chose. Used by all three of them, each on
// its one thread.

#pragma once

#include <sys/types.h>

#include <array>
#include <cstdint>
#include <initializer_list>

#include "provider/unique_fd.h"

namespace devmem::testing {

inline constexpr uint64_t kSharedBytes = 256 << 10;    // The region's.
inline constexpr uint64_t kStreamBytes = 384 << 10;    // Of payload: the region is used again.
inline constexpr char kRegionLabel[] = "two process";  // The region's file in /proc.

enum class Word : uint32_t {
  kCharge,   // Exporter to referee: may I have `length` bytes?
  kGranted,  // And the answer.
  kHandle,   // Exporter to importer: the region, and a line that hangs up when nobody has it.
  kLanded,   // Importer to exporter: `length` bytes of the stream are at `region_offset`.
  kRead,     // And the answer, once the exporter has read them: they may be overwritten.
  kAllSent,  // Importer to exporter: that was all.
  kNow,      // Anybody to the referee: the step is reached at which I am to be killed.
};

struct Message {
  Word word = Word::kNow;
  uint32_t length = 0;
  uint64_t stream_offset = 0;
  uint64_t region_offset = 0;
};

// Both ends of a socket or a pipe.
struct Ends {
  UniqueFd first;
  UniqueFd second;
};
Ends MakeSocket();
Ends MakePipe();  // `first` is read.

// False when nobody is there to hear it.
bool Send(int socket, const Message& message);
// False at the end: the other side has gone. Waits.
bool Receive(int socket, Message* message);

// A message with two descriptors. The receiver owns what came; an end that came without
// descriptors ends the process.
bool SendHandles(int socket, const Message& message, std::array<int, 2> handles);
bool ReceiveHandles(int socket, Message* message, std::array<UniqueFd, 2>* handles);

// Closes what a child inherited and must not keep open: everything but the standard streams and
// `kept`.
void CloseAllBut(std::initializer_list<int> kept);

// Ends a child that found something wrong, with words for the person who looks at the test.
[[noreturn]] void GiveUp(const char* who, const char* what);

// Counts the steps of a process and ends it at one of them.
class LifeLine {
 public:
  // `steps`: 0 for a process that is not to be killed. `by_referee`: it asks the referee to kill it
  // then, and goes on until that happens, wherever that is.
  LifeLine(uint32_t steps, bool by_referee, int referee)
      : left_(steps), by_referee_(by_referee), referee_(referee) {}

  void Step();

 private:
  uint32_t left_;
  const bool by_referee_;
  const int referee_;
};

}  // namespace devmem::testing
