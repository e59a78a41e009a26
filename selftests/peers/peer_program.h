// SPDX-License-Identifier: Apache-2.0
//
// What the programs of selftests/peers share: they end with a message on the first failure, speak
// to the test that started them through standard output, and sum up what a session says it leaked.
// Single thread.

#pragma once

#include <openssl/evp.h>

#include <array>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <span>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "uapi/devmem.h"

namespace devmem::peers {

// How long the whole of a test may take; a watchdog, not a wait.
inline constexpr Nanos kTestTimeMax = 120 * kSecond;

[[noreturn]] inline void Die(const absl::Status& status) {
  std::fprintf(stderr, "%s\n", status.ToString().c_str());
  std::exit(1);
}

template <typename T>
T OrDie(absl::StatusOr<T> result) {
  if (!result.ok()) Die(result.status());
  return *std::move(result);
}

// Whether a call with a deadline of 0 found nothing to do.
inline bool NothingYet(const absl::Status& status) { return absl::IsDeadlineExceeded(status); }

// The test may start its peer now.
inline void SayReady() {
  std::puts("ready");
  std::fflush(stdout);
}

inline uint64_t StatisticOf(const Session& session, absl::string_view name) {
  for (const Statistic& statistic : session.statistics()) {
    if (statistic.name == name) return statistic.value;
  }
  Die(absl::NotFoundError(std::string("no statistic ") + std::string(name)));
}

class Sha256 {
 public:
  Sha256() : context_(EVP_MD_CTX_new()) { EVP_DigestInit_ex(context_, EVP_sha256(), nullptr); }
  ~Sha256() { EVP_MD_CTX_free(context_); }
  Sha256(const Sha256&) = delete;
  Sha256& operator=(const Sha256&) = delete;

  void Add(std::span<const uint8_t> bytes) {
    EVP_DigestUpdate(context_, bytes.data(), bytes.size());
  }
  // Once, at the end.
  std::string Hex() {
    std::array<uint8_t, 32> digest;
    EVP_DigestFinal_ex(context_, digest.data(), nullptr);
    std::string text;
    for (const uint8_t byte : digest) {
      std::array<char, 3> pair;
      std::snprintf(pair.data(), pair.size(), "%02x", unsigned{byte});
      text += pair.data();
    }
    return text;
  }

 private:
  EVP_MD_CTX* const context_;
};

}  // namespace devmem::peers
