# SPDX-License-Identifier: Apache-2.0
"""An application that shows what it was sent, byte for byte: `raw_app.py PORT`. HTTP/1: answers with JSON of the start line, the
fields as they came, the body and its trailers; what else it does, the path says:
  /hints     103 Early Hints before the answer         /trailers  an answer in chunks with trailers
  /upgrade   101, then echoes                          /continue  100 only once it is asked to, before it reads the body
  /answer    the answer is the request's own body, as it stands
A first line `echo`: no HTTP; what follows comes back as it is.
HTTP/2 (prior knowledge): an echo of each message as gRPC servers answer, with trailers. A client that waits for the server sees
nothing: it does not speak first."""
import http.server
import json
import socket
import socketserver
import sys


class Connection(socketserver.StreamRequestHandler):
    def handle(self):
        self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        line = self.rfile.readline()
        if line == b"PRI * HTTP/2.0\r\n":
            return self.http2(line)
        if line == b"echo\n":
            while data := self.rfile.read1(65536):
                self.wfile.write(data)
            return None
        while line:
            fields = []
            while (field := self.rfile.readline()) not in (b"\r\n", b""):
                name, _, value = field.decode("latin-1").rstrip("\r\n").partition(": ")
                fields.append([name, value])
            if field == b"" or not self.answer(line.decode("latin-1").rstrip("\r\n"), fields):
                return None
            line = self.rfile.readline()
        return None

    def body(self, low):
        if "chunked" in low.get("transfer-encoding", ""):
            text, trailers = b"", []
            while size := int(self.rfile.readline().split(b";")[0], 16):
                text += self.rfile.read(size)
                self.rfile.readline()
            while (field := self.rfile.readline()) not in (b"\r\n", b""):
                trailers.append(field.decode("latin-1").rstrip("\r\n").split(": ", 1))
            return text, trailers
        return self.rfile.read(int(low.get("content-length", 0))), []

    def answer(self, line, fields):
        low = {name.lower(): value for name, value in fields}
        path = line.split(" ")[1]
        path = path[path.index("/", 8):] if path.startswith("http://") else path
        if path == "/continue" and low.get("expect") == "100-continue":
            self.wfile.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        body, trailers = self.body(low)
        version = line.rsplit(" ", 1)[1]
        if path == "/upgrade":
            self.wfile.write(b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n")
            while data := self.rfile.read1(65536):
                self.wfile.write(data)
            return False
        if path == "/answer":
            self.wfile.write(body)
            return False
        told = json.dumps({"line": line, "fields": fields, "body": body.decode("latin-1"), "trailers": trailers}).encode()
        if path == "/hints":
            self.wfile.write(b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n")
        head = f"{version} 200 OK\r\nContent-Type: application/json\r\nX-MiXed: 1\r\n"
        if path == "/trailers":
            self.wfile.write(head.encode() + b"Transfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n" +
                             b"%x\r\n%s\r\n0\r\nX-Sum: 42\r\n\r\n" % (len(told), told))
            return True
        self.wfile.write(head.encode() + b"Content-Length: %d\r\n\r\n" % len(told) + (b"" if line.startswith("HEAD") else told))
        return version == "HTTP/1.1"

    def http2(self, first):
        import h2.config
        import h2.connection
        import h2.events
        conn = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False, header_encoding="utf-8", validate_inbound_headers=False))
        conn.decoder.max_header_list_size = 1 << 22
        conn.initiate_connection()
        self.wfile.write(conn.data_to_send())
        data, messages = first, {}
        while data:
            for event in conn.receive_data(data):
                number = getattr(event, "stream_id", 0)
                if isinstance(event, h2.events.RequestReceived):
                    messages[number] = [dict(event.headers), b""]
                elif isinstance(event, h2.events.DataReceived):
                    messages[number][1] += event.data
                    conn.acknowledge_received_data(event.flow_controlled_length, number)
                elif isinstance(event, h2.events.StreamEnded):
                    headers, body = messages.pop(number)
                    conn.send_headers(number, [(":status", "200"), ("content-type", "application/grpc"), ("x-authority", headers[":authority"]),
                                               ("x-client", headers.get("l5d-client-id", "")),
                                               ("x-big", str(sum(len(v) for k, v in headers.items() if k.startswith("x-big"))))])
                    for at in range(0, len(body), 16384):
                        conn.send_data(number, body[at:at + 16384])
                    conn.send_headers(number, [("grpc-status", "0")], end_stream=True)
            self.wfile.write(conn.data_to_send())
            data = self.rfile.read1(65536)


class Server(http.server.ThreadingHTTPServer):
    address_family = socket.AF_INET6
    request_queue_size = 512
    daemon_threads = True


Server(("::", int(sys.argv[1])), Connection).serve_forever()
