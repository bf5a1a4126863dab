# SPDX-License-Identifier: Apache-2.0
"""Programs on loopback that the HTTP interop tests put beside ours, and plain sockets for exact bytes."""
import os
import re
import shutil
import socket
import subprocess
import threading
import time

PERIOD = 251  # of the bodies that http_peer makes


def pattern(size):
    return (bytes(range(PERIOD)) * (size // PERIOD + 1))[:size]


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def need(*programs):
    """The paths of programs; sbin is not on every user's PATH."""
    found = [shutil.which(one) or shutil.which(one, path="/usr/sbin:/sbin:/usr/bin") for one in programs]
    for name, path in zip(programs, found):
        if path is None:
            raise RuntimeError(f"{name} is not installed")
    return found[0] if len(found) == 1 else found


class Program:
    """A server on a port of its own, ended with the test that started it."""

    def __init__(self, argv, port=None, log=None, **options):
        self.log = open(log, "w") if log else subprocess.DEVNULL
        ours = port is None
        self.process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stderr=self.log, text=True,
                                        stdout=subprocess.PIPE if ours else self.log, **options)
        if ours:
            self.port = int(self.process.stdout.readline())
            return
        self.port = port
        for _ in range(200):
            if self.process.poll() is not None:
                break
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    return
            time.sleep(0.05)
        self.stop()
        raise RuntimeError(f"{argv[0]} does not listen" + (": " + open(log).read()[-2000:] if log else ""))

    def alive(self):
        return self.process.poll() is None

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        if self.process.stdout:
            self.process.stdout.close()
        if self.log is not subprocess.DEVNULL:
            self.log.close()


class Raw:
    """A connection that sends and expects exact bytes."""

    def __init__(self, port, timeout=10):
        self.tcp = socket.create_connection(("127.0.0.1", port), timeout)
        self.held = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.tcp.close()

    def send(self, *pieces):
        for piece in pieces:
            self.tcp.sendall(piece if isinstance(piece, bytes) else piece.encode())
        return self

    def take(self, size):
        """The next `size` bytes; fewer if the peer ended before."""
        while len(self.held) < size:
            try:
                more = self.tcp.recv(1 << 16)
            except ConnectionResetError:
                more = b""
            if not more:
                break
            self.held += more
        got, self.held = self.held[:size], self.held[size:]
        return got

    def expect(self, *pieces):
        """These bytes and no others come next."""
        wanted = b"".join(piece if isinstance(piece, bytes) else piece.encode() for piece in pieces)
        got = self.take(len(wanted))
        assert got == wanted, f"{got[:500]!r} instead of {wanted[:500]!r}"
        return self

    def until(self, mark):
        mark = mark if isinstance(mark, bytes) else mark.encode()
        while mark not in self.held:
            more = self.tcp.recv(1 << 16)
            if not more:
                raise AssertionError(f"ended before {mark!r}: {self.held[-300:]!r}")
            self.held += more
        end = self.held.index(mark) + len(mark)
        got, self.held = self.held[:end], self.held[end:]
        return got

    def rest(self):
        """Everything until the peer ends."""
        return self.take(1 << 40)

    def response(self, head_request=False):
        """(status line, {lower name: value}, body) of one response with a length, chunks or no body."""
        head = self.until("\r\n\r\n").decode("latin-1")
        lines = head.split("\r\n")
        fields = {line.split(":")[0].lower(): line.split(":", 1)[1].strip() for line in lines[1:-2]}
        status = int(lines[0].split(" ")[1])
        body = b""
        if not head_request and status >= 200 and status not in (204, 304):
            if fields.get("transfer-encoding") == "chunked":
                while True:
                    size = int(self.until("\r\n").split(b";")[0], 16)
                    if size == 0:
                        break
                    body += self.take(size)
                    assert self.take(2) == b"\r\n"
                trailers = b""
                while not trailers.endswith(b"\r\n\r\n") and trailers != b"\r\n":
                    trailers += self.until("\r\n")
                for line in trailers.decode().split("\r\n"):
                    if ":" in line:
                        fields["trailer:" + line.split(":")[0].lower()] = line.split(":", 1)[1].strip()
            elif "content-length" in fields:
                body = self.take(int(fields["content-length"]))
            else:
                body = self.rest()
        return lines[0], fields, body


class RawServer:
    """Accepts connections one after another and runs `script(Raw-like)` on each; remembers what went wrong."""

    def __init__(self, script):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.connections = 0
        self.errors = []
        self.script = script
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        while True:
            try:
                tcp, _ = self.listener.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self.one, args=(tcp,), daemon=True).start()

    def one(self, tcp):
        tcp.settimeout(10)
        raw = Raw.__new__(Raw)
        raw.tcp, raw.held = tcp, b""
        try:
            with tcp:
                self.script(raw)
        except Exception as error:  # the test's thread reads it
            self.errors.append(repr(error))

    def stop(self):
        self.listener.close()


def run(*argv, timeout=60, **options):
    return subprocess.run([str(one) for one in argv], capture_output=True, timeout=timeout, **options)


NGINX = """
daemon off; worker_processes 1; error_log stderr warn; pid %(dir)s/nginx.pid;
events { worker_connections 1024; }
http {
  access_log off; client_body_temp_path %(dir)s/body; proxy_temp_path %(dir)s/proxy; fastcgi_temp_path %(dir)s/f;
  uwsgi_temp_path %(dir)s/u; scgi_temp_path %(dir)s/s; default_type text/plain; client_max_body_size 64m;
  ssl_certificate %(work)s/server.ns.crt; ssl_certificate_key %(work)s/server.ns.key; ssl_protocols TLSv1.3;
  ssl_client_certificate %(work)s/anchors.pem; ssl_verify_depth 3;
  server {
    listen 127.0.0.1:%(plain)d;
    listen 127.0.0.1:%(h2c)d http2;
    listen 127.0.0.1:%(tls)d ssl http2;
    ssl_verify_client on;
    root %(dir)s/www;
    location = /who { return 200 "$request_method $server_protocol $ssl_client_s_dn $http_x_test\\n"; }
    location = /none { return 204; }
    location = /body { client_body_buffer_size 64k; proxy_http_version 1.1; proxy_pass http://127.0.0.1:%(echo)d/echo; }
    location = /small { client_max_body_size 1k; proxy_pass http://127.0.0.1:%(echo)d/echo; }
    location / { }
  }
}
"""


class Nginx(Program):
    """HTTP/1 and HTTP/2 in plain text on two ports, both over TLS on a third; /body goes on to `echo`."""

    def __init__(self, work, echo):
        directory = os.path.join(work, "nginx")
        shutil.rmtree(directory, ignore_errors=True)
        os.makedirs(os.path.join(directory, "www"))
        os.chmod(directory, 0o755)
        with open(os.path.join(directory, "www", "large"), "wb") as out:
            out.write(pattern(5_000_000))
        with open(os.path.join(directory, "www", "hello"), "w") as out:
            out.write("hello from nginx\n")
        self.plain, self.h2c, self.tls = free_port(), free_port(), free_port()
        config = os.path.join(directory, "nginx.conf")
        with open(config, "w") as out:
            user = "user root;\n" if os.geteuid() == 0 else ""
            out.write(user + NGINX % {"dir": directory, "work": work, "plain": self.plain, "h2c": self.h2c, "tls": self.tls,
                                      "echo": echo})
        super().__init__([need("nginx"), "-p", directory, "-c", config], port=self.plain,
                         log=os.path.join(directory, "log"))


def frames(text):
    """What `nghttp -v` says of the frames it received, without colours and times."""
    clean = re.sub(r"\x1b\[[0-9;]*m", "", text)
    return re.sub(r"\[ *[0-9.]+\] ", "", clean)
