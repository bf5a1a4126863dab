#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Every command of docs/guides is run as it stands there: all blocks marked `sh`, in order."""
import os
import re
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))
from harness import TOP, Cluster, Failed, report  # noqa: E402
from mesh import describe, uninstall  # noqa: E402


class Test:
    def __init__(self, cluster, folder):
        self.c, self.folder = cluster, folder
        for name in ("charts", "examples", "build"):
            os.symlink(os.path.join(TOP, name), os.path.join(folder, name))


def blocks(guide):
    """(heading, line, commands) of each block marked sh."""
    with open(os.path.join(TOP, "docs/guides", guide), encoding="utf-8") as f:
        text = f.read()
    found, heading = [], ""
    for match in re.finditer(r"^## (?P<heading>[^\n]*)$|^```(?P<mark>\w*)\n(?P<body>.*?)^```$", text, re.M | re.S):
        if match["heading"]:
            heading = match["heading"]
        elif match["mark"] == "sh":
            found.append((heading, text.count("\n", 0, match.start()) + 1, match["body"]))
        else:
            assert match["mark"] == "console", f"{guide}: a block is marked {match['mark']!r}"
    assert found, guide
    return found


def follow(t, guide, chosen=lambda heading: True):
    for heading, line, commands in blocks(guide):
        if not chosen(heading):
            continue
        try:
            t.c.shell(commands, folder=t.folder)
        except Failed as error:
            raise Failed(f"{guide}:{line}: {error}") from error


def the_quick_start(t):
    follow(t, "k3s.md", lambda heading: heading != "Uninstall")


def troubleshooting(t):
    follow(t, "troubleshooting.md")


def the_quick_start_taken_back(t):
    follow(t, "k3s.md", lambda heading: heading == "Uninstall")


def cert_manager(t):
    t.c.install_cert_manager()
    follow(t, "cert-manager.md")


def coming_from_linkerd(t):
    follow(t, "from-linkerd.md")


def air_gapped(t):
    follow(t, "air-gapped.md")


def every_guide_is_followed(t):
    del t
    known = {"k3s.md", "troubleshooting.md", "cert-manager.md", "from-linkerd.md", "air-gapped.md", "README.md"}
    assert set(os.listdir(os.path.join(TOP, "docs/guides"))) == known


CASES = [every_guide_is_followed, the_quick_start, troubleshooting, the_quick_start_taken_back, cert_manager, coming_from_linkerd, air_gapped]


def main():
    cluster = Cluster()
    with tempfile.TemporaryDirectory(prefix="tulle-e2e-") as folder:
        try:
            report(CASES, Test(cluster, folder), on_failure=lambda: describe(cluster, "hello"))
        finally:
            uninstall(cluster)
            cluster.delete_namespace("hello")
            cluster.kubectl("delete", "clusterissuer", "self-signed", "ca-issuer", "--ignore-not-found", check=False)
            cluster.uninstall_cert_manager()


main()
