// SPDX-License-Identifier: Apache-2.0
#include "proxy/inbound/early.h"

#include "proxy/detect.h"

namespace tulle::proxy {
namespace {

net::Task<void> note_when_spoken(net::Stream& stream, Deadline by, bool& spoke, net::Signal& told) {
  const bool came = co_await spoke_within(stream, by);
  spoke = came;
  told.notify_all();
}

}  // namespace

net::Task<bool> server_speaks_first(net::Stream& client, net::Stream& server, Deadline by) {
  net::Signal told{client.loop()};
  bool client_spoke = false;
  bool server_spoke = false;
  {
    net::TaskScope scope;
    scope.spawn(note_when_spoken(client, by, client_spoke, told));
    scope.spawn(note_when_spoken(server, by, server_spoke, told));
    while (!client_spoke && !server_spoke && !scope.empty()) {
      const bool woken = co_await told.wait(by);
      if (!woken) break;
    }
  }
  co_return server_spoke && !client_spoke;
}

net::Task<EarlyOutcome> dial_early(InboundSession& session, net::Stream& client, Deadline by) {
  EarlyOutcome outcome;
  Worker& worker = session.worker;
  Learned& learned = worker.learned();
  if (learned.of(session.target) == Learned::What::Http) co_return outcome;
  if (learned.of(session.target) != Learned::What::ServerFirst) {
    const bool spoke = co_await spoke_within(client, worker.loop().after(kFirstByteHold));
    if (spoke) co_return outcome;
  }
  // No byte of the application reaches a client that is not admitted.
  while (find_permit(session.port.get()->authorizations, session.peer) != nullptr) {
    // A server that is known to speak first is dialled by everybody, others by one connection that
    // finds out.
    if (learned.of(session.target) != Learned::What::ServerFirst) {
      outcome.trying = learned.begin_try(session.target);
      if (!outcome.trying) {
        const bool spoke = co_await spoke_within(client, by.earlier(worker.loop().after(20ms)));
        if (spoke || by.passed(worker.loop().now()) ||
            learned.of(session.target) == Learned::What::Http) {
          co_return outcome;
        }
        continue;
      }
    }
    worker.metrics().early_dials.get({{"direction", "inbound"}})->add();
    Result<net::StreamPtr> dialled = co_await session.local->dial(Session::Opaque);
    if (!dialled) co_return outcome;
    outcome.dialled = std::move(*dialled);
    outcome.server_spoke = co_await server_speaks_first(client, *outcome.dialled, by);
    if (outcome.server_spoke) learned.server_first(session.target);
    co_return outcome;
  }
  co_return outcome;
}

net::Task<net::StreamPtr> learn_late(InboundSession& session, net::StreamPtr dialled) {
  if (find_permit(session.port.get()->authorizations, session.peer) == nullptr) co_return nullptr;
  if (!dialled) {
    Result<net::StreamPtr> made = co_await session.local->dial(Session::Opaque);
    if (!made) co_return nullptr;
    dialled = std::move(*made);
  }
  const Deadline by = session.worker.loop().after(kLateHold);
  const bool server = co_await server_speaks_first(*session.stream, *dialled, by);
  if (server) session.worker.learned().server_first(session.target);
  co_return std::move(dialled);
}

}  // namespace tulle::proxy
