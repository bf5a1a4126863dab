// SPDX-License-Identifier: Apache-2.0
// Task<T>: a lazy coroutine that gives one T. Await it once, or give a Task<void> to a TaskScope.
// TaskScope: runs tasks side by side and owns them; destroying it destroys what still runs (that is
// how work is cancelled: nothing after the suspended co_await runs, only destructors).
// Single-threaded: a task lives and dies on one loop's thread. Frames come from the slab.
#pragma once

#include <coroutine>
#include <cstdlib>
#include <optional>
#include <utility>

#include "lib/base/check.h"
#include "lib/base/intrusive_list.h"
#include "lib/base/slab.h"

namespace tulle::net {

template <typename T>
class Task;
class TaskScope;

namespace detail {

struct ScopeTag;

// The part that every task promise has: whom to resume when done, or which scope to tell.
struct PromiseBase : ListHook<ScopeTag> {
  std::coroutine_handle<> continuation;
  TaskScope* scope = nullptr;
  std::coroutine_handle<> self;

  static void* operator new(std::size_t size) { return slab_alloc(size); }
  static void operator delete(void* frame, std::size_t size) noexcept { slab_free(frame, size); }

  std::suspend_always initial_suspend() noexcept { return {}; }
  [[noreturn]] void unhandled_exception() noexcept {
    check_failed("an exception left a task", __FILE__, __LINE__);
  }
};

// At the end of a task: goes on with whoever waits, without growing the stack, or tells the scope.
struct FinalAwaiter {
  bool await_ready() noexcept { return false; }
  template <typename Promise>
  std::coroutine_handle<> await_suspend(std::coroutine_handle<Promise> done) noexcept;
  void await_resume() noexcept {}
};

}  // namespace detail

// Moves, does not copy. A task that nobody awaits never runs; to destroy a suspended one destroys
// its frame, and with it whatever it awaits. An exception that leaves one ends the process.
template <typename T = void>
class [[nodiscard]] Task {
 public:
  struct promise_type : detail::PromiseBase {
    std::optional<T> value;
    Task get_return_object() {
      self = std::coroutine_handle<promise_type>::from_promise(*this);
      return Task{std::coroutine_handle<promise_type>::from_promise(*this)};
    }
    detail::FinalAwaiter final_suspend() noexcept { return {}; }
    template <typename U>
    void return_value(U&& result) {
      value.emplace(std::forward<U>(result));
    }
  };
  // Starts the task and suspends the caller until it has its value. `task` must outlive it, which
  // it does where a named Task is awaited.
  struct Awaiter {
    std::coroutine_handle<promise_type> task;
    bool await_ready() const noexcept { return false; }
    std::coroutine_handle<> await_suspend(std::coroutine_handle<> caller) noexcept {
      task.promise().continuation = caller;
      return task;
    }
    T await_resume() { return std::move(*task.promise().value); }
  };

  Task(Task&& other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}
  Task& operator=(Task&& other) noexcept {
    if (this != &other) {
      if (handle_) handle_.destroy();
      handle_ = std::exchange(other.handle_, nullptr);
    }
    return *this;
  }
  Task(const Task&) = delete;
  Task& operator=(const Task&) = delete;
  ~Task() {
    if (handle_) handle_.destroy();
  }
  // Only an rvalue can be awaited, since that happens once: co_await std::move(task).
  Awaiter operator co_await() && noexcept { return Awaiter{handle_}; }

 private:
  explicit Task(std::coroutine_handle<promise_type> handle) : handle_(handle) {}
  std::coroutine_handle<promise_type> handle_;
};

// The same without a value; only this one can be given to a scope.
template <>
class [[nodiscard]] Task<void> {
 public:
  struct promise_type : detail::PromiseBase {
    Task get_return_object() {
      self = std::coroutine_handle<promise_type>::from_promise(*this);
      return Task{std::coroutine_handle<promise_type>::from_promise(*this)};
    }
    detail::FinalAwaiter final_suspend() noexcept { return {}; }
    void return_void() noexcept {}
  };
  struct Awaiter {
    std::coroutine_handle<promise_type> task;
    bool await_ready() const noexcept { return false; }
    std::coroutine_handle<> await_suspend(std::coroutine_handle<> caller) noexcept {
      task.promise().continuation = caller;
      return task;
    }
    void await_resume() noexcept {}
  };

  Task(Task&& other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}
  Task& operator=(Task&& other) noexcept {
    if (this != &other) {
      if (handle_) handle_.destroy();
      handle_ = std::exchange(other.handle_, nullptr);
    }
    return *this;
  }
  Task(const Task&) = delete;
  Task& operator=(const Task&) = delete;
  ~Task() {
    if (handle_) handle_.destroy();
  }
  Awaiter operator co_await() && noexcept { return Awaiter{handle_}; }

 private:
  friend class TaskScope;
  explicit Task(std::coroutine_handle<promise_type> handle) : handle_(handle) {}
  std::coroutine_handle<promise_type> handle_;
};

// Owns running tasks. Declare it after whatever its tasks borrow, so that it is destroyed first.
// A task must not destroy the scope that runs it.
class TaskScope {
 public:
  TaskScope() = default;
  TaskScope(const TaskScope&) = delete;
  TaskScope& operator=(const TaskScope&) = delete;
  ~TaskScope() { cancel(); }

  // Starts the task now, up to its first suspension.
  void spawn(Task<void> task) {
    auto handle = std::exchange(task.handle_, nullptr);
    auto& promise = handle.promise();
    promise.scope = this;
    running_.push_back(promise);
    ++size_;
    handle.resume();
  }
  // Tasks that still run.
  bool empty() const noexcept { return size_ == 0; }
  std::size_t size() const noexcept { return size_; }
  // Destroys every task that still runs.
  void cancel() noexcept {
    while (auto* const promise = running_.pop_front()) {
      --size_;
      promise->self.destroy();
    }
  }
  // Suspends until no task runs. One waiter at a time.
  auto join() noexcept {
    struct Joiner {
      TaskScope& scope;
      ~Joiner() { scope.joiner_ = nullptr; }
      bool await_ready() const noexcept { return scope.empty(); }
      void await_suspend(std::coroutine_handle<> caller) noexcept { scope.joiner_ = caller; }
      void await_resume() const noexcept {}
    };
    TULLE_ASSERT(joiner_ == nullptr);
    return Joiner{*this};
  }

 private:
  friend struct detail::FinalAwaiter;
  // Called when a task ended; returns whom to resume instead.
  std::coroutine_handle<> finished(detail::PromiseBase& promise) noexcept {
    promise.unlink();
    --size_;
    const auto joiner = size_ == 0 ? std::exchange(joiner_, nullptr) : nullptr;
    promise.self.destroy();
    if (joiner) return joiner;
    return std::noop_coroutine();
  }
  IntrusiveList<detail::PromiseBase, detail::ScopeTag> running_;
  std::size_t size_ = 0;
  std::coroutine_handle<> joiner_;
};

namespace detail {
template <typename Promise>
std::coroutine_handle<> FinalAwaiter::await_suspend(std::coroutine_handle<Promise> done) noexcept {
  PromiseBase& promise = done.promise();
  if (promise.scope != nullptr) return promise.scope->finished(promise);
  if (promise.continuation) return promise.continuation;
  return std::noop_coroutine();
}
}  // namespace detail

}  // namespace tulle::net
