// SPDX-License-Identifier: Apache-2.0

#include "uapi/netlink/nic_setup.h"

#include <algorithm>
#include <filesystem>
#include <utility>

#include "absl/strings/cord.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "uapi/netlink/nic_control.h"
#include "uapi/netlink/nic_journal.h"
#include "uapi/netlink/nic_journal_reader.h"
#include "uapi/netlink/nic_planner.h"
#include "uapi/netlink/nic_restore.h"
#include "uapi/netlink/nic_steps.h"

namespace devmem {
namespace {

std::string FolderOf(const NicSetupOptions& options) {
  if (options.journal_path.empty()) return DefaultJournalFolder();
  const std::string folder = std::filesystem::path(options.journal_path).parent_path().string();
  return folder.empty() ? "." : folder;
}

}  // namespace

NicSetup::NicSetup(const NicSetupOptions& options, std::unique_ptr<NicControl> control)
    : options_(options),
      folder_(FolderOf(options)),
      control_(std::move(control)),
      queues_(options.queues) {}

NicSetup::~NicSetup() {
  if (!kept_) Undo().IgnoreError();
}

absl::StatusOr<std::unique_ptr<NicSetup>> NicSetup::Open(const NicSetupOptions& options) {
  absl::StatusOr<std::unique_ptr<NicControl>> control =
      OpenNicControl(options.device, options.netns_path);
  if (!control.ok()) return control.status();
  return Open(options, *std::move(control));
}

absl::StatusOr<std::unique_ptr<NicSetup>> NicSetup::Open(const NicSetupOptions& options,
                                                         std::unique_ptr<NicControl> control) {
  std::unique_ptr<NicSetup> setup(new NicSetup(options, std::move(control)));
  const absl::StatusOr<LinkInfo> link = setup->control_->Link();
  if (!link.ok()) return link.status();
  setup->carried_ = link->carrier;
  setup->subject_ = std::make_unique<JournalSubject>(
      SubjectOf(options.device, link->ifindex, options.netns_path));
  std::vector<std::string> restored = setup->RestoreStale();
  const absl::Status planned = setup->Plan();
  if (!planned.ok()) return planned;
  for (std::string& note : restored) setup->plan_.notes.push_back(std::move(note));
  return setup;
}

std::vector<std::string> NicSetup::RestoreStale() {
  if (!options_.stale_restored || !std::filesystem::exists(folder_)) return {};
  const absl::StatusOr<DeviceLock> lock = DeviceLock::Take(folder_, *subject_);
  if (!lock.ok()) return {};
  RestoreReport report = RestoreDevice(*control_, folder_, *subject_, false);
  std::vector<std::string> notes;
  for (const std::string& each : report.undone) {
    notes.push_back(absl::StrCat("left behind by a setup that died: ", each));
  }
  for (const std::string& each : report.failed) {
    notes.push_back(absl::StrCat("left behind by a setup that died: ", each));
  }
  return notes;
}

absl::Status NicSetup::Plan() {
  PlanRequest request;
  request.device = options_.device;
  request.queues = queues_;
  request.channels = applied_ ? std::nullopt : options_.combined_channels;
  request.steering_needed = options_.steering_needed;
  request.foreign_steering_allowed = options_.foreign_steering_allowed;
  request.split_is_set = applied_;
  request.own_queues = apart_;
  for (const Made& made : made_) {
    if (made.rule) request.own_locations.push_back(*made.rule->location);
  }
  absl::StatusOr<NicPlan> plan = PlanNic(*control_, request);
  if (!plan.ok()) return plan.status();
  plan_ = *std::move(plan);
  return absl::OkStatus();
}

absl::Status NicSetup::OpenJournal() {
  if (journal_ != nullptr) return absl::OkStatus();
  const std::string path =
      options_.journal_path.empty() ? NewJournalPath(folder_, *subject_) : options_.journal_path;
  absl::StatusOr<std::unique_ptr<NicJournal>> journal = NicJournal::Create(path, *subject_);
  if (!journal.ok()) return journal.status();
  journal_ = *std::move(journal);
  return absl::OkStatus();
}

absl::Status NicSetup::Make(const NicStep& step, std::optional<NtupleRule> rule) {
  const absl::Status open = OpenJournal();
  if (!open.ok()) return open;
  const absl::StatusOr<uint64_t> stamp = journal_->Append(step);
  if (!stamp.ok()) return stamp.status();
  made_.push_back({*stamp, step, std::move(rule)});
  const absl::Status made = MakeStep(*control_, step);
  if (!made.ok() && made_.back().rule) {
    // A refused rule changed nothing, and what stands at its location is somebody else's.
    journal_->MarkUndone(*stamp).IgnoreError();
    made_.pop_back();
  }
  return made;
}

absl::Status NicSetup::Apply() {
  if (applied_) return absl::OkStatus();
  const absl::StatusOr<DeviceLock> lock = DeviceLock::Take(folder_, *subject_);
  if (!lock.ok()) return lock.status();
  return ApplyFrom(0);
}

absl::Status NicSetup::ApplyFrom(size_t keep) {
  const std::vector<std::string> notes = plan_.notes;
  std::vector<NicStep> shown;
  absl::Status status = Plan();
  while (status.ok() && !plan_.steps.empty()) {
    // A new number of channels changes tables, so what follows is planned again.
    const bool again = plan_.steps.front().kind == NicStepKind::kChannels;
    const size_t count = again ? 1 : plan_.steps.size();
    for (size_t at = 0; at < count && status.ok(); ++at) {
      shown.push_back(plan_.steps[at]);
      status = Make(plan_.steps[at], std::nullopt);
    }
    if (!again || !status.ok()) break;
    status = Plan();
  }
  if (!status.ok()) {
    const absl::Status undone = UndoTo(keep);
    return undone.ok()
               ? status
               : absl::Status(status.code(),
                              absl::StrCat(status.message(),
                                           "; and undoing what was done: ", undone.message()));
  }
  plan_.steps = std::move(shown);
  plan_.notes = notes;
  applied_ = true;
  apart_ = queues_;
  return absl::OkStatus();
}

absl::Status NicSetup::AddQueues(std::span<const uint32_t> queues) {
  const std::vector<uint32_t> before = queues_;
  for (const uint32_t queue : queues) {
    if (std::count(queues_.begin(), queues_.end(), queue) == 0) queues_.push_back(queue);
  }
  if (queues_ == before) return applied_ ? absl::OkStatus() : Apply();
  const absl::StatusOr<DeviceLock> lock = DeviceLock::Take(folder_, *subject_);
  if (!lock.ok()) return lock.status();
  const NicPlan plan = plan_;
  const absl::Status status = ApplyFrom(made_.size());
  if (!status.ok()) {
    queues_ = before;
    plan_ = plan;
  }
  return status;
}

// Makes a rule where `rule` says, or where the driver chooses. Returns its location.
absl::StatusOr<uint32_t> NicSetup::MakeRule(NtupleRule rule) {
  NicStep step;
  step.kind = NicStepKind::kRule;
  step.name = rule.location ? absl::StrCat(*rule.location) : kAnyLocation;
  step.before = "none";
  step.after = rule.ToString();
  if (rule.location) {
    const absl::Status made = Make(step, rule);
    if (!made.ok()) return made;
    return *rule.location;
  }
  return MakeAnywhere(std::move(rule), std::move(step));
}

// The journal tells of the rule before it is made and of its place after that. A crash between the
// two leaves a rule to look for, so there must be no other like it.
absl::StatusOr<uint32_t> NicSetup::MakeAnywhere(NtupleRule rule, NicStep step) {
  const absl::StatusOr<std::vector<NtupleRule>> others = control_->Rules();
  if (!others.ok()) return others.status();
  for (const NtupleRule& other : *others) {
    if (!SameRule(other, rule)) continue;
    return absl::AlreadyExistsError(
        absl::StrCat(options_.device, " has this rule already: ", other.ToString(),
                     "; its owner steers the same flow there (devmemctl rule list)"));
  }
  const absl::Status open = OpenJournal();
  if (!open.ok()) return open;
  const absl::StatusOr<uint64_t> announced = journal_->Append(step);
  if (!announced.ok()) return announced.status();
  const absl::StatusOr<uint32_t> location = control_->InsertRule(rule);
  if (!location.ok()) {
    journal_->MarkUndone(*announced).IgnoreError();
    return location.status();
  }
  rule.location = *location;
  step.name = absl::StrCat(*location);
  step.after = rule.ToString();
  const absl::StatusOr<uint64_t> placed = journal_->Append(step);
  if (!placed.ok()) {
    // Nobody could undo it later.
    if (control_->DeleteRule(*location).ok()) journal_->MarkUndone(*announced).IgnoreError();
    return placed.status();
  }
  journal_->MarkUndone(*announced).IgnoreError();
  made_.push_back({*placed, std::move(step), std::move(rule)});
  return *location;
}

// Where the next rule goes; unset: where the driver puts it.
absl::StatusOr<std::optional<uint32_t>> NicSetup::NextLocation() {
  const absl::StatusOr<RuleTable> table = control_->RuleTable();
  if (!table.ok()) return table.status();
  if (table->placed_by_driver) return std::optional<uint32_t>();
  const absl::StatusOr<std::vector<NtupleRule>> rules = control_->Rules();
  if (!rules.ok()) return rules.status();
  const std::optional<uint32_t> location = HighestFreeLocation(*table, *rules);
  if (location) return location;
  return absl::ResourceExhaustedError(
      absl::StrCat("the rule table of ", options_.device, " is full with ", table->size,
                   " rules; delete some that nobody needs (devmemctl rule list)"));
}

absl::StatusOr<uint32_t> NicSetup::AddRule(const FlowMatch& match, uint32_t queue) {
  if (std::count(queues_.begin(), queues_.end(), queue) == 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("queue ", queue, " of ", options_.device, " was not set apart (",
                     absl::StrJoin(queues_, ","), " were); steer to one of those"));
  }
  if (!match.local && !match.remote) {
    return absl::InvalidArgumentError("a flow rule needs an address: give the local one");
  }
  const absl::StatusOr<DeviceLock> lock = DeviceLock::Take(folder_, *subject_);
  if (!lock.ok()) return lock.status();
  const absl::StatusOr<std::optional<uint32_t>> location = NextLocation();
  if (!location.ok()) return location.status();
  absl::Status first;
  for (const FlowMatch& variant : RuleVariants(match)) {
    NtupleRule rule;
    rule.ipv6 = !(match.local ? *match.local : *match.remote).is_v4();
    rule.match = variant;
    rule.queue = queue;
    rule.location = *location;
    const absl::StatusOr<uint32_t> made = MakeRule(std::move(rule));
    if (made.ok()) return made;
    if (first.ok()) first = made.status();
    // Only the form of the match can be helped by another one.
    if (!absl::IsInvalidArgument(made.status()) && !absl::IsUnimplemented(made.status())) {
      return made;
    }
  }
  return first;
}

absl::Status NicSetup::RemoveRule(uint32_t location) {
  const auto found = std::find_if(made_.begin(), made_.end(), [&](const Made& made) {
    return made.rule && made.rule->location == location;
  });
  if (found == made_.end()) {
    return absl::NotFoundError(
        absl::StrCat("location ", location, " of ", options_.device, " has no rule of this setup"));
  }
  const absl::StatusOr<DeviceLock> lock = DeviceLock::Take(folder_, *subject_);
  if (!lock.ok()) return lock.status();
  const absl::Status undone = UndoStep(*control_, found->step);
  // Another rule stands there now: ours is gone, and that one is left alone.
  if (!undone.ok() && !absl::IsAborted(undone)) return undone;
  journal_->MarkUndone(found->stamp).IgnoreError();
  made_.erase(found);
  return undone;
}

absl::StatusOr<std::unique_ptr<RxBinding>> NicSetup::BindRx(int dmabuf_fd,
                                                            std::span<const uint32_t> queues) {
  for (const uint32_t queue : queues) {
    if (std::count(queues_.begin(), queues_.end(), queue) != 0) continue;
    return absl::InvalidArgumentError(
        absl::StrCat("queue ", queue, " of ", options_.device,
                     " was not set apart, so other traffic would land in the memory; "
                     "name it in NicSetupOptions::queues or AddQueues()"));
  }
  absl::StatusOr<std::unique_ptr<RxBinding>> binding = control_->BindRx(dmabuf_fd, queues);
  if (!binding.ok()) return WithLinkState(binding.status());
  return binding;
}

absl::Status NicSetup::WithLinkState(const absl::Status& refusal) {
  if (refusal.ok() || !carried_ || control_->AwaitCarrier()) return refusal;
  absl::Status told(
      refusal.code(),
      absl::StrCat(refusal.message(), "; and ", options_.device,
                   " has had no link since: ", plan_.driver,
                   " stopped its queues for this and did not start them again. Where putting the "
                   "settings back does not wake it, `ip link set dev ",
                   options_.device, " down` and `up` do; dmesg may say what the device refused"));
  refusal.ForEachPayload(
      [&told](absl::string_view url, const absl::Cord& payload) { told.SetPayload(url, payload); });
  return told;
}

absl::StatusOr<std::unique_ptr<TxBinding>> NicSetup::BindTx(int dmabuf_fd) {
  return control_->BindTx(dmabuf_fd);
}

absl::Status NicSetup::UndoTo(size_t keep) {
  std::vector<std::string> problems;
  for (size_t at = made_.size(); at-- > keep;) {
    const absl::Status undone = UndoStep(*control_, made_[at].step);
    if (!undone.ok()) {
      problems.emplace_back(undone.message());
      continue;
    }
    journal_->MarkUndone(made_[at].stamp).IgnoreError();
    made_.erase(made_.begin() + static_cast<ptrdiff_t>(at));
  }
  if (made_.empty() && journal_ != nullptr) {
    journal_->Remove();
    journal_.reset();
  }
  if (problems.empty()) return absl::OkStatus();
  return absl::AbortedError(absl::StrCat(absl::StrJoin(problems, "; "), "; what is left is in ",
                                         journal_->path(), " (devmemctl restore)"));
}

bool NicSetup::OthersNeedSettings() const {
  for (const JournalRecord& record : ListJournals(folder_)) {
    if (record.live && record.subject == *subject_ &&
        (journal_ == nullptr || record.path != journal_->path())) {
      return true;
    }
  }
  return false;
}

absl::Status NicSetup::Undo() {
  applied_ = false;
  apart_.clear();
  if (made_.empty() || journal_ == nullptr) return absl::OkStatus();
  const absl::StatusOr<DeviceLock> lock = DeviceLock::Take(folder_, *subject_);
  if (!lock.ok()) return lock.status();
  if (!OthersNeedSettings()) {
    const absl::Status undone = UndoTo(0);
    // The last one out also puts back what earlier ones left for it.
    RestoreDevice(*control_, folder_, *subject_, false);
    return undone;
  }
  // Another setup of this NIC relies on the settings: only the rules go now. The journal stays, and
  // whoever ends last undoes the rest.
  absl::Status status;
  for (size_t at = made_.size(); at-- > 0;) {
    if (!made_[at].rule) continue;
    const absl::Status undone = UndoStep(*control_, made_[at].step);
    if (undone.ok()) journal_->MarkUndone(made_[at].stamp).IgnoreError();
    status.Update(undone);
  }
  made_.clear();
  journal_.reset();
  return status;
}

void NicSetup::Keep() {
  kept_ = true;
  if (journal_ != nullptr) journal_->MarkKept().IgnoreError();
}

}  // namespace devmem
