// SPDX-License-Identifier: Apache-2.0
// See import_policy.h.
#include "provider/import_policy.h"

#include <atomic>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <system_error>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/string_view.h"
#include "provider/limits.h"
#include "provider/patience.h"

namespace devmem {
namespace {

// Counts the questions of one policy that nobody has answered yet.
class OpenQuestion {
 public:
  explicit OpenQuestion(std::atomic<uint32_t>* open)
      : open_(open), is_too_many_(open->fetch_add(1) >= kPolicyQuestionsMax) {}
  ~OpenQuestion() { open_->fetch_sub(1); }
  OpenQuestion(const OpenQuestion&) = delete;
  OpenQuestion& operator=(const OpenQuestion&) = delete;

  bool is_too_many() const { return is_too_many_; }

 private:
  std::atomic<uint32_t>* const open_;
  const bool is_too_many_;
};

// What the thread that asks and the one that waits share. The last of them frees it.
struct Question {
  std::mutex mutex;
  std::condition_variable answered;
  std::optional<ImportAnswer> answer;  // Guarded by mutex.
};

ImportAnswer Refuse(std::string reason) { return {AttachmentVerdict::kRefuse, std::move(reason)}; }

ImportAnswer CallGuarded(const ImportPolicy::Function& function, const ImportRequest& request) {
  try {
    return function(request);
  } catch (const std::exception& error) {
    return Refuse(absl::StrCat("the exporter's policy failed: ", error.what()));
  } catch (...) {
    return Refuse("the exporter's policy failed");
  }
}

}  // namespace

struct ImportPolicy::Asked {
  explicit Asked(Function asked) : function(std::move(asked)) {}

  const Function function;
  std::atomic<uint32_t> open{0};
};

ImportPolicy ImportPolicy::Everyone() { return ImportPolicy(); }

ImportPolicy ImportPolicy::Only(std::set<std::string> importers) {
  ImportPolicy policy;
  policy.everyone_ = false;
  policy.importers_ = std::move(importers);
  return policy;
}

ImportPolicy ImportPolicy::Ask(Function function, std::chrono::nanoseconds patience) {
  ImportPolicy policy;
  policy.function_ = std::make_shared<Asked>(std::move(function));
  policy.patience_ = patience;
  return policy;
}

ImportAnswer ImportPolicy::Decide(const ImportRequest& request) const {
  if (function_ != nullptr) return AskFunction(request);
  if (everyone_ || importers_.count(request.importer) > 0) {
    return {AttachmentVerdict::kAllow, absl::StrCat("the policy allows ", Describe())};
  }
  return Refuse(absl::StrCat("its policy allows ", Describe(),
                             "; allocate the region with a policy that names this importer"));
}

ImportAnswer ImportPolicy::AskFunction(const ImportRequest& request) const {
  const auto question = std::make_shared<Question>();
  auto open = std::make_shared<OpenQuestion>(&function_->open);
  if (open->is_too_many()) {
    return Refuse(absl::StrCat("the exporter's policy has ", kPolicyQuestionsMax,
                               " questions that it has not answered; mend it"));
  }
  try {
    // The thread keeps the function, and with it the count of open questions.
    std::thread([question, function = function_, open = std::move(open), request]() mutable {
      ImportAnswer answer = CallGuarded(function->function, request);
      open.reset();
      const std::lock_guard<std::mutex> lock(question->mutex);
      question->answer = std::move(answer);
      question->answered.notify_all();
    }).detach();
  } catch (const std::system_error& error) {
    return Refuse(absl::StrCat("no thread to ask the exporter on: ", error.what()));
  }
  std::unique_lock<std::mutex> lock(question->mutex);
  question->answered.wait_for(lock, BoundedPatience(patience_),
                              [&] { return question->answer.has_value(); });
  if (!question->answer.has_value()) {
    return Refuse(absl::StrCat("the exporter's policy did not answer within ", patience_.count(),
                               " ns; mend it, or give it more patience"));
  }
  const ImportAnswer answer = *question->answer;
  switch (answer.verdict) {
    case AttachmentVerdict::kAllow:
    case AttachmentVerdict::kStage:
    case AttachmentVerdict::kRefuse: return answer;
  }
  return Refuse(absl::StrCat("the exporter's policy answered ", static_cast<int>(answer.verdict),
                             ", which is no verdict"));
}

std::string ImportPolicy::Describe() const {
  if (function_ != nullptr) return "whoever its exporter accepts";
  if (everyone_) return "everyone";
  if (importers_.empty()) return "nobody";
  return absl::StrCat("only ", absl::StrJoin(importers_, ", "));
}

}  // namespace devmem
