// SPDX-License-Identifier: Apache-2.0
// What clients of other protocols really send first, whole and cut at each byte with pauses: what
// detection makes of it, and what waiting that costs. The bytes are those of each protocol's
// specification.
#include <gtest/gtest.h>

#include "lib/testing/sim.h"
#include "proxy/protocol/detect.h"

namespace tulle::proxy {
namespace {

using testing::PipeEnd;
using testing::SimLoop;

struct Protocol {
  const char* name;
  std::string first;           // the client's first bytes, as one write has them
  std::size_t decided_at = 0;  // after so many bytes; 0: never, 20 ms after the last
  Spoken spoken = Spoken::NotHttp;
};

template <std::size_t N>
std::string raw(const char (&text)[N]) {
  return {text, N - 1};
}
std::string hex(std::string_view digits) {
  std::string out;
  const auto value = [](char c) { return c <= '9' ? c - '0' : c - 'a' + 10; };
  for (std::size_t i = 0; i + 1 < digits.size(); i += 2)
    out += static_cast<char>(value(digits[i]) * 16 + value(digits[i + 1]));
  return out;
}

const std::vector<Protocol>& protocols() {
  static const std::vector<Protocol> all = {
      // HTTP itself, in its forms.
      {"HTTP/1.1", "GET / HTTP/1.1\r\nHost: a\r\n\r\n", 13, Spoken::Http1},
      {"HTTP/1.0", "POST /a HTTP/1.0\r\n\r\n", 15, Spoken::Http1},
      {"HTTP/0.9", "GET /\r\n", 7, Spoken::Http1},
      {"WebSocket", "GET /chat HTTP/1.1\r\nUpgrade: websocket\r\n\r\n", 17, Spoken::Http1},
      {"WebDAV", "PROPFIND /dav HTTP/1.1\r\n\r\n", 21, Spoken::Http1},
      {"HTTP proxy", "CONNECT a.example:443 HTTP/1.1\r\n\r\n", 29, Spoken::Http1},
      {"h2c, gRPC", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 14, Spoken::Http2},
      // Text, a line at a time. Often after the server's greeting; some clients do not wait.
      {"SMTP", "EHLO client.example\r\n", 21},
      {"LMTP", "LHLO client.example\r\n", 21},
      {"FTP", "USER anonymous\r\n", 16},
      {"FTP upload", "STOR /pub/a\r\n", 13},
      {"IMAP", "a001 LOGIN user pass\r\n", 12},
      {"POP3", "CAPA\r\n", 6},
      {"NNTP", "MODE READER\r\n", 13},
      {"IRC", "NICK tulle\r\nUSER t 0 * :t\r\n", 12},
      {"SSH", "SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n", 32},
      {"XMPP", "<?xml version='1.0'?><stream:stream to='a'>", 1},
      {"SIP", "OPTIONS sip:a@b.example SIP/2.0\r\n", 25},
      {"RTSP", "OPTIONS rtsp://a.example/m RTSP/1.0\r\n", 37},
      {"ICAP", "OPTIONS icap://a.example/s ICAP/1.0\r\n", 37},
      {"Redis, inline", "SET key value\r\n", 9},
      {"Redis, inline, one word", "PING\r\n", 6},
      {"Redis, inline, two words", "GET key\r\n", 9},
      {"Redis, RESP", "*1\r\n$4\r\nPING\r\n", 4},
      {"memcached", "get key\r\n", 9},
      {"memcached, storing", "set key 0 0 5\r\nvalue\r\n", 9},
      {"beanstalkd", "put 0 0 60 5\r\nhello\r\n", 7},
      {"STOMP", raw("CONNECT\naccept-version:1.2\n\n\0"), 8},
      {"NATS", "CONNECT {\"verbose\":false}\r\n", 27},
      {"ZooKeeper, four letters", "ruok", 0},
      {"ZooKeeper, four letters, older", "stat", 0},
      {"finger", "\r\n", 0},
      {"whois", "example.com\r\n", 13},
      {"gopher", "/\r\n", 1},
      {"ident", "6193, 23\r\n", 5},
      {"syslog", "<34>1 2026-01-01T00:00:00Z h a - - - m\n", 1},
      {"Graphite", "servers.a.load 1.5 1700000000\n", 20},
      {"git", raw("0032git-upload-pack /project.git\0host=a.example\0"), 33},
      {"rsync", "@RSYNCD: 31.0\n", 1},
      {"PROXY protocol 1", "PROXY TCP4 10.0.0.1 10.0.0.2 4000 80\r\n", 12},
      {"FIX", raw("8=FIX.4.4\0019=65\00135=A\001"), 2},
      {"HL7 over MLLP", raw("\x0bMSH|^~\\&|A|B|C|D|20260101||ADT^A01|1|P|2.5\r\x1c\r"), 1},
      {"VNC", "RFB 003.008\n", 12},
      {"JSON lines", "{\"jsonrpc\":\"2.0\"}\n", 1},
      {"an echo, no end", "hello", 0},
      // Binary.
      {"TLS", hex("160301020001"), 1},
      {"TLS for a name of the mesh", hex("1603010200010001fc0303"), 1},
      {"PROXY protocol 2", hex("0d0a0d0a000d0a515549540a"), 5},
      {"MySQL, answering the greeting", hex("200000018da60f00"), 1},
      {"PostgreSQL", hex("0000000804d2162f"), 1},
      {"MongoDB", hex("3f0000000100000000000000d4070000"), 1},
      {"Cassandra", hex("0400000005000000"), 1},
      {"Kafka", hex("0000002300120003000000010009"), 1},
      {"ZooKeeper", hex("0000002d00000000"), 1},
      {"AMQP 0-9-1", hex("414d515000000901"), 5},
      {"AMQP 1.0", hex("414d515000010000"), 5},
      {"MQTT", hex("101000044d5154540402003c"), 1},
      {"LDAP", hex("300c020101600702010304008000"), 3},
      {"RDP", hex("030000130ee000000000000100080003000000"), 1},
      {"DNS over TCP", hex("001dabcd0100000100000000"), 1},
      {"SOCKS4", hex("040100500a00000100"), 1},
      {"SOCKS5", hex("050100"), 1},
      {"Thrift, framed", hex("0000001c80010001"), 1},
      {"Thrift, compact", hex("8221010470696e67"), 1},
      {"BGP", hex("ffffffffffffffffffffffffffffffff001d01"), 1},
      {"X11, little-endian", hex("6c000b00000000000000"), 2},
      {"X11, big-endian", hex("4200000b000000000000"), 2},
      {"SMB", hex("00000054ff534d4272"), 1},
      {"SMB 2", hex("000000f4fe534d4240"), 1},
      {"iSCSI", hex("43870000000000b0"), 2},
      {"NFS, ONC RPC", hex("800000281a2b3c4d0000000000000002"), 1},
      {"NetBIOS session", hex("81000044"), 1},
      {"memcached, binary", hex("800000000000000000"), 1},
      {"Aerospike", hex("0201000000000000"), 1},
      {"SQL Server", hex("1201002f00000100"), 1},
      {"Oracle", hex("003a00000100000001"), 1},
      {"RTMP", hex("0300000000000000"), 1},
      {"Erlang distribution", hex("00156e0007499c"), 1},
      {"Modbus", hex("000100000006010300000001"), 1},
      {"telnet", hex("fffd03fffb18"), 1},
  };
  return all;
}

net::Task<void> run(net::StreamPtr stream, Deadline by, std::optional<Result<DetectedHttp>>* out) {
  out->emplace(co_await detect_http(std::move(stream), by));
}

// Detection of what comes in two pieces (or single bytes), with a pause between.
struct Trial {
  Trial(const std::vector<std::string>& pieces, Duration pause) {
    auto [client, ours] = loop.pipe();
    scope.spawn(run(std::move(ours), loop.get().after(10s), &detected));
    loop.advance(1ms);
    for (const std::string& piece : pieces) {
      EXPECT_TRUE(client->try_write(as_bytes(piece)));
      sent += piece.size();
      loop.drain();
      if (!detected) loop.advance(pause);
      if (detected) break;
    }
    if (!detected) {
      const TimePoint last = loop.get().now();
      while (!detected && loop.get().now() - last < 11s) loop.advance(1ms);
      waited = pause + (loop.get().now() - last);
    }
    end = std::move(client);
  }
  Spoken spoken() const { return detected && *detected ? (*detected)->spoken : Spoken::Ended; }
  SimLoop loop;
  std::unique_ptr<PipeEnd> end;
  std::optional<Result<DetectedHttp>> detected;
  net::TaskScope scope;
  std::size_t sent = 0;
  Duration waited{};  // after the last byte
};

TEST(Protocols, AreToldApartByTheirFirstBytes) {
  EXPECT_GE(protocols().size(), 40U);
  for (const Protocol& p : protocols()) {
    const Trial whole({p.first}, 0ms);
    EXPECT_EQ(whole.spoken(), p.spoken) << p.name;
    // What it costs: nothing, or the hold of a line without an end.
    EXPECT_LE(whole.waited, p.decided_at != 0 ? 0ms : 21ms) << p.name;
    // Decided no later than can be, and not earlier.
    if (p.decided_at == 0) {
      EXPECT_EQ(http1::detect(as_bytes(p.first)), http1::Detected::NeedMore) << p.name;
      continue;
    }
    EXPECT_EQ(http1::detect(as_bytes(p.first).first(p.decided_at - 1)), http1::Detected::NeedMore)
        << p.name;
    EXPECT_NE(http1::detect(as_bytes(p.first).first(p.decided_at)), http1::Detected::NeedMore)
        << p.name;
  }
}

TEST(Protocols, AreTheSameCutAtEachByteWithPauses) {
  for (const Protocol& p : protocols()) {
    for (const Duration pause : {0ms, 1ms, 15ms, 30ms, 200ms}) {
      for (std::size_t cut = 1; cut < p.first.size(); ++cut) {
        const Trial two({p.first.substr(0, cut), p.first.substr(cut)}, pause);
        EXPECT_EQ(two.spoken(), p.spoken) << p.name << " cut at " << cut << ", " << pause / 1ms;
        EXPECT_LE(two.waited, 21ms) << p.name << " cut at " << cut;
      }
      std::vector<std::string> bytes;
      for (const char& c : p.first) bytes.emplace_back(1, c);
      EXPECT_EQ(Trial(bytes, pause).spoken(), p.spoken) << p.name << ", " << pause / 1ms;
    }
  }
}

}  // namespace
}  // namespace tulle::proxy
