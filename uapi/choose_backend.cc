// SPDX-License-Identifier: Apache-2.0
//
// Trying backends in the order of what they save.

#include "uapi/choose_backend.h"

#include <linux/capability.h>
#include <net/if.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "uapi/copy_session.h"
#include "uapi/kernel_session.h"
#include "uapi/stack_session.h"
#include "uapi/zcrx_session.h"

namespace devmem {
namespace {

bool IsTap(const std::string& device) {
  return ::access(absl::StrCat("/sys/class/net/", device, "/tun_flags").c_str(), F_OK) == 0;
}

// Binding memory to a NIC's queues and steering flows to them needs it; only trying would tell
// whether it counts for this NIC's namespace.
absl::Status MayAdministrate() {
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct data[2]{};
  const bool asked = ::syscall(SYS_capget, &header, data) == 0;
  if (asked && (data[0].effective & (1u << CAP_NET_ADMIN)) != 0) return absl::OkStatus();
  return absl::PermissionDeniedError("this process has no CAP_NET_ADMIN");
}

// Devices of this machine: no TAP can be made of their name.
absl::StatusOr<std::unique_ptr<Session>> OpenOnNic(const SessionOptions& options) {
  const std::string& device = options.device;
  absl::Status why = MayAdministrate();
  if (why.ok()) {
    absl::StatusOr<std::unique_ptr<Session>> kernel = OpenKernelSession(
        options, absl::StrCat(device, " and this kernel can receive into device memory"));
    if (kernel.ok()) return kernel;
    why = kernel.status();
    absl::StatusOr<std::unique_ptr<Session>> zcrx = OpenZcrxSession(
        options, absl::StrCat("the kernel's devmem TCP cannot be used on ", device, ": ",
                              why.message(), "; io_uring's zero-copy receive can"));
    if (zcrx.ok()) return zcrx;
  }
  return OpenCopySession(options,
                         absl::StrCat("neither the kernel's devmem TCP nor io_uring's zero-copy "
                                      "receive can be used on ",
                                      device, ": ", why.message()));
}

}  // namespace

absl::StatusOr<std::unique_ptr<Session>> OpenBestSession(const SessionOptions& options) {
  // Who brings a NIC, or names a way of steering, wants the stack.
  const bool wants_stack = options.nic != nullptr || options.steering != Steering::kBest;
  const bool exists = ::if_nametoindex(options.device.c_str()) != 0;
  if (!wants_stack && exists && !IsTap(options.device)) return OpenOnNic(options);
  absl::StatusOr<std::unique_ptr<Session>> stack =
      OpenStackSession(options, "devmem's own stack works on this machine");
  // Only what this machine does not offer sends us to the next backend; a request that is wrong is
  // wrong for all of them.
  if (stack.ok() || wants_stack ||
      (!absl::IsPermissionDenied(stack.status()) && !absl::IsUnavailable(stack.status()) &&
       !absl::IsNotFound(stack.status()))) {
    return stack;
  }
  return OpenCopySession(options,
                         absl::StrCat("the stack cannot run here: ", stack.status().message()));
}

}  // namespace devmem
