// SPDX-License-Identifier: Apache-2.0
#include "lib/k8s/json_writer.h"

#include "lib/log/log.h"

namespace tulle::k8s {

void JsonWriter::comma() {
  if (!first_) out_ += ',';
  first_ = false;
}

void JsonWriter::open(char bracket) {
  comma();
  out_ += bracket;
  first_ = true;
}

void JsonWriter::close(char bracket) {
  out_ += bracket;
  first_ = false;
}

void JsonWriter::key(std::string_view name) {
  value(name);
  out_ += ':';
  first_ = true;
}

void JsonWriter::value(std::string_view text) {
  comma();
  out_ += '"';
  log::append_json_escaped(out_, text);
  out_ += '"';
}

void JsonWriter::raw(std::string_view json) {
  comma();
  out_ += json;
}

}  // namespace tulle::k8s
