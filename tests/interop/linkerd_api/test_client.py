#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""tulle-control as Linkerd's own crate sees it: starts it over a copy of manifests/, lets the peer ask everything, and looks at
the certificate that the peer was given with OpenSSL.

usage: test_client.py PEER TULLE_CONTROL"""
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request

HERE = os.path.dirname(os.path.realpath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "..", "netns"))
from mesh import b64url, sign_es256  # noqa: E402

WEB = "web.shop.serviceaccount.identity.linkerd.cluster.local"


def openssl(*argv):
    return subprocess.run(["openssl", *argv], check=True, text=True, capture_output=True, timeout=30).stdout


class Setting:
    """A folder with manifests, keys and signing requests, and a control plane over it."""

    def __init__(self, control):
        self.dir = tempfile.mkdtemp(prefix="tulle-linkerd-api-")
        self.control = control
        self.process = None
        shutil.copytree(os.path.join(HERE, "manifests"), self.path("manifests"))
        os.mkdir(self.path("issuer"))
        os.mkdir(self.path("certificates"))
        openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", self.path("token.key"))
        openssl("ec", "-in", self.path("token.key"), "-pubout", "-out", self.path("token.pub"))
        openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", self.path("leaf.key"))

    def path(self, *parts):
        return os.path.join(self.dir, *parts)

    def csr(self, name, *sans, subject="/"):
        path = self.path(name + ".csr")
        extra = ["-addext", "subjectAltName=" + ",".join(sans)] if sans else []
        openssl("req", "-new", "-key", self.path("leaf.key"), "-subj", subject, "-outform", "DER", "-out", path, *extra)
        return path

    def token(self, ns="shop", account="web", **changes):
        now = int(time.time())
        claims = {"sub": f"system:serviceaccount:{ns}:{account}", "aud": ["identity.l5d.io"], "nbf": now - 5, "exp": now + 600}
        text = b64url(b'{"alg":"ES256","typ":"JWT"}') + "." + b64url(json.dumps({**claims, **changes}).encode())
        return text + "." + b64url(sign_es256(self.path("token.key"), text.encode()))

    def start(self):
        log = open(self.path("control.log"), "wb")
        self.process = subprocess.Popen(
            [self.control, f"--manifests={self.path('manifests')}", f"--issuer={self.path('issuer')}", "--identity-generate",
             f"--token-key={self.path('token.pub')}", "--cluster-networks=10.0.0.0/8,192.168.0.0/16,fd00::/8",
             "--probe-networks=192.168.0.0/16", "--listen=127.0.0.1", "--identity-port=0", "--destination-port=0", "--policy-port=0",
             "--admin-port=0", "--dest-admin-port=0"], stdout=log, stderr=log)
        end = time.monotonic() + 15
        while time.monotonic() < end:
            ports = dict(re.findall(r'listening.*port="?([a-z-]+)"? addr="?([0-9.:]+)', self.log()))
            if len(ports) == 5:
                return ports
            if self.process.poll() is not None:
                break
            time.sleep(0.05)
        raise RuntimeError("the control plane does not start\n" + self.log())

    def log(self):
        with open(self.path("control.log"), errors="replace") as f:
            return f.read()

    def close(self):
        if self.process is not None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(timeout=15)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        shutil.rmtree(self.dir, ignore_errors=True)


def certify_cases(s):
    good = s.csr("good", f"DNS:{WEB}")
    with open(s.path("garbage.csr"), "wb") as f:
        f.write(b"\x30\x03garbage")
    now = int(time.time())
    case = lambda name, want, csr=good, token=None, identity=WEB: {  # noqa: E731
        "name": name, "want": want, "csr": csr, "token": s.token() if token is None else token, "identity": identity}
    return [
        case("no identity", "InvalidArgument", identity=""),
        case("no token", "InvalidArgument", token=""),
        case("no signing request", "InvalidArgument", csr=""),
        case("garbage for a signing request", "InvalidArgument", csr=s.path("garbage.csr")),
        case("no name in it", "FailedPrecondition", csr=s.csr("none", subject="/CN=" + WEB)),
        case("another name in it", "FailedPrecondition", csr=s.csr("other", "DNS:db.shop.serviceaccount.identity.linkerd.cluster.local")),
        case("two names in it", "FailedPrecondition", csr=s.csr("two", f"DNS:{WEB}", "DNS:example.com")),
        case("an address in it", "FailedPrecondition", csr=s.csr("ip", f"DNS:{WEB}", "IP:10.0.0.1")),
        case("a URI in it", "FailedPrecondition", csr=s.csr("uri", f"DNS:{WEB}", "URI:spiffe://cluster.local/web")),
        case("another common name", "FailedPrecondition", csr=s.csr("cn", f"DNS:{WEB}", subject="/CN=example.com")),
        case("no token at all", "InvalidArgument", token="garbage"),
        case("a token of another account", "FailedPrecondition", token=s.token(account="db")),
        case("a token that has ended", "FailedPrecondition", token=s.token(exp=now - 60)),
        case("a token for others", "FailedPrecondition", token=s.token(aud=["kubernetes"])),
        case("a token of no account", "InvalidArgument", token=s.token(sub="system:node:one")),
        case("the real thing", "Ok"),
        case("with a common name", "Ok", csr=s.csr("titled", f"DNS:{WEB}", subject="/CN=" + WEB)),
    ]


def check_certificate(s):
    folder = s.path("certificates")
    for name in ("leaf", "intermediate.0"):
        openssl("x509", "-inform", "DER", "-in", f"{folder}/{name}.der", "-out", f"{folder}/{name}.pem")
    assert not os.path.exists(f"{folder}/intermediate.1.der"), "the anchor is not to be sent"
    ok = openssl("verify", "-x509_strict", "-purpose", "sslserver", "-CAfile", s.path("issuer", "ca.crt"), "-untrusted",
                 f"{folder}/intermediate.0.pem", "-verify_hostname", WEB, f"{folder}/leaf.pem")
    assert ok.strip().endswith("OK"), ok
    text = openssl("x509", "-in", f"{folder}/leaf.pem", "-noout", "-ext", "keyUsage,extendedKeyUsage,subjectAltName,basicConstraints")
    for wanted in ("Digital Signature", "Key Encipherment", "TLS Web Server Authentication", "TLS Web Client Authentication", f"DNS:{WEB}"):
        assert wanted in text, f"{wanted} is missing in {text}"
    assert "CA:TRUE" not in text, text
    assert openssl("pkey", "-in", s.path("leaf.key"), "-pubout") == openssl("x509", "-in", f"{folder}/leaf.pem", "-noout", "-pubkey")
    dates = dict(line.split("=", 1) for line in openssl("x509", "-in", f"{folder}/leaf.pem", "-noout", "-dates").splitlines())
    stamp = lambda text: int(subprocess.run(["date", "-d", text, "+%s"], check=True, text=True, capture_output=True).stdout)  # noqa: E731
    begin, end, now = stamp(dates["notBefore"]), stamp(dates["notAfter"]), time.time()
    with open(f"{folder}/valid_until") as f:
        assert int(f.read()) == end, "valid_until is the end of the leaf"
    assert now - 90 < begin < now - 10, "it begins earlier by the skew that is allowed"
    assert 86_400 - 60 < end - now < 86_400 + 60, "24 hours and the skew"


def main():
    peer, control = (os.path.realpath(path) for path in sys.argv[1:3])
    s = Setting(control)
    try:
        ports = s.start()
        with open(s.path("client.json"), "w") as f:
            json.dump({"identity": ports["identity"], "destination": ports["destination"], "policy": ports["policy"],
                       "manifests": s.path("manifests"), "certificates": s.path("certificates"), "certify": certify_cases(s)}, f)
        done = subprocess.run([peer, "client", s.path("client.json")], text=True, capture_output=True, timeout=120, check=False)
        print(done.stdout, done.stderr)
        assert done.returncode == 0, "the peer has complaints"
        check_certificate(s)
        with urllib.request.urlopen(f"http://{ports['admin']}/metrics", timeout=5) as f:
            metrics = f.read().decode()
        certified = ('grpc_server_handled_total{grpc_type="unary",grpc_service="io.linkerd.proxy.identity.Identity",'
                     'grpc_method="Certify",grpc_code="OK"} 2')
        assert certified in metrics, metrics
        broken = [line for line in s.log().splitlines() if "a manifest is broken" in line and "web.yaml" in line]
        assert broken and re.search(r"line=\"?[1-9]", broken[0]) and "reason=" in broken[0], s.log()
        assert s.process.poll() is None, "the control plane has ended"
        print("certificates and logs are as they must be")
    except BaseException:
        print(s.log()[-6000:])
        raise
    finally:
        s.close()


if __name__ == "__main__":
    main()
