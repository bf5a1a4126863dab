#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Writes plain C++ structs with encode and decode for a FileDescriptorSet.

usage: protogen.py DESCRIPTOR_SET OUT_DIR

Writes messages.inc, a line TULLE_PB_MESSAGE(C++ type, "full name") for each message (tests use it),
one NAME.pb.h and NAME.pb.cc per .proto file, and fields.h: for each message a template
visit(message, v) that shows v every field which counts, in the order of the schema:
v.field(name, value), v.blob(name, bytes), v.enumeration(name, value, names of the values). Everything of a package a.b.c is in namespace
tulle::pb::c:

  message Outer.Inner     struct Outer_Inner, also named Outer::Inner
  message field           Box<T> (absent, or a T)
  repeated field          std::vector<T>
  map<string, V>          std::map<std::string, V>
  oneof kind              its members are fields like all others, and beside them
                            enum class KindCase { none = 0, MEMBER = NUMBER, ... };
                            KindCase kind_case;      // says which one counts
                          set_MEMBER() chooses a member and empties the others: it returns the new
                          message, or takes the value of a scalar
  enum                    std::int32_t (enums are open), constants Outer::Name::VALUE
  service S, method M     struct S { struct M { Request, Response, kPath, kServerStreams } }
  keyword (or none)       keyword_

Every message has `unknown_fields`: decode met a field whose number (or wire type) is not in the
schema. Where a oneof is empty and unknown_fields is set, the sender has probably chosen a member
that we do not know: whoever must fail closed looks at both.

Decoding follows the specification: the last value of a field counts, messages that come twice are
merged, strings must be UTF-8. Encoding writes a chosen member of a oneof even if it is zero.
"""
import sys

from google.protobuf import descriptor_pb2 as d

F = d.FieldDescriptorProto

# type: (C++ type, wire type, how to read, how to write)
SCALARS = {
    F.TYPE_DOUBLE: ("double", "kFixed64", "std::bit_cast<double>(in.fixed64())",
                    "fixed64({n}, std::bit_cast<std::uint64_t>({v}))"),
    F.TYPE_FLOAT: ("float", "kFixed32", "std::bit_cast<float>(in.fixed32())",
                   "fixed32({n}, std::bit_cast<std::uint32_t>({v}))"),
    F.TYPE_FIXED64: ("std::uint64_t", "kFixed64", "in.fixed64()", "fixed64({n}, {v})"),
    F.TYPE_FIXED32: ("std::uint32_t", "kFixed32", "in.fixed32()", "fixed32({n}, {v})"),
    F.TYPE_BOOL: ("bool", "kVarint", "in.varint() != 0", "number({n}, {v} ? 1 : 0)"),
    F.TYPE_STRING: ("std::string", "kLengthDelimited", "in.text()", "bytes({n}, {v})"),
    F.TYPE_BYTES: ("std::string", "kLengthDelimited", "in.blob()", "bytes({n}, {v})"),
}
for kind, name in ((F.TYPE_INT64, "std::int64_t"), (F.TYPE_INT32, "std::int32_t"),
                   (F.TYPE_ENUM, "std::int32_t"), (F.TYPE_UINT64, "std::uint64_t"),
                   (F.TYPE_UINT32, "std::uint32_t")):
    # A negative number is sent as its 64-bit two's complement.
    wide = "static_cast<std::uint64_t>({v})" if "int32" not in name or "uint" in name \
        else "static_cast<std::uint64_t>(static_cast<std::int64_t>({v}))"
    SCALARS[kind] = (name, "kVarint", f"static_cast<{name}>(in.varint())",
                     "number({n}, " + wide + ")")

SPACES = {  # where the last part of the package will not do
    "": "spiffe",
    "transport.l5d.io": "transport",
    "linkerd2.common.net": "viz_net",
    "linkerd2.tap": "viz_tap",
}
KEYWORDS = {
    "and", "bool", "case", "class", "const", "default", "delete", "double", "else", "enum", "export",
    "false", "float", "for", "if", "int", "long", "namespace", "new", "none", "not", "operator", "or",
    "private", "protected", "public", "register", "return", "short", "static", "struct", "switch",
    "template", "this", "true", "typename", "union", "using", "virtual", "void", "while", "xor",
}


def space(package):
    return "tulle::pb::" + SPACES.get(package, package.split(".")[-1])


def ident(name):
    return name + "_" if name in KEYWORDS else name


def camel(name):
    return "".join(part[:1].upper() + part[1:] for part in name.split("_"))


def stem(file_name):
    return file_name[:-len(".proto")].split("/")[-1]


class Field:
    """One field, with everything the writers below need to know of it."""

    def __init__(self, generator, message, proto):
        self.proto, self.number, self.name = proto, proto.number, ident(proto.name)
        self.repeated = proto.label == F.LABEL_REPEATED
        self.is_message = proto.type == F.TYPE_MESSAGE
        self.entry = message.maps.get(proto.type_name.split(".")[-1]) if self.is_message else None
        self.oneof = message.proto.oneof_decl[proto.oneof_index].name \
            if proto.HasField("oneof_index") else None
        if self.entry:
            value = self.entry.field[1]
            assert self.entry.field[0].type == F.TYPE_STRING, "map keys are strings"
            self.value = Field(generator, message, value)
            self.type = f"std::map<std::string, {self.value.base}>"
            self.base = None
            return
        assert self.is_message or proto.type in SCALARS, f"type of {proto.name}"
        self.base = generator.type_of(proto.type_name) if self.is_message \
            else SCALARS[proto.type][0]
        if self.repeated:
            assert self.is_message or self.base == "std::string", "no packed fields yet"
            self.type = f"std::vector<{self.base}>"
        else:
            self.type = f"Box<{self.base}>" if self.is_message else self.base

    @property
    def wire(self):
        return "kLengthDelimited" if self.is_message else SCALARS[self.proto.type][1]

    @property
    def zero(self):
        return {"bool": " = false", "float": " = 0", "double": " = 0"}.get(
            self.type, " = 0" if self.type.startswith(("std::int", "std::uint")) else "")

    @property
    def present(self):
        """The condition under which a field outside of a oneof is sent."""
        name = "message." + self.name
        if self.is_message:
            return name + ".has_value()"
        if self.proto.type in (F.TYPE_STRING, F.TYPE_BYTES):
            return f"!{name}.empty()"
        if self.proto.type == F.TYPE_FLOAT:  # minus zero is sent
            return f"std::bit_cast<std::uint32_t>({name}) != 0"
        if self.proto.type == F.TYPE_DOUBLE:
            return f"std::bit_cast<std::uint64_t>({name}) != 0"
        return name if self.type == "bool" else f"{name} != 0"

    @property
    def read(self):
        return SCALARS[self.proto.type][2]

    def write(self, value, out="out"):
        if self.is_message:
            inner = "nested" if out == "inner" else "inner"
            body = f"[&](Writer& {inner}) {{ encode({value}, {inner}); }}"
            return f"{out}.message({self.number}, {body});"
        return f"{out}.{SCALARS[self.proto.type][3].format(n=self.number, v=value)};"


class Message:
    def __init__(self, file, proto, flat):
        self.file, self.proto, self.flat = file, proto, flat
        self.maps = {n.name: n for n in proto.nested_type if n.options.map_entry}
        self.nested = [n.name for n in proto.nested_type if not n.options.map_entry]
        self.fields = []

    def members(self, oneof):
        return [f for f in self.fields if f.oneof == oneof]

    def case(self, field):
        return f"{self.flat}::{camel(field.oneof)}Case::{field.name}"


class Generator:
    def __init__(self, files):
        self.messages = {}
        for file in files:
            for proto in file.message_type:
                self.collect(file, proto, "." + file.package if file.package else "", "")
        for message in self.messages.values():
            message.fields = [Field(self, message, f) for f in message.proto.field]

    def collect(self, file, proto, scope, outer):
        full, flat = f"{scope}.{proto.name}", f"{outer}_{proto.name}" if outer else proto.name
        self.messages[full] = Message(file, proto, flat)
        for nested in proto.nested_type:
            if not nested.options.map_entry:
                self.collect(file, nested, full, flat)

    def type_of(self, full):
        message = self.messages[full]
        return f"{space(message.file.package)}::{message.flat}"

    def of_file(self, file):
        return [m for m in self.messages.values() if m.file is file]

    # --- headers ---

    def header(self, file):
        out = [f"// Made by tools/protogen from {file.name}. Do not edit.", "#pragma once", "",
               "#include <cstdint>", "#include <map>", "#include <string>",
               "#include <string_view>", "#include <vector>", ""]
        out += [f'#include "proto/{stem(dep)}.pb.h"' for dep in file.dependency]
        out += ['#include "proto/wire.h"', "", f"namespace {space(file.package)} {{",
                "using pb::Box;", ""]
        messages = self.of_file(file)
        # Box and vector are content with declarations, so any order is good.
        out += [f"struct {m.flat};" for m in messages] + [""]
        for enum in file.enum_type:
            out += self.enum(enum, enum.name)
        for m in messages:
            for enum in m.proto.enum_type:
                out += self.enum(enum, f"{m.flat}_{enum.name}")
        for m in messages:
            out += self.struct(m)
        for service in file.service:
            out += self.service(file, service)
        return "\n".join(out + [f"}}  // namespace {space(file.package)}", ""])

    @staticmethod
    def enum(enum, name):
        items = "".join(f"    {v.name} = {v.number},\n" for v in enum.value)
        return [f"struct {name} {{", f"  enum : std::int32_t {{\n{items}  }};", "};", ""]

    def struct(self, m):
        out = [f"struct {m.flat} {{"]
        for name in m.nested + [e.name for e in m.proto.enum_type]:
            out.append(f"  using {name} = {m.flat}_{name};")
        for oneof in m.proto.oneof_decl:
            items = ", ".join(f"{f.name} = {f.number}" for f in m.members(oneof.name))
            case = camel(oneof.name) + "Case"
            out.append(f"  enum class {case} : std::uint32_t {{ none = 0, {items} }};")
            out.append(f"  {case} {oneof.name}_case = {case}::none;")
        for f in m.fields:
            out.append(f"  {f.type} {f.name}{f.zero};")
        out.append("  bool unknown_fields = false;")
        for f in m.fields:
            if f.oneof and f.is_message:
                out.append(f"  {f.base}& set_{f.proto.name}();")
            elif f.oneof:
                out.append(f"  void set_{f.proto.name}({f.base} value);")
        out += [f"  bool operator==(const {m.flat}& other) const;", "};",
                f"void encode(const {m.flat}& message, Writer& out);",
                "// Merges the bytes into the message; false if they are malformed.",
                f"bool decode({m.flat}& message, Bytes bytes, int depth);", ""]
        return out

    def service(self, file, service):
        path = f"/{file.package + '.' if file.package else ''}{service.name}/"
        out = [f"struct {service.name} {{"]
        for method in service.method:
            yes = {True: "true", False: "false"}
            # A member of a class may not have its name.
            name = method.name + ("_" if method.name == service.name else "")
            out += [f"  struct {name} {{",
                    f"    using Request = {self.type_of(method.input_type)};",
                    f"    using Response = {self.type_of(method.output_type)};",
                    f'    static constexpr std::string_view kPath = "{path}{method.name}";',
                    f"    static constexpr bool kClientStreams = {yes[method.client_streaming]};",
                    f"    static constexpr bool kServerStreams = {yes[method.server_streaming]};",
                    "  };"]
        return out + ["};", ""]

    # --- fields.h ---

    def fields(self, files):
        out = ["// Made by tools/protogen. Do not edit.", "#pragma once", "",
               "#include <initializer_list>", "#include <utility>", ""]
        out += [f'#include "proto/{stem(file.name)}.pb.h"' for file in files] + [""]
        self.enums = {}
        for file in files:
            scope = "." + file.package if file.package else ""
            for enum in file.enum_type:
                self.enums[f"{scope}.{enum.name}"] = enum
        for full, m in self.messages.items():
            for enum in m.proto.enum_type:
                self.enums[f"{full}.{enum.name}"] = enum
        for m in self.messages.values():
            out += [f"namespace {space(m.file.package)} {{", "template <typename V>",
                    f"void visit([[maybe_unused]] const {m.flat}& message, [[maybe_unused]] V& v) {{"]
            for f in m.fields:
                chosen = f"if (message.{f.oneof}_case == {m.case(f)}) " if f.oneof else ""
                out.append(f"  {chosen}{self.visit(f)}")
            out += ["}", f"}}  // namespace {space(m.file.package)}"]
        return "\n".join(out + [""])

    def visit(self, f):
        value, name = "message." + f.name, f'"{f.proto.name}"'
        if f.proto.type == F.TYPE_BYTES and not f.repeated:
            return f"v.blob({name}, {value});"
        if f.proto.type == F.TYPE_ENUM:
            names = ", ".join(f'{{{n.number}, "{n.name}"}}' for n in self.enums[f.proto.type_name].value)
            return f"v.enumeration({name}, {value}, {{{names}}});"
        return f"v.field({name}, {value});"

    # --- sources ---

    def source(self, file):
        out = [f"// Made by tools/protogen from {file.name}. Do not edit.",
               f'#include "proto/{stem(file.name)}.pb.h"', "", "#include <bit>", "",
               f"namespace {space(file.package)} {{", ""]
        for m in self.of_file(file):
            out += self.compare(m) + self.setters(m) + self.encoder(m) + self.decoder(m)
        return "\n".join(out + [f"}}  // namespace {space(file.package)}", ""])

    @staticmethod
    def compare(m):
        parts = ["unknown_fields == other.unknown_fields"]
        parts += [f"{o.name}_case == other.{o.name}_case" for o in m.proto.oneof_decl]
        for f in m.fields:  # members that are not chosen do not count
            same = f"{f.name} == other.{f.name}"
            parts.append(f"({f.oneof}_case != {m.case(f)} || {same})" if f.oneof else same)
        joined = " &&\n         ".join(parts)
        return [f"bool {m.flat}::operator==(const {m.flat}& other) const {{",
                f"  return {joined};", "}", ""]

    @staticmethod
    def empty_others(m, field, target):
        """Statements that empty the other members of field's oneof."""
        out = []
        for f in m.members(field.oneof):
            if f is field:
                continue
            empty = ".reset();" if f.is_message else ".clear();" if f.type == "std::string" \
                else " = {};"
            out.append(f"{target}{f.name}{empty}")
        return out

    def setters(self, m):
        out = []
        for f in m.fields:
            if not f.oneof:
                continue
            head = f"{f.base}& {m.flat}::set_{f.proto.name}()" if f.is_message \
                else f"void {m.flat}::set_{f.proto.name}({f.base} value)"
            out += [head + " {", f"  {f.oneof}_case = {m.case(f)};"]
            out += ["  " + line for line in self.empty_others(m, f, "")]
            if f.is_message:
                out += [f"  {f.name}.reset();", f"  return {f.name}.make();"]
            else:
                out.append(f"  {f.name} = std::move(value);" if f.type == "std::string"
                           else f"  {f.name} = value;")
            out += ["}", ""]
        return out

    @staticmethod
    def encoder(m):
        out = [f"void encode([[maybe_unused]] const {m.flat}& message, "
               "[[maybe_unused]] Writer& out) {"]
        for f in sorted(m.fields, key=lambda f: f.number):
            name = "message." + f.name
            if f.entry:
                value = f.value.write("entry.second", "inner")
                out += [f"  for (const auto& entry : {name}) {{",
                        f"    out.message({f.number}, [&](Writer& inner) {{",
                        "      inner.bytes(1, entry.first);", f"      {value}", "    });", "  }"]
            elif f.repeated:
                out.append(f"  for (const auto& item : {name}) {f.write('item')}")
            elif f.oneof and f.is_message:  # chosen but left out: an empty message
                out += [f"  if (message.{f.oneof}_case == {m.case(f)}) {{",
                        f"    if ({name}) {{", f"      {f.write('*' + name)}", "    } else {",
                        f'      out.bytes({f.number}, "");', "    }", "  }"]
            elif f.oneof:
                out.append(f"  if (message.{f.oneof}_case == {m.case(f)}) {f.write(name)}")
            else:
                value = "*" + name if f.is_message else name
                out.append(f"  if ({f.present}) {f.write(value)}")
        return out + ["}", ""]

    def decoder(self, m):
        out = [f"bool decode({m.flat}& message, Bytes bytes, int depth) {{",
               "  if (depth <= 0) return false;", "  Reader in(bytes);",
               "  std::uint32_t field = 0;", "  std::uint32_t type = 0;",
               "  while (in.next(field, type)) {"]
        if m.fields:
            out.append("    switch (field << 3 | type) {")
            for f in m.fields:
                out.append(f"      case {f.number} << 3 | {f.wire}: {{")
                out += ["        " + line for line in self.decode_field(m, f)]
                out += ["        continue;", "      }"]
            out += ["      default:", "        break;", "    }"]
        return out + ["    message.unknown_fields = true;", "    in.skip(field, type, depth);",
                      "  }", "  return in.ok();", "}", ""]

    def decode_field(self, m, f):
        name = "message." + f.name
        if f.entry:
            if f.value.is_message:
                value = ["  if (!decode(value, entry.bytes(), depth - 2)) return false;"]
            else:
                value = [f"  value = {f.value.read.replace('in.', 'entry.')};"]
            return ["Reader entry(in.bytes());", "std::string key;", f"{f.value.base} value{{}};",
                    "std::uint32_t part = 0;", "std::uint32_t part_type = 0;",
                    "while (entry.next(part, part_type)) {",
                    "  if (part == 1 && part_type == kLengthDelimited) {",
                    "    key = entry.text();",
                    f"  }} else if (part == 2 && part_type == {f.value.wire}) {{",
                    *["  " + line for line in value],
                    "  } else {", "    entry.skip(part, part_type, depth);", "  }", "}",
                    "if (!entry.ok()) return false;", f"{name}[std::move(key)] = std::move(value);"]
        out = []
        if f.oneof:
            out += self.empty_others(m, f, "message.") + [f"message.{f.oneof}_case = {m.case(f)};"]
        if f.is_message:
            target = f"{name}.emplace_back()" if f.repeated else f"{name}.make()"
            out.append(f"if (!decode({target}, in.bytes(), depth - 1)) return false;")
        elif f.repeated:
            out.append(f"{name}.push_back({f.read});")
        else:
            out.append(f"{name} = {f.read};")
        return out


def main():
    descriptor_set = d.FileDescriptorSet()
    with open(sys.argv[1], "rb") as f:
        descriptor_set.ParseFromString(f.read())
    generator = Generator(list(descriptor_set.file))
    for file in descriptor_set.file:
        base = f"{sys.argv[2]}/{stem(file.name)}.pb"
        for suffix, text in ((".h", generator.header(file)), (".cc", generator.source(file))):
            with open(base + suffix, "w", encoding="utf-8") as f:
                f.write(text)
    with open(f"{sys.argv[2]}/fields.h", "w", encoding="utf-8") as f:
        f.write(generator.fields(list(descriptor_set.file)))
    with open(f"{sys.argv[2]}/messages.inc", "w", encoding="utf-8") as f:
        for full in generator.messages:
            f.write(f'TULLE_PB_MESSAGE({generator.type_of(full)}, "{full.lstrip(".")}")\n')


if __name__ == "__main__":
    main()
