// SPDX-License-Identifier: Apache-2.0
//
// The names of the commands and attributes of the families that devmem speaks, as the kernel's
// specifications spell them (Documentation/netlink/specs/netdev.yaml, ethtool.yaml): for refusals,
// which point at an attribute of the request, and for printing notifications. Constant tables.

#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "absl/strings/string_view.h"

namespace devmem {

struct AttributeSet;

struct AttributeName {
  uint16_t type = 0;
  absl::string_view name;
  const AttributeSet* nested = nullptr;
};

struct AttributeSet {
  std::span<const AttributeName> names;
};

struct CommandName {
  uint8_t command = 0;
  absl::string_view name;
  const AttributeSet* attributes = nullptr;
};

// The attributes of a request; nullptr for an unknown command or family.
const AttributeSet* RequestAttributes(absl::string_view family, uint8_t command);
// "bind-rx"; "command 99" for an unknown one. Of requests, and of answers and notifications.
std::string RequestName(absl::string_view family, uint8_t command);
std::string NotificationName(absl::string_view family, uint8_t command);
const AttributeSet* NotificationAttributes(absl::string_view family, uint8_t command);

// The name of an attribute type within a set, or "attribute 9".
std::string NameOf(const AttributeSet* set, uint16_t type);
// The names inside a nest; nullptr for what is no nest.
const AttributeSet* NestedSet(const AttributeSet* set, uint16_t type);
// The path of the attribute that starts `offset` bytes into `attributes`: "queues.id". Empty when
// none starts there.
std::string PathAt(const AttributeSet* set, std::span<const uint8_t> attributes, uint32_t offset);
// The set of the nest that starts at `offset`, for naming what is missing there; `set` itself for 0
// or when none starts there.
const AttributeSet* SetAt(const AttributeSet* set, std::span<const uint8_t> attributes,
                          uint32_t offset);

}  // namespace devmem
