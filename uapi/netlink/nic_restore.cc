// SPDX-License-Identifier: Apache-2.0

#include "uapi/netlink/nic_restore.h"

#include <unistd.h>

#include <algorithm>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "uapi/netlink/nic_journal_reader.h"
#include "uapi/netlink/nic_steps.h"

namespace devmem {
namespace {

struct PendingStep {
  const JournalRecord* record = nullptr;
  JournalStep step;
};

// Whether the journal is one to undo now; else why not goes into the report.
bool IsOurs(const JournalRecord& record, const JournalSubject& subject, bool kept_too,
            RestoreReport& report) {
  if (record.subject.device != subject.device || record.subject.netns != subject.netns)
    return false;
  if (record.live) {
    report.in_use.push_back(absl::StrCat(record.path, ": process ", record.pid,
                                         " is running and undoes it when it ends; end that first"));
    return false;
  }
  if (record.kept && !kept_too) return false;
  if (record.subject != subject) {
    report.skipped.push_back(
        absl::StrCat(record.path, ": ", record.subject.device,
                     record.subject.boot_id == subject.boot_id
                         ? " is gone or was made anew since, and its settings went with it"
                         : " was set up before the last boot, and its settings went with it"));
    unlink(record.path.c_str());
    return false;
  }
  return true;
}

// The device is gone, so nothing of what was set is there any more.
void DropOfGone(const std::string& folder, const JournalSubject& subject, RestoreReport& report) {
  for (const JournalRecord& record : ListJournals(folder)) {
    IsOurs(record, subject, true, report);
  }
}

// Whether a setup that lives relies on the settings of this device.
bool IsInUse(const std::vector<JournalRecord>& records, const JournalSubject& subject) {
  return std::any_of(records.begin(), records.end(), [&](const JournalRecord& record) {
    return record.live && record.subject == subject;
  });
}

// Whether a rule of which nobody knows the place is one that a living setup made for itself: then
// the dead one, which found none like it, never came to make its own.
bool IsOfTheLiving(const std::vector<JournalRecord>& records, const NicStep& step) {
  const absl::StatusOr<NtupleRule> rule = ParseRule(step.after);
  if (step.name != kAnyLocation || !rule.ok()) return false;
  const auto same = [&](const JournalStep& other) {
    if (other.undone || other.step.kind != NicStepKind::kRule) return false;
    const absl::StatusOr<NtupleRule> living = ParseRule(other.step.after);
    return living.ok() && SameRule(*living, *rule);
  };
  return std::any_of(records.begin(), records.end(), [&](const JournalRecord& record) {
    return record.live && std::any_of(record.steps.begin(), record.steps.end(), same);
  });
}

void UndoOne(NicControl& control, const PendingStep& pending, RestoreReport& report) {
  const NicStep& step = pending.step.step;
  const std::string what =
      absl::StrCat(pending.record->subject.device, ": ", ToString(step.kind), " ", step.name);
  const absl::Status undone = UndoStep(control, step);
  if (!undone.ok()) {
    report.failed.push_back(absl::StrCat(what, ": ", undone.message()));
    return;
  }
  report.undone.push_back(absl::StrCat(what, " is ", step.before, " again"));
  const absl::Status marked = AppendUndone(pending.record->path, pending.step.stamp);
  if (!marked.ok()) report.failed.emplace_back(marked.message());
}

// A journal that nobody can follow. One that its name gives to another device is not asked for.
void TellUnread(const UnreadJournal& unread, const RestoreOptions& options, uint64_t netns,
                RestoreReport& report) {
  if (!options.device.empty() && !unread.device.empty() && options.device != unread.device) return;
  if (unread.netns != 0 && unread.netns != netns) {
    report.skipped.push_back(absl::StrCat(unread.path, ": ", unread.device,
                                          " is in another network namespace; restore there"));
  } else if (unread.live) {
    report.in_use.push_back(absl::StrCat(unread.path, ": its owner is running and undoes it when ",
                                         "it ends; end that first"));
  } else if (absl::IsCancelled(unread.why) && RemoveTornJournal(unread.path)) {
    report.skipped.push_back(absl::StrCat(
        unread.path, " was interrupted while it was made, before any change, and was deleted"));
  } else if (absl::IsInvalidArgument(unread.why)) {
    report.skipped.emplace_back(unread.why.message());
  } else {
    report.failed.emplace_back(unread.why.message());
  }
}

// Opens a device of which there are journals, and undoes them.
void RestoreByName(const std::string& device, const std::string& folder,
                   const RestoreOptions& options, const NicControlFactory& open,
                   RestoreReport& report) {
  const auto refused = [&](const absl::Status& why) {
    report.failed.push_back(absl::StrCat(device, ": nothing was undone: ", why.message()));
  };
  absl::StatusOr<std::unique_ptr<NicControl>> control = open(device);
  // A device that is gone took its settings along.
  if (!control.ok() && !absl::IsNotFound(control.status())) return refused(control.status());
  uint32_t ifindex = 0;
  if (control.ok()) {
    const absl::StatusOr<LinkInfo> link = (*control)->Link();
    if (!link.ok()) return refused(link.status());
    ifindex = link->ifindex;
  }
  const JournalSubject subject = SubjectOf(device, ifindex, options.netns_path);
  const absl::StatusOr<DeviceLock> lock = DeviceLock::Take(folder, subject);
  if (!lock.ok()) return refused(lock.status());
  if (!control.ok()) return DropOfGone(folder, subject, report);
  RestoreReport more = RestoreDevice(**control, folder, subject, options.kept_too);
  const auto append = [](std::vector<std::string>& to, std::vector<std::string>& from) {
    to.insert(to.end(), from.begin(), from.end());
  };
  append(report.undone, more.undone);
  append(report.skipped, more.skipped);
  append(report.in_use, more.in_use);
  append(report.failed, more.failed);
}

}  // namespace

RestoreReport RestoreDevice(NicControl& control, const std::string& folder,
                            const JournalSubject& subject, bool kept_too) {
  RestoreReport report;
  const std::vector<JournalRecord> records = ListJournals(folder);
  // Under a setup that lives only the rules of dead ones may go: it has found header split and the
  // rest as they are, and made no note of them. Whoever ends last puts them back.
  const bool in_use = IsInUse(records, subject);
  std::vector<PendingStep> steps;
  std::vector<std::string> paths;
  for (const JournalRecord& record : records) {
    if (!IsOurs(record, subject, kept_too, report)) continue;
    paths.push_back(record.path);
    if (record.torn) {
      report.skipped.push_back(absl::StrCat(record.path,
                                            ": its last line was interrupted, so that "
                                            "change was never made"));
    }
    for (const JournalStep& step : record.steps) {
      const bool wanted = !in_use || step.step.kind == NicStepKind::kRule;
      if (step.undone || !wanted || IsOfTheLiving(records, step.step)) continue;
      steps.push_back({&record, step});
    }
  }
  std::sort(steps.begin(), steps.end(),
            [](const PendingStep& a, const PendingStep& b) { return a.step.stamp > b.step.stamp; });
  for (const PendingStep& step : steps) UndoOne(control, step, report);
  for (const std::string& path : paths) {
    const absl::StatusOr<JournalRecord> now = ReadJournal(path);
    if (now.ok() && now->finished()) unlink(path.c_str());
  }
  return report;
}

absl::StatusOr<RestoreReport> RestoreNics(const RestoreOptions& options) {
  return RestoreNics(options, [&](const std::string& device) {
    return OpenNicControl(device, options.netns_path);
  });
}

absl::StatusOr<RestoreReport> RestoreNics(const RestoreOptions& options,
                                          const NicControlFactory& open) {
  const std::string folder = options.folder.empty() ? DefaultJournalFolder() : options.folder;
  const uint64_t netns = SubjectOf("", 0, options.netns_path).netns;
  const absl::StatusOr<JournalListing> listing = ListJournalFolder(folder);
  if (!listing.ok()) return listing.status();
  RestoreReport report;
  std::set<std::string> devices;
  for (const JournalRecord& record : listing->journals) {
    const std::string& device = record.subject.device;
    if (!options.device.empty() && options.device != device) continue;
    if (record.subject.netns == netns) {
      devices.insert(device);
    } else {
      report.skipped.push_back(absl::StrCat(record.path, ": ", device,
                                            " is in another network namespace; restore there"));
    }
  }
  for (const UnreadJournal& unread : listing->unread) TellUnread(unread, options, netns, report);
  for (const std::string& device : devices) RestoreByName(device, folder, options, open, report);
  return report;
}

}  // namespace devmem
