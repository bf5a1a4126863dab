# SPDX-License-Identifier: Apache-2.0
"""A pair of proxies that share no line with ours and know no word of ours: what only works between two tulle proxies shows
beside them. They speak the plain form of the wire (mesh TLS 1.3 with session tickets, HTTP/1 in HTTP/2 with `host` beside
`:authority` and a bare l5d-orig-proto, the transport header), and pass no interim answers on.

usage: foreign.py inbound  --port P --app PORT [--direct P] TLS   the server's proxy; --direct: where transport headers arrive
       foreign.py outbound --port P --to HOST:PORT --name SNI --default AUTHORITY [--direct PORT] TLS   the client's, to one place
TLS:   --cert FILE --key FILE --ca FILE

Towards its application the inbound proxy adds `x-foreign-carried: h2` to what came as HTTP/2. One connection to the application for
each request: this is about what is said, not about speed."""
import argparse
import asyncio
import ssl
import sys

import h2.config
import h2.connection
import h2.events
import h2.exceptions

ALPN = "transport.l5d.io/v1"
PREFACE = b"transport.l5d.io/v1\r\n\r\n"
HOP = {"connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade"}


class Stream:
    """One request and its answer on an HTTP/2 connection."""

    def __init__(self, session, number):
        self.session, self.number, self.events = session, number, asyncio.Queue()

    async def data(self, data):
        conn = self.session.h2
        while data:
            room = min(conn.local_flow_control_window(self.number), conn.max_outbound_frame_size)
            if room == 0:
                self.session.window.clear()
                await self.session.window.wait()
                continue
            conn.send_data(self.number, data[:room])
            data = data[room:]
            await self.session.flush()

    async def headers(self, fields, end=False):
        self.session.h2.send_headers(self.number, fields, end_stream=end)
        await self.session.flush()

    async def end(self, trailers=None):
        if trailers:
            self.session.h2.send_headers(self.number, trailers, end_stream=True)
        else:
            self.session.h2.end_stream(self.number)
        await self.session.flush()

    async def reset(self):
        try:
            self.session.h2.reset_stream(self.number, 2)
            await self.session.flush()
        except h2.exceptions.ProtocolError:
            pass


class Session:
    """An HTTP/2 connection of either side. `serve`: a coroutine function for each request that comes."""

    def __init__(self, reader, writer, serve=None):
        self.reader, self.writer, self.serve = reader, writer, serve
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(
            client_side=serve is None, header_encoding="utf-8", validate_inbound_headers=False, validate_outbound_headers=False,
            normalize_outbound_headers=False, normalize_inbound_headers=False))
        self.streams, self.window, self.tasks, self.over = {}, asyncio.Event(), set(), False

    async def flush(self):
        out = self.h2.data_to_send()
        if out:
            self.writer.write(out)
            await self.writer.drain()

    async def request(self, fields, end):
        stream = Stream(self, self.h2.get_next_available_stream_id())
        self.streams[stream.number] = stream
        await stream.headers(fields, end)
        return stream

    async def run(self, first=b""):
        self.h2.initiate_connection()
        await self.flush()
        data = first
        try:
            while True:
                for event in self.h2.receive_data(data) if data else []:
                    self.take(event)
                await self.flush()
                data = await self.reader.read(65536)
                if not data:
                    break
        except (ConnectionError, ssl.SSLError, h2.exceptions.ProtocolError):
            pass
        self.over = True
        self.window.set()
        for stream in self.streams.values():
            stream.events.put_nowait(("reset", None))
        self.writer.close()

    def take(self, event):
        kind = type(event)
        if kind is h2.events.RequestReceived:
            stream = self.streams[event.stream_id] = Stream(self, event.stream_id)
            task = asyncio.ensure_future(self.serve(stream, event.headers, event.stream_ended is not None))
            self.tasks.add(task)
            task.add_done_callback(self.tasks.discard)
        elif kind is h2.events.WindowUpdated or kind is h2.events.RemoteSettingsChanged:
            self.window.set()
        stream = self.streams.get(getattr(event, "stream_id", None))
        if stream is None:
            return
        if kind is h2.events.ResponseReceived:
            stream.events.put_nowait(("head", event.headers))
        elif kind is h2.events.DataReceived:
            self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            stream.events.put_nowait(("data", event.data))
        elif kind is h2.events.TrailersReceived:
            stream.events.put_nowait(("trailers", event.headers))
        elif kind is h2.events.StreamEnded:
            stream.events.put_nowait(("end", None))
        elif kind is h2.events.StreamReset:
            stream.events.put_nowait(("reset", None))


# --- HTTP/1 -----------------------------------------------------------------------------------------------------

async def read_head(reader, first=b""):
    """Start line and fields as (name, value), and whether there was any."""
    text = first + await reader.readuntil(b"\r\n\r\n")
    lines = text[:-4].decode("latin-1").split("\r\n")
    return lines[0], [(name, value.strip()) for name, _, value in (line.partition(":") for line in lines[1:])]


def value_of(fields, name):
    return next((value for key, value in fields if key.lower() == name), None)


async def read_body(reader, fields, until_close, none=False):
    """Pieces of a body, then its trailers as a list."""
    length = value_of(fields, "content-length")
    if none:
        yield []
    elif "chunked" in (value_of(fields, "transfer-encoding") or "").lower():
        while size := int((await reader.readline()).split(b";")[0], 16):
            yield await reader.readexactly(size)
            await reader.readexactly(2)
        trailers = []
        while (line := (await reader.readline()).decode("latin-1").strip()):
            name, _, value = line.partition(":")
            trailers.append((name.lower(), value.strip()))
        yield trailers
    elif length is not None:
        left = int(length)
        while left:
            data = await reader.read(min(left, 65536))
            if not data:
                raise ConnectionError("cut short")
            left -= len(data)
            yield data
        yield []
    elif until_close:
        while data := await reader.read(65536):
            yield data
        yield []
    else:
        yield []


def head_text(line, fields):
    return "\r\n".join([line] + [f"{name}: {value}" for name, value in fields] + ["", ""]).encode("latin-1")


async def pump(reader, writer):
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()
        else:
            writer.close()  # TLS here has no half-close
    except (ConnectionError, ssl.SSLError):
        writer.close()


async def relay(a, b, first=b""):
    b[1].write(first)
    await asyncio.gather(pump(a[0], b[1]), pump(b[0], a[1]))
    a[1].close()
    b[1].close()


async def copy_body(stream, writer, chunked):
    """What comes on the stream, to an HTTP/1 connection."""
    while True:
        kind, value = await stream.events.get()
        if kind == "data" and value:
            writer.write(b"%x\r\n%s\r\n" % (len(value), value) if chunked else value)
            await writer.drain()
        elif kind == "trailers" and chunked:
            writer.write(b"0\r\n" + head_text("", value)[2:])
            chunked = False
        elif kind == "end":
            if chunked:
                writer.write(b"0\r\n\r\n")
            await writer.drain()
            return
        elif kind == "reset":
            raise ConnectionError("reset")


# --- the server's proxy -----------------------------------------------------------------------------------------

class Inbound:
    def __init__(self, args):
        self.args = args

    async def app(self):
        return await asyncio.open_connection("127.0.0.1", self.args.app)

    @staticmethod
    def identity_of(writer):
        return next((value for kind, value in writer.get_extra_info("peercert").get("subjectAltName", ()) if kind == "DNS"), "")

    async def accept(self, reader, writer):
        identity = self.identity_of(writer)
        try:
            first = await reader.read(65536)
            await self.speak(reader, writer, first, identity)
        except (ConnectionError, ssl.SSLError, asyncio.IncompleteReadError):
            writer.close()

    async def speak(self, reader, writer, first, identity):
        if first.startswith(b"PRI * HTTP/2.0"):
            await Session(reader, writer, lambda stream, fields, end: self.serve(stream, fields, end, identity)).run(first)
        elif first:
            await relay((reader, writer), await self.app(), first)
        else:
            writer.close()

    async def accept_direct(self, reader, writer):
        if writer.get_extra_info("ssl_object").selected_alpn_protocol() != ALPN:
            writer.close()
            return
        if await reader.readexactly(len(PREFACE)) != PREFACE:
            writer.close()
            return
        header = await reader.readexactly(int.from_bytes(await reader.readexactly(4), "big"))
        if b"\x1a\x02" in header:  # a session protocol
            await self.speak(reader, writer, await reader.read(65536), self.identity_of(writer))
        else:
            await relay((reader, writer), await self.app())

    async def serve(self, stream, fields, end, identity):
        try:
            version = value_of(fields, "l5d-orig-proto")
            if version is None:
                await self.serve_http2(stream, fields, end)
            else:
                await self.serve_http1(stream, fields, end, identity, version)
        except (ConnectionError, asyncio.IncompleteReadError, h2.exceptions.ProtocolError) as error:
            print("request failed:", repr(error), flush=True)
            await stream.reset()

    async def serve_http1(self, stream, fields, end, identity, version):
        pseudo = {name: value for name, value in fields if name.startswith(":")}
        target = pseudo[":path"]
        if version[10:] == "absolute-form":
            target = f"{pseudo[':scheme']}://{pseudo[':authority']}{target}"
        sent = [(n, v) for n, v in fields if not n.startswith(":") and n not in ("l5d-orig-proto", "l5d-client-id")]
        sent += [("l5d-client-id", identity), ("x-foreign-carried", "h2")]
        chunked = not end and value_of(fields, "content-length") is None
        if chunked:
            sent.append(("transfer-encoding", "chunked"))
        reader, writer = await self.app()
        writer.write(head_text(f"{pseudo[':method']} {target} {version[:8]}", sent))
        upload = asyncio.ensure_future(copy_body(stream, writer, chunked)) if not end else None
        line, answer = await read_head(reader)
        while line.split(" ")[1].startswith("1"):
            line, answer = await read_head(reader)  # an interim answer stays here
        status = line.split(" ")[1]
        back = [(":status", status)] + [(n.lower(), v) for n, v in answer if n.lower() not in HOP]
        await stream.headers(back + [("l5d-orig-proto", line[:8])])
        async for piece in read_body(reader, answer, True, pseudo[":method"] == "HEAD" or status in ("204", "304")):
            if isinstance(piece, bytes):
                await stream.data(piece)
            else:
                await stream.end(piece)
        if upload:
            upload.cancel()
        writer.close()

    async def serve_http2(self, stream, fields, end):
        reader, writer = await self.app()
        session = Session(reader, writer)
        running = asyncio.ensure_future(session.run())
        await asyncio.sleep(0)
        await cross(stream, session, [f for f in fields if f[0] != "l5d-client-id"] + [("x-foreign-carried", "h2")], end)
        writer.close()
        running.cancel()


async def cross(stream, session, fields, end):
    """One HTTP/2 request from a stream to a session, and its answer back."""
    there = await session.request(fields, end)
    up = None if end else asyncio.ensure_future(forward(stream, there))
    await forward(there, stream)
    if up:
        up.cancel()


async def forward(source, sink):
    while True:
        kind, value = await source.events.get()
        if kind in ("head", "trailers"):
            await (sink.headers(value) if kind == "head" else sink.end(value))
            if kind == "trailers":
                return
        elif kind == "data":
            await sink.data(value)
        elif kind == "end":
            await sink.end()
            return
        else:
            raise ConnectionError("reset")


# --- the client's proxy -----------------------------------------------------------------------------------------

class Outbound:
    def __init__(self, args, context):
        self.args, self.context, self.session, self.running = args, context, None, None

    async def dial(self, protocol):
        host, port = self.args.to.rsplit(":", 1)
        reader, writer = await asyncio.open_connection(host, self.args.direct or int(port), ssl=self.context, server_hostname=self.args.name)
        if self.args.direct:
            if writer.get_extra_info("ssl_object").selected_alpn_protocol() != ALPN:
                raise ConnectionError("no transport header")
            number, varint = int(port), b""
            while number > 127:
                varint += bytes([number & 127 | 128])
                number >>= 7
            header = b"\x08" + varint + bytes([number]) + {"h1": b"\x1a\x02\x0a\x00", "h2": b"\x1a\x02\x12\x00", "": b""}[protocol]
            writer.write(PREFACE + len(header).to_bytes(4, "big") + header)
        return reader, writer

    async def peer(self):
        if self.session is None or self.session.over:
            reader, writer = await self.dial("h2")
            self.session = Session(reader, writer)
            self.running = asyncio.ensure_future(self.session.run())
            await asyncio.sleep(0)
        return self.session

    async def accept(self, reader, writer):
        try:
            first = await reader.read(65536)
            if first.startswith(b"PRI * HTTP/2.0"):
                await Session(reader, writer, self.serve_http2).run(first)
            elif first.split(b" ")[0].isalpha() and b"HTTP/1" in first:
                again = asyncio.StreamReader()
                again.feed_data(first)
                asyncio.ensure_future(self.fill(reader, again))
                await self.serve_http1(again, writer)
            elif first:
                await relay((reader, writer), await self.dial(""), first)
        except (ConnectionError, ssl.SSLError, asyncio.IncompleteReadError):
            pass
        writer.close()

    @staticmethod
    async def fill(source, sink):
        while data := await source.read(65536):
            sink.feed_data(data)
        sink.feed_eof()

    async def serve_http2(self, stream, fields, end):
        try:
            await cross(stream, await self.peer(), fields, end)
        except (ConnectionError, h2.exceptions.ProtocolError) as error:
            print("request failed:", repr(error), flush=True)
            await stream.reset()

    async def serve_http1(self, reader, writer):
        while True:
            line, fields = await read_head(reader)
            method, target, version = line.split(" ")
            if value_of(fields, "upgrade"):
                await relay((reader, writer), await self.dial("h1"), head_text(line, fields))
                return
            authority, suffix = value_of(fields, "host") or self.args.default, ""
            if not target.startswith("/"):
                suffix = "; absolute-form"
                authority, _, target = target.split("://", 1)[1].partition("/")
                target = "/" + target
            sent = [(":method", method), (":scheme", "http"), (":authority", authority), (":path", target)]
            sent += [(n.lower(), v) for n, v in fields if n.lower() not in HOP] + [("l5d-orig-proto", version + suffix)]
            has_body = "chunked" in (value_of(fields, "transfer-encoding") or "") or int(value_of(fields, "content-length") or 0) > 0
            stream = await (await self.peer()).request(sent, not has_body)
            if has_body:
                if value_of(fields, "expect"):
                    writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
                async for piece in read_body(reader, fields, False):
                    await (stream.data(piece) if isinstance(piece, bytes) else stream.end(piece))
            kind, answer = await stream.events.get()
            if kind != "head":
                raise ConnectionError("no answer")
            status, was = value_of(answer, ":status"), value_of(answer, "l5d-orig-proto") or version
            back = [(n, v) for n, v in answer if n != ":status" and n != "l5d-orig-proto"]
            bodyless = method == "HEAD" or status in ("204", "304")
            chunked = not bodyless and value_of(answer, "content-length") is None and version == "HTTP/1.1"
            if chunked:
                back.append(("transfer-encoding", "chunked"))
            back.append(("x-foreign-answer", was))  # what the peer said of the application's version
            writer.write(head_text(f"{version} {status} -", back))
            await copy_body(stream, writer, chunked)
            if version == "HTTP/1.0" or (value_of(fields, "connection") or "").lower() == "close":
                return


async def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("side", choices=("inbound", "outbound"))
    for name, kind in (("port", int), ("app", int), ("direct", int), ("to", str), ("name", str), ("default", str), ("cert", str),
                       ("key", str), ("ca", str)):
        parser.add_argument(f"--{name}", type=kind)
    args = parser.parse_args()

    def context(server, alpn):
        made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER if server else ssl.PROTOCOL_TLS_CLIENT)
        made.minimum_version = ssl.TLSVersion.TLSv1_3
        made.load_cert_chain(args.cert, args.key)
        made.load_verify_locations(args.ca)
        made.verify_mode = ssl.CERT_REQUIRED
        if server:
            made.num_tickets = 2
        if alpn:
            made.set_alpn_protocols([ALPN])
        return made

    if args.side == "inbound":
        inbound = Inbound(args)
        servers = [await asyncio.start_server(inbound.accept, None, args.port, ssl=context(True, False))]
        if args.direct:
            servers.append(await asyncio.start_server(inbound.accept_direct, None, args.direct, ssl=context(True, True)))
    else:
        outbound = Outbound(args, context(False, bool(args.direct)))
        servers = [await asyncio.start_server(outbound.accept, "127.0.0.1", args.port)]
    await asyncio.gather(*(server.serve_forever() for server in servers))


sys.exit(asyncio.run(main()))
