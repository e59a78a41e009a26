// SPDX-License-Identifier: Apache-2.0
// ImportPolicy: the exporter's word on who may use a region. Set when the region is allocated,
// asked by every attachment, on the control thread. Rule: the exporter decides.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>

#include "absl/strings/string_view.h"
#include "provider/attachment_rules.h"
#include "provider/pci_distance.h"

namespace devmem {

// Who wants to use what: all that an exporter is told before it answers.
struct ImportRequest {
  std::string importer;  // A NIC's device name, as a rule.
  ImporterCaps caps = ImporterCaps::kFault;
  // Between the importer and the memory's device; unset where one of them is no PCI device.
  std::optional<PciDistance> distance = {};
  uint32_t region_id = 0;
  uint64_t region_bytes = 0;
};

// What the exporter says. `reason` is for a person and belongs to the answer.
struct ImportAnswer {
  AttachmentVerdict verdict = AttachmentVerdict::kRefuse;
  std::string reason = {};
};

// Everybody, a set of importer names, or a function of the exporter's. A value; it does not change
// during the life of a region.
class ImportPolicy {
 public:
  using Function = std::function<ImportAnswer(const ImportRequest&)>;

  // Everybody may import.
  static ImportPolicy Everyone();

  // Only the named importers may. An empty set allows nobody.
  static ImportPolicy Only(std::set<std::string> importers);

  // Asks `function` for each attachment, on a thread of its own. It may not call into the region.
  // An exception, an answer that is none of the three verdicts, and no answer within `patience` are
  // refusals; a function that never returns keeps its thread for ever, at most kPolicyQuestionsMax
  // of them, beyond which it is asked no more. An
  // answer can only narrow what DecideAttachment() allows.
  static ImportPolicy Ask(Function function,
                          std::chrono::nanoseconds patience = std::chrono::seconds(1));

  // The exporter's answer.
  ImportAnswer Decide(const ImportRequest& request) const;

  // For messages: "everyone", "nobody", "only dm0, dm1" (in the order of the alphabet), or "whoever
  // its exporter accepts".
  std::string Describe() const;

 private:
  struct Asked;  // A function, and how many questions to it are open.

  ImportPolicy() = default;
  ImportAnswer AskFunction(const ImportRequest& request) const;

  bool everyone_ = true;
  std::set<std::string> importers_;  // Read only when everyone_ is false.
  // Set for Ask() only. Shared with the threads that ask, which may outlive the region.
  std::shared_ptr<Asked> function_;
  std::chrono::nanoseconds patience_{0};
};

}  // namespace devmem
