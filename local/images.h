// SPDX-License-Identifier: Apache-2.0
// Images `local/NAME`: root folders unpacked from the distribution's packages into a cache. Nothing
// is installed on the machine and no script of a package is run; what such scripts would have
// arranged (users, links, folders) is in the table here. An image is a folder of its own over one
// base folder, joined as an overlay when a container starts.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace tulle::local {

struct Image {
  std::string name;                   // "nginx"
  std::vector<std::string> packages;  // beyond the base
  std::vector<std::string> command;   // what it does by itself
  std::uint32_t user = 0;             // as whom
  std::uint32_t group = 0;
  std::string working_dir = "/";
  bool programs = false;  // holds our own programs, mounted from the build
};

// The image of "local/NAME"; null if there is none.
const Image* find_image(std::string_view reference);
bool is_known_image(std::string_view reference);
std::vector<std::string> image_names();

class ImageStore {
 public:
  using Progress = std::function<void(const std::string& line)>;
  ImageStore(std::string cache, Progress progress)
      : cache_(std::move(cache)), progress_(std::move(progress)) {}

  // Makes those that are not there yet; returns what went wrong, or "".
  std::string ensure(const std::vector<const Image*>& images);
  // The folders of an image, topmost first.
  std::vector<std::string> layers(const Image& image) const;

  // $XDG_CACHE_HOME/tulle, or ~/.cache/tulle.
  static std::string default_cache();

 private:
  struct Package {
    std::string name;
    std::string version;
    std::string file;
  };
  std::string refresh_lists();
  std::string resolve(const std::vector<std::string>& names, std::vector<Package>& into);
  std::string download(const std::vector<Package>& packages);
  std::string unpack(const std::vector<Package>& packages, const std::string& root);
  std::string folder(const Image& image) const;
  std::vector<std::string> apt(std::string_view program) const;

  std::string cache_;
  Progress progress_;
};

}  // namespace tulle::local
