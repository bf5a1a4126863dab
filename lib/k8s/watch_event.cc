// SPDX-License-Identifier: Apache-2.0
#include "lib/k8s/watch_event.h"

#include "lib/k8s/json_source.h"

namespace tulle::k8s {

std::optional<WatchEvent> read_watch_event(std::string_view json) {
  JsonSource source(json, JsonSource::Skipping::Unparsed);
  if (!source.next_document() || source.next().kind != Token::Kind::MapBegin) return std::nullopt;
  WatchEvent event;
  for (;;) {
    const Token key = source.next();
    if (key.kind == Token::Kind::MapEnd) break;
    if (key.kind != Token::Kind::Scalar) return std::nullopt;
    const bool is_object = key.text == "object", is_type = key.text == "type";
    const std::string_view value = source.take_raw();
    if (value.empty()) return std::nullopt;
    if (is_object) event.object = value;
    // The types are words without escapes.
    if (is_type && value.size() > 2) event.type = value.substr(1, value.size() - 2);
  }
  if (event.type.empty() || event.object.empty()) return std::nullopt;
  return event;
}

}  // namespace tulle::k8s
