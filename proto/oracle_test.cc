// SPDX-License-Identifier: Apache-2.0
// Every message against Google's library: filled at random, both ways, byte for byte; and damaged
// input, on which both must agree.
#include <google/protobuf/descriptor.h>
#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>
#include <google/protobuf/message.h>
#include <google/protobuf/stubs/logging.h>
#include <google/protobuf/unknown_field_set.h>
#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "lib/base/text.h"
#include "proto/destination.pb.h"
#include "proto/grpc_route.pb.h"
#include "proto/http_route.pb.h"
#include "proto/identity.pb.h"
#include "proto/inbound.pb.h"
#include "proto/message.h"
#include "proto/opaque_route.pb.h"
#include "proto/outbound.pb.h"
#include "proto/tap.pb.h"
#include "proto/tls_route.pb.h"
#include "proto/transport.pb.h"
#include "proto/viz_tap.pb.h"
#include "proto/workload.pb.h"

namespace tulle::pb {
namespace {

namespace g = google::protobuf;
using FieldType = g::FieldDescriptor;

struct Type {
  const char* name;
  // Decodes and encodes again; nullopt if our decoder refuses.
  std::optional<std::string> (*again)(std::string_view bytes);
};

template <typename M>
std::optional<std::string> again(std::string_view bytes) {
  const Result<M> message = decode_message<M>(as_bytes(bytes));
  if (!message) return std::nullopt;
  const M copy = *message;
  if (encode_message(copy) != encode_message(*message)) return "copies differ";
  return encode_message(*message);
}

const Type kTypes[] = {
#define TULLE_PB_MESSAGE(type, name) {name, &again<type>},
#include "proto/messages.inc"
#undef TULLE_PB_MESSAGE
};

std::string random_text(Random& random, bool utf8) {
  std::string out;
  const std::uint32_t size = random.below(8) == 0 ? random.below(300) : random.below(12);
  for (std::uint32_t i = 0; i < size; ++i) {
    if (utf8) {
      out +=
          random.below(10) == 0 ? "\xc3\xa4" : std::string(1, static_cast<char>(random.below(128)));
    } else {
      out += static_cast<char>(random.below(256));
    }
  }
  return out;
}

std::int32_t random_int(Random& random) {
  return random.below(4) == 0 ? static_cast<std::int32_t>(random.next())
                              : static_cast<std::int32_t>(random.below(300));
}

void fill(g::Message& message, Random& random, int depth);

void set_field(g::Message& message, const g::FieldDescriptor& field, Random& random, int depth) {
  const g::Reflection& reflection = *message.GetReflection();
  const bool repeated = field.is_repeated();
  switch (field.cpp_type()) {
    case FieldType::CPPTYPE_MESSAGE:
      if (repeated) {
        fill(*reflection.AddMessage(&message, &field), random, depth - 1);
      } else {
        fill(*reflection.MutableMessage(&message, &field), random, depth - 1);
      }
      return;
    case FieldType::CPPTYPE_STRING: {
      std::string text = random_text(random, field.type() == FieldType::TYPE_STRING);
      if (repeated) {
        reflection.AddString(&message, &field, std::move(text));
      } else {
        reflection.SetString(&message, &field, std::move(text));
      }
      return;
    }
    default: break;
  }
  ASSERT_FALSE(repeated) << field.full_name();
  switch (field.cpp_type()) {
    case FieldType::CPPTYPE_INT32: return reflection.SetInt32(&message, &field, random_int(random));
    case FieldType::CPPTYPE_INT64:
      return reflection.SetInt64(&message, &field, static_cast<std::int64_t>(random.next()));
    case FieldType::CPPTYPE_UINT32:
      return reflection.SetUInt32(&message, &field, static_cast<std::uint32_t>(random_int(random)));
    case FieldType::CPPTYPE_UINT64:
      return reflection.SetUInt64(&message, &field, random.next() >> random.below(64));
    case FieldType::CPPTYPE_DOUBLE:
      return reflection.SetDouble(&message, &field, random.below(5) == 0 ? -0.0 : random.unit());
    case FieldType::CPPTYPE_FLOAT:
      return reflection.SetFloat(&message, &field,
                                 random.below(5) == 0 ? 0 : static_cast<float>(random.unit()));
    case FieldType::CPPTYPE_BOOL: return reflection.SetBool(&message, &field, random.below(2) == 0);
    case FieldType::CPPTYPE_ENUM:
      return reflection.SetEnumValue(&message, &field, static_cast<int>(random.below(12)));
    default: FAIL() << field.full_name();
  }
}

void fill(g::Message& message, Random& random, int depth) {
  const g::Descriptor& type = *message.GetDescriptor();
  for (int i = 0; i < type.field_count(); ++i) {
    const g::FieldDescriptor& field = *type.field(i);
    if (field.cpp_type() == FieldType::CPPTYPE_MESSAGE && depth <= 0) continue;
    if (random.below(4) == 0) continue;
    const std::uint32_t count = field.is_repeated() ? random.below(4) : 1;
    for (std::uint32_t n = 0; n < count; ++n) set_field(message, field, random, depth);
  }
}

std::string serialize(const g::Message& message) {
  std::string out;
  {
    g::io::StringOutputStream stream(&out);
    g::io::CodedOutputStream coded(&stream);
    coded.SetSerializationDeterministic(true);
    EXPECT_TRUE(message.SerializeToCodedStream(&coded));
  }
  return out;
}

std::unique_ptr<g::Message> make(const char* name) {
  const g::Descriptor* const type =
      g::DescriptorPool::generated_pool()->FindMessageTypeByName(name);
  EXPECT_NE(type, nullptr) << name;
  if (type == nullptr) return nullptr;
  return std::unique_ptr<g::Message>(
      g::MessageFactory::generated_factory()->GetPrototype(type)->New());
}

TEST(Oracle, EveryMessageBothWays) {
  Random random(1);
  std::size_t total = 0;
  for (const Type& type : kTypes) {
    for (int round = 0; round < 30; ++round) {
      const std::unique_ptr<g::Message> message = make(type.name);
      ASSERT_NE(message, nullptr);
      fill(*message, random, round % 8);
      // A map that got the same key twice keeps one entry only after a round trip.
      ASSERT_TRUE(message->ParseFromString(serialize(*message))) << type.name;
      const std::string bytes = serialize(*message);
      total += bytes.size();
      const std::optional<std::string> ours = type.again(bytes);
      ASSERT_TRUE(ours) << type.name << " " << hex(as_bytes(bytes));
      ASSERT_EQ(hex(as_bytes(*ours)), hex(as_bytes(bytes))) << type.name;
      const std::unique_ptr<g::Message> back = make(type.name);
      ASSERT_TRUE(back->ParseFromString(*ours));
      ASSERT_EQ(serialize(*back), bytes) << type.name;
    }
  }
  EXPECT_GT(total, 100'000U);
}

std::string damage(std::string bytes, Random& random) {
  switch (random.below(5)) {
    case 0: bytes.resize(random.below(static_cast<std::uint32_t>(bytes.size() + 1))); return bytes;
    case 1:
      for (int i = 0; i < 3 && !bytes.empty(); ++i)
        bytes[random.below(static_cast<std::uint32_t>(bytes.size()))] =
            static_cast<char>(random.next());
      return bytes;
    case 2:
      bytes.insert(random.below(static_cast<std::uint32_t>(bytes.size() + 1)), 1,
                   static_cast<char>(random.next()));
      return bytes;
    case 3:
      if (!bytes.empty()) bytes.erase(random.below(static_cast<std::uint32_t>(bytes.size())), 1);
      return bytes;
    default:
      bytes += bytes;  // everything twice: merged
      return bytes;
  }
}

TEST(Oracle, AgreesOnDamagedInput) {
  const g::LogSilencer quiet;
  Random random(2);
  int refused = 0;
  int taken = 0;
  for (const Type& type : kTypes) {
    for (int round = 0; round < 100; ++round) {
      const std::unique_ptr<g::Message> message = make(type.name);
      fill(*message, random, round % 5);
      const std::string bytes = damage(serialize(*message), random);
      const std::unique_ptr<g::Message> theirs = make(type.name);
      const bool good = theirs->ParseFromString(bytes);
      const std::optional<std::string> ours = type.again(bytes);
      ASSERT_EQ(ours.has_value(), good) << type.name << " " << hex(as_bytes(bytes));
      ++(good ? taken : refused);
      if (!good) continue;
      theirs->DiscardUnknownFields();
      ASSERT_EQ(hex(as_bytes(*ours)), hex(as_bytes(serialize(*theirs))))
          << type.name << " " << hex(as_bytes(bytes));
    }
  }
  EXPECT_GT(refused, 1'000);
  EXPECT_GT(taken, 1'000);
}

TEST(Oracle, UnknownFieldsAreIgnored) {
  Random random(3);
  for (const Type& type : kTypes) {
    const std::unique_ptr<g::Message> message = make(type.name);
    fill(*message, random, 4);
    ASSERT_TRUE(message->ParseFromString(serialize(*message)));
    const std::string bytes = serialize(*message);
    g::UnknownFieldSet& unknown = *message->GetReflection()->MutableUnknownFields(message.get());
    unknown.AddVarint(9'000, 7);
    unknown.AddFixed32(9'001, 7);
    unknown.AddFixed64(9'002, 7);
    unknown.AddLengthDelimited(9'003, "seven");
    unknown.AddGroup(9'004)->AddVarint(1, 7);
    const std::optional<std::string> ours = type.again(serialize(*message));
    ASSERT_TRUE(ours) << type.name;
    ASSERT_EQ(*ours, bytes) << type.name;
  }
}

}  // namespace
}  // namespace tulle::pb
