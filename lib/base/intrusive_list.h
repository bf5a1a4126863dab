// SPDX-License-Identifier: Apache-2.0
// A doubly linked list through hooks inside its elements: O(1) unlink, no allocation. An element
// unlinks itself when it is destroyed, so a list never holds a dangling pointer.
#pragma once

#include <cstddef>

namespace tulle {

// Derive from ListHook<Tag> to be linkable; different Tags let one object sit in several lists.
template <typename Tag = void>
class ListHook {
 public:
  ListHook() = default;
  ListHook(const ListHook&) = delete;
  ListHook& operator=(const ListHook&) = delete;
  ~ListHook() { unlink(); }
  // Is it in a list of this Tag?
  bool linked() const noexcept { return next_ != nullptr; }
  // No-op if it is in none.
  void unlink() noexcept {
    if (next_ == nullptr) return;
    prev_->next_ = next_;
    next_->prev_ = prev_;
    next_ = prev_ = nullptr;
  }

 private:
  template <typename, typename>
  friend class IntrusiveList;
  ListHook* next_ = nullptr;
  ListHook* prev_ = nullptr;
};

template <typename T, typename Tag = void>
class IntrusiveList {
 public:
  using Hook = ListHook<Tag>;
  IntrusiveList() { root_.next_ = root_.prev_ = &root_; }
  IntrusiveList(const IntrusiveList&) = delete;
  IntrusiveList& operator=(const IntrusiveList&) = delete;
  // Elements outlive the list: they are unlinked, not destroyed.
  ~IntrusiveList() {
    while (!empty()) front().Hook::unlink();
    root_.next_ = root_.prev_ = nullptr;
  }

  bool empty() const noexcept { return root_.next_ == &root_; }
  // Both need a list that is not empty.
  T& front() noexcept { return *static_cast<T*>(root_.next_); }
  T& back() noexcept { return *static_cast<T*>(root_.prev_); }
  // The element must not be in a list of this Tag.
  void push_back(T& element) noexcept { insert(*root_.prev_, element); }
  void push_front(T& element) noexcept { insert(root_, element); }
  // Unlinks the first element; null if there is none.
  T* pop_front() noexcept {
    if (empty()) return nullptr;
    T* const element = &front();
    element->Hook::unlink();
    return element;
  }
  // Moves every element of `other` to the end of this list.
  void splice_back(IntrusiveList& other) noexcept {
    if (other.empty()) return;
    Hook* const first = other.root_.next_;
    Hook* const last = other.root_.prev_;
    other.root_.next_ = other.root_.prev_ = &other.root_;
    first->prev_ = root_.prev_;
    root_.prev_->next_ = first;
    last->next_ = &root_;
    root_.prev_ = last;
  }
  // Calls f(T&) for each; f may unlink or destroy the element it is given, no other.
  template <typename F>
  void for_each(F&& f) {
    for (Hook* at = root_.next_; at != &root_;) {
      Hook* const next = at->next_;
      f(*static_cast<T*>(at));
      at = next;
    }
  }

 private:
  void insert(Hook& after, Hook& element) noexcept {
    element.prev_ = &after;
    element.next_ = after.next_;
    after.next_->prev_ = &element;
    after.next_ = &element;
  }
  Hook root_;
};

}  // namespace tulle
