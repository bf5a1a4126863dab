// SPDX-License-Identifier: Apache-2.0
#include "lib/h2/hpack.h"

#include <gtest/gtest.h>
#include <nghttp2/nghttp2.h>

#include <string>
#include <utility>
#include <vector>

#include "lib/base/text.h"

namespace tulle::h2 {
namespace {

using Fields = std::vector<std::pair<std::string, std::string>>;

struct Collect final : HpackSink {
  void on_field(std::string_view name, std::string_view value) override {
    fields.emplace_back(name, value);
  }
  Fields fields;
};

Fields random_fields(Random& random) {
  static const char* const kNames[] = {":path",  ":status",       "content-type", "x-custom",
                                       "cookie", "authorization", "user-agent"};
  Fields fields;
  const auto count = random.below(20);
  for (std::uint32_t i = 0; i < count; ++i) {
    std::string value;
    for (std::uint32_t n = random.below(60); n > 0; --n)
      value += static_cast<char>(random.below(8) == 0 ? random.below(256) : 32 + random.below(90));
    if (random.below(3) == 0) value = "repeated";
    fields.emplace_back(kNames[random.below(7)], value);
  }
  return fields;
}

// Against nghttp2 in both directions, with dynamic tables that change size.
TEST(Hpack, AgreesWithNghttp2) {
  Random random{1};
  nghttp2_hd_deflater* deflater = nullptr;
  nghttp2_hd_inflater* inflater = nullptr;
  ASSERT_EQ(nghttp2_hd_deflate_new(&deflater, 4096), 0);
  ASSERT_EQ(nghttp2_hd_inflate_new(&inflater), 0);
  HpackDecoder decoder;
  HpackEncoder encoder;
  for (int round = 0; round < 2000; ++round) {
    Fields fields = random_fields(random);
    std::vector<nghttp2_nv> nva;
    for (auto& [name, value] : fields) {
      nva.push_back({reinterpret_cast<std::uint8_t*>(name.data()),
                     reinterpret_cast<std::uint8_t*>(value.data()), name.size(), value.size(), 0});
    }
    std::vector<std::uint8_t> block(nghttp2_hd_deflate_bound(deflater, nva.data(), nva.size()));
    const ssize_t size =
        nghttp2_hd_deflate_hd(deflater, block.data(), block.size(), nva.data(), nva.size());
    ASSERT_GE(size, 0);
    Collect ours;
    ASSERT_TRUE(decoder.decode(Bytes(block.data(), static_cast<std::size_t>(size)), ours));
    ASSERT_EQ(ours.fields, fields);

    if (round % 100 == 50) {
      const std::size_t limit = random.below(4097);
      encoder.set_table_limit(limit);
      ASSERT_EQ(nghttp2_hd_inflate_change_table_size(inflater, limit), 0);
    }
    ByteQueue out;
    encoder.begin(out);
    for (const auto& [name, value] : fields) encoder.encode(name, value, out);
    Fields theirs;
    const std::uint8_t* at = out.data().data();
    std::size_t left = out.size();
    for (;;) {
      nghttp2_nv nv;
      int flags = 0;
      const ssize_t n = nghttp2_hd_inflate_hd2(inflater, &nv, &flags, at, left, 1);
      ASSERT_GE(n, 0) << nghttp2_strerror(static_cast<int>(n));
      at += n;
      left -= static_cast<std::size_t>(n);
      if ((flags & NGHTTP2_HD_INFLATE_EMIT) != 0) {
        theirs.emplace_back(std::string(reinterpret_cast<char*>(nv.name), nv.namelen),
                            std::string(reinterpret_cast<char*>(nv.value), nv.valuelen));
      }
      if ((flags & NGHTTP2_HD_INFLATE_FINAL) != 0) break;
      if ((flags & NGHTTP2_HD_INFLATE_EMIT) == 0 && left == 0) break;
    }
    nghttp2_hd_inflate_end_headers(inflater);
    ASSERT_EQ(theirs, fields);
  }
  nghttp2_hd_deflate_del(deflater);
  nghttp2_hd_inflate_del(inflater);
}

TEST(Hpack, RefusesMalformedBlocks) {
  for (const std::string& block :
       {std::string("\x80"), std::string("\xff\xff\xff\xff\xff\xff"), std::string("\xbe"),
        std::string("\x40\x05"), std::string("\x40\x81\xff\x00", 4),
        std::string("\x3f\xff\xff\xff\x7f"), std::string("\x82\x20")}) {
    HpackDecoder decoder;
    Collect sink;
    EXPECT_FALSE(decoder.decode(as_bytes(block), sink)) << hex(as_bytes(block));
  }
}

}  // namespace
}  // namespace tulle::h2
