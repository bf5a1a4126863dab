// SPDX-License-Identifier: Apache-2.0
#include "proxy/inbound/early.h"

#include "proxy/protocol/detect.h"

namespace tulle::proxy {
net::Task<EarlyOutcome> dial_early(InboundSession& session, Deadline by) {
  EarlyOutcome outcome;
  Worker& worker = session.worker;
  Learned& learned = worker.learned();
  if (learned.of(session.target) == Learned::What::Http) co_return outcome;
  if (learned.of(session.target) != Learned::What::ServerFirst) {
    const Heard heard = co_await hear_client(session.stream, worker.loop().after(kFirstByteHold));
    if (heard != Heard::Nothing) co_return outcome;
  }
  // No byte of the application reaches a client that is not admitted.
  while (find_bytes_permit(*session.port.get(), session.peer) != nullptr) {
    // A server that is known to speak first is dialled by everybody, others by one connection that
    // finds out.
    if (learned.of(session.target) != Learned::What::ServerFirst) {
      outcome.trying = learned.begin_try(session.target);
      if (!outcome.trying) {
        const Deadline next = by.earlier(worker.loop().after(20ms));
        const Heard heard = co_await hear_client(session.stream, next);
        if (heard != Heard::Nothing || by.passed(worker.loop().now()) ||
            learned.of(session.target) == Learned::What::Http) {
          co_return outcome;
        }
        continue;
      }
    }
    worker.metrics().early_dials.get({{"direction", "inbound"}})->add();
    Result<net::StreamPtr> dialled = co_await session.local->connect();
    if (!dialled) co_return outcome;
    outcome.dialled = std::move(*dialled);
    const First first = co_await who_speaks_first(session.stream, outcome.dialled, by);
    outcome.server_spoke = first.server_speaks_first();
    if (outcome.server_spoke) learned.server_first(session.target);
    if (first.server == Heard::Http) learned.http(session.target);
    // What the server has said as HTTP, or its end, is of no use to whoever comes.
    if (first.server == Heard::Http || first.server == Heard::Gone) outcome.dialled.reset();
    co_return outcome;
  }
  co_return outcome;
}

net::Task<LateOutcome> learn_late(InboundSession& session, net::StreamPtr dialled) {
  LateOutcome outcome;
  if (find_bytes_permit(*session.port.get(), session.peer) == nullptr) co_return outcome;
  if (!dialled) {
    Result<net::StreamPtr> made = co_await session.local->connect();
    if (!made) co_return outcome;
    dialled = std::move(*made);
  }
  const Deadline by = session.worker.loop().after(kLateHold);
  const First first = co_await who_speaks_first(session.stream, dialled, by);
  if (first.server_speaks_first()) session.worker.learned().server_first(session.target);
  outcome.http = first.server == Heard::Http;
  if (!outcome.http && first.server != Heard::Gone) outcome.dialled = std::move(dialled);
  co_return outcome;
}

}  // namespace tulle::proxy
