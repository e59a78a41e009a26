// SPDX-License-Identifier: Apache-2.0
// Quota: how many bytes of device memory each user has pinned, how many staged, and how many it
// may. One object serves many users, sessions and regions; a daemon could own it for many
// processes. It counts what is allocated through it; what the kernel counts is
// provider/dmem_cgroup.h. Any thread. Documentation/memory.md.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace devmem {

enum class QuotaKind {
  kPinned,  // Regions: their memory stays where it is while somebody uses it.
  kStaged,  // Host memory through which payload crosses to a device.
};
absl::string_view ToString(QuotaKind kind);

// The most that one user may have, in bytes.
struct QuotaLimits {
  uint64_t pinned_bytes = UINT64_MAX;
  uint64_t staged_bytes = UINT64_MAX;
};

// What a user has and may have.
struct QuotaUsage {
  std::string user;
  uint64_t pinned_bytes = 0;
  uint64_t staged_bytes = 0;
  QuotaLimits limits;
  uint64_t charge_count = 0;
};

class Quota;

// Bytes that are counted against a user; destroying it, from any thread, gives them back. Movable;
// one that was moved from or made by default counts nothing. It keeps the quota alive.
class QuotaCharge {
 public:
  QuotaCharge() = default;
  ~QuotaCharge();
  QuotaCharge(QuotaCharge&& other) noexcept { *this = std::move(other); }
  QuotaCharge& operator=(QuotaCharge&& other) noexcept {
    std::swap(quota_, other.quota_);
    std::swap(user_, other.user_);
    std::swap(serial_, other.serial_);
    std::swap(bytes_, other.bytes_);
    return *this;
  }

  uint64_t bytes() const { return bytes_; }
  const std::string& user() const { return user_; }

 private:
  friend class Quota;
  QuotaCharge(std::shared_ptr<Quota> quota, std::string user, uint64_t serial, uint64_t bytes)
      : quota_(std::move(quota)), user_(std::move(user)), serial_(serial), bytes_(bytes) {}

  std::shared_ptr<Quota> quota_;
  std::string user_;
  uint64_t serial_ = 0;
  uint64_t bytes_ = 0;
};

// Invariants:
//   1. A user's usage of each kind is the sum of its charges, and no charge took it above the limit
//      that held then.
//   2. A user without charges and without limits of its own costs no memory.
class Quota : public std::enable_shared_from_this<Quota> {
 public:
  // `limits` hold for each user who has none of its own.
  static std::shared_ptr<Quota> Create(QuotaLimits limits = {});

  // Limits of one user's own. Those below what it has now take nothing away: nothing further is
  // granted until enough was given back.
  void SetLimits(const std::string& user, QuotaLimits limits);

  // Counts `bytes` against a user (a name or "uid 1000"; empty: whoever runs this process).
  // `holder` says for what, in messages: a region's label.
  //
  // Errors: kResourceExhausted  it would be more than the limit; the message says the limit, the
  //                             usage, what was asked, and the largest holders.
  //         kInvalidArgument    zero bytes, or a name longer than kQuotaNameBytesMax.
  absl::StatusOr<QuotaCharge> Charge(const std::string& user, QuotaKind kind,
                                     const std::string& holder, uint64_t bytes);

  QuotaUsage UsageOf(const std::string& user) const;
  // Every user with a charge or limits of its own, by name.
  std::vector<QuotaUsage> ListUsage() const;

 private:
  friend class QuotaCharge;

  struct Held {
    QuotaKind kind = QuotaKind::kPinned;
    uint64_t bytes = 0;
    std::string holder;
  };
  struct Account {
    uint64_t used_bytes[2] = {0, 0};  // By kind.
    bool has_own_limits = false;
    QuotaLimits own_limits;
    std::map<uint64_t, Held> charges;  // By serial.
  };

  explicit Quota(QuotaLimits limits) : limits_(limits) {}

  void Release(const std::string& user, uint64_t serial);
  QuotaLimits LimitsOf(const Account& account) const;
  QuotaUsage Describe(const std::string& user, const Account& account) const;

  const QuotaLimits limits_;
  mutable std::mutex mutex_;  // Guards the rest.
  uint64_t last_serial_ = 0;
  std::map<std::string, Account> accounts_;
};

// "uid 1000": the user of this process, as charges without a user are counted.
std::string QuotaUserOfThisProcess();

}  // namespace devmem
