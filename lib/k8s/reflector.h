// SPDX-License-Identifier: Apache-2.0
// Follows all objects of one resource: lists them in pages, then watches, and lists again when the
// server cannot say any more what has happened since. Objects are handed out one at a time as the
// text that came, so memory does not grow with their number.
//
// How a watch that stalls is noticed within 90 s: the server ends a watch after kShortWatch, unless
// it has shown that it sends bookmarks (every minute or so); a watch of such a server is long and
// must say something every kSilence.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "lib/base/text.h"
#include "lib/k8s/client.h"
#include "lib/k8s/json_split.h"
#include "lib/log/log.h"

namespace tulle::k8s {

// Hears of the objects. Texts are valid during the call. Calls come in groups between
// before() and after(), so that whoever depends on the objects hears of many at once.
class Receiver {
 public:
  virtual void before() {}
  virtual void after() {}
  // All objects follow; once they have come, those that did not come are gone (list_end). A list
  // that breaks off is begun again.
  virtual void list_begin() = 0;
  virtual void list_end() = 0;
  // It is there, with this content.
  virtual void put(std::string_view json) = 0;
  virtual void erase(std::string_view json) = 0;

 protected:
  ~Receiver() = default;
};

class Reflector final : JsonSplitter::Sink {
 public:
  static constexpr Duration kShortWatch = 75s;
  static constexpr Duration kLongWatch = 8min;  // up to a quarter more
  static constexpr Duration kSilence = 85s;
  static constexpr Duration kMissing = 30s;  // between looks for a resource that is not there
  // A resource that was there is believed to be gone after this long: while an API server starts it
  // may deny for a moment what it has.
  static constexpr Duration kBelieveMissing = 60s;
  static constexpr unsigned kPage = 500;

  struct Options {
    Resource resource;
    std::string ns;              // "": all
    std::string label_selector;  // "": all
    std::string field_selector;
    // Only metadata is wanted: the server sends PartialObjectMetadata.
    bool metadata_only = false;
    // The resource may not be there (a CRD): it counts as empty, and is looked for now and then.
    bool optional = false;
  };
  struct Stats {
    std::uint64_t lists = 0;    // begun
    std::uint64_t watches = 0;  // begun
    std::uint64_t events = 0;   // but bookmarks
    std::uint64_t failures = 0;
    std::uint64_t expired = 0;  // the server did not know any more: 410
    std::uint64_t stalled = 0;  // watches that were cut because nothing came
  };

  // All must outlive it, and it its run().
  Reflector(ApiClient& client, Receiver& receiver, const log::Logger& log, Options options,
            std::uint64_t seed);

  // Runs until it is destroyed.
  net::Task<void> run();

  // Everything was listed at least once (or is optional, and not there).
  bool synced() const noexcept { return synced_; }
  // Not there, as far as the server says.
  bool missing() const noexcept { return missing_; }
  // Why it is behind now, "" if it is not.
  const std::string& problem() const noexcept { return problem_; }
  const Stats& stats() const noexcept { return stats_; }
  const Options& options() const noexcept { return options_; }
  std::string_view resource_version() const noexcept { return version_; }

 private:
  enum class End : std::uint8_t {
    Done,     // the list is complete, the watch ended in time
    Expired,  // list anew, at once
    Missing,  // there is no such resource
    Failed,   // see problem_
  };
  net::Task<End> list();
  net::Task<End> list_page(std::string path, std::string& next);
  net::Task<End> watch();
  // Gives the body to the splitter until it ends. `by` is when the watch must have ended; nullopt:
  // something must come every kSilence.
  net::Task<Result<void>> take(ApiStream& stream, JsonSplitter& splitter,
                               std::optional<Deadline> by);
  net::Task<void> pause(const std::optional<Duration>& at_least);

  void on_json(std::string_view json) override;
  void on_event(std::string_view json);
  std::string query(std::string_view more) const;
  std::string accept(std::string_view kind) const;
  End failed(const ApiStatus& status, std::string_view what);
  void fine();
  void resource_is_missing();

  ApiClient& client_;
  Receiver& receiver_;
  log::Logger log_;
  const Options options_;
  Random random_;
  Stats stats_;
  std::string path_;
  std::size_t version_index_ = 0;  // of the resource's versions

  std::string version_;      // of the last object, list or bookmark seen
  std::uint64_t epoch_ = 0;  // of the client, as version_ came
  bool listing_ = false;     // what on_json() gets
  bool must_list_ = true;
  bool list_whole_ = false;  // pages do not work: their tokens expire
  bool bookmarks_ = false;   // the last watch has shown some
  bool saw_bookmark_ = false;
  bool saw_anything_ = false;
  std::optional<End> event_end_;  // what an event says about the watch
  std::optional<Duration> retry_after_;
  bool synced_ = false;
  bool missing_ = false;
  TimePoint missing_since_{};
  Duration back_off_{0};
  std::string problem_;
  bool warned_ = false;  // of problem_
};

}  // namespace tulle::k8s
