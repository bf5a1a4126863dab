// SPDX-License-Identifier: Apache-2.0
// Two workloads in two network namespaces in one process (docs/design.md §3.6), the shape of a
// proxy per node:
//   two_workloads NAMESPACE-FILE SETTINGS-FILE NAMESPACE-FILE SETTINGS-FILE
// A settings file holds the variables of one proxy, NAME=VALUE, each ended by a NUL byte. Runs
// until it is killed.
#include <algorithm>
#include <csignal>
#include <cstdio>
#include <fstream>
#include <iterator>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "proxy/proxy.h"

namespace tulle::proxy {
namespace {

std::map<std::string, std::string> read_settings(const char* path) {
  std::ifstream file(path, std::ios::binary);
  const std::string text{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  std::map<std::string, std::string> settings;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = std::min(text.find('\0', at), text.size());
    const std::string entry = text.substr(at, end - at);
    const std::size_t equals = entry.find('=');
    if (equals != std::string::npos) settings[entry.substr(0, equals)] = entry.substr(equals + 1);
    at = end + 1;
  }
  return settings;
}

// One workload with everything that is its own; nothing of it is shared with the other.
struct Node {
  std::map<std::string, std::string> settings;
  Config config;
  std::unique_ptr<log::Sink> sink;
  std::unique_ptr<log::Sink> access;
  std::unique_ptr<net::NamespaceSockets> sockets;
  std::unique_ptr<net::Loop> loop;
  std::unique_ptr<Proxy> proxy;

  bool start(const char* ns, const char* file) {
    settings = read_settings(file);
    ConfigNotes notes;
    config = read_config(
        [this](const char* name) {
          return settings.contains(name) ? settings[name].c_str() : nullptr;
        },
        1, notes);
    for (const std::string& error : notes.errors)
      std::fprintf(stderr, "%s: %s\n", file, error.c_str());
    if (!notes.errors.empty()) return false;
    sink = std::make_unique<log::Sink>(log::Sink::Options{.fd = 1},
                                       log::Filter::parse_lenient(config.log_filter));
    access = std::make_unique<log::Sink>(log::Sink::Options{.fd = 2, .off = true},
                                         log::Filter::parse_lenient("info"));
    Result<std::unique_ptr<net::NamespaceSockets>> made = net::NamespaceSockets::open(ns);
    Result<std::unique_ptr<net::Loop>> looped = net::Loop::create();
    if (!made || !looped) return false;
    sockets = std::move(*made);
    loop = std::move(*looped);
    proxy = std::make_unique<Proxy>(*loop, config, *sink, *access, *sockets);
    const Result<void> started = proxy->start();
    if (!started)
      std::fprintf(stderr, "%s: %s: errno %d\n", file, std::string(started.error().where).c_str(),
                   started.error().os_errno);
    return static_cast<bool>(started);
  }
};

}  // namespace
}  // namespace tulle::proxy

int main(int argc, char** argv) {
  if (argc != 5) return 64;
  std::signal(SIGPIPE, SIG_IGN);
  tulle::proxy::Node first, second;
  if (!first.start(argv[1], argv[2]) || !second.start(argv[3], argv[4])) return 1;
  std::thread other([&second] { second.loop->run(); });
  first.loop->run();
  other.join();
  return 0;
}
