// SPDX-License-Identifier: Apache-2.0
//
// See json_object.h. nlohmann/json escapes texts and writes numbers.

#include "tools/json_object.h"

#include <cmath>
#include <nlohmann/json.hpp>
#include <utility>

namespace devmem {

struct JsonObject::Fields {
  nlohmann::ordered_json json = nlohmann::ordered_json::object();
};

JsonObject::JsonObject() : fields_(std::make_unique<Fields>()) {}
JsonObject::~JsonObject() = default;
JsonObject::JsonObject(JsonObject&& other) noexcept = default;
JsonObject& JsonObject::operator=(JsonObject&& other) noexcept = default;

JsonObject& JsonObject::Text(absl::string_view key, absl::string_view value) {
  fields_->json[std::string(key)] = std::string(value);
  return *this;
}

JsonObject& JsonObject::Number(absl::string_view key, uint64_t value) {
  fields_->json[std::string(key)] = value;
  return *this;
}

JsonObject& JsonObject::Fraction(absl::string_view key, double value) {
  fields_->json[std::string(key)] = std::round(value * 1e4) / 1e4;
  return *this;
}

JsonObject& JsonObject::Bool(absl::string_view key, bool value) {
  fields_->json[std::string(key)] = value;
  return *this;
}

JsonObject& JsonObject::Object(absl::string_view key, JsonObject value) {
  fields_->json[std::string(key)] = std::move(value.fields_->json);
  return *this;
}

JsonObject& JsonObject::List(absl::string_view key, std::vector<JsonObject> values) {
  nlohmann::ordered_json list = nlohmann::ordered_json::array();
  for (JsonObject& value : values) list.push_back(std::move(value.fields_->json));
  fields_->json[std::string(key)] = std::move(list);
  return *this;
}

// Bytes that are no UTF-8, as a file name may hold, must not make the report fail.
std::string JsonObject::ToString() const {
  return fields_->json.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

}  // namespace devmem
