# SPDX-License-Identifier: Apache-2.0
"""Applications for the tests: `app.py http PORT` answers with what it was sent, as JSON; `app.py banner PORT` speaks
first, then echoes; `app.py echo PORT` echoes. Both address families; `http4` and `http6` listen on one only."""
import http.server
import json
import socket
import socketserver
import sys


class Http(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self):
        length = int(self.headers.get("content-length", 0))
        body = self.rfile.read(length).decode("latin-1")
        text = json.dumps({"method": self.command, "path": self.path, "version": self.request_version, "body": body,
                           "headers": [[k, v] for k, v in self.headers.items()], "client": self.client_address[0]}).encode()
        status = int(self.path.split("status=")[1]) if "status=" in self.path else 200
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("X-Canary", "canary-of-the-response")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(text)

    do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = answer

    def log_message(self, *args):
        pass


class HttpServer(http.server.ThreadingHTTPServer):
    address_family = socket.AF_INET6
    request_queue_size = 512
    daemon_threads = True


class Http4Server(HttpServer):
    address_family = socket.AF_INET


class Http6Server(HttpServer):
    def server_bind(self):
        self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        super().server_bind()


class Bytes(socketserver.BaseRequestHandler):
    banner = b""

    def handle(self):
        self.request.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.request.sendall(self.banner)
        while data := self.request.recv(65536):
            self.request.sendall(data)
        self.request.shutdown(socket.SHUT_WR)


class Banner(Bytes):
    banner = b"5.5.5-banner of a server that speaks first\r\n"


class TcpServer(socketserver.ThreadingTCPServer):
    address_family = socket.AF_INET6
    allow_reuse_address = True
    request_queue_size = 512
    daemon_threads = True


def main():
    kind, port = sys.argv[1], int(sys.argv[2])
    server = {"http": lambda: HttpServer(("::", port), Http), "banner": lambda: TcpServer(("::", port), Banner),
              "echo": lambda: TcpServer(("::", port), Bytes), "http4": lambda: Http4Server(("0.0.0.0", port), Http),
              "http6": lambda: Http6Server(("::", port), Http)}[kind]()
    server.serve_forever()


main()
