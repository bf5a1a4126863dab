// SPDX-License-Identifier: Apache-2.0
// Length-prefixed messages: whatever the pieces, the same messages come out and no more is held
// than came in; header fields of gRPC are read without crashing. The first byte is the size of
// pieces.
#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include "lib/base/check.h"
#include "lib/grpc/frame.h"
#include "lib/grpc/headers.h"
#include "lib/grpc/status.h"

namespace {

using tulle::Bytes;

std::vector<std::string> messages_of(Bytes bytes, std::size_t piece, bool& failed) {
  tulle::grpc::FrameDecoder decoder(1000);
  std::vector<std::string> out;
  failed = false;
  while (!bytes.empty()) {
    const tulle::Result<std::size_t> taken =
        decoder.feed(bytes.first(std::min(piece, bytes.size())));
    if (!taken) {
      failed = true;
      return out;
    }
    TULLE_CHECK(*taken > 0);
    bytes = bytes.subspan(*taken);
    if (decoder.complete()) out.push_back(decoder.take());
  }
  return out;
}

void check_frames(Bytes bytes, std::size_t piece) {
  bool failed = false;
  bool failed_in_pieces = false;
  const std::vector<std::string> whole = messages_of(bytes, SIZE_MAX, failed);
  TULLE_CHECK(messages_of(bytes, piece, failed_in_pieces) == whole);
  TULLE_CHECK(failed == failed_in_pieces);
  std::size_t at = 0;
  for (const std::string& message : whole) {  // framing them again gives the bytes that came
    const std::string frame = tulle::grpc::frame_bytes(tulle::as_bytes(message));
    TULLE_CHECK(tulle::as_text(bytes.subspan(at, frame.size())) == frame);
    at += frame.size();
  }
}

void check_fields(std::string_view text) {
  using namespace tulle::grpc;
  if (const std::optional<tulle::Duration> timeout = parse_timeout(text)) {
    const std::optional<tulle::Duration> again = parse_timeout(format_timeout(*timeout));
    TULLE_CHECK(again && (timeout->count() == 0 || *again >= *timeout));
  }
  TULLE_CHECK(decode_message_text(encode_message_text(text)) == text);
  (void)decode_message_text(text);
  tulle::http::HeaderMap fields;
  fields.add("grpc-status", text);
  fields.add("grpc-message", text);
  fields.add("x-bin", text);
  TULLE_CHECK(read_status(fields).has_value());
  (void)get_metadata(fields, "x-bin");
  if (is_grpc_content_type(text)) TULLE_CHECK(text.starts_with('a') || text.starts_with('A'));
  // What is added is what is read, and what is copied is not the protocol's own.
  tulle::http::HeaderMap metadata;
  add_metadata(metadata, "x-mine-bin", text);
  TULLE_CHECK(get_metadata(metadata, "x-mine-bin") == text);
  add_metadata(metadata, "x-plain", text);
  metadata.add("grpc-timeout", text);
  metadata.add("content-type", text);
  tulle::http::HeaderMap copy;
  copy_metadata(metadata, copy);
  TULLE_CHECK(copy.contains("x-mine-bin") && copy.contains("x-plain"));
  TULLE_CHECK(!copy.contains("grpc-timeout") && !copy.contains("content-type"));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const Bytes bytes(data + 1, size - 1);
  check_frames(bytes, 1U + data[0] % 16U);
  check_fields(tulle::as_text(bytes));
  return 0;
}
