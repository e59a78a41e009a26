// SPDX-License-Identifier: Apache-2.0
//
// Putting a gvnicd together, and its statistics.

#include "tools/gvnicd_server.h"

#include <sys/epoll.h>
#include <sys/signalfd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <utility>

#include "absl/strings/str_cat.h"
#include "provider/posix_error.h"

namespace devmem {

absl::StatusOr<std::unique_ptr<GvnicdServer>> GvnicdServer::Create(const GvnicdOptions& options) {
  std::unique_ptr<GvnicdServer> server(new GvnicdServer(options));
  const absl::Status started = server->Start();
  if (!started.ok()) return started;
  return server;
}

absl::Status GvnicdServer::Start() {
  absl::StatusOr<std::unique_ptr<EventLoop>> loop = EventLoop::Create();
  if (!loop.ok()) return loop.status();
  loop_ = *std::move(loop);
  absl::Status status = WatchSignals();
  std::vector<GvnicDevice*> gvnics;
  for (const GvnicdDevice& device : options_.devices) {
    if (status.ok()) status = AddDevice(device);
    if (!status.ok()) return status;
    gvnics.push_back(devices_.back().gvnic.get());
  }
  absl::StatusOr<std::unique_ptr<GvnicdNetwork>> network =
      GvnicdNetwork::Create(options_, *loop_, gvnics);
  if (!network.ok()) return network.status();
  network_ = *std::move(network);
  if (options_.control_path.empty()) return absl::OkStatus();
  absl::StatusOr<std::unique_ptr<GvnicdControl>> control = GvnicdControl::Create(
      *loop_, options_.control_path, {gvnics, [this] { return Statistics(); }});
  if (!control.ok()) return control.status();
  control_ = *std::move(control);
  return absl::OkStatus();
}

absl::Status GvnicdServer::WatchSignals() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  sigprocmask(SIG_BLOCK, &signals, nullptr);
  signals_.Reset(::signalfd(-1, &signals, SFD_NONBLOCK | SFD_CLOEXEC));
  if (!signals_.valid()) {
    const int err = errno;
    return ErrnoToStatus(err, "making a signal descriptor");
  }
  return loop_->Watch(signals_.get(), EPOLLIN, [this](uint32_t) { loop_->Stop(); });
}

absl::Status GvnicdServer::AddDevice(const GvnicdDevice& described) {
  Device device;
  absl::StatusOr<std::unique_ptr<GvnicDevice>> gvnic =
      GvnicDevice::Create(described.options, EventLoop::Now);
  if (!gvnic.ok()) return gvnic.status();
  device.gvnic = *std::move(gvnic);
  absl::StatusOr<std::unique_ptr<VfioUserServer>> server =
      VfioUserServer::Create(*loop_, described.socket_path, *device.gvnic);
  if (!server.ok()) return server.status();
  device.server = *std::move(server);
  Interrupts* const interrupts = &device.gvnic->interrupts();
  loop_->AddTimed({.next_due = [interrupts] { return interrupts->NextDue(); },
                   .advance = [interrupts](Nanos now) { interrupts->Advance(now); }});
  devices_.push_back(std::move(device));
  return absl::OkStatus();
}

JsonObject GvnicdServer::Statistics() const {
  std::vector<JsonObject> devices;
  for (const Device& device : devices_) {
    JsonObject json;
    json.Text("name", device.gvnic->options().name);
    json.Text("driver_version", device.gvnic->driver_version());
    json.Bool("has_client", device.server->has_client());
    json.Bool("link_up", device.gvnic->link_up());
    const VfioUserServerStats& client = device.server->stats();
    json.Number("clients", client.clients)
        .Number("clients_turned_away", client.clients_turned_away);
    json.Number("messages", client.messages).Number("refused_messages", client.refused_messages);
    json.Text("last_client_end", device.server->last_end());
    json.Text("last_message_refusal", device.server->last_refusal());
    json.Text("last_admin_refusal", device.gvnic->admin_queue().last_refusal());
    JsonObject counters;
    for (const NamedCount& count : device.gvnic->statistics()) {
      counters.Number(count.name, count.value);
    }
    json.Object("counters", std::move(counters));
    JsonObject commands;
    for (const auto& [opcode, executed] : device.gvnic->admin_queue().executed()) {
      commands.Number(absl::StrCat(AdminOpcodeName(opcode)), executed);
    }
    json.Object("admin_commands", std::move(commands));
    devices.push_back(std::move(json));
  }
  JsonObject all;
  all.List("devices", std::move(devices)).List("links", network_->Statistics());
  return all;
}

absl::Status GvnicdServer::Finish() {
  const absl::Status finished = network_->Finish();
  if (!finished.ok() || options_.stats_path.empty()) return finished;
  std::FILE* const file = std::fopen(options_.stats_path.c_str(), "we");
  const int open_error = errno;
  if (file == nullptr)
    return ErrnoToStatus(open_error, absl::StrCat("opening ", options_.stats_path));
  const bool written = std::fprintf(file, "%s\n", Statistics().ToPrettyString().c_str()) > 0;
  if (std::fclose(file) == 0 && written) return absl::OkStatus();
  return absl::DataLossError(
      absl::StrCat("the statistics cannot be written to ", options_.stats_path));
}

}  // namespace devmem
