// SPDX-License-Identifier: Apache-2.0
//
// One JSON object, built field by field in the order of the calls, for the programs of this folder.
// It keeps the JSON library out of every file but json_object.cc.

#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace devmem {

class JsonObject {
 public:
  JsonObject();
  ~JsonObject();
  JsonObject(JsonObject&& other) noexcept;
  JsonObject& operator=(JsonObject&& other) noexcept;

  JsonObject& Text(absl::string_view key, absl::string_view value);
  JsonObject& Number(absl::string_view key, uint64_t value);
  // Rounded to four digits behind the point: more is noise.
  JsonObject& Fraction(absl::string_view key, double value);
  JsonObject& Bool(absl::string_view key, bool value);
  JsonObject& Null(absl::string_view key);
  JsonObject& Texts(absl::string_view key, const std::vector<std::string>& values);
  JsonObject& Numbers(absl::string_view key, const std::vector<uint32_t>& values);
  JsonObject& Object(absl::string_view key, JsonObject value);
  JsonObject& List(absl::string_view key, std::vector<JsonObject> values);

  // On one line, without an end of line.
  std::string ToString() const;
  // Over several lines, for people.
  std::string ToPrettyString() const;

  // An array of objects as a whole document.
  static std::string ArrayToString(std::vector<JsonObject> values, bool pretty);

 private:
  struct Fields;
  std::unique_ptr<Fields> fields_;
};

}  // namespace devmem
