// SPDX-License-Identifier: Apache-2.0
#include "lib/k8s/reflector.h"

#include <algorithm>

#include "lib/k8s/decoder.h"
#include "lib/k8s/json_source.h"
#include "lib/k8s/metadata.h"
#include "lib/k8s/watch_event.h"

namespace tulle::k8s {
namespace {

constexpr Duration kAnswer = 20s;  // the head of an answer must come in this time
constexpr Duration kFirstPause = 100ms;
constexpr Duration kLongestPause = 5s;
// A watch that has lived this long shows that all is well.
constexpr Duration kProven = 10s;
// Without progress for this long the page of a list is given up.
constexpr Duration kPageSilence = 30s;

// The version of an object, and where a list goes on.
struct Meta {
  std::string resource_version;
  std::string next;
};
struct Head {
  Meta meta;
};
template <typename V>
void describe(V& v, Meta& x) {
  v.field("resourceVersion", x.resource_version);
  v.field("continue", x.next);
}
template <typename V>
void describe(V& v, Head& x) {
  v.field("metadata", x.meta);
}

// nullopt if it is no object of the API.
std::optional<Meta> read_meta(std::string_view json) {
  JsonSource source(json, JsonSource::Skipping::Unparsed);
  if (!source.next_document()) return std::nullopt;
  Head head;
  Decoder decoder(source);
  decoder.read(head);
  if (decoder.failed() || head.meta.resource_version.empty()) return std::nullopt;
  return std::move(head.meta);
}

class Batch {
 public:
  explicit Batch(Receiver& receiver) : receiver_(receiver) { receiver_.before(); }
  ~Batch() { receiver_.after(); }
  Batch(const Batch&) = delete;
  Batch& operator=(const Batch&) = delete;

 private:
  Receiver& receiver_;
};

ApiStatus broken(const Error& error) {
  ApiStatus status;
  status.error = error;
  return status;
}

}  // namespace

Reflector::Reflector(ApiClient& client, Receiver& receiver, const log::Logger& log, Options options,
                     std::uint64_t seed)
    : client_(client),
      receiver_(receiver),
      log_(log),
      options_(std::move(options)),
      random_(seed) {}

std::string Reflector::query(std::string_view more) const {
  std::string out = concat("?", more);
  if (!options_.label_selector.empty()) {
    out += concat("&labelSelector=", percent_encode(options_.label_selector));
  }
  if (!options_.field_selector.empty()) {
    out += concat("&fieldSelector=", percent_encode(options_.field_selector));
  }
  return out;
}

std::string Reflector::accept(std::string_view kind) const {
  return options_.metadata_only ? accept_metadata(kind) : std::string("application/json");
}

net::Task<void> Reflector::run() {
  for (;;) {
    if (must_list_) {
      const End end = co_await list();
      if (end == End::Missing) {
        resource_is_missing();
        // A CRD that is being installed is there in a moment; one that is not may take days.
        const Duration longest =
            std::min<Duration>(kMissing, 2s + (client_.loop().now() - missing_since_) / 2);
        const Duration wait = longest / 2 + longest * random_.below(1000) / 2000;
        co_await net::sleep_for(client_.loop(), wait);
        continue;
      }
      if (end != End::Done) {
        const std::optional<Duration> after = std::exchange(retry_after_, std::nullopt);
        co_await pause(after);
        continue;
      }
      must_list_ = false;
      if (!synced_) log_.debug("a resource is listed", {{"resource", options_.resource.plural}});
      synced_ = true;
    }
    const TimePoint began = client_.loop().now();
    const End end = co_await watch();
    if (end == End::Expired || end == End::Missing) must_list_ = true;
    const Duration lived = client_.loop().now() - began;
    const bool at_once = lived < 1s;
    if (saw_anything_ || lived >= kProven) back_off_ = Duration{0};
    // A server that ends watches as fast as we begin them is not asked faster for it.
    if (end == End::Failed || (at_once && !saw_anything_)) {
      const std::optional<Duration> after = std::exchange(retry_after_, std::nullopt);
      co_await pause(after);
    }
  }
}

net::Task<void> Reflector::pause(const std::optional<Duration>& at_least) {
  back_off_ = std::clamp<Duration>(back_off_ * 2, kFirstPause, kLongestPause);
  Duration wait = back_off_ / 2 + back_off_ * random_.below(1000) / 2000;
  if (at_least) wait = std::max(wait, *at_least);
  co_await net::sleep_for(client_.loop(), wait);
}

void Reflector::fine() {
  if (warned_) log_.info("a resource is followed again", {{"resource", options_.resource.plural}});
  warned_ = false;
  problem_.clear();
}

Reflector::End Reflector::failed(const ApiStatus& status, std::string_view what) {
  ++stats_.failures;
  retry_after_ = status.retry_after;
  std::string why = status.to_string();
  if (why == problem_) return End::Failed;
  problem_ = std::move(why);
  const log::Fields fields = {
      {"resource", options_.resource.plural}, {"doing", what}, {"reason", problem_}};
  constexpr std::string_view kWhat = "a resource cannot be followed; the last known state stays";
  if (status.code == 0) {
    log_.debug(kWhat, fields);  // the client tells once for all that there is no connection
  } else {
    log_.warn(kWhat, fields);
    warned_ = true;
  }
  return End::Failed;
}

void Reflector::resource_is_missing() {
  const TimePoint now = client_.loop().now();
  if (!missing_) missing_since_ = now;
  missing_ = true;
  problem_.clear();
  if (!synced_ || now - missing_since_ >= kBelieveMissing) {
    const Batch batch(receiver_);
    receiver_.list_begin();
    receiver_.list_end();
    synced_ = true;
  }
}

// --- list

net::Task<Reflector::End> Reflector::list() {
  ++stats_.lists;
  version_.clear();
  epoch_ = 0;
  receiver_.list_begin();
  std::string next;
  for (;;) {
    std::string more =
        list_whole_ ? std::string("resourceVersion=") : concat("limit=", std::to_string(kPage));
    if (!next.empty()) more += concat("&continue=", percent_encode(next));
    path_ = path_of(options_.resource, options_.ns, {}, {},
                    version_of(options_.resource, version_index_));
    std::string path = concat(path_, query(more));
    const End end = co_await list_page(std::move(path), next);
    if (end == End::Missing) {
      // Perhaps it is there in another version.
      const bool last = version_of(options_.resource, version_index_ + 1).empty();
      version_index_ = last ? 0 : version_index_ + 1;
      if (last) co_return End::Missing;
      continue;
    }
    if (end == End::Expired) {
      ++stats_.expired;
      list_whole_ = true;
    }
    if (end != End::Done) co_return end;
    if (!next.empty()) continue;
    list_whole_ = false;
    missing_ = false;
    const Batch batch(receiver_);
    receiver_.list_end();
    fine();
    co_return End::Done;
  }
}

net::Task<Reflector::End> Reflector::list_page(std::string path, std::string& next) {
  ApiRequest request;
  request.path = std::move(path);
  request.accept = accept("PartialObjectMetadataList");
  const Deadline by = client_.loop().after(kAnswer);
  auto answer = co_await client_.open(std::move(request), by);
  if (const auto* const status = std::get_if<ApiStatus>(&answer)) {
    if (status->code == 404 && options_.optional) co_return End::Missing;
    if (status->code == 410) co_return End::Expired;
    co_return failed(*status, "list");
  }
  ApiStream& stream = std::get<ApiStream>(answer);
  // Pages of different servers do not belong together.
  if (epoch_ != 0 && epoch_ != stream.epoch) co_return End::Expired;
  epoch_ = stream.epoch;
  JsonSplitter splitter(JsonSplitter::Mode::Items);
  listing_ = true;
  const Result<void> taken = co_await take(stream, splitter, std::nullopt);
  listing_ = false;
  if (!taken) co_return failed(broken(taken.error()), "list");
  const auto meta = read_meta(splitter.envelope());
  if (!meta) co_return failed(broken({Errc::Invalid, "read a list"}), "list");
  next = meta->next;
  version_ = meta->resource_version;
  client_.saw_version(version_);
  co_return End::Done;
}

// --- watch

net::Task<Reflector::End> Reflector::watch() {
  ++stats_.watches;
  saw_anything_ = saw_bookmark_ = false;
  event_end_.reset();
  const bool is_long = bookmarks_;
  const Duration life =
      is_long ? kLongWatch + kLongWatch * random_.below(1000) / 4000 : Duration{kShortWatch};
  ApiRequest request;
  request.path = concat(
      path_, query(concat(
                 "watch=1&allowWatchBookmarks=true&resourceVersion=", percent_encode(version_),
                 "&timeoutSeconds=",
                 std::to_string(std::chrono::duration_cast<std::chrono::seconds>(life).count()))));
  request.accept = accept("PartialObjectMetadata");
  const Deadline head_by = client_.loop().after(kAnswer);
  const Deadline end_by = client_.loop().after(life + (kSilence - kShortWatch));
  auto answer = co_await client_.open(std::move(request), head_by);
  if (const auto* const status = std::get_if<ApiStatus>(&answer)) {
    if (status->code == 404 && options_.optional) co_return End::Missing;
    if (status->code == 410) {
      ++stats_.expired;
      co_return End::Expired;
    }
    co_return failed(*status, "watch");
  }
  ApiStream& stream = std::get<ApiStream>(answer);
  // Versions of another server would be waited for in vain.
  if (stream.epoch != epoch_) co_return End::Expired;
  fine();
  JsonSplitter splitter(JsonSplitter::Mode::Documents);
  std::optional<Deadline> by;
  if (!is_long) by = end_by;
  const Result<void> taken = co_await take(stream, splitter, by);
  bookmarks_ = saw_bookmark_;
  if (event_end_) {
    if (*event_end_ == End::Expired) ++stats_.expired;
    co_return *event_end_;
  }
  if (taken) co_return End::Done;
  if (taken.error().code == Errc::Timeout) {
    ++stats_.stalled;
    bookmarks_ = false;
    log_.warn("a watch has stalled and is begun anew", {{"resource", options_.resource.plural}});
    co_return End::Done;
  }
  co_return failed(broken(taken.error()), "watch");
}

net::Task<Result<void>> Reflector::take(ApiStream& stream, JsonSplitter& splitter,
                                        std::optional<Deadline> by) {
  http::BodyReader& body = stream.body;
  const Duration silence = listing_ ? kPageSilence : Duration{kSilence};
  for (;;) {
    if (!body.data().empty()) {
      Result<void> fed;
      {
        const Batch batch(receiver_);
        const Bytes data = body.data();
        fed = splitter.feed(data, *this);
        body.consume(data.size());
      }
      if (!fed) co_return fed;
      if (event_end_ && !listing_) co_return Result<void>();
      continue;
    }
    if (body.ended()) co_return splitter.finish();
    if (body.failure() != nullptr) co_return *body.failure();
    const Deadline until = by ? *by : client_.loop().after(silence);
    const bool told = co_await body.changed(until);
    if (!told && !body.ready()) co_return Error{Errc::Timeout, "wait for the API server"};
  }
}

void Reflector::on_json(std::string_view json) {
  if (!listing_) return on_event(json);
  receiver_.put(json);
}

void Reflector::on_event(std::string_view json) {
  if (event_end_) return;  // after an error nothing counts
  const std::optional<WatchEvent> event = read_watch_event(json);
  if (!event) {
    event_end_ = failed(broken({Errc::Invalid, "read an event"}), "watch");
    return;
  }
  if (event->type == "ERROR") {
    ApiStatus status = parse_status(event->object);
    if (status.code == 0) status.code = 500;
    event_end_ = status.code == 410 ? End::Expired : failed(status, "watch");
    return;
  }
  const std::optional<Meta> meta = read_meta(event->object);
  if (!meta) {
    event_end_ = failed(broken({Errc::Invalid, "read the version of an event"}), "watch");
    return;
  }
  saw_anything_ = true;
  if (event->type == "BOOKMARK") {
    saw_bookmark_ = true;
  } else if (event->type == "ADDED" || event->type == "MODIFIED") {
    ++stats_.events;
    receiver_.put(event->object);
  } else if (event->type == "DELETED") {
    ++stats_.events;
    receiver_.erase(event->object);
  }
  version_ = meta->resource_version;
  client_.saw_version(version_);
}

}  // namespace tulle::k8s
