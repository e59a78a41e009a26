// SPDX-License-Identifier: Apache-2.0
//
// Loading, replacing and feeding the steering program, through libbpf. Control thread.

#include "netmem/nic/steering_program.h"

#include <bpf/bpf.h>
#include <linux/if_tun.h>
#include <sys/ioctl.h>

#include <cerrno>
#include <utility>

#include "absl/strings/str_cat.h"
#include "provider/posix_error.h"

namespace devmem {
namespace {

// The helpers that the program calls are open to programs of any licence.
constexpr char kLicence[] = "Apache-2.0";

absl::Status Explain(int err, absl::string_view what) {
  if (err != EPERM && err != EACCES) return ErrnoToStatus(err, std::string(what));
  return absl::PermissionDeniedError(absl::StrCat(
      what,
      ": steering by BPF needs CAP_BPF and CAP_NET_ADMIN in the initial user namespace; "
      "run as root outside of user namespaces, or choose `--steering auto`"));
}

}  // namespace

absl::StatusOr<std::unique_ptr<SteeringProgram>> SteeringProgram::Attach(
    int tap_fd, std::span<const uint32_t> rss_queues) {
  bpf_map_create_opts options{};
  options.sz = sizeof(options);
  options.map_flags = BPF_F_NO_PREALLOC;
  UniqueFd map(bpf_map_create(BPF_MAP_TYPE_HASH, "devmem_rules", sizeof(SteeringKey),
                              sizeof(SteeringValue), kFlowRulesMax, &options));
  if (!map.valid()) {
    const int err = errno;
    return Explain(err, "making the BPF map of flow rules");
  }
  std::unique_ptr<SteeringProgram> program(new SteeringProgram(tap_fd, std::move(map)));
  absl::Status installed = program->SpreadOver(rss_queues);
  if (!installed.ok()) return installed;
  return program;
}

std::vector<uint32_t> SteeringProgram::Classes() const {
  std::vector<uint32_t> classes;
  for (uint32_t fields = 0; fields < kSteeringClassesMax; ++fields) {
    if (rules_in_class_[fields] != 0) classes.push_back(fields);
  }
  return classes;
}

// Loads a program and lets it take the place of the one before; frames see the one or the other.
absl::Status SteeringProgram::Install(std::span<const uint32_t> classes,
                                      std::span<const uint32_t> rss_queues) {
  const std::vector<bpf_insn> code = BuildSteeringCode(classes, rss_queues, map_.get());
  UniqueFd program(bpf_prog_load(BPF_PROG_TYPE_SOCKET_FILTER, "devmem_steer", kLicence, code.data(),
                                 code.size(), nullptr));
  if (!program.valid()) {
    const int err = errno;
    return Explain(
        err, absl::StrCat("loading the steering program of ", code.size(), " BPF instructions"));
  }
  int fd = program.get();
  if (::ioctl(tap_fd_, TUNSETSTEERINGEBPF, &fd) != 0) {
    const int err = errno;
    return Explain(err, "giving the steering program to the TAP (TUNSETSTEERINGEBPF)");
  }
  program_ = std::move(program);
  return absl::OkStatus();
}

absl::Status SteeringProgram::Add(const FlowRule& rule) {
  const SteeringKey key = SteeringKeyFor(rule.match);
  const SteeringValue value = SteeringValueFor(rule);
  if (bpf_map_update_elem(map_.get(), &key, &value, BPF_NOEXIST) != 0) {
    const int err = errno;
    return Explain(err,
                   absl::StrCat("putting flow rule ", rule.match.ToString(), " into the BPF map"));
  }
  // The program reads a class only from its first rule on: an exact match costs one lookup.
  if (++rules_in_class_[key.fields] > 1) return absl::OkStatus();
  absl::Status installed = Install(Classes(), rss_queues_);
  if (!installed.ok()) {
    rules_in_class_[key.fields] = 0;
    bpf_map_delete_elem(map_.get(), &key);
  }
  return installed;
}

absl::Status SteeringProgram::Delete(const FlowRule& rule) {
  const SteeringKey key = SteeringKeyFor(rule.match);
  if (bpf_map_delete_elem(map_.get(), &key) != 0) {
    const int err = errno;
    return Explain(err,
                   absl::StrCat("taking flow rule ", rule.match.ToString(), " out of the BPF map"));
  }
  // Without its rule the class finds nothing; asking it no more only saves time, so a refusal of
  // the shorter program is no error of this call.
  if (--rules_in_class_[key.fields] == 0) (void)Install(Classes(), rss_queues_);
  return absl::OkStatus();
}

absl::Status SteeringProgram::SpreadOver(std::span<const uint32_t> rss_queues) {
  absl::Status installed = Install(Classes(), rss_queues);
  if (installed.ok()) rss_queues_.assign(rss_queues.begin(), rss_queues.end());
  return installed;
}

}  // namespace devmem
