// SPDX-License-Identifier: Apache-2.0
// HTTP/2 frames from a peer. The first byte says: which side we are, how eagerly bodies are read,
// and the size of pieces; the rest are frames (a client's preface and first SETTINGS are put in
// front). Checked: nothing crashes; every split gives the same events; what we keep and what we
// answer stays in proportion; a failed session says GOAWAY last. As server, nghttp2 reads the same
// bytes: each request that we take, it takes with the same fields and body, and what it ends the
// connection for, we do not let pass.
#include <nghttp2/nghttp2.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <string>
#include <vector>

#include "lib/base/check.h"
#include "lib/h2/session.h"
#include "lib/h2/wire.h"

namespace {

using namespace tulle;  // NOLINT: a fuzz target

struct Seen {
  std::vector<std::string> fields;  // "name: value", in order; pseudo fields first
  std::string body;
  std::vector<std::string> trailers;
  bool ended = false;
  bool reset = false;
  bool operator==(const Seen&) const = default;
};
using Streams = std::map<std::uint32_t, Seen>;

class Events final : public h2::SessionEvents {
 public:
  explicit Events(bool eager) : eager_(eager) {}
  void on_request(h2::StreamState& stream, http::Request request, bool ended) override {
    Seen& seen = streams[stream.id];
    TULLE_CHECK(seen.fields.empty());
    seen.fields.push_back(":method: " + std::string(request.method.view()));
    if (request.form != http::TargetForm::Authority) {
      seen.fields.push_back(":scheme: " + std::string(request.scheme.view()));
      seen.fields.push_back(":path: " + std::string(request.path.view()));
      for (const char c : request.path.view())
        TULLE_CHECK(static_cast<unsigned char>(c) > ' ' && c != 0x7F);
    }
    seen.fields.push_back(":authority: " + std::string(request.authority.view()));
    check(request.headers);
    add(request.headers, seen.fields);
    seen.ended = ended;
    log += "request ";
    ++heads;
  }
  void on_response(h2::StreamState& stream, http::Response response, bool ended) override {
    TULLE_CHECK(response.status >= 100 && response.status <= 999 && response.status != 101);
    check(response.headers);
    if (response.status >= 200) streams[stream.id].ended = ended;
    log += "response ";
    ++heads;
  }
  void on_data(h2::StreamState& stream, Bytes data, bool ended) override {
    Seen& seen = streams[stream.id];
    TULLE_CHECK(!seen.ended && !seen.reset);
    seen.body += as_text(data);
    seen.ended = ended;
    if (eager_ && session != nullptr) session->consumed(stream, data.size());
  }
  void on_trailers(h2::StreamState& stream, http::HeaderMap trailers) override {
    Seen& seen = streams[stream.id];
    TULLE_CHECK(!seen.ended);
    check(trailers);
    add(trailers, seen.trailers);
    seen.ended = true;
    log += "trailers ";
  }
  void on_reset(h2::StreamState& stream, h2::Code code, bool by_peer) override {
    streams[stream.id].reset = true;
    log += concat_code(by_peer ? "reset " : "broken ", code);
  }
  void on_window(h2::StreamState& /*stream*/) override {}
  void on_connection_window() override {}
  void on_initial_window() override {}
  void on_goaway(std::uint32_t /*last*/, h2::Code code) override {
    log += concat_code("goaway ", code);
  }
  void on_ping_ack() override { log += "pong "; }
  void on_closed(h2::StreamState& stream) override {
    Seen& seen = streams[stream.id];
    if (!seen.ended) seen.reset = true;
  }

  Streams streams;
  std::string log;
  std::size_t heads = 0;
  h2::Session* session = nullptr;

 private:
  static std::string concat_code(const char* what, h2::Code code) {
    return what + std::to_string(static_cast<std::uint32_t>(code)) + " ";
  }
  static void check(const http::HeaderMap& headers) {
    for (const auto field : headers) {
      TULLE_CHECK(http::is_token(field.name) && http::is_field_value(field.value));
      for (const char c : field.name) TULLE_CHECK(c < 'A' || c > 'Z');
      for (const char* name :
           {"connection", "transfer-encoding", "keep-alive", "upgrade", "proxy-connection"}) {
        TULLE_CHECK(field.name != name);
      }
    }
    TULLE_CHECK(headers.list_size() <= 16'384);
  }
  static void add(const http::HeaderMap& headers, std::vector<std::string>& out) {
    for (const auto field : headers)
      out.push_back(std::string(field.name) + ": " + std::string(field.value));
  }
  bool eager_;
};

struct Outcome {
  bool failed = false;
  Streams streams;
  std::string log;
  std::string output;
};

h2::SessionOptions options_for() {
  h2::SessionOptions options;
  options.connection_window = 65'535;
  return options;
}

Outcome run_ours(Bytes input, bool server, bool eager, std::size_t piece) {
  Events events(eager);
  h2::Session session(server, options_for(), events);
  events.session = &session;
  if (!server) {
    for (const char* method : {"GET", "HEAD", "POST"}) {
      http::Request request;
      request.method = method;
      request.path = "/";
      request.authority = "a";
      TULLE_CHECK(session.send_request(request, true) != nullptr);
    }
  }
  Outcome outcome;
  TimePoint now{};
  now += std::chrono::seconds(1);
  while (!input.empty()) {
    const Bytes part = input.first(std::min(piece, input.size()));
    input = input.subspan(part.size());
    if (!session.receive(part, now)) {
      outcome.failed = true;
      break;
    }
  }
  outcome.streams = std::move(events.streams);
  outcome.log = std::move(events.log);
  outcome.output = std::string(as_text(session.output().data()));
  return outcome;
}

// The type of the last frame in our output, and its error code if it is GOAWAY.
void check_goaway(std::string_view output, bool server) {
  if (!server) output.remove_prefix(24);
  std::uint8_t type = 0xFF;
  while (output.size() >= 9) {
    const auto* at = reinterpret_cast<const std::uint8_t*>(output.data());
    const std::size_t length =
        static_cast<std::size_t>(at[0]) << 16 | static_cast<std::size_t>(at[1]) << 8 | at[2];
    type = at[3];
    TULLE_CHECK(output.size() >= 9 + length);
    output.remove_prefix(9 + length);
  }
  TULLE_CHECK(output.empty());
  TULLE_CHECK(type == h2::frame::kGoaway);
}

// --- nghttp2 -------------------------------------------------------------------------------------

struct Theirs {
  Streams streams;
  std::map<std::uint32_t, bool> head_done;
  bool failed = false;
};
Theirs& self(void* user) { return *static_cast<Theirs*>(user); }

Theirs run_theirs(Bytes input) {
  Theirs state;
  nghttp2_session_callbacks* callbacks = nullptr;
  TULLE_CHECK(nghttp2_session_callbacks_new(&callbacks) == 0);
  nghttp2_session_callbacks_set_on_header_callback(
      callbacks, [](nghttp2_session*, const nghttp2_frame* frame, const std::uint8_t* name,
                    std::size_t name_size, const std::uint8_t* value, std::size_t value_size,
                    std::uint8_t, void* user) {
        const auto id = static_cast<std::uint32_t>(frame->hd.stream_id);
        Seen& seen = self(user).streams[id];
        auto& fields = self(user).head_done[id] ? seen.trailers : seen.fields;
        fields.push_back(std::string(reinterpret_cast<const char*>(name), name_size) + ": " +
                         std::string(reinterpret_cast<const char*>(value), value_size));
        return 0;
      });
  nghttp2_session_callbacks_set_on_frame_recv_callback(
      callbacks, [](nghttp2_session*, const nghttp2_frame* frame, void* user) {
        const auto id = static_cast<std::uint32_t>(frame->hd.stream_id);
        if (frame->hd.type == NGHTTP2_HEADERS) self(user).head_done[id] = true;
        if ((frame->hd.type == NGHTTP2_HEADERS || frame->hd.type == NGHTTP2_DATA) &&
            (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0) {
          self(user).streams[id].ended = true;
        }
        if (frame->hd.type == NGHTTP2_RST_STREAM) self(user).streams[id].reset = true;
        return 0;
      });
  nghttp2_session_callbacks_set_on_data_chunk_recv_callback(
      callbacks, [](nghttp2_session*, std::uint8_t, std::int32_t id, const std::uint8_t* data,
                    std::size_t size, void* user) {
        self(user).streams[static_cast<std::uint32_t>(id)].body.append(
            reinterpret_cast<const char*>(data), size);
        return 0;
      });
  nghttp2_session_callbacks_set_on_frame_send_callback(
      callbacks, [](nghttp2_session*, const nghttp2_frame* frame, void* user) {
        if (frame->hd.type == NGHTTP2_GOAWAY && frame->goaway.error_code != 0)
          self(user).failed = true;
        if (frame->hd.type == NGHTTP2_RST_STREAM) {
          self(user).streams[static_cast<std::uint32_t>(frame->hd.stream_id)].reset = true;
        }
        return 0;
      });
  nghttp2_session* session = nullptr;
  TULLE_CHECK(nghttp2_session_server_new(&session, callbacks, &state) == 0);
  TULLE_CHECK(nghttp2_submit_settings(session, NGHTTP2_FLAG_NONE, nullptr, 0) == 0);
  if (nghttp2_session_mem_recv(session, input.data(), input.size()) < 0) state.failed = true;
  for (;;) {
    const std::uint8_t* data = nullptr;
    if (nghttp2_session_mem_send(session, &data) <= 0) break;
  }
  nghttp2_session_del(session);
  nghttp2_session_callbacks_del(callbacks);
  return state;
}

// Our form of what nghttp2 saw: pseudo fields in our order, the Host as authority where there is
// none.
std::vector<std::string> in_our_form(const std::vector<std::string>& fields) {
  std::map<std::string, std::string> pseudo;
  std::vector<std::string> rest;
  std::string host;
  for (const std::string& field : fields) {
    const auto colon = field.find(':', 1);
    const std::string name = field.substr(0, colon);
    if (name.front() == ':') {
      pseudo[name] = field;
    } else {
      if (name == "host") host = field.substr(colon + 2);
      rest.push_back(field);
    }
  }
  std::vector<std::string> out;
  const bool connect = pseudo[":method"] == ":method: CONNECT";
  out.push_back(pseudo[":method"]);
  if (!connect) {
    out.push_back(pseudo[":scheme"]);
    out.push_back(pseudo[":path"]);
  }
  const std::string authority = pseudo[":authority"];
  out.push_back(authority.empty() || authority == ":authority: " ? ":authority: " + host
                                                                 : authority);
  out.insert(out.end(), rest.begin(), rest.end());
  return out;
}

void compare(const Outcome& ours, Bytes input) {
  Theirs theirs = run_theirs(input);
  // After either gave up, the rest is not read.
  if (ours.failed || theirs.failed) return;
  for (const auto& [id, seen] : ours.streams) {
    if (seen.reset || seen.fields.empty()) continue;
    const Seen& other = theirs.streams[id];
    if (other.reset) continue;  // nghttp2 is stricter about some; none of it can be read two ways
    TULLE_CHECK(seen.fields == in_our_form(other.fields));
    // nghttp2 gives away the parts of a frame as they come; we wait for all of it.
    TULLE_CHECK(seen.ended ? seen.body == other.body : other.body.starts_with(seen.body));
    if (seen.ended) TULLE_CHECK(seen.trailers == other.trailers);
    TULLE_CHECK(seen.ended == other.ended);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0 || size > 100'000) return 0;
  const bool server = (data[0] & 1) == 0;
  const bool eager = (data[0] & 2) == 0;
  const std::size_t piece = 1 + (data[0] >> 2) % 64U;
  std::string input;
  if (server) input = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
  input += std::string_view("\0\0\0\4\0\0\0\0\0", 9);
  input += as_text(Bytes(data + 1, size - 1));
  const Outcome whole = run_ours(as_bytes(input), server, eager, SIZE_MAX);
  const Outcome pieces = run_ours(as_bytes(input), server, eager, size > 4096 ? piece * 64 : piece);
  TULLE_CHECK(whole.failed == pieces.failed);
  TULLE_CHECK(whole.streams == pieces.streams);
  TULLE_CHECK(whole.log == pieces.log);
  TULLE_CHECK(whole.output == pieces.output);
  // A byte of a peer costs at most a few of ours (the smallest frame takes 9 bytes and gets at most
  // 13 + 13).
  TULLE_CHECK(whole.output.size() <= 1000 + input.size() * 4);
  if (whole.failed) check_goaway(whole.output, server);
  if (server && eager) compare(whole, as_bytes(input));
  return 0;
}
