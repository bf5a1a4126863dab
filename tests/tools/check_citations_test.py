#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""tools/check-citations: what resolves passes, and each kind of what does not is named with its line.

usage: check_citations_test.py [CASE...]      (prints TAP)
"""
import os
import shutil
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))
sys.path[:0] = [os.path.join(TOP, "tests", "support")]
from cases import Cases  # noqa: E402 - after the path is known

PAGE = "# A page\n\n## 1. One\n\n### 1.2 Two\n\nSee §1.2 and RFC 9110 §9.2.2.\n\n```\n[no link](nowhere)\n```\n"


class World:
    def __init__(self, folder):
        self.folder = folder
        self.write("docs/page.md", PAGE)
        os.makedirs(os.path.join(folder, "tools"))
        self.tool = shutil.copy(os.path.join(TOP, "tools/check-citations"), os.path.join(folder, "tools/check-citations"))

    def write(self, path, text):
        os.makedirs(os.path.dirname(os.path.join(self.folder, path)), exist_ok=True)
        with open(os.path.join(self.folder, path), "w", encoding="utf-8") as f:
            f.write(text)

    def complaints(self):
        run = subprocess.run([self.tool, "--few"], capture_output=True, text=True, check=False)
        lines = run.stderr.splitlines()
        assert run.returncode == (1 if lines else 0), run
        return lines


def what_is_there_passes(world):
    world.write("a.h", "// First (docs/page.md\n// §1.2, §1 and §1.2), then RFC 9110 §5.5, then\n// that of the page: docs/page.md §1–1.2.\n")
    world.write("docs/b.md", "[the page](page.md#12-two) says it, [page.md](page.md) §1.2 and `docs/page.md` §1, too.\n")
    assert world.complaints() == [], world.complaints()


def pages_that_are_not_there(world):
    world.write("a.cc", "// gone.md §1\nint a;  // docs/gone.md\nconst char* name = \"gone.md\";\n")
    assert world.complaints() == ["a.cc:1: no page gone.md", "a.cc:2: no page docs/gone.md"], world.complaints()


def sections_that_are_not_there(world):
    world.write("a.py", "# docs/page.md §2, and §1.3 there\n# §1.2–1.4\n")
    assert world.complaints() == ["a.py:1: docs/page.md has no §2", "a.py:1: docs/page.md has no §1.3", "a.py:2: docs/page.md has no §1.4"], world.complaints()


def sections_of_no_page(world):
    world.write("a.h", "// As §3 says, design rule\n// 3.4 stands.\n")
    assert world.complaints() == ["a.h:1: §3 of which page?", "a.h:1: a design rule without its page"], world.complaints()


def links_that_lead_nowhere(world):
    world.write("docs/b.md", "[a](gone.md)\n[b](page.md#three)\n[c](#here)\n[d](https://example.org/x.html)\n# Here\n")
    found = [line for line in world.complaints() if "no page" not in line]
    assert found == ["docs/b.md:1: no file gone.md", "docs/b.md:2: page.md has no heading #three"], found


def this_tree(world):
    subprocess.run([os.path.join(TOP, "tools/check-citations")], check=True, timeout=20)


def main():
    cases = Cases(sys.argv[1:])
    for case in (what_is_there_passes, pages_that_are_not_there, sections_that_are_not_there, sections_of_no_page, links_that_lead_nowhere,
                 this_tree):
        with tempfile.TemporaryDirectory(prefix="tulle-tools-") as folder:
            cases.check(case, World(folder))
    cases.end()


if __name__ == "__main__":
    main()
