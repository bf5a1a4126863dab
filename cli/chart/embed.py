#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""embed.py CHARTS OUT: the files of the charts as C++, for embedded.h."""
import os
import sys


def literal(text):
    """In pieces: a compiler may refuse a literal that is too long."""
    out = []
    for line in text.splitlines(keepends=True):
        escaped = line.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\r", "\\r").replace("\t", "\\t")
        out.append('"' + "".join(c if ord(c) < 128 else "".join(f"\\{b:03o}" for b in c.encode()) for c in escaped) + '"')
    return "\n     ".join(out) or '""'


def main():
    charts, target = sys.argv[1:]
    entries = []
    for name in ("linkerd-crds", "linkerd-control-plane"):
        for folder, dirs, files in os.walk(os.path.join(charts, name)):
            dirs.sort()
            for file in sorted(files):
                path = os.path.join(folder, file)
                with open(path, encoding="utf-8") as f:
                    entries.append(f'    {{"{os.path.relpath(path, charts)}",\n     {literal(f.read())}}},')
    text = ('#include "cli/chart/embedded.h"\n\nnamespace tulle::chart {\nnamespace {\nconstexpr EmbeddedFile kFiles[] = {\n' + "\n".join(entries)
            + "\n};\n}  // namespace\n\nstd::span<const EmbeddedFile> embedded_files() { return kFiles; }\n\n}  // namespace tulle::chart\n")
    with open(target, "w", encoding="utf-8") as f:
        f.write(text)


main()
