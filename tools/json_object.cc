// SPDX-License-Identifier: Apache-2.0
//
// See json_object.h. nlohmann/json escapes texts and writes numbers.

#include "tools/json_object.h"

#include <cmath>
#include <nlohmann/json.hpp>
#include <utility>

namespace devmem {
namespace {

using Json = nlohmann::ordered_json;

// Bytes that are no UTF-8, as a file name may hold, must not make the report fail.
std::string Dump(const Json& json, bool pretty) {
  return json.dump(pretty ? 4 : -1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace

struct JsonObject::Fields {
  Json json = Json::object();
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

JsonObject& JsonObject::Null(absl::string_view key) {
  fields_->json[std::string(key)] = nullptr;
  return *this;
}

JsonObject& JsonObject::Texts(absl::string_view key, const std::vector<std::string>& values) {
  fields_->json[std::string(key)] = values;
  return *this;
}

JsonObject& JsonObject::Numbers(absl::string_view key, const std::vector<uint32_t>& values) {
  fields_->json[std::string(key)] = values;
  return *this;
}

JsonObject& JsonObject::Object(absl::string_view key, JsonObject value) {
  fields_->json[std::string(key)] = std::move(value.fields_->json);
  return *this;
}

JsonObject& JsonObject::List(absl::string_view key, std::vector<JsonObject> values) {
  Json list = Json::array();
  for (JsonObject& value : values) list.push_back(std::move(value.fields_->json));
  fields_->json[std::string(key)] = std::move(list);
  return *this;
}

std::string JsonObject::ToString() const { return Dump(fields_->json, false); }
std::string JsonObject::ToPrettyString() const { return Dump(fields_->json, true); }

std::string JsonObject::ArrayToString(std::vector<JsonObject> values, bool pretty) {
  Json list = Json::array();
  for (JsonObject& value : values) list.push_back(std::move(value.fields_->json));
  return Dump(list, pretty);
}

}  // namespace devmem
