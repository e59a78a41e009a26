// SPDX-License-Identifier: Apache-2.0
//
// Import, bind, receive, announce each piece, and go on alone when the exporter dies.

#include "selftests/two_process/importer.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <array>
#include <memory>
#include <span>
#include <utility>

#include "provider/import_provider.h"
#include "provider/region_view.h"
#include "selftests/testing/nic_fixture.h"
#include "selftests/testing/wire_world.h"

namespace devmem::testing {
namespace {

constexpr char kWho[] = "importer";

WireWorldOptions NoRegionOfItsOwn() {
  WireWorldOptions options;
  options.region_bytes = 0;
  return options;
}

// One stream into the imported region.
class Receiver {
 public:
  Receiver(int exporter, uint64_t seed, LifeLine* life, std::unique_ptr<Region> region)
      : exporter_(exporter),
        seed_(seed),
        life_(life),
        region_(std::move(region)),
        view_(ValueOrFail(RegionView::Map(*region_), "view of the import")),
        world_(NoRegionOfItsOwn()) {}

  void Run() {
    life_->Step();
    Session& server = world_.server();
    const BindingId binding = ValueOrFail(server.Bind(*region_, {}), "binding of the import");
    life_->Step();
    auto listener =
        ValueOrFail(server.Listen({.address = kServerAddress, .port = kPort}, binding), "listener");
    {
      ConnectionPair pair = world_.Open(*listener);
      life_->Step();
      world_.PumpFrom(*pair.client, seed_, kStreamBytes);
      ReceiveAll(*pair.server);
    }
    listener.reset();
    life_->Step();
    const absl::Status unbound = server.Unbind(binding);
    if (!unbound.ok()) GiveUp(kWho, unbound.ToString().c_str());
    world_.ExpectNothingLeft();
    if (::testing::Test::HasFailure()) GiveUp(kWho, "the session still held something");
  }

 private:
  void ReceiveAll(Connection& connection) {
    std::array<Frag, 8> frags;
    uint64_t next = 0;
    for (;;) {
      const auto count = connection.Recv(frags, world_.now() + 60 * kSecond);
      if (!count.ok()) GiveUp(kWho, count.status().ToString().c_str());
      if (*count == 0) break;
      for (const Frag& frag : std::span(frags).first(*count)) {
        Announce(frag, next);
        next += frag.length_bytes;
      }
      life_->Step();
      const absl::Status released = connection.Release(std::span(frags).first(*count));
      if (!released.ok()) GiveUp(kWho, released.ToString().c_str());
    }
    if (next != kStreamBytes) GiveUp(kWho, "the stream ended early");
    if (exporter_alive_) (void)Send(exporter_, {.word = Word::kAllSent});
  }

  // Our own look comes first: it holds without the exporter too.
  void Announce(const Frag& frag, uint64_t stream_offset) {
    if (frag.region_id != region_->id()) GiveUp(kWho, "payload landed elsewhere");
    const auto piece = view_.bytes().subspan(frag.offset, frag.length_bytes);
    if (FindMismatch(seed_, stream_offset, piece)) GiveUp(kWho, "a byte is wrong");
    if (!exporter_alive_) return;
    Message answer;
    exporter_alive_ = Send(exporter_, {.word = Word::kLanded,
                                       .length = frag.length_bytes,
                                       .stream_offset = stream_offset,
                                       .region_offset = frag.offset}) &&
                      Receive(exporter_, &answer);
    life_->Step();
  }

  const int exporter_;
  const uint64_t seed_;
  LifeLine* const life_;
  const std::unique_ptr<Region> region_;
  const RegionView view_;
  WireWorld world_;
  bool exporter_alive_ = true;
};

}  // namespace

void RunImporter(ChildLines lines, uint64_t seed, LifeLine life) {
  life.Step();
  Message message;
  std::array<UniqueFd, 2> handles;
  // The exporter died before it had anything to pass on: there is nothing to do.
  if (!ReceiveHandles(lines.other.get(), &message, &handles)) ::_exit(0);
  life.Step();
  auto region = ImportDmabuf({.fd = handles[0].get()});
  if (!region.ok()) GiveUp(kWho, region.status().ToString().c_str());
  handles[0].Reset();
  life.Step();
  Receiver receiver(lines.other.get(), seed, &life, *std::move(region));
  receiver.Run();
  life.Step();
  ::_exit(0);
}

}  // namespace devmem::testing
