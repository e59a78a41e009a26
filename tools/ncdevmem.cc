// SPDX-License-Identifier: Apache-2.0
//
// ncdevmem: receives TCP into device memory and reports what happened, in the manner of the
// kernel's self-test of that name (tools/testing/selftests/drivers/net/hw/ncdevmem.c). This file is
// the program's edge: signals, descriptors and what is printed where.

#include <signal.h>
#include <unistd.h>

#include <cstdio>
#include <string>

#include "tools/exit_codes.h"
#include "tools/ncdevmem_options.h"
#include "tools/ncdevmem_receive.h"
#include "tools/ncdevmem_report.h"

namespace devmem {
namespace {

// The signal that asked us to stop, or 0. Written by the handler, read by the receive loop.
volatile sig_atomic_t stop_signal = 0;

void OnStopSignal(int signal) { stop_signal = signal; }

// The first signal ends the run in order; a second one ends the process as usual. Writing to a peer
// or a reader that has gone is an error to report, not a reason to die.
void HandleSignals() {
  struct sigaction stop {};
  stop.sa_handler = OnStopSignal;
  stop.sa_flags = static_cast<int>(SA_RESETHAND);
  sigaction(SIGINT, &stop, nullptr);
  sigaction(SIGTERM, &stop, nullptr);
  signal(SIGPIPE, SIG_IGN);
}

void Print(std::FILE* to, const std::string& text) { std::fputs(text.c_str(), to); }

void TellReady(int fd) {
  if (fd < 0) return;
  if (::write(fd, "\n", 1) != 1) Print(stderr, "ncdevmem: nobody reads the --ready-fd\n");
  ::close(fd);
}

NcdevmemReceiver::Hooks MakeHooks(const NcdevmemOptions& options, ProgressLine* line,
                                  bool show_progress) {
  NcdevmemReceiver::Hooks hooks;
  hooks.stopped = [] { return stop_signal != 0; };
  hooks.listening = [&options](absl::string_view endpoint) {
    if (!options.quiet) Print(stderr, "listening on " + std::string(endpoint) + "\n");
  };
  hooks.ready = [&options] { TellReady(options.ready_fd); };
  if (show_progress) {
    hooks.progress = [line](const Progress& progress) {
      // Back to the line's start, and clear what a longer line left.
      Print(stderr, "\r" + line->Format(progress) + "\x1b[K");
      std::fflush(stderr);
    };
  }
  return hooks;
}

int Main(int argc, const char* const* argv) {
  const NcdevmemCommandLine command_line = ParseNcdevmemCommandLine(argc, argv);
  Print(stdout, command_line.output);
  Print(stderr, command_line.error);
  if (!command_line.options.has_value()) return command_line.exit_code;
  const NcdevmemOptions& options = *command_line.options;
  HandleSignals();
  ProgressLine line;
  const bool show_progress = !options.quiet && ::isatty(STDERR_FILENO) == 1;
  NcdevmemReceiver receiver(options, MakeHooks(options, &line, show_progress));
  const RunResult result = receiver.Run();

  if (show_progress) Print(stderr, "\r\x1b[K");
  const std::string failures = ReportFailures(result);
  if (!failures.empty()) Print(stderr, "ncdevmem: " + failures);
  if (options.stats) Print(stderr, ReportTable(result));
  if (options.json) {
    Print(stdout, ReportJson(result) + "\n");
  } else if (!options.quiet && !result.streams.empty()) {
    Print(stdout, ReportSummary(result));
  }
  if (stop_signal != 0) return 128 + stop_signal;
  return Succeeded(result) ? kExitOk : kExitFailed;
}

}  // namespace
}  // namespace devmem

int main(int argc, char** argv) { return devmem::Main(argc, argv); }
