// SPDX-License-Identifier: Apache-2.0
//
// A listener of the stack backend: one TCP listener on the worker that its rule names, or one on
// each unbound worker.

#include <utility>

#include "absl/strings/str_cat.h"
#include "uapi/stack_connection.h"
#include "uapi/stack_session.h"

namespace devmem {

StackListener::StackListener(StackSession* session, std::vector<Part> parts, uint16_t port,
                             std::optional<BindingId> binding, FlowRuleBook::Hold rule)
    : session_(session),
      parts_(std::move(parts)),
      port_(port),
      binding_(binding),
      rule_(std::move(rule)) {}

StackListener::~StackListener() {
  for (const Part& part : parts_) {
    session_->OnWorker(part.worker, [&] {
      TcpEngine& engine = session_->stack().worker(part.worker).engine();
      // Gone already when its binding was unbound.
      (void)engine.CloseListener(part.id, session_->Now());
    });
  }
}

std::optional<ConnectionHandle> StackListener::TryAccept() {
  for (const Part& part : parts_) {
    std::optional<ConnectionId> id;
    session_->OnWorker(
        part.worker, [&] { id = session_->stack().worker(part.worker).engine().Accept(part.id); });
    if (id.has_value()) return ConnectionHandle{part.worker, *id, binding_.has_value()};
  }
  return std::nullopt;
}

absl::StatusOr<std::unique_ptr<Connection>> StackListener::Accept(Nanos deadline) {
  while (true) {
    const std::optional<ConnectionHandle> handle = TryAccept();
    if (handle.has_value()) return MakeConnection(session_, *handle, rule_.Share());
    if (binding_.has_value()) {
      const absl::Status usable = session_->BindingStatus(*binding_);
      if (absl::IsAborted(usable)) return usable;
      if (absl::IsNotFound(usable)) {
        return absl::FailedPreconditionError(absl::StrCat(
            "the listener's binding ", *binding_, " was unbound; bind again and listen anew"));
      }
    }
    absl::Status device = session_->DeviceStatus();
    if (!device.ok()) return device;
    if (session_->threaded()) {
      if (session_->Now() >= deadline) break;
      session_->Wait(deadline);
    } else if (!session_->Turn(parts_.front().worker, deadline)) {
      break;
    }
  }
  return absl::DeadlineExceededError("no connection arrived before the deadline");
}

}  // namespace devmem
