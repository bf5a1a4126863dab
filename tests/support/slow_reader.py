# SPDX-License-Identifier: Apache-2.0
"""Clients that read as slowly as they are told: programs for a pod.

    slow_reader.py h2 HOST PORT PATH RATE SECONDS     HTTP/2: windows are given back as fast as RATE allows
    slow_reader.py h1 HOST PORT PATH RATE SECONDS     HTTP/1
    slow_reader.py bytes HOST PORT LINE RATE SECONDS  bytes, after sending the line

Prints the bytes that were read."""
import socket
import sys
import time

KIND, HOST, PORT, WHAT, RATE, SECONDS = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4], float(sys.argv[5]), float(sys.argv[6])


def paced(sock, take):
    began, total = time.monotonic(), 0
    while (now := time.monotonic()) - began < SECONDS:
        allowed = int((now - began) * RATE) - total
        if allowed < 512:
            time.sleep(0.02)
            continue
        data = sock.recv(min(allowed, 16384))
        if not data:
            break
        total += take(data)
    return total


sock = socket.create_connection((HOST, PORT), 10)
sock.settimeout(SECONDS + 10)
if KIND == "h1":
    sock.sendall(f"GET {WHAT} HTTP/1.1\r\nHost: slow\r\n\r\n".encode())
    print(paced(sock, len))
elif KIND == "bytes":
    sock.sendall(WHAT.encode() + b"\n")
    print(paced(sock, len))
else:
    import h2.config
    import h2.connection
    import h2.events
    h2c = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True, header_encoding="utf-8"))
    h2c.initiate_connection()
    h2c.send_headers(1, [(":method", "GET"), (":scheme", "http"), (":path", WHAT), (":authority", "slow")], end_stream=True)
    sock.sendall(h2c.data_to_send())

    def take(data):
        total = 0
        for event in h2c.receive_data(data):
            if isinstance(event, h2.events.DataReceived):
                total += len(event.data)
                h2c.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        out = h2c.data_to_send()
        if out:
            sock.sendall(out)
        return len(data)

    print(paced(sock, take))
