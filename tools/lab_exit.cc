// SPDX-License-Identifier: Apache-2.0
//
// lab_exit: the last program of a guest of tools/lab. Writes its one argument, an exit status of 0
// to 127, to the port of QEMU's isa-debug-exit device, upon which QEMU ends with status 2 * N + 1.
// Linked statically, because a cloud kernel has no /dev/port and a guest may have no libraries.

#include <sys/io.h>

#include <cstdio>
#include <cstdlib>

namespace {

constexpr unsigned short kDebugExitPort = 0xf4;
constexpr long kStatusMax = 127;

}  // namespace

int main(int argc, char** argv) {
  char* end = nullptr;
  const long status = argc == 2 ? std::strtol(argv[1], &end, 10) : -1;
  if (end == nullptr || *end != '\0' || end == argv[1] || status < 0 || status > kStatusMax) {
    std::fprintf(stderr, "usage: lab_exit STATUS, 0 to %ld\n", kStatusMax);
    return 2;
  }
  if (ioperm(kDebugExitPort, 4, 1) != 0) {
    std::perror("lab_exit: no access to QEMU's debug exit port");
    return 1;
  }
  outl(static_cast<unsigned>(status), kDebugExitPort);
  std::fprintf(stderr, "lab_exit: nothing listens at port 0x%x; is this a guest of tools/lab?\n",
               kDebugExitPort);
  return 1;
}
