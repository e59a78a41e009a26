// SPDX-License-Identifier: Apache-2.0
//
// The tutorial of the public interface: receive one TCP connection into a region and say where each
// piece landed.   receive 127.0.0.1 5201 copy &   echo hello | nc -N 127.0.0.1 5201
// In place of "copy", the kernel's address of a TAP that receive makes: receive 192.0.2.2 5201
// 192.0.2.1/24

#include <array>
#include <cstdlib>
#include <iostream>
#include <string>

#include "uapi/devmem.h"

// Prints why something was refused; the message says what to do.
static int Refused(const absl::Status& status) {
  std::cerr << "receive: " << status.message() << "\n";
  return 1;
}

int main(int argc, char** argv) {
  if (argc != 4) return std::cerr << "usage: receive ADDRESS PORT copy|KERNEL_ADDRESS\n", 2;
  devmem::SessionOptions options{.addresses = {argv[1]}, .kernel_address = argv[3]};
  if (options.kernel_address == "copy") options.backend = devmem::Backend::kCopy;
  const auto port = static_cast<uint16_t>(std::atoi(argv[2]));

  // A session owns the device, a region is memory, a binding gives it to an rx queue.
  auto session = devmem::Session::Open(options);
  if (!session.ok()) return Refused(session.status());
  auto region = (*session)->Allocate({.bytes = 64 << 20});
  if (!region.ok()) return Refused(region.status());
  auto binding = (*session)->Bind(**region, {.queues = {1}});
  if (!binding.ok()) return Refused(binding.status());

  // Listening with a binding steers the connection's payload to its queue, and so into the region.
  auto listener = (*session)->Listen({.address = argv[1], .port = port}, *binding);
  if (!listener.ok()) return Refused(listener.status());
  std::cout << "listening on port " << (*listener)->port() << std::endl;
  auto connection = (*listener)->Accept();
  if (!connection.ok()) return Refused(connection.status());

  std::array<devmem::Frag, 256> frags;
  for (;;) {
    auto count = (*connection)->Recv(frags);  // 0 is the end of the stream.
    if (!count.ok()) return Refused(count.status());
    if (*count == 0) return 0;
    const auto landed = std::span(frags).first(*count);
    for (const devmem::Frag& frag : landed) {
      std::cout << "region " << frag.region_id << " offset " << frag.offset << " length "
                << frag.length_bytes << " token " << frag.token << "\n";
    }
    // The memory may be used until here; afterwards new payload may land in it.
    auto released = (*connection)->Release(landed);
    if (!released.ok()) return Refused(released);
  }
}
