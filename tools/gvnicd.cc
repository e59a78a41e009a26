// SPDX-License-Identifier: Apache-2.0
//
// gvnicd: virtual gVNICs for guests that QEMU runs. This file is the program's edge: what is
// printed where, which signals end it, and the exit status.

#include <csignal>
#include <cstdio>
#include <string>

#include "tools/exit_codes.h"
#include "tools/gvnicd_options.h"
#include "tools/gvnicd_server.h"

namespace devmem {
namespace {

int Refused(const absl::Status& status) {
  std::fprintf(stderr, "gvnicd: %s\n", std::string(status.message()).c_str());
  return kExitFailed;
}

int Main(int argc, const char* const* argv) {
  const GvnicdCommandLine line = ParseGvnicdCommandLine(argc, argv);
  std::fputs(line.output.c_str(), stdout);
  std::fputs(line.error.c_str(), stderr);
  if (!line.options.has_value()) return line.exit_code;
  // Writing to a client that has gone is an error of that write, not the end of the program.
  std::signal(SIGPIPE, SIG_IGN);
  auto server = GvnicdServer::Create(*line.options);
  if (!server.ok()) return Refused(server.status());
  // A launcher waits for this line: from here on QEMU finds its sockets.
  std::puts("ready");
  std::fflush(stdout);
  absl::Status ended = (*server)->Run();
  if (ended.ok()) ended = (*server)->Finish();
  return ended.ok() ? kExitOk : Refused(ended);
}

}  // namespace
}  // namespace devmem

int main(int argc, char** argv) { return devmem::Main(argc, argv); }
