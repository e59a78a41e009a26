// SPDX-License-Identifier: Apache-2.0
//
// The table of listeners against a search through all of them, under random listening, closing and
// asking, and the rules of addresses by name.

#include "netmem/tcp/listener_table.h"

#include <gtest/gtest.h>

#include <vector>

#include "netmem/nic/impairment.h"

namespace devmem {
namespace {

const IpAddress kAny4 = IpAddress::FromV4(0);
const IpAddress kAny6 = IpAddress();

ListenerId IdOf(const TcpListener* listener) { return listener == nullptr ? 0 : listener->id; }

TEST(ListenerTableTest, AnAddressIsFoundAndNoOther) {
  ListenerTable table;
  const ListenerId id = table.Add(IpAddress::FromV4(5), 80).id;
  EXPECT_EQ(IdOf(table.For(IpAddress::FromV4(5), 80)), id);
  EXPECT_EQ(table.For(IpAddress::FromV4(6), 80), nullptr);
  EXPECT_EQ(table.For(IpAddress::FromV4(4), 80), nullptr);
  EXPECT_EQ(table.For(IpAddress::FromV4(5), 81), nullptr);
  EXPECT_EQ(table.For(IpAddress::FromV4(5), 79), nullptr);
}

TEST(ListenerTableTest, TheUnspecifiedAddressTakesItsFamilyAlone) {
  ListenerTable table;
  const ListenerId six = table.Add(kAny6, 80).id;
  EXPECT_EQ(IdOf(table.For(IpAddress::FromHalves(1, 2), 80)), six);
  EXPECT_EQ(table.For(IpAddress::FromV4(5), 80), nullptr);
  const ListenerId four = table.Add(kAny4, 80).id;
  EXPECT_EQ(IdOf(table.For(IpAddress::FromV4(5), 80)), four);
  EXPECT_EQ(IdOf(table.For(IpAddress::FromHalves(1, 2), 80)), six);
  table.Remove(six);
  EXPECT_EQ(table.For(IpAddress::FromHalves(1, 2), 80), nullptr);
}

TEST(ListenerTableTest, TheExactAddressWinsOverTheUnspecifiedOne) {
  ListenerTable table;
  const ListenerId any = table.Add(kAny4, 80).id;
  const ListenerId exact = table.Add(IpAddress::FromV4(5), 80).id;
  EXPECT_EQ(IdOf(table.For(IpAddress::FromV4(5), 80)), exact);
  EXPECT_EQ(IdOf(table.For(IpAddress::FromV4(6), 80)), any);
}

// The rules as a search through all.
struct Model {
  struct Entry {
    IpAddress local;
    uint16_t port;
    ListenerId id;
  };

  ListenerId For(const IpAddress& local, uint16_t port) const {
    ListenerId any = 0;
    for (const Entry& entry : entries) {
      if (entry.port != port || entry.local.is_v4() != local.is_v4()) continue;
      if (entry.local == local) return entry.id;
      if (entry.local.is_unspecified()) any = entry.id;
    }
    return any;
  }
  bool IsFree(const IpAddress& local, uint16_t port) const {
    for (const Entry& entry : entries) {
      if (entry.port != port || entry.local.is_v4() != local.is_v4()) continue;
      if (entry.local == local || entry.local.is_unspecified() || local.is_unspecified()) {
        return false;
      }
    }
    return true;
  }

  std::vector<Entry> entries;
};

TEST(ListenerTableTest, AgreesWithASearchThroughAll) {
  SeededRandom random(3);
  ListenerTable table;
  Model model;
  uint32_t refused = 0;
  ListenerId last = 0;
  for (int step = 0; step < 20000; ++step) {
    const uint32_t low = static_cast<uint32_t>(random.Below(4));
    const IpAddress local =
        random.Below(2) == 0 ? IpAddress::FromV4(low) : IpAddress::FromHalves(random.Below(2), low);
    const uint16_t port = static_cast<uint16_t>(1 + random.Below(5));
    ASSERT_EQ(IdOf(table.For(local, port)), model.For(local, port));
    const bool is_free = model.IsFree(local, port);
    ASSERT_EQ(table.InTheWay(local, port) == nullptr, is_free);
    if (is_free) {
      const ListenerId id = table.Add(local, port).id;
      ASSERT_GT(id, last);
      last = id;
      model.entries.push_back({local, port, id});
    }
    refused += !is_free;
    if (random.Below(3) == 0 && !model.entries.empty()) {
      const size_t gone = random.Below(model.entries.size());
      table.Remove(model.entries[gone].id);
      ASSERT_EQ(table.Find(model.entries[gone].id), nullptr);
      model.entries.erase(model.entries.begin() + static_cast<ptrdiff_t>(gone));
    }
    ASSERT_EQ(table.all().size(), model.entries.size());
    for (const Model::Entry& entry : model.entries) {
      const TcpListener* const listener = table.Find(entry.id);
      ASSERT_NE(listener, nullptr);
      ASSERT_TRUE(listener->local == entry.local && listener->port == entry.port);
    }
  }
  EXPECT_GT(last, 1000u);
  EXPECT_GT(refused, 1000u);
}

}  // namespace
}  // namespace devmem
