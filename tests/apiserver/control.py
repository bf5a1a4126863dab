# SPDX-License-Identifier: Apache-2.0
"""tulle-control as a process, and what its clients see: destination streams, certificates, metrics."""
import os
import re
import socket
import subprocess
import sys
import threading
import urllib.error
import urllib.request

from apiserver import free_port

HERE = os.path.dirname(os.path.abspath(__file__))
PROTO = os.path.join(HERE, "..", "..", "proto")


def load_protos(folder):
    """The messages of destination and identity, by Google's library."""
    subprocess.run(("protoc", f"-I{PROTO}", f"--python_out={folder}", "destination.proto", "identity.proto", "net.proto", "meta.proto",
                    "http_types.proto"), check=True)
    sys.path.insert(0, folder)
    import destination_pb2
    import identity_pb2
    return destination_pb2, identity_pb2


class Call:
    """A gRPC call by curl; messages come as bytes to on_message."""

    def __init__(self, port, method, request, folder, on_message):
        self.body = os.path.join(folder, f"request.{id(self)}")
        with open(self.body, "wb") as f:
            f.write(b"\0" + len(request).to_bytes(4, "big") + request)
        self.process = subprocess.Popen(
            ("curl", "-sN", "--http2-prior-knowledge", "--max-time", "600", "-H", "content-type: application/grpc", "-H", "te: trailers", "-D",
             self.body + ".head", "--data-binary", "@" + self.body, f"http://127.0.0.1:{port}/{method}"), stdout=subprocess.PIPE)
        self.on_message = on_message
        self.thread = threading.Thread(target=self.read, daemon=True)
        self.thread.start()

    def read(self):
        stream = self.process.stdout
        while True:
            head = stream.read(5)
            if len(head) < 5:
                return
            self.on_message(stream.read(int.from_bytes(head[1:], "big")))

    def status(self):
        """grpc-status and grpc-message, once the call has ended."""
        self.process.wait(20)
        self.thread.join(5)
        with open(self.body + ".head", encoding="utf-8") as f:
            found = dict(line.strip().split(": ", 1) for line in f if ": " in line)
        return int(found.get("grpc-status", -1)), found.get("grpc-message", "")

    def close(self):
        self.process.kill()
        self.process.wait()


class Endpoints:
    """The endpoints of an authority as a Destination.Get stream tells them."""

    def __init__(self, control, authority):
        self.control, self.addresses, self.weighted, self.empty, self.updates = control, set(), {}, False, 0
        request = control.destination_pb2.GetDestination(path=authority, scheme="k8s")
        self.call = Call(control.destination_port, "io.linkerd.proxy.destination.Destination/Get", request.SerializeToString(), control.folder, self.take)

    def take(self, data):
        update = self.control.destination_pb2.Update.FromString(data)
        self.updates += 1

        def text(address):
            return f"{socket.inet_ntoa(address.ip.ipv4.to_bytes(4, 'big'))}:{address.port}"

        for weighted in update.add.addrs:
            self.addresses.add(text(weighted.addr))
            self.weighted[text(weighted.addr)] = weighted
        for address in update.remove.addrs:
            self.addresses.discard(text(address))
        if update.HasField("no_endpoints"):
            self.addresses.clear()
            self.empty = True
        elif self.addresses:
            self.empty = False

    def close(self):
        self.call.close()


class Control:
    def __init__(self, program, folder, kubeconfig, protos, *flags):
        self.folder = folder
        os.makedirs(folder, exist_ok=True)
        self.destination_pb2, self.identity_pb2 = protos
        self.identity_port, self.destination_port, self.policy_port, self.admin_port, other = (free_port() for _ in range(5))
        self.log = os.path.join(folder, "control.log")
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                (program, "--listen=127.0.0.1", f"--kubeconfig={kubeconfig}", f"--identity-port={self.identity_port}",
                 f"--destination-port={self.destination_port}", f"--policy-port={self.policy_port}", f"--admin-port={self.admin_port}",
                 f"--dest-admin-port={other}", "--shutdown-grace-period=1s", *flags), stdout=log, stderr=log, stdin=subprocess.DEVNULL)

    def get(self, path):
        assert self.process.poll() is None, f"tulle-control has ended: {self.tail()}"
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.admin_port}{path}", timeout=5) as answer:
                return answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.read().decode()
        except OSError as error:
            return f"no answer: {error}"

    def ready(self):
        return self.get("/ready") == "ok\n"

    def metric(self, name, **labels):
        """The sum over all series that have these labels."""
        total = 0.0
        for line in self.get("/metrics").splitlines():
            found = re.match(rf"{name}(?:\{{(.*)\}})? (\S+)$", line)
            if found and all(f'{k}="{v}"' in (found[1] or "") for k, v in labels.items()):
                total += float(found[2])
        return total

    def objects(self, kind):
        return int(self.metric("tulle_control_index_objects", kind=kind))

    def lists(self, resource):
        return int(self.metric("tulle_control_kubernetes_lists_total", resource=resource))

    def memory_kib(self):
        """Anonymous and all resident memory."""
        with open(f"/proc/{self.process.pid}/status", encoding="utf-8") as f:
            found = dict(line.split(":", 1) for line in f)
        return int(found["RssAnon"].split()[0]), int(found["VmRSS"].split()[0])

    def tail(self, lines=20):
        with open(self.log, encoding="utf-8", errors="replace") as f:
            return "".join(f.readlines()[-lines:])

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise
