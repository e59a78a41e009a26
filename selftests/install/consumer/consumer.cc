// SPDX-License-Identifier: Apache-2.0
// A program of somebody who installed devmem: opens a session of the backend that works anywhere,
// allocates a region through it and checks its size. Built by the scripts beside this folder.

#include <devmem/uapi/devmem.h>

#include <iostream>

int main() {
  auto session = devmem::Session::Open({.backend = devmem::Backend::kCopy});
  std::cout << "session: " << session.status() << "\n";
  if (!session.ok()) return 1;
  auto region = (*session)->Allocate({.bytes = 1 << 20});
  std::cout << "region: " << region.status() << "\n";
  return region.ok() && (*region)->size_bytes() == 1 << 20 ? 0 : 1;
}
