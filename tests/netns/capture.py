# SPDX-License-Identifier: Apache-2.0
"""Reads a pcap file (Ethernet or "any" device) and puts TCP streams together: enough to say whether every byte of a flow is TLS."""
import struct
import socket


class Flow:
    def __init__(self, client, server):
        self.client, self.server = client, server
        self.sides = {client: {}, server: {}}
        self.first = {client: None, server: None}

    def add(self, source, sequence, data, syn):
        if syn:
            self.first[source] = (sequence + 1) & 0xFFFFFFFF
        elif self.first[source] is None:
            self.first[source] = sequence
        if data:
            offset = (sequence + (1 if syn else 0) - self.first[source]) & 0xFFFFFFFF
            if offset < 1 << 31:
                known = self.sides[source].get(offset, b"")
                if len(data) > len(known):
                    self.sides[source][offset] = data

    def stream(self, source):
        out = b""
        for offset in sorted(self.sides[source]):
            data = self.sides[source][offset]
            if offset > len(out):
                break  # a gap: what comes after cannot be placed
            out += data[len(out) - offset:] if offset + len(data) > len(out) else b""
        return out

    def payload(self):
        return self.stream(self.client) + self.stream(self.server)

    def is_tls(self):
        """Both directions are TLS records from the first to the last byte (the last one may be cut by the end of the capture)."""
        for side in (self.client, self.server):
            data, at = self.stream(side), 0
            while at < len(data):
                if data[at] not in (20, 21, 22, 23) or (at + 1 < len(data) and data[at + 1] != 3):
                    return False
                if at + 5 > len(data):
                    break
                size = struct.unpack(">H", data[at + 3:at + 5])[0]
                if size > 16384 + 256:
                    return False
                at += 5 + size
        return True


# Where the protocol's number stands in a packet and where the packet of that protocol begins, by link type.
LINKS = {1: (12, 14), 113: (14, 16), 276: (0, 20)}  # Ethernet, Linux "cooked" versions 1 and 2


def read_flows(path):
    flows, order = {}, []
    with open(path, "rb") as f:
        data = f.read()
    endian = "<" if data[:4] in (b"\xd4\xc3\xb2\xa1", b"\x4d\x3c\xb2\xa1") else ">"
    link = struct.unpack(endian + "I", data[20:24])[0]
    if link not in LINKS:
        raise ValueError(f"{path}: link type {link} is not known here")
    protocol, begin = LINKS[link]
    at = 24
    while at + 16 <= len(data):
        size = struct.unpack(endian + "I", data[at + 8:at + 12])[0]
        packet = data[at + 16:at + 16 + size]
        at += 16 + size
        kind = struct.unpack(">H", packet[protocol:protocol + 2])[0]
        packet = packet[begin:]
        if kind == 0x0800:
            header = (packet[0] & 15) * 4
            if packet[9] != 6:
                continue
            total = struct.unpack(">H", packet[2:4])[0]
            source, target = socket.inet_ntoa(packet[12:16]), socket.inet_ntoa(packet[16:20])
            segment = packet[header:total]
        elif kind == 0x86DD:
            if packet[6] != 6:
                continue
            total = struct.unpack(">H", packet[4:6])[0]
            source, target = socket.inet_ntop(socket.AF_INET6, packet[8:24]), socket.inet_ntop(socket.AF_INET6, packet[24:40])
            segment = packet[40:40 + total]
        else:
            continue
        sport, dport, sequence = struct.unpack(">HHI", segment[:8])
        offset, flags = (segment[12] >> 4) * 4, segment[13]
        a, b = (source, sport), (target, dport)
        key = frozenset((a, b))
        syn = bool(flags & 2)
        if syn and not flags & 16 and key in flows and any(flows[key].sides.values()):
            del flows[key]  # the ports are used again
        if key not in flows:
            client, server = (b, a) if syn and flags & 16 else (a, b)
            flows[key] = Flow(client, server)
            order.append(flows[key])
        flows[key].add(a, sequence, segment[offset:], syn)
    return order
