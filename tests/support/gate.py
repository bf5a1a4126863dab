# SPDX-License-Identifier: Apache-2.0
"""A fault gate between two parts: `gate.py LISTEN-PORT TARGET-HOST TARGET-PORT`, then orders on standard input, one a line:

    go             pass bytes on (the start)
    delay SECONDS  each piece waits that long
    slice N        pieces of N bytes, each a segment of its own
    stop           read nothing in either direction
    cut            reset every connection, now
    refuse on|off  close the listener, open it again

Each order is answered with one line, `ok` and the number of open connections. One gate stands before one address."""
import asyncio
import socket
import struct
import sys


class Gate:
    def __init__(self, port, host, target):
        self.port, self.host, self.target = port, host, target
        self.delay, self.size = 0.0, 65536
        self.open = asyncio.Event()
        self.open.set()
        self.writers = set()

    async def one_way(self, reader, writer):
        try:
            while True:
                await self.open.wait()
                data = await reader.read(self.size)
                await self.open.wait()
                if self.delay:
                    await asyncio.sleep(self.delay)
                if not data:
                    writer.write_eof()
                    return
                writer.write(data)
                await writer.drain()
                if self.size < 65536:
                    await asyncio.sleep(0)
        except (OSError, RuntimeError):
            self.reset(writer)

    def reset(self, writer):
        sock = writer.get_extra_info("socket")
        if sock and sock.fileno() >= 0:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()

    async def serve(self, reader, writer):
        try:
            to_reader, to_writer = await asyncio.open_connection(self.host, self.target, limit=65536)
        except OSError:
            self.reset(writer)
            return
        pair = {writer, to_writer}
        for each in pair:
            each.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.writers |= pair
        try:
            await asyncio.gather(self.one_way(reader, to_writer), self.one_way(to_reader, writer))
        finally:
            self.writers -= pair
            for each in pair:
                each.close()

    async def listen(self):
        self.server = await asyncio.start_server(self.serve, None, self.port, limit=65536)

    async def order(self, words):
        if words[0] == "go":
            self.delay, self.size = 0.0, 65536
            self.open.set()
        elif words[0] == "delay":
            self.delay = float(words[1])
        elif words[0] == "slice":
            self.size = int(words[1])
        elif words[0] == "stop":
            self.open.clear()
        elif words[0] == "cut":
            for writer in list(self.writers):
                self.reset(writer)
        elif words[0] == "refuse" and words[1] == "on":
            self.server.close()
        elif words[0] == "refuse":
            await self.listen()
        else:
            raise ValueError(words)


async def main():
    gate = Gate(int(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
    await gate.listen()
    print("ok 0", flush=True)
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        await gate.order(line.split())
        print("ok", len(gate.writers) // 2, flush=True)


asyncio.run(main())
