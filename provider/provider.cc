// SPDX-License-Identifier: Apache-2.0
// See provider.h. The list of providers: a new kind of memory adds its include and its line.
#include "provider/provider.h"

#include <array>
#include <memory>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "provider/cuda_provider.h"
#include "provider/dma_heap_provider.h"
#include "provider/hugetlb_provider.h"
#include "provider/import_provider.h"
#include "provider/memfd_provider.h"
#include "provider/opencl_provider.h"
#include "provider/p2pmem_provider.h"
#include "provider/udmabuf_provider.h"

namespace devmem {
namespace {

// In the order in which messages name them: what works everywhere comes first.
auto& Providers() {
  static MemfdProvider memfd;
  static HugetlbProvider hugetlb;
  static UdmabufProvider udmabuf;
  static DmaHeapProvider dma_heap;
  static ImportProvider import;
  static P2pmemProvider p2pmem;
  static CudaProvider cuda;
  static OpenClProvider opencl;
  static std::array providers = std::to_array<Provider*>(
      {&memfd, &hugetlb, &udmabuf, &dma_heap, &import, &p2pmem, &cuda, &opencl});
  return providers;
}

void AppendName(std::string* out, const Provider* provider) {
  absl::StrAppend(out, provider->name());
}

}  // namespace

absl::StatusOr<Provider*> FindProvider(absl::string_view name) {
  for (Provider* const provider : Providers()) {
    if (provider->name() == name) return provider;
  }
  return absl::NotFoundError(absl::StrCat("there is no provider \"", name, "\"; choose one of: ",
                                          absl::StrJoin(Providers(), ", ", AppendName)));
}

absl::StatusOr<std::unique_ptr<Region>> AllocateRegion(Provider& provider,
                                                       const AllocateOptions& options) {
  if (options.quota == nullptr || options.bytes == 0) return provider.Allocate(options);
  absl::StatusOr<QuotaCharge> charge =
      options.quota->Charge(options.quota_user, QuotaKind::kPinned, options.label, options.bytes);
  if (!charge.ok()) return charge.status();
  absl::StatusOr<std::unique_ptr<Region>> region = provider.Allocate(options);
  if (region.ok()) {
    (*region)->life()->HoldWithMemory(std::make_shared<QuotaCharge>(*std::move(charge)));
  }
  return region;
}

std::span<Provider* const> AllProviders() { return Providers(); }

}  // namespace devmem
