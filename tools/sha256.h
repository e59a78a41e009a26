// SPDX-License-Identifier: Apache-2.0
//
// SHA-256 (FIPS 180-4) of a stream, through libcrypto. For verification only; one thread at a time.

#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>

namespace devmem {

class Sha256 {
 public:
  Sha256();
  ~Sha256();
  Sha256(const Sha256&) = delete;
  Sha256& operator=(const Sha256&) = delete;

  void Update(std::span<const uint8_t> bytes);
  // The hash of everything so far, as 64 hexadecimal digits. Ends the stream.
  std::string Finish();

 private:
  struct Context;
  const std::unique_ptr<Context> context_;
};

}  // namespace devmem
