// SPDX-License-Identifier: Apache-2.0
// See quota.h.
#include "provider/quota.h"

#include <unistd.h>

#include <algorithm>
#include <cstddef>

#include "absl/strings/str_cat.h"
#include "provider/check.h"
#include "provider/limits.h"

namespace devmem {
namespace {

size_t IndexOf(QuotaKind kind) { return kind == QuotaKind::kPinned ? 0 : 1; }

absl::Status CheckNames(const std::string& user, const std::string& holder) {
  for (const std::string* const name : {&user, &holder}) {
    if (name->size() <= kQuotaNameBytesMax) continue;
    return absl::InvalidArgumentError(absl::StrCat("a name of ", name->size(),
                                                   " bytes in a quota is refused: the most is ",
                                                   kQuotaNameBytesMax, " bytes; shorten it"));
  }
  return absl::OkStatus();
}

struct Holder {
  std::string name;
  uint64_t bytes = 0;
};

// The largest holders by name, at most kQuotaHoldersNamedMax, and how many others there are.
std::string NameHolders(std::vector<Holder> holders) {
  std::sort(holders.begin(), holders.end(), [](const Holder& a, const Holder& b) {
    return a.bytes != b.bytes ? a.bytes > b.bytes : a.name < b.name;
  });
  std::string text;
  for (size_t n = 0; n < std::min(holders.size(), kQuotaHoldersNamedMax); ++n) {
    absl::StrAppend(&text, n == 0 ? "" : ", ", "\"", holders[n].name, "\" ", holders[n].bytes);
  }
  if (holders.size() > kQuotaHoldersNamedMax) {
    absl::StrAppend(&text, " and ", holders.size() - kQuotaHoldersNamedMax, " others");
  }
  return text.empty() ? "nobody" : text;
}

}  // namespace

absl::string_view ToString(QuotaKind kind) {
  return kind == QuotaKind::kPinned ? "pinned" : "staged";
}

std::string QuotaUserOfThisProcess() { return absl::StrCat("uid ", ::getuid()); }

QuotaCharge::~QuotaCharge() {
  if (quota_ != nullptr) quota_->Release(user_, serial_);
}

std::shared_ptr<Quota> Quota::Create(QuotaLimits limits) {
  return std::shared_ptr<Quota>(new Quota(limits));
}

void Quota::SetLimits(const std::string& user, QuotaLimits limits) {
  const std::lock_guard<std::mutex> lock(mutex_);
  Account& account = accounts_[user];
  account.has_own_limits = true;
  account.own_limits = limits;
}

absl::StatusOr<QuotaCharge> Quota::Charge(const std::string& user, QuotaKind kind,
                                          const std::string& holder, uint64_t bytes) {
  absl::Status named = CheckNames(user, holder);
  if (!named.ok()) return named;
  if (bytes == 0) {
    return absl::InvalidArgumentError("a charge of 0 bytes is refused: it would count nothing");
  }
  const std::string name = user.empty() ? QuotaUserOfThisProcess() : user;
  const std::lock_guard<std::mutex> lock(mutex_);
  const auto found = accounts_.find(name);
  const Account& before = found == accounts_.end() ? Account() : found->second;
  const QuotaLimits limits = LimitsOf(before);
  const uint64_t limit = kind == QuotaKind::kPinned ? limits.pinned_bytes : limits.staged_bytes;
  const uint64_t used = before.used_bytes[IndexOf(kind)];
  // Not used + bytes > limit, which may overflow; and the limit may have sunk below the usage.
  if (used > limit || bytes > limit - used) {
    std::map<std::string, uint64_t> by_name;
    for (const auto& [serial, held] : before.charges) {
      if (held.kind == kind) by_name[held.holder] += held.bytes;
    }
    std::vector<Holder> holders;
    for (const auto& [held_by, held_bytes] : by_name) holders.push_back({held_by, held_bytes});
    return absl::ResourceExhaustedError(absl::StrCat(
        bytes, " ", ToString(kind), " bytes for \"", holder, "\" are refused: the limit of ", name,
        " is ", limit, " bytes and ", used, " are in use, held by ",
        NameHolders(std::move(holders)), "; give some back, or raise the quota"));
  }
  Account& account = accounts_[name];
  account.used_bytes[IndexOf(kind)] += bytes;
  const uint64_t serial = ++last_serial_;
  account.charges.emplace(serial, Held{kind, bytes, holder});
  return QuotaCharge(shared_from_this(), name, serial, bytes);
}

void Quota::Release(const std::string& user, uint64_t serial) {
  const std::lock_guard<std::mutex> lock(mutex_);
  const auto found = accounts_.find(user);
  DEVMEM_CHECK(found != accounts_.end() && found->second.charges.count(serial) != 0,
               "a quota is given back what it never counted");
  Account& account = found->second;
  const auto charge = account.charges.find(serial);
  account.used_bytes[IndexOf(charge->second.kind)] -= charge->second.bytes;
  account.charges.erase(charge);
  if (account.charges.empty() && !account.has_own_limits) accounts_.erase(found);
}

QuotaLimits Quota::LimitsOf(const Account& account) const {
  return account.has_own_limits ? account.own_limits : limits_;
}

QuotaUsage Quota::Describe(const std::string& user, const Account& account) const {
  return {.user = user,
          .pinned_bytes = account.used_bytes[IndexOf(QuotaKind::kPinned)],
          .staged_bytes = account.used_bytes[IndexOf(QuotaKind::kStaged)],
          .limits = LimitsOf(account),
          .charge_count = account.charges.size()};
}

QuotaUsage Quota::UsageOf(const std::string& user) const {
  const std::string name = user.empty() ? QuotaUserOfThisProcess() : user;
  const std::lock_guard<std::mutex> lock(mutex_);
  const auto found = accounts_.find(name);
  return Describe(name, found == accounts_.end() ? Account() : found->second);
}

std::vector<QuotaUsage> Quota::ListUsage() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  std::vector<QuotaUsage> users;
  for (const auto& [user, account] : accounts_) users.push_back(Describe(user, account));
  return users;
}

}  // namespace devmem
