// SPDX-License-Identifier: Apache-2.0
//
// EVP_MD_CTX_new(3). libcrypto refuses only for want of memory, which stops the program.

#include "tools/sha256.h"

#include <openssl/evp.h>

#include <array>

#include "absl/strings/escaping.h"
#include "absl/strings/string_view.h"
#include "provider/check.h"

namespace devmem {

struct Sha256::Context {
  EVP_MD_CTX* evp = EVP_MD_CTX_new();

  Context() = default;
  Context(const Context&) = delete;
  Context& operator=(const Context&) = delete;
  ~Context() { EVP_MD_CTX_free(evp); }
};

Sha256::Sha256() : context_(std::make_unique<Context>()) {
  const bool begun = EVP_DigestInit_ex(context_->evp, EVP_sha256(), nullptr) == 1;
  DEVMEM_CHECK(begun, "libcrypto has no memory or no SHA-256");
}

Sha256::~Sha256() = default;

void Sha256::Update(std::span<const uint8_t> bytes) {
  const bool updated = EVP_DigestUpdate(context_->evp, bytes.data(), bytes.size()) == 1;
  DEVMEM_CHECK(updated, "libcrypto refused to go on with a hash");
}

std::string Sha256::Finish() {
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest;
  unsigned int bytes = 0;
  const bool finished = EVP_DigestFinal_ex(context_->evp, digest.data(), &bytes) == 1;
  DEVMEM_CHECK(finished, "libcrypto refused to finish a hash");
  return absl::BytesToHexString(
      absl::string_view(reinterpret_cast<const char*>(digest.data()), bytes));
}

}  // namespace devmem
