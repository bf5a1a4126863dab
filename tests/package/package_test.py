#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The files that are published: they run, they are the same each time, and the bill of materials tells the truth.

usage: package_test.py BIN_DIR [CASE...]      (prints TAP)
"""
import hashlib
import http.server
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))
sys.path[:0] = [os.path.join(TOP, "tests", "support"), os.path.join(TOP, "images")]
import facts  # noqa: E402 - after the path is known
from cases import Cases  # noqa: E402

VERSION = "9.8.7"


def run(*argv, **more):
    return subprocess.run(argv, check=True, capture_output=True, text=True, **more).stdout


def digest(path):
    with open(path, "rb") as f:
        return hashlib.sha256(f.read()).hexdigest()


class World:
    def __init__(self, binaries, folder):
        self.binaries, self.folder, self.out = binaries, folder, f"{folder}/out"
        self.make(self.out)

    def make(self, out):
        run(f"{TOP}/images/files", "--bin", f"amd64={self.binaries}", "--version", VERSION, "--out", out)

    def path(self, name):
        return os.path.join(self.out, name)


def the_same_bytes_again(w):
    w.make(w.folder + "/again")
    for name in os.listdir(w.out):
        with open(w.path(name), "rb") as first, open(f"{w.folder}/again/{name}", "rb") as second:
            assert first.read() == second.read(), name


def images_have_the_same_bytes_again(w):
    """Those of our own programs; what Debian's packages hold for the third is up to the day."""
    made = []
    for folder in ("images", "images again"):
        out = f"{w.folder}/{folder}"
        run(f"{TOP}/images/package", "--bin", f"amd64={w.binaries}", "--version", VERSION, "--out", out, "--only", "proxy", "--only", "controller")
        made.append({name: digest(f"{out}/{name}") for name in sorted(os.listdir(out))})
    assert len(made[0]) == 4 and made[0] == made[1], made


def no_program_names_where_it_was_built(w):
    for name in ("tulle", "tulle-control", "tulle-node", "tulle-proxy"):
        with open(facts.strip(name, w.binaries, "amd64", w.folder), "rb") as f:
            content = f.read()
        for path in (TOP, w.binaries, os.path.dirname(w.binaries), "/tulle/src/boringssl"):
            assert path.encode() not in content, f"{name} contains {path}"


def the_tarball_has_programs_that_run(w):
    run("tar", "xzf", w.path(f"tulle-{VERSION}-linux-amd64.tar.gz"), "-C", w.folder)
    folder = f"{w.folder}/tulle-{VERSION}-linux-amd64"
    assert sorted(os.listdir(folder)) == ["LICENSE", "linkerd", "tulle", "tulle-control", "tulle-node", "tulle-proxy"]
    said = {name: run(f"{folder}/{name}", "--help") for name in ("tulle", "linkerd")}
    assert "Usage: linkerd " in said["linkerd"] and "install" in said["linkerd"], said["linkerd"]
    assert said["linkerd"].replace("Usage: linkerd ", "Usage: tulle ") == said["tulle"]
    assert "tulle-control" in run(f"{folder}/tulle-control", "--help")


def await_is_one_file_under_any_name(w):
    published = w.path(f"linkerd-await-{VERSION}-amd64")
    shutil.copy(published, f"{w.folder}/linkerd-await")
    for program in (published, f"{w.folder}/linkerd-await"):
        assert run(program, "--", "/bin/echo", "went", "on", env={"LINKERD_AWAIT_DISABLED": "because"}) == "went on\n"
        # A port of discard: nobody is there, so the wait ends at its limit.
        done = subprocess.run([program, "--port=9", "--backoff=50ms", "--timeout=200ms", "--", "/bin/true"], check=False, capture_output=True)
        assert done.returncode == 69, done
    assert "NEEDED" not in run("readelf", "-d", published)


def the_bill_names_what_is_there(w):
    with open(w.path(f"tulle-{VERSION}.spdx.json"), encoding="utf-8") as f:
        bill = json.load(f)
    assert bill["spdxVersion"] == "SPDX-2.3" and bill["dataLicense"] == "CC0-1.0" and bill["documentNamespace"]
    sums = {one["fileName"]: next(c["checksumValue"] for c in one["checksums"] if c["algorithm"] == "SHA256") for one in bill["files"]}
    for name in os.listdir(w.out):
        if name.endswith(".spdx.json"):
            continue
        with open(w.path(name), "rb") as f:
            assert hashlib.sha256(f.read()).hexdigest() == sums[f"./{name}"], name
    elements = [bill["SPDXID"], *(e["SPDXID"] for e in bill["packages"] + bill["files"])]
    assert len(elements) == len(set(elements)), elements
    for relation in bill["relationships"]:
        assert {relation["spdxElementId"], relation["relatedSpdxElement"]} <= set(elements), relation
    versions = {p["name"]: p["versionInfo"] for p in bill["packages"]}
    assert versions["tulle"] == VERSION and versions["boringssl"] == facts.boringssl()
    assert versions["libyaml-dev"] == run("dpkg-query", "-W", "-f=${source:Version}", "libyaml-dev")
    with open(os.path.join(TOP, "docs/dependencies.md"), encoding="utf-8") as f:
        assert f"BoringSSL {facts.boringssl()}" in f.read(), "docs/dependencies.md names another BoringSSL"


def a_library_more_does_not_go_unnoticed(w):
    """The table of images/facts.py is checked against what the build links."""
    folder = f"{w.folder}/build"
    os.makedirs(folder + "/bin")
    with open(folder + "/build.ninja", "w", encoding="utf-8") as f:
        f.write("build bin/tulle-node: LINK x.o\n  LINK_LIBRARIES = lib/net/libtulle_net.a  /usr/lib/libz.a\n")
    try:
        facts.check_linked("tulle-node", folder + "/bin")
    except SystemExit as told:
        assert "libz.a" in str(told)
        return
    raise AssertionError("nothing was said")


def helm_installs_from_the_repository(w):
    folder = f"{w.folder}/repository"
    os.mkdir(folder)
    run(f"{TOP}/images/charts", folder)
    helm = run(f"{TOP}/tests/e2e/cluster/build", "helm").split()[1]
    handler = type("Files", (http.server.SimpleHTTPRequestHandler,), {
        "__init__": lambda self, *args: http.server.SimpleHTTPRequestHandler.__init__(self, *args, directory=folder), "log_message": lambda *_: None})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        environment = {**os.environ, "HOME": w.folder}
        run(helm, "repo", "add", "mesh", f"http://127.0.0.1:{server.server_port}", env=environment)
        for chart in ("linkerd-crds", "linkerd-control-plane", "linkerd2"):
            flags = ("-n", "linkerd", "--kube-version", "1.34.0")
            assert run(helm, "template", "x", f"mesh/{chart}", *flags, env=environment) == run(helm, "template", "x", f"{TOP}/charts/{chart}", *flags, env=environment)
        server.shutdown()


CASES = [the_same_bytes_again, images_have_the_same_bytes_again, no_program_names_where_it_was_built,
         the_tarball_has_programs_that_run, await_is_one_file_under_any_name, the_bill_names_what_is_there,
         a_library_more_does_not_go_unnoticed, helm_installs_from_the_repository]


def main():
    cases = Cases(sys.argv[2:])
    with tempfile.TemporaryDirectory(prefix="tulle-package-") as folder:
        w = World(os.path.abspath(sys.argv[1]), folder)
        for case in CASES:
            cases.check(case, w)
    cases.end()


if __name__ == "__main__":
    main()
