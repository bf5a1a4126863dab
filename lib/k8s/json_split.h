// SPDX-License-Identifier: Apache-2.0
// Cuts JSON that comes in pieces into values, without parsing them: the events of a watch, the
// items of a list. Holds one value at a time, so a list of any length costs the memory of its
// largest object. Its pieces are parsed elsewhere (json_source.h), so only the ends of
// strings and brackets are looked at here.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "lib/base/bytes.h"
#include "lib/base/result.h"

namespace tulle::k8s {

class JsonSplitter {
 public:
  class Sink {
   public:
    // The text is valid during the call.
    virtual void on_json(std::string_view json) = 0;

   protected:
    ~Sink() = default;
  };
  enum class Mode : std::uint8_t {
    Documents,  // values (objects or lists) that follow each other
    Items,      // one object: each object in its member "items"
  };
  // Above these the stream is refused (TooLarge).
  static constexpr std::size_t kMaxValue = std::size_t{8} * 1024 * 1024;
  static constexpr std::size_t kMaxEnvelope = std::size_t{64} * 1024;

  explicit JsonSplitter(Mode mode) : mode_(mode) {}

  // After an error nothing more is taken. Errors: Invalid, TooLarge.
  Result<void> feed(Bytes bytes, Sink& sink);
  // Nothing more comes. Invalid if something was cut off.
  Result<void> finish() const;
  // Mode::Items, after finish(): the object without its items (which are "[]" there).
  const std::string& envelope() const noexcept { return envelope_; }
  // Bytes held of a value that has not ended.
  std::size_t held() const noexcept { return value_.size(); }

 private:
  Result<void> take(Bytes bytes, Sink& sink);
  Result<void> take_document(char c, Sink& sink);
  Result<void> take_envelope(char c);
  Result<void> take_item(char c, Sink& sink);
  // Moves over bytes inside of a value as far as they need no decision.
  std::size_t run_length(std::string_view text) const noexcept;
  // Counts brackets and quotes; true when the outermost bracket has closed.
  bool track(char c) noexcept;
  void give(Sink& sink);

  const Mode mode_;
  std::string value_;     // the document or item under way
  std::string envelope_;  // Mode::Items
  std::string key_;       // the last string directly in the envelope
  int depth_ = 0;         // open brackets of the value or envelope
  bool in_string_ = false;
  bool escaped_ = false;
  bool in_items_ = false;
  bool reading_key_ = false;
  bool failed_ = false;
  bool done_ = false;  // Mode::Items: the envelope has ended
  int items_depth_ = 0;
};

}  // namespace tulle::k8s
