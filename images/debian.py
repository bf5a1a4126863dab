# SPDX-License-Identifier: Apache-2.0
"""Files of Debian's packages for any architecture, for images that hold other people's programs.

apt works on a state folder of its own: nothing is installed, and the machine's own list of architectures stays as it is.
"""
import datetime
import glob
import hashlib
import json
import os
import shutil
import subprocess
import tempfile
import time

CACHE = os.path.join(os.environ.get("TULLE_CACHE") or os.path.join(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "tulle"), "debian")
# What nobody reads in a container; licences stay.
PRUNED = ("usr/share/man", "usr/share/locale", "usr/share/info", "usr/share/lintian", "usr/share/bash-completion", "usr/share/bug", "usr/share/doc/*/[!c]*",
          "usr/share/doc/*/changelog*", "usr/lib/*/gconv", "usr/lib/*/audit")


def unpacked(arch, packages, without=()):
    """(folder, {package: version}) of these packages and all that they need but `without`; no older than a week."""
    week = "{}-{}".format(*datetime.datetime.now(datetime.timezone.utc).isocalendar()[:2])
    key = hashlib.sha256(json.dumps([arch, packages, sorted(without), PRUNED, week]).encode()).hexdigest()[:16]
    kept = os.path.join(CACHE, key)
    if not os.path.isdir(kept):
        os.makedirs(CACHE, exist_ok=True)
        work = tempfile.mkdtemp(prefix="new.", dir=CACHE)
        try:
            _fetch(arch, packages, without, work)
            os.rename(os.path.join(work, "done"), kept)
            _forget_old()
        finally:
            shutil.rmtree(work, ignore_errors=True)
    with open(os.path.join(kept, "versions.json"), encoding="utf-8") as f:
        return os.path.join(kept, "root"), json.load(f)


def _forget_old():
    for entry in os.scandir(CACHE):
        if time.time() - entry.stat().st_mtime > 15 * 86400:
            shutil.rmtree(entry.path, ignore_errors=True)


def _fetch(arch, packages, without, work):
    for folder in ("state/lists/partial", "cache/archives/partial", "done/root"):
        os.makedirs(os.path.join(work, folder))
    status = os.path.join(work, "status")
    with open(status, "w", encoding="ascii"):
        pass
    apt = ["apt-get", "-qq", "-o", f"Dir::State={work}/state", "-o", f"Dir::State::status={status}", "-o", f"Dir::Cache={work}/cache", "-o",
           f"APT::Architecture={arch}", "-o", f"APT::Architectures={arch}", "-o", "APT::Sandbox::User=root", "-o", "Acquire::Languages=none", "-o", "Debug::NoLocking=1"]
    for arguments in (["update"], ["install", "--yes", "--download-only", "--no-install-recommends", *packages]):
        done = subprocess.run([*apt, *arguments], capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise SystemExit(f"apt-get {arguments[0]} for {arch}: {done.stderr.strip() or done.stdout.strip()}")
    versions = {}
    archives = os.path.join(work, "cache/archives")
    for name in sorted(os.listdir(archives)):
        if not name.endswith(".deb"):
            continue
        package, version = subprocess.run(["dpkg-deb", "--show", "--showformat=${Package} ${Version}", os.path.join(archives, name)],
                                          capture_output=True, text=True, check=True).stdout.split()
        if package not in without:
            subprocess.run(["dpkg-deb", "--extract", os.path.join(archives, name), os.path.join(work, "done/root")], check=True)
            versions[package] = version
    for pattern in PRUNED:
        for path in glob.glob(os.path.join(work, "done/root", pattern)):
            if os.path.isdir(path) and not os.path.islink(path):
                shutil.rmtree(path)
            elif os.path.lexists(path):  # documentation of one package may be a link to another's
                os.unlink(path)
    with open(os.path.join(work, "done/versions.json"), "w", encoding="utf-8") as f:
        json.dump(versions, f, indent=1, sort_keys=True)
