# SPDX-License-Identifier: Apache-2.0
"""Image layers and archives, byte for byte the same whenever and by whomever they are made.

A Layer is a tar file with fixed dates and owners; file capabilities stand in it as extended attributes, so that no
privilege is needed to make one. archive() wraps a layer into an OCI archive without compression, which is what a test
image wants; the images that are published go through umoci (package).
"""
import gzip
import hashlib
import io
import json
import os
import re
import struct
import subprocess
import tarfile

EPOCH = "2026-01-01T00:00:00Z"
PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
CAPABILITIES = {"cap_net_admin": 12, "cap_net_raw": 13}


def file_capabilities(names):
    """What security.capability holds (version 2) for these names in the permitted set, not effective on exec."""
    bits = sum(1 << CAPABILITIES[name] for name in names)
    return struct.pack("<IIIII", 0x02000000, bits & 0xFFFFFFFF, 0, bits >> 32, 0)


def closure(program):
    """The shared libraries that a program loads, by the loader's own word."""
    listed = subprocess.run(["ldd", program], capture_output=True, text=True, check=False).stdout
    return re.findall(r"(?:=> )?(/\S+) \(0x", listed)


class Layer:
    def __init__(self):
        self.data = io.BytesIO()
        self.tar = tarfile.open(fileobj=self.data, mode="w", format=tarfile.PAX_FORMAT)
        self.seen, self.xattrs = set(), {}

    def _add(self, path, kind, mode, content=b"", uid=0, link="", xattrs=None):
        path = path.strip("/")
        if path in self.seen:
            return
        parent = os.path.dirname(path)
        if parent:
            self.dir(parent)
        self.seen.add(path)
        info = tarfile.TarInfo(path)
        info.type, info.mode, info.uid, info.gid, info.linkname, info.size = kind, mode, uid, uid, link, len(content)
        for name, value in (xattrs or {}).items():
            # The standard library writes text only; surrogateescape lets any byte through.
            info.pax_headers[f"SCHILY.xattr.{name}"] = value.decode("utf-8", "surrogateescape")
        self.tar.addfile(info, io.BytesIO(content))

    def dir(self, path, mode=0o755, uid=0):
        self._add(path, tarfile.DIRTYPE, mode, uid=uid)

    def text(self, path, content, mode=0o644):
        self._add(path, tarfile.REGTYPE, mode, content.encode())

    def file(self, source, path, mode=None, capabilities=()):
        with open(source, "rb") as f:
            content = f.read()
        xattrs = {"security.capability": file_capabilities(capabilities)} if capabilities else {}
        self.xattrs[path.strip("/")] = xattrs
        self._add(path, tarfile.REGTYPE, mode or (os.stat(source).st_mode & 0o777), content, xattrs=xattrs)

    def program(self, source, path=None):
        """A program of this machine with the libraries it loads."""
        self.file(os.path.realpath(source), path or source, 0o755)
        for library in closure(source):
            self.file(os.path.realpath(library), library, 0o755)

    def link(self, target, path):
        """A symbolic link."""
        self._add(path, tarfile.SYMTYPE, 0o777, link=target)

    def hardlink(self, target, path):
        """A second name of a file of this layer: unlike a symbolic link it keeps working when copied alone."""
        # containerd sets the owner of each name, and a change of owner takes the capabilities of the file away: each says them.
        target = target.strip("/")
        self._add(path, tarfile.LNKTYPE, 0o755, link=target, xattrs=self.xattrs[target])

    def folder(self, source):
        """All of a folder as the root of the image, with modes and owners; what is there already wins."""
        for root, folders, files in os.walk(source):
            folders.sort()
            for name in sorted(folders) + sorted(files):
                full = os.path.join(root, name)
                path, state = os.path.relpath(full, source), os.lstat(full)
                if os.path.islink(full):
                    self._add(path, tarfile.SYMTYPE, 0o777, link=os.readlink(full))
                elif os.path.isdir(full):
                    self._add(path, tarfile.DIRTYPE, state.st_mode & 0o7777, uid=state.st_uid)
                elif os.path.isfile(full):
                    with open(full, "rb") as f:
                        self._add(path, tarfile.REGTYPE, state.st_mode & 0o7777, f.read(), uid=state.st_uid)

    def users(self, **names):
        """passwd and group with root, nobody, and these."""
        names = {"root": 0, **names, "nobody": 65534}
        self.text("etc/passwd", "".join(f"{name}:x:{uid}:{uid}::/:/sbin/nologin\n" for name, uid in names.items()))
        self.text("etc/group", "".join(f"{name}:x:{uid}:\n" for name, uid in names.items()))

    def bytes(self):
        self.tar.close()
        return self.data.getvalue()


def digest(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


def compressed(data):
    out = io.BytesIO()
    with gzip.GzipFile(fileobj=out, mode="wb", compresslevel=9, mtime=0) as f:
        f.write(data)
    return out.getvalue()


def write_tar(path, members):
    with tarfile.open(path + ".new", "w") as tar:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(data), 0o644
            tar.addfile(info, io.BytesIO(data))
    os.rename(path + ".new", path)


def archive(path, layer, images, arch="amd64"):
    """Writes an OCI archive: `layer` (bytes) under each name of `images`, {name: config fields}."""
    members, manifests = {}, []

    def blob(data, kind):
        members["blobs/sha256/" + digest(data)[7:]] = data
        return {"mediaType": f"application/vnd.oci.image.{kind}", "digest": digest(data), "size": len(data)}

    layer_entry = blob(layer, "layer.v1.tar")
    for name, fields in images.items():
        config = {"architecture": arch, "os": "linux", "created": EPOCH, "config": {"Env": [PATH], **fields},
                  "rootfs": {"type": "layers", "diff_ids": [layer_entry["digest"]]}, "history": [{"created": EPOCH}]}
        manifest = {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
                    "config": blob(json.dumps(config, sort_keys=True).encode(), "config.v1+json"), "layers": [layer_entry]}
        entry = blob(json.dumps(manifest, sort_keys=True).encode(), "manifest.v1+json")
        manifests.append({**entry, "annotations": {"io.containerd.image.name": name, "org.opencontainers.image.ref.name": name},
                          "platform": {"architecture": arch, "os": "linux"}})
    members["oci-layout"] = b'{"imageLayoutVersion":"1.0.0"}'
    members["index.json"] = json.dumps({"schemaVersion": 2, "manifests": manifests}, sort_keys=True).encode()
    write_tar(path, members)
