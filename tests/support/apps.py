# SPDX-License-Identifier: Apache-2.0
"""Applications that do what tests ask of them: `apps.py KIND PORT`, KIND one of

    http   HTTP/1.1: /  /flood?bytes=N  /slow?seconds=S  /reset (in the body)  /early (an answer before the body is read)
           /read?rate=R (reads the request's body that slowly)  /counts (how often each X-Number came, as JSON)  /tunnel (101, then echoes)
           /broken[?end=reset] (a head and 1,000 of 100,000 bytes, then the end at once)
    h2     HTTP/2 with prior knowledge: the same / /flood /slow /counts, and /refuse (REFUSED_STREAM the first time a number comes),
           /goaway (GOAWAY below the stream, then the end), /cancel (RST_STREAM CANCEL after the head), /broken
    bytes  the first line says what: `flood N`, `sink`, `echo`, `reply` (reads to the end, then answers with the count), `last`
           (answers and ends its side at once, then counts what still comes; asked for with `counted`), `reset`
    banner speaks first, then echoes

Both address families."""
import json
import socket
import socketserver
import struct
import sys
import threading
import time
import urllib.parse

PIECE = b"x" * 65536
COUNTS = {}
LOCK = threading.Lock()


def count(number):
    with LOCK:
        COUNTS[number] = COUNTS.get(number, 0) + 1
        return COUNTS[number]


def reset(sock):
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


class Http(socketserver.StreamRequestHandler):
    """By hand, so that framing can be broken on purpose."""

    def handle(self):
        self.request.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            while self.exchange():
                pass
        except OSError:
            pass

    def exchange(self):
        line = self.rfile.readline()
        if not line:
            return False
        method, target, _ = line.split(b" ")
        headers = {}
        while (h := self.rfile.readline()) not in (b"\r\n", b""):
            name, _, value = h.partition(b":")
            headers[name.lower().decode()] = value.strip().decode()
        url = urllib.parse.urlparse(target.decode())
        query = dict(urllib.parse.parse_qsl(url.query))
        if "x-number" in headers:
            count(headers["x-number"])
        if url.path == "/broken":
            self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n" + b"x" * 1000)
            if query.get("end") == "reset":
                reset(self.request)
            return False
        if url.path == "/tunnel":
            self.wfile.write(b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n")
            while data := self.request.recv(65536):
                self.wfile.write(data)
            return False
        if url.path == "/early":
            self.answer(b"early")
            return False
        if url.path == "/read":
            length, rate, got = int(headers["content-length"]), float(query["rate"]), 0
            while got < length:
                data = self.request.recv(int(min(rate / 10, length - got)))
                if not data:
                    return False
                got += len(data)
                time.sleep(0.1)
        else:
            self.skip_body(headers)
        if url.path == "/flood":
            left = int(query["bytes"])
            self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % left)
            while left:
                n = self.request.send(PIECE[:min(left, len(PIECE))])
                left -= n
            return True
        if url.path == "/slow":
            time.sleep(float(query["seconds"]))
        if url.path == "/reset":
            self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\npartly")
            time.sleep(0.05)
            reset(self.request)
            return False
        if url.path == "/trickle":
            n = int(query["bytes"])
            self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % n)
            for _ in range(n):
                self.wfile.write(b".")
                time.sleep(float(query["pause"]))
            return True
        self.answer(json.dumps(COUNTS).encode() if url.path == "/counts" else b"ok", method == b"HEAD")
        return True

    def skip_body(self, headers):
        left = int(headers.get("content-length", 0))
        while left:
            left -= len(self.rfile.read(min(left, 65536)))
        if "chunked" in headers.get("transfer-encoding", ""):
            while (size := int(self.rfile.readline(), 16)):
                self.rfile.read(size + 2)
            while self.rfile.readline() not in (b"\r\n", b""):
                pass

    def answer(self, text, head=False):
        self.wfile.write(b"HTTP/1.1 200 OK\r\nServed-By: %s\r\nContent-Length: %d\r\n\r\n%s" % (NAME, len(text), b"" if head else text))


class Http2(socketserver.BaseRequestHandler):
    def handle(self):
        import h2.config
        import h2.connection
        import h2.events
        self.request.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False, header_encoding="utf-8"))
        self.h2.initiate_connection()
        self.request.sendall(self.h2.data_to_send())
        self.floods, self.paths, self.lock = {}, {}, threading.RLock()
        try:
            while data := self.request.recv(65536):
                with self.lock:
                    for event in self.h2.receive_data(data):
                        if isinstance(event, h2.events.RequestReceived):
                            headers = dict(event.headers)
                            self.paths[event.stream_id] = headers[":path"], headers.get("x-number", "0")
                            if self.begin(event.stream_id):
                                return
                        elif isinstance(event, h2.events.DataReceived):
                            self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                        elif isinstance(event, h2.events.StreamReset):
                            self.paths.pop(event.stream_id, None)
                            self.floods.pop(event.stream_id, None)
                        elif isinstance(event, h2.events.ConnectionTerminated):
                            self.floods.clear()
                        elif isinstance(event, h2.events.StreamEnded) and event.stream_id in self.paths:
                            self.finish(event.stream_id)
                    for stream in list(self.floods):
                        self.flood(stream)
                    self.flush()
        except OSError:
            pass

    def flush(self):
        out = self.h2.data_to_send()
        if out:
            self.request.sendall(out)

    def begin(self, stream):
        path, number = self.paths[stream]
        if path == "/refuse" and count("tried " + number) == 1:
            self.h2.reset_stream(stream, 7)
            del self.paths[stream]
        elif path == "/goaway" and count("tried " + number) == 1:
            self.h2.close_connection(last_stream_id=stream - 2 if stream > 1 else 0)
            self.flush()
            return True
        elif path == "/cancel":
            self.h2.send_headers(stream, [(":status", "200")])
            self.h2.reset_stream(stream, 8)
            del self.paths[stream]
        return False

    def finish(self, stream):
        path, number = self.paths.pop(stream)
        count(number)
        url = urllib.parse.urlparse(path)
        query = dict(urllib.parse.parse_qsl(url.query))
        if url.path == "/broken":
            self.h2.send_headers(stream, [(":status", "200"), ("content-length", "100000")])
            self.h2.send_data(stream, b"x" * 1000)
            self.h2.reset_stream(stream, 2)  # in one piece
        elif url.path == "/flood":
            self.h2.send_headers(stream, [(":status", "200")])
            self.floods[stream] = int(query["bytes"])
        elif url.path == "/slow":
            threading.Thread(target=self.later, args=(stream, float(query["seconds"])), daemon=True).start()
        else:
            self.answer(stream, json.dumps(COUNTS).encode() if url.path == "/counts" else b"ok")

    def later(self, stream, seconds):
        time.sleep(seconds)
        with self.lock:
            self.answer(stream, b"ok")
            self.flush()

    def answer(self, stream, text):
        self.h2.send_headers(stream, [(":status", "200"), ("served-by", NAME.decode()), ("content-length", str(len(text)))])
        self.h2.send_data(stream, text, end_stream=True)

    def flood(self, stream):
        while self.floods[stream]:
            n = min(self.floods[stream], self.h2.local_flow_control_window(stream), self.h2.max_outbound_frame_size)
            if n <= 0:
                return
            self.floods[stream] -= n
            self.h2.send_data(stream, PIECE[:n], end_stream=not self.floods[stream])
            self.flush()
        del self.floods[stream]


class Bytes(socketserver.StreamRequestHandler):
    def handle(self):
        sock = self.request
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            words = self.rfile.readline().split()
            if not words:
                return
            getattr(self, "do_" + words[0].decode())(sock, *words[1:])
        except OSError as error:
            count(f"{words and words[0].decode()} {type(error).__name__}")

    def read_all(self):
        total = 0
        while data := self.rfile.read1(65536):
            total += len(data)
        return total

    def do_flood(self, sock, n):
        left = int(n)
        while left:
            left -= sock.send(PIECE[:min(left, len(PIECE))])

    def do_sink(self, sock):
        self.read_all()

    def do_echo(self, sock):
        while data := self.rfile.read1(65536):
            sock.sendall(data)
        sock.shutdown(socket.SHUT_WR)

    def do_reply(self, sock):
        sock.sendall(b"%d" % self.read_all())

    def do_last(self, sock):
        sock.sendall(b"my last word")
        sock.shutdown(socket.SHUT_WR)
        with LOCK:
            COUNTS["last"] = self.read_all()

    def do_counted(self, sock):
        sock.sendall(json.dumps(COUNTS).encode())

    def do_reset(self, sock):
        sock.sendall(b"partly")
        time.sleep(0.05)
        reset(sock)

    def do_read(self, sock, rate):
        rate = float(rate)
        while data := sock.recv(int(rate / 10)):
            time.sleep(0.1)


class Echo(socketserver.BaseRequestHandler):
    banner = b""

    def handle(self):
        self.request.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            self.request.sendall(self.banner)
            while data := self.request.recv(65536):
                self.request.sendall(data)
            self.request.shutdown(socket.SHUT_WR)
        except OSError:
            pass


class Banner(Echo):
    banner = b"5.5.5-banner of a server that speaks first\r\n"

    def handle(self):
        count("banners")
        super().handle()


class Server(socketserver.ThreadingTCPServer):
    address_family = socket.AF_INET6
    allow_reuse_address = True
    request_queue_size = 4096
    daemon_threads = True

    def server_bind(self):
        self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        super().server_bind()

    def handle_error(self, request, client_address):
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)


NAME = (sys.argv[3] if len(sys.argv) > 3 else "app").encode()
Server(("::", int(sys.argv[2])), {"http": Http, "h2": Http2, "bytes": Bytes, "banner": Banner, "echo": Echo}[sys.argv[1]]).serve_forever()
