// SPDX-License-Identifier: Apache-2.0
//
// Forks the two, answers them, kills them on request, and takes stock.

#include "selftests/two_process/referee.h"

#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <random>
#include <utility>

#include "absl/strings/str_cat.h"
#include "provider/check.h"
#include "selftests/two_process/exporter.h"
#include "selftests/two_process/importer.h"

namespace devmem::testing {
namespace {

// About the steps of a process that is left alone: some finish before their last one comes.
constexpr uint32_t kStepsMax = 28;

// After both processes have gone, for the kernel to let go of what they had.
constexpr int kPatienceMs = 60'000;

struct Child {
  pid_t pid = -1;
  UniqueFd line;  // The referee's end.
  int status = 0;
};

// In the child: dies with the test, and holds nothing that is not its own.
void SettleIn(std::initializer_list<int> kept) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  CloseAllBut(kept);
}

// What one message of a child asks for.
void Answer(Child& child, const Message& message, Quota* quota, QuotaCharge* charge) {
  if (message.word == Word::kNow) {
    ::kill(child.pid, SIGKILL);
    return;
  }
  auto granted = quota->Charge(kQuotaUser, QuotaKind::kPinned, kRegionLabel, message.length);
  if (!granted.ok()) return;
  *charge = *std::move(granted);
  (void)Send(child.line.get(), {.word = Word::kGranted});
}

// Serves both children until each has gone.
void Serve(std::array<Child*, 2> children, Quota* quota, QuotaCharge* charge) {
  std::array<struct pollfd, 2> waiting = {};
  for (size_t i = 0; i < waiting.size(); ++i) waiting[i] = {children[i]->line.get(), POLLIN, 0};
  for (size_t open = waiting.size(); open > 0;) {
    if (::poll(waiting.data(), waiting.size(), -1) < 0) {
      DEVMEM_CHECK(errno == EINTR, "poll failed");
      continue;
    }
    for (size_t i = 0; i < waiting.size(); ++i) {
      if (waiting[i].fd < 0 || waiting[i].revents == 0) continue;
      Message message;
      if (Receive(waiting[i].fd, &message)) {
        Answer(*children[i], message, quota, charge);
        continue;
      }
      waiting[i].fd = -1;
      --open;
    }
  }
}

// Whether the region's line hangs up, which it does when no process and no message on its way has
// it any more. Nobody writes to it. The patience is for a machine that is busy, and only for the
// failure.
bool HangsUp(int region_line) {
  struct pollfd line = {region_line, POLLIN, 0};
  int ready = 0;
  do {
    ready = ::poll(&line, 1, kPatienceMs);
  } while (ready < 0 && errno == EINTR);
  return ready == 1;
}

void Judge(const char* who, const Child& child, bool may_be_killed, bool* killed,
           std::string* complaint) {
  *killed = WIFSIGNALED(child.status) && WTERMSIG(child.status) == SIGKILL;
  const bool good = WIFEXITED(child.status) && WEXITSTATUS(child.status) == 0;
  if (good || (*killed && may_be_killed)) return;
  absl::StrAppend(complaint, who, " ended with ",
                  WIFSIGNALED(child.status) ? absl::StrCat("signal ", WTERMSIG(child.status))
                                            : absl::StrCat("code ", WEXITSTATUS(child.status)),
                  "; ");
}

}  // namespace

RoundPlan::RoundPlan(uint64_t seed_in) : seed(seed_in) {
  std::mt19937_64 random(seed);
  const uint64_t victims = random() % 8;
  const uint32_t first = 1 + static_cast<uint32_t>(random() % kStepsMax);
  const uint32_t second = 1 + static_cast<uint32_t>(random() % kStepsMax);
  // One round of eight is left alone; in three both die, in two each alone.
  exporter_steps = victims == 0 || victims >= 6 ? 0 : first;
  importer_steps = victims == 0 || victims == 4 || victims == 5 ? 0 : second;
  by_referee = random() % 2 == 0;
}

std::string RoundPlan::Describe() const {
  return absl::StrCat("seed ", seed, ", exporter dies at step ", exporter_steps,
                      ", importer at step ", importer_steps,
                      by_referee ? ", by the referee" : ", by its own hand", " (0: not at all)");
}

RoundResult RunRound(const RoundPlan& plan, Quota* quota, QuotaCharge* charge) {
  Ends between = MakeSocket();
  Ends to_exporter = MakeSocket();
  Ends to_importer = MakeSocket();
  Ends region = MakePipe();

  Child exporter;
  exporter.pid = ::fork();
  if (exporter.pid == 0) {
    SettleIn({between.first.get(), to_exporter.second.get(), region.second.get()});
    const LifeLine life(plan.exporter_steps, plan.by_referee, to_exporter.second.get());
    RunExporter({std::move(to_exporter.second), std::move(between.first)}, std::move(region.second),
                plan.seed, life);
  }
  Child importer;
  importer.pid = ::fork();
  if (importer.pid == 0) {
    SettleIn({between.second.get(), to_importer.second.get()});
    const LifeLine life(plan.importer_steps, plan.by_referee, to_importer.second.get());
    RunImporter({std::move(to_importer.second), std::move(between.second)}, plan.seed, life);
  }
  DEVMEM_CHECK(exporter.pid > 0 && importer.pid > 0, "no process can be made");
  between = {};
  to_exporter.second.Reset();
  to_importer.second.Reset();
  region.second.Reset();
  exporter.line = std::move(to_exporter.first);
  importer.line = std::move(to_importer.first);

  Serve({&exporter, &importer}, quota, charge);
  for (Child* const child : {&exporter, &importer}) {
    DEVMEM_CHECK(::waitpid(child->pid, &child->status, 0) == child->pid, "a child was lost");
  }
  RoundResult result;
  Judge("exporter", exporter, plan.exporter_steps != 0, &result.exporter_killed, &result.complaint);
  Judge("importer", importer, plan.importer_steps != 0, &result.importer_killed, &result.complaint);
  if (HangsUp(region.first.get())) {
    *charge = QuotaCharge();
  } else {
    absl::StrAppend(&result.complaint, "somebody still has the region; ");
  }
  return result;
}

}  // namespace devmem::testing
