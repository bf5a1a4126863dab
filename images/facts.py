# SPDX-License-Identifier: Apache-2.0
"""What is in our programs, by the word of the build: names and versions of what is linked into each."""
import os
import re
import subprocess

TOP = os.path.join(os.path.dirname(os.path.realpath(__file__)), "..")
TRIPLET = {"amd64": "x86_64-linux-gnu", "arm64": "aarch64-linux-gnu"}
# What is linked into each program or compiled into it: what stands in docs/dependencies.md, with the Debian package that
# tells the version.
LINKED = {
    "tulle-proxy": ["boringssl", "libc6-dev", "libstdc++-12-dev"],
    "tulle-node": ["libc6-dev", "libstdc++-12-dev"],
    "tulle-control": ["boringssl", "libyaml-dev", "libc6-dev", "libstdc++-12-dev"],
    "tulle": ["boringssl", "gateway-api", "libyaml-dev", "libcli11-dev", "nlohmann-json3-dev", "libc6-dev", "libstdc++-12-dev"],
}
ARCHIVES = {"libssl.a": "boringssl", "libcrypto.a": "boringssl", "libyaml.a": "libyaml-dev"}


def debian_version(package):
    return subprocess.run(["dpkg-query", "-W", "-f=${source:Version}", package], capture_output=True, text=True, check=True).stdout


def fetched(what):
    """The version that tools/fetch-WHAT fetches."""
    with open(os.path.join(TOP, f"tools/fetch-{what}"), encoding="utf-8") as f:
        found = re.search(r'^(?:MODULE, )?VERSION ?=.*?(v?[0-9][0-9.]*)"?$', f.read(), re.M)
    return found.group(1)


def boringssl():
    return fetched("boringssl")


def version_of(part):
    """(version, package URL)"""
    if part == "boringssl":
        return boringssl(), f"pkg:cargo/boring-sys@{boringssl()}"
    if part == "gateway-api":
        return fetched(part), f"pkg:golang/sigs.k8s.io/gateway-api@{fetched(part)}"
    return debian_version(part), f"pkg:deb/debian/{part}@{debian_version(part)}"


def check_linked(program, bin_dir):
    """Fails when the build links another foreign archive into the program than LINKED says."""
    with open(os.path.join(bin_dir, "..", "build.ninja"), encoding="utf-8") as f:
        rule = re.search(rf"^build bin/{re.escape(program)}:.*?^  LINK_LIBRARIES = (.*?)$", f.read(), re.M | re.S)
    if not rule:
        raise SystemExit(f"{bin_dir}: the build has no {program}")
    foreign = {os.path.basename(word) for word in rule.group(1).split() if word.endswith(".a")}
    foreign = {name for name in foreign if not name.startswith("libtulle_")}
    named = {ARCHIVES.get(name, name) for name in foreign}
    said = {part for part in LINKED[program] if part in ARCHIVES.values()}
    if named != said:
        raise SystemExit(f"{program} is linked with {sorted(named)}, but images/facts.py says {sorted(said)}")


def check_clock(program, bin_dir):
    """Fails when a program that is published has a clock that can be stepped (lib/base/clock_offset.h), or one for tests has none."""
    with open(os.path.join(bin_dir, program), "rb") as f:
        if (b"TULLE_CLOCK_OFFSET_FILE" in f.read()) != bin_dir.rstrip("/").endswith("-for-tests"):
            raise SystemExit(f"{bin_dir}/{program}: tests can step the clock of programs for tests, and of no others")


def strip(program, bin_dir, arch, into):
    """The program without symbols, as a file of its own; made once."""
    path = os.path.join(into, f"{program}.{arch}")
    if not os.path.exists(path):
        tool = "strip" if arch == "amd64" else f"{TRIPLET[arch]}-strip"
        subprocess.run([tool, "-o", path, os.path.join(bin_dir, program)], check=True)
    return path
