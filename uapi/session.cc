// SPDX-License-Identifier: Apache-2.0
//
// Opening a session of a backend, memory from providers, and what connections do by default.

#include <utility>

#include "absl/strings/str_cat.h"
#include "provider/choose_provider.h"
#include "provider/import_provider.h"
#include "provider/provider.h"
#include "provider/region_view.h"
#include "uapi/choose_backend.h"
#include "uapi/copy_session.h"
#include "uapi/devmem.h"
#include "uapi/kernel_session.h"
#include "uapi/stack_session.h"
#include "uapi/zcrx_session.h"

namespace devmem {

absl::string_view ToString(Backend backend) {
  switch (backend) {
    case Backend::kAuto: return "auto";
    case Backend::kStack: return "stack";
    case Backend::kKernel: return "kernel";
    case Backend::kZcrx: return "zcrx";
    case Backend::kCopy: return "copy";
  }
  return "unknown";
}

absl::StatusOr<std::unique_ptr<Session>> Session::Open(const SessionOptions& options) {
  switch (options.backend) {
    case Backend::kStack: return OpenStackSession(options, "the caller asked for it");
    case Backend::kKernel: return OpenKernelSession(options, "the caller asked for it");
    case Backend::kZcrx: return OpenZcrxSession(options, "the caller asked for it");
    case Backend::kCopy: return OpenCopySession(options, "the caller asked for it");
    case Backend::kAuto: break;
  }
  return OpenBestSession(options);
}

// Through host memory, for connections that cannot do better.
absl::StatusOr<size_t> Connection::SendFrom(const Region& region, uint64_t offset, uint64_t bytes,
                                            Nanos deadline) {
  if (offset > region.size_bytes() || bytes > region.size_bytes() - offset) {
    return absl::OutOfRangeError(
        absl::StrCat(bytes, " bytes from offset ", offset, " on leave ", region.Describe()));
  }
  const absl::StatusOr<RegionView> view = RegionView::Map(region);
  if (!view.ok()) return view.status();
  return Send(view->bytes().subspan(offset, bytes), deadline);
}

absl::StatusOr<std::unique_ptr<Region>> Session::Allocate(const RegionOptions& options) {
  AllocateOptions request;
  request.bytes = options.bytes;
  request.huge_pages = options.huge_pages;
  request.kind = options.kind;
  request.device = options.device;
  request.label = options.label;
  request.policy = options.policy;
  request.quota = options.quota;
  request.quota_user = options.quota_user;
  if (options.provider == kAutoProvider) {
    absl::StatusOr<ChosenRegion> chosen = AllocateNearest(request, info().device);
    if (!chosen.ok()) return chosen.status();
    provider_choice_ = std::move(chosen->why);
    return std::move(chosen->region);
  }
  absl::StatusOr<Provider*> provider = FindProvider(options.provider);
  if (!provider.ok()) return provider.status();
  return AllocateRegion(**provider, request);
}

absl::StatusOr<std::unique_ptr<Region>> Session::ImportDmabuf(int fd, uint64_t offset,
                                                              uint64_t bytes) {
  return devmem::ImportDmabuf({.fd = fd, .offset = offset, .bytes = bytes});
}

}  // namespace devmem
