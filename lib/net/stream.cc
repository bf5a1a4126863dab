// SPDX-License-Identifier: Apache-2.0
#include "lib/net/stream.h"

#include <algorithm>

namespace tulle::net {

Task<Result<std::size_t>> read_some(Stream& stream, MutableBytes into, Deadline by) {
  for (;;) {
    Result<std::size_t> n = stream.try_read(into);
    if (n || n.error().code != Errc::WouldBlock) co_return n;
    const bool in_time = co_await readable(stream.io(), by);
    if (!in_time) co_return Error{Errc::Timeout, "read"};
  }
}

Task<Result<void>> read_exactly(Stream& stream, MutableBytes into, Deadline by) {
  while (!into.empty()) {
    Result<std::size_t> n = stream.try_read(into);
    if (n) {
      if (*n == 0) co_return Error{Errc::Eof, "read"};
      into = into.subspan(*n);
      continue;
    }
    if (n.error().code != Errc::WouldBlock) co_return n.error();
    const bool in_time = co_await readable(stream.io(), by);
    if (!in_time) co_return Error{Errc::Timeout, "read"};
  }
  co_return Result<void>{};
}

Task<Result<void>> write_all(Stream& stream, Bytes bytes, Deadline by) {
  for (;;) {
    Error error{Errc::WouldBlock, "write"};
    if (!bytes.empty()) {
      Result<std::size_t> n = stream.try_write(bytes);
      if (n) {
        bytes = bytes.subspan(*n);
        continue;
      }
      error = n.error();
    } else {
      Result<void> flushed = stream.try_flush();
      if (flushed) co_return flushed;
      error = flushed.error();
    }
    if (error.code != Errc::WouldBlock) co_return error;
    const bool in_time = co_await writable(stream.io(), by);
    if (!in_time) co_return Error{Errc::Timeout, "write"};
  }
}

Task<Result<void>> shutdown_write(Stream& stream, Deadline by) {
  for (;;) {
    Result<void> done = stream.try_shutdown();
    if (done || done.error().code != Errc::WouldBlock) co_return done;
    const bool in_time = co_await writable(stream.io(), by);
    if (!in_time) co_return Error{Errc::Timeout, "shut down"};
  }
}

Result<std::size_t> ReplayStream::try_read(MutableBytes into) {
  if (first_.empty()) return inner_->try_read(into);
  const std::size_t n = std::min(into.size(), first_.size());
  std::copy_n(first_.data().begin(), n, into.begin());
  first_.consume(n);
  return n;
}

}  // namespace tulle::net
