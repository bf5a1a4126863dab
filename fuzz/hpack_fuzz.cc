// SPDX-License-Identifier: Apache-2.0
// Header compression against nghttp2. The input is a sequence of blocks, each after a byte of its
// length (in units of one byte, or sixteen if the top bit is set). Both decoders must take the same
// blocks and see the same fields; then the fields go through our encoder into nghttp2's decoder,
// with table sizes that change in between, and must come out as they went in.
#include <nghttp2/nghttp2.h>

#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "lib/base/check.h"
#include "lib/h2/hpack.h"

namespace {

using namespace tulle;  // NOLINT: a fuzz target
using Fields = std::vector<std::pair<std::string, std::string>>;

struct Collect final : h2::HpackSink {
  void on_field(std::string_view name, std::string_view value) override {
    fields.emplace_back(name, value);
  }
  Fields fields;
};

class Inflater {
 public:
  Inflater() { TULLE_CHECK(nghttp2_hd_inflate_new(&inflater_) == 0); }
  ~Inflater() { nghttp2_hd_inflate_del(inflater_); }
  Inflater(const Inflater&) = delete;
  Inflater& operator=(const Inflater&) = delete;
  void limit(std::size_t size) {
    TULLE_CHECK(nghttp2_hd_inflate_change_table_size(inflater_, size) == 0);
  }
  // A whole block.
  bool decode(Bytes block, Fields& fields) {
    for (;;) {
      nghttp2_nv nv;
      int flags = 0;
      const ssize_t n =
          nghttp2_hd_inflate_hd2(inflater_, &nv, &flags, block.data(), block.size(), 1);
      if (n < 0) return false;
      block = block.subspan(static_cast<std::size_t>(n));
      if ((flags & NGHTTP2_HD_INFLATE_EMIT) != 0) {
        fields.emplace_back(std::string(reinterpret_cast<char*>(nv.name), nv.namelen),
                            std::string(reinterpret_cast<char*>(nv.value), nv.valuelen));
      }
      if ((flags & NGHTTP2_HD_INFLATE_FINAL) != 0) break;
      if ((flags & NGHTTP2_HD_INFLATE_EMIT) == 0 && block.empty()) break;
    }
    return nghttp2_hd_inflate_end_headers(inflater_) == 0;
  }

 private:
  nghttp2_hd_inflater* inflater_ = nullptr;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size > std::size_t{64} * 1024) return 0;
  Bytes left(data, size);
  h2::HpackDecoder decoder;
  Inflater decodes;
  h2::HpackEncoder encoder;
  Inflater checks;
  while (!left.empty()) {
    const std::uint8_t shape = left[0];
    left = left.subspan(1);
    const std::size_t wanted = (shape & 0x80) != 0 ? (shape & 0x7FU) * 16U : shape;
    const Bytes block = left.first(std::min(wanted, left.size()));
    left = left.subspan(block.size());

    Collect ours;
    Fields theirs;
    const bool fine = decoder.decode(block, ours).has_value();
    TULLE_CHECK(fine == decodes.decode(block, theirs));
    if (!fine) return 0;
    TULLE_CHECK(ours.fields == theirs);

    // The peer's limits, as its SETTINGS would tell them: two in a row may come between two blocks.
    if (block.size() % 5 == 1) {
      for (const std::uint8_t byte : block.first(std::min<std::size_t>(block.size(), 2))) {
        const std::size_t limit = std::size_t{byte} * 32;
        encoder.set_table_limit(limit);
        checks.limit(limit);
      }
    }
    ByteQueue out;
    encoder.begin(out);
    for (const auto& [name, value] : ours.fields) encoder.encode(name, value, out);
    Fields back;
    TULLE_CHECK(checks.decode(out.data(), back));
    TULLE_CHECK(back == ours.fields);
  }
  return 0;
}
