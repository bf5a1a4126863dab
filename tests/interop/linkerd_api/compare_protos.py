#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Our proto files against those that the crate linkerd2-proxy-api ships: every message, field, number, type, oneof and
method of theirs is ours, too; what we have on top is an extension and has a number from 1000 on.

usage: compare_protos.py OUR_PROTO_DIR THEIR_PROTO_DIR"""
import os
import subprocess
import sys
import tempfile

from google.protobuf import descriptor_pb2

FILES = ["net", "meta", "http_types", "identity", "destination", "http_route", "grpc_route", "tls_route", "opaque_route", "inbound",
         "outbound", "tap"]
Field = descriptor_pb2.FieldDescriptorProto


def load(folder):
    with tempfile.TemporaryDirectory() as work:
        out = os.path.join(work, "set")
        include = [f"-I{folder}"] + ([f"-I{folder}/google/protobuf"] if os.path.isdir(f"{folder}/google") else [])
        subprocess.run(["protoc", *include, f"--descriptor_set_out={out}"] + [f"{name}.proto" for name in FILES], check=True, cwd=folder)
        with open(out, "rb") as f:
            return descriptor_pb2.FileDescriptorSet.FromString(f.read())


def describe(files):
    """Name → what the wire or a reader of JSON sees of it."""
    out = {}

    def message(prefix, m):
        name = f"{prefix}.{m.name}"
        out[name] = "message"
        for field in m.field:
            oneof = m.oneof_decl[field.oneof_index].name if field.HasField("oneof_index") else ""
            label = "repeated" if field.label == Field.LABEL_REPEATED else "one"
            out[f"{name}.{field.name}"] = (f"{label} {Field.Type.Name(field.type)} {field.type_name} = {field.number}"
                                           + (f" in {oneof}" if oneof else ""))
        for nested in m.nested_type:
            message(name, nested)
        for e in m.enum_type:
            enum(name, e)

    def enum(prefix, e):
        for value in e.value:
            out[f"{prefix}.{e.name}.{value.name}"] = f"value {value.number}"

    for file in files.file:
        prefix = "." + file.package
        for m in file.message_type:
            message(prefix, m)
        for e in file.enum_type:
            enum(prefix, e)
        for service in file.service:
            for method in service.method:
                out[f"{prefix}.{service.name}/{method.name}"] = (
                    f"{method.input_type} -> {'stream ' if method.server_streaming else ''}{method.output_type}")
    return out


def main():
    ours, theirs = (describe(load(os.path.abspath(folder))) for folder in sys.argv[1:3])
    assert len(theirs) > 400, f"only {len(theirs)} elements were found"
    problems = [f"{name}: theirs {what!r}, ours {ours.get(name)!r}" for name, what in sorted(theirs.items()) if ours.get(name) != what]
    extensions, enums = [], {name.rpartition(".")[0] for name, what in theirs.items() if what.startswith("value ")}
    for name, what in sorted(ours.items()):
        if name in theirs:
            continue
        number = what.rpartition(" = ")[2].split(" ")[0]
        parent_is_new = name.rpartition(".")[0] not in theirs
        if (number.isdigit() and int(number) >= 1000) or (parent_is_new and any(name.startswith(e) for e in extensions)):
            extensions.append(name)
        elif what == "message" or (what.startswith("value ") and name.rpartition(".")[0] not in enums):
            extensions.append(name)
        else:
            problems.append(f"{name}: only ours, and no extension: {what}")
    for problem in problems:
        print(problem)
    print(f"{len(theirs)} elements of theirs, {len(problems)} differ; extensions of ours: {', '.join(extensions) or 'none'}")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
