// SPDX-License-Identifier: Apache-2.0
// Messages of the control plane as JSON for people: names of the schema, zero values left out,
// addresses and durations as text, enumerations by name.
#pragma once

#include <initializer_list>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "lib/inject/value.h"
#include "lib/net/address.h"
#include "proto/fields.h"

namespace tulle::cli {

// "10.42.0.7", "fd00::7"; "" if it is none.
std::string text_of(const pb::net::IPAddress& ip);
// "10.42.0.7:8080"
std::string text_of(const pb::net::TcpAddress& address);
std::string text_of(const pb::protobuf::Duration& duration);  // "1.500s"

template <typename M>
inject::Value json_of(const M& message);
inline inject::Value json_of(const pb::net::IPAddress& ip) { return text_of(ip); }
inline inject::Value json_of(const pb::net::TcpAddress& address) { return text_of(address); }
inline inject::Value json_of(const pb::protobuf::Duration& duration) { return text_of(duration); }
inline inject::Value json_of(const std::string& text) { return text; }
inline inject::Value json_of(std::uint32_t number) { return number; }

class MessageJson {
 public:
  inject::Value out = inject::Value::map();

  void field(std::string_view name, const std::string& value) {
    if (!value.empty()) out.set(name, value);
  }
  void field(std::string_view name, bool value) {
    if (value) out.set(name, true);
  }
  template <std::integral T>
  void field(std::string_view name, T value) {
    if (value != 0) out.set(name, value);
  }
  template <std::floating_point T>
  void field(std::string_view name, T value) {
    if (value != 0) out.set(name, inject::Value::number(std::to_string(value)));
  }
  template <typename T>
  void field(std::string_view name, const pb::Box<T>& value) {
    if (value) out.set(name, json_of(*value));
  }
  template <typename T>
  void field(std::string_view name, const std::vector<T>& values) {
    inject::Value list = inject::Value::list();
    for (const T& value : values) list.push(json_of(value));
    if (!list.empty()) out.set(name, std::move(list));
  }
  template <typename T>
  void field(std::string_view name, const std::map<std::string, T>& values) {
    inject::Value map = inject::Value::map();
    for (const auto& [key, value] : values) map.set(key, json_of(value));
    if (!map.empty()) out.set(name, std::move(map));
  }
  void blob(std::string_view name,
            const std::string& value);  // as text if it is that, else in base64
  void enumeration(std::string_view name, std::int32_t value,
                   std::initializer_list<std::pair<std::int32_t, std::string_view>> names);
};

template <typename M>
inject::Value json_of(const M& message) {
  MessageJson json;
  visit(message, json);
  return std::move(json.out);
}

}  // namespace tulle::cli
