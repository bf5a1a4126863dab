// SPDX-License-Identifier: Apache-2.0
#include "local/images.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <ctime>
#include <set>

#include "lib/base/text.h"
#include "local/process.h"

namespace tulle::local {
namespace {

// Part of every cache folder's name: raise it when what is made from the same packages changes.
constexpr std::string_view kRecipe = "1";

struct Account {
  std::string_view name;
  std::uint32_t id;
  std::string_view home;
};
struct Folder {
  std::string_view path;
  std::uint32_t owner;
  mode_t mode;
};
struct Link {
  std::string_view path;
  std::string_view target;
};
// What maintainer scripts would have done.
struct Arrangement {
  std::vector<Account> accounts;
  std::vector<Folder> folders;
  std::vector<Link> links;
};

constexpr std::uint32_t kMysql = 101;
constexpr std::uint32_t kRedis = 102;

const std::vector<std::string> kRest = {"sleep", "infinity"};

const std::vector<Image>& table() {
  static const std::vector<Image> images = {
      {"base",
       {"base-files", "base-passwd", "dash", "coreutils", "sed", "grep", "mawk", "hostname",
        "findutils", "netbase", "libc-bin", "libstdc++6"},
       kRest},
      {"busybox", {"busybox"}, kRest},
      {"curl", {"curl"}, kRest},
      {"hey", {"hey"}, kRest},
      {"client", {"hey", "curl", "redis-tools", "mariadb-client-core"}, kRest},
      {"nginx", {"nginx"}, {"nginx", "-g", "daemon off;"}},
      {"redis",
       {"redis-server", "redis-tools"},
       {"redis-server", "--protected-mode", "no", "--dir", "/data", "--save", ""},
       kRedis,
       kRedis,
       "/data"},
      {"mariadb",
       {"mariadb-server-core", "mariadb-client-core"},
       {"sh", "-c",
        "test -d /var/lib/mysql/mysql || mariadb-install-db --datadir=/var/lib/mysql "
        "--skip-name-resolve --skip-test-db --auth-root-authentication-method=normal >/dev/null "
        "|| exit 1; exec mariadbd --datadir=/var/lib/mysql --socket=/run/mysqld/mysqld.sock \"$@\"",
        "mariadb"},
       kMysql,
       kMysql},
      {"tulle", {}, {"/usr/lib/linkerd/tulle-proxy"}, 2102, 2102, "/", true},
      {"tulle-proxy", {}, {"/usr/lib/linkerd/tulle-proxy"}, 2102, 2102, "/", true},
  };
  return images;
}

Arrangement arrangement_of(const Image& image) {
  if (image.name == "nginx") {
    return {{},
            {{"var/log/nginx", 0, 0755}, {"var/www/html", 0, 0755}},
            {{"etc/nginx/sites-enabled/default", "/etc/nginx/sites-available/default"},
             {"var/www/html/index.html", "/usr/share/nginx/html/index.html"},
             {"var/log/nginx/access.log", "/dev/stdout"},
             {"var/log/nginx/error.log", "/dev/stderr"}}};
  }
  if (image.name == "redis") {
    return {{{"redis", kRedis, "/data"}}, {{"data", kRedis, 0750}}, {}};
  }
  if (image.name == "mariadb") {
    return {{{"mysql", kMysql, "/var/lib/mysql"}},
            {{"var/lib/mysql", kMysql, 0750}, {"run/mysqld", kMysql, 0755}},
            {}};
  }
  if (image.programs) return {{{"linkerd", 2102, "/"}}, {{"usr/lib/linkerd", 0, 0755}}, {}};
  return {};
}

// Needed by maintainer scripts only, which are not run here.
bool only_for_scripts(std::string_view package) {
  static const std::set<std::string_view> names = {"adduser",
                                                   "debconf",
                                                   "dpkg",
                                                   "init-system-helpers",
                                                   "libgdbm6",
                                                   "libgdbm-compat4",
                                                   "lsb-base",
                                                   "libperl5.36",
                                                   "libsemanage-common",
                                                   "libsemanage2",
                                                   "libsepol2",
                                                   "passwd",
                                                   "perl",
                                                   "perl-base",
                                                   "perl-modules-5.36",
                                                   "sysvinit-utils",
                                                   "tar",
                                                   "ucf",
                                                   "usrmerge",
                                                   "usr-is-merged",
                                                   "libpam-modules",
                                                   "libpam-modules-bin",
                                                   "libnumber-compare-perl",
                                                   "libtext-glob-perl",
                                                   "libfile-find-rule-perl",
                                                   "iproute2"};
  return names.contains(package);
}

bool append_line(const std::string& path, const std::string& line) {
  std::string text;
  read_file(path, text);
  return replace_file(path, text + line);
}

bool make_merged_usr(const std::string& root) {
  bool ok = make_folders(root + "/usr");
  for (const std::string name : {"bin", "sbin", "lib", "lib64"}) {
    ok = make_folders(root + "/usr/" + name) && ok;
    ok =
        (::symlink(("usr/" + name).c_str(), (root + "/" + name).c_str()) == 0 || errno == EEXIST) &&
        ok;
  }
  return ok;
}

// What base-files and base-passwd arrange in their scripts.
bool finish_base(const std::string& root) {
  std::string passwd;
  std::string group;
  std::string names;
  bool ok = read_file(root + "/usr/share/base-passwd/passwd.master", passwd) &&
            read_file(root + "/usr/share/base-passwd/group.master", group);
  ok = ok && replace_file(root + "/etc/passwd", passwd) && replace_file(root + "/etc/group", group);
  if (read_file(root + "/usr/share/base-files/nsswitch.conf", names)) {
    ok = ok && replace_file(root + "/etc/nsswitch.conf", names);
  }
  for (const std::string name : {"proc", "sys", "dev", "run", "root", "etc", "home", "mnt"}) {
    ok = make_folders(root + "/" + name) && ok;
  }
  ok = make_folders(root + "/tmp", 01777) && make_folders(root + "/var/tmp", 01777) && ok;
  ::symlink("mawk", (root + "/usr/bin/awk").c_str());
  ::symlink("/run", (root + "/var/run").c_str());
  return ok;
}

bool arrange(const Image& image, const std::string& root, const std::string& base) {
  const Arrangement what = arrangement_of(image);
  bool ok = true;
  if (!what.accounts.empty()) {
    std::string passwd;
    std::string group;
    ok = read_file(base + "/etc/passwd", passwd) && read_file(base + "/etc/group", group) &&
         make_folders(root + "/etc") && replace_file(root + "/etc/passwd", passwd) &&
         replace_file(root + "/etc/group", group);
  }
  for (const Account& account : what.accounts) {
    std::string id;
    append_number(id, account.id);
    ok = append_line(root + "/etc/passwd", concat(account.name, ":x:", id, ":", id,
                                                  "::", account.home, ":/usr/sbin/nologin\n")) &&
         ok;
    ok = append_line(root + "/etc/group", concat(account.name, ":x:", id, ":\n")) && ok;
  }
  for (const Folder& folder : what.folders) {
    const std::string path = concat(root, "/", folder.path);
    ok = make_folders(path, folder.mode) && ok;
    ok = ::chmod(path.c_str(), folder.mode) == 0 &&
         ::chown(path.c_str(), folder.owner, folder.owner) == 0 && ok;
  }
  for (const Link& link : what.links) {
    const std::string path = concat(root, "/", link.path);
    make_folders(path.substr(0, path.rfind('/')));
    ::unlink(path.c_str());
    ok = ::symlink(std::string(link.target).c_str(), path.c_str()) == 0 && ok;
  }
  return ok;
}

std::string last_lines(const Ran& ran) {
  const std::string_view text = trim(ran.errors.empty() ? ran.output : ran.errors);
  return std::string(text.substr(text.size() > 600 ? text.size() - 600 : 0));
}

}  // namespace

const Image* find_image(std::string_view reference) {
  constexpr std::string_view kPrefix = "local/";
  if (!reference.starts_with(kPrefix)) return nullptr;
  reference.remove_prefix(kPrefix.size());
  // A tag is accepted and means nothing: there is one build of each.
  reference = reference.substr(0, reference.find(':'));
  for (const Image& image : table()) {
    if (image.name == reference) return &image;
  }
  return nullptr;
}

bool is_known_image(std::string_view reference) { return find_image(reference) != nullptr; }

std::vector<std::string> image_names() {
  std::vector<std::string> out;
  for (const Image& image : table()) out.push_back("local/" + image.name);
  return out;
}

std::string ImageStore::default_cache() {
  const char* const xdg = std::getenv("XDG_CACHE_HOME");
  if (xdg != nullptr && *xdg == '/') return concat(xdg, "/tulle");
  const char* const home = std::getenv("HOME");
  return concat(home != nullptr && *home == '/' ? home : "/root", "/.cache/tulle");
}

std::string ImageStore::folder(const Image& image) const {
  return concat(cache_, "/images/", image.name, "-", kRecipe);
}

std::vector<std::string> ImageStore::layers(const Image& image) const {
  if (image.name == "base") return {folder(image)};
  return {folder(image), folder(table().front())};
}

// apt with a state of its own: the machine's package lists and status are neither used nor changed.
std::vector<std::string> ImageStore::apt(std::string_view program) const {
  const std::string dir = cache_ + "/apt";
  std::vector<std::string> out = {std::string(program), "-qq", "-y"};
  for (const std::string& option :
       {"Dir::State=" + dir + "/state", "Dir::State::status=" + dir + "/state/status",
        "Dir::State::lists=" + dir + "/lists", "Dir::Cache=" + dir + "/cache",
        std::string("APT::Sandbox::User=root"), std::string("APT::Install-Recommends=false"),
        std::string("Debug::NoLocking=true"), std::string("Acquire::Languages=none"),
        std::string("Acquire::Retries=3")}) {
    out.insert(out.end(), {"-o", option});
  }
  return out;
}

std::string ImageStore::refresh_lists() {
  const std::string dir = cache_ + "/apt";
  if (!make_folders(dir + "/state") || !make_folders(dir + "/lists/partial") ||
      !make_folders(dir + "/cache/archives/partial") || !make_folders(dir + "/debs")) {
    return concat("cannot write to ", dir);
  }
  if (::access((dir + "/state/status").c_str(), F_OK) != 0) replace_file(dir + "/state/status", "");
  const std::string stamp = dir + "/lists.stamp";
  struct stat info {};
  constexpr std::time_t kDay = 24 * 3600;
  const bool there = ::stat(stamp.c_str(), &info) == 0;
  if (there && std::time(nullptr) - info.st_mtime < kDay) return "";
  progress_("reading the distribution's package lists");
  std::vector<std::string> argv = apt("apt-get");
  argv.emplace_back("update");
  const Ran ran = run_program(argv);
  if (!ran.ok() && !there) return concat("apt-get update: ", last_lines(ran));
  if (ran.ok()) replace_file(stamp, "");
  return "";
}

std::string ImageStore::resolve(const std::vector<std::string>& names, std::vector<Package>& into) {
  std::vector<std::string> argv = apt("apt-get");
  argv.insert(argv.end(), {"--print-uris", "install"});
  argv.insert(argv.end(), names.begin(), names.end());
  const Ran ran = run_program(argv);
  if (!ran.ok()) return concat("apt-get: ", last_lines(ran));
  for (const std::string_view line : split(ran.output, '\n')) {
    // 'URI' name_version_arch.deb size hash
    const auto words = split(line, ' ');
    if (words.size() < 3 || !words[1].ends_with(".deb")) continue;
    const auto parts = split(words[1], '_');
    if (parts.size() != 3 || only_for_scripts(parts[0])) continue;
    Package package{std::string(parts[0]), std::string(parts[1]), std::string(words[1])};
    // "%3a" stands for the colon of an epoch.
    const std::size_t colon = package.version.find("%3a");
    if (colon != std::string::npos) package.version.replace(colon, 3, ":");
    into.push_back(std::move(package));
  }
  return "";
}

std::string ImageStore::download(const std::vector<Package>& packages) {
  const std::string debs = cache_ + "/apt/debs";
  std::vector<std::string> argv = apt("apt-get");
  argv.emplace_back("download");
  std::set<std::string> wanted;
  for (const Package& package : packages) {
    if (::access(concat(debs, "/", package.file).c_str(), F_OK) == 0) continue;
    wanted.insert(concat(package.name, "=", package.version));
  }
  if (wanted.empty()) return "";
  argv.insert(argv.end(), wanted.begin(), wanted.end());
  std::string count;
  append_number(count, wanted.size());
  progress_(concat("downloading ", count, " packages"));
  RunOptions options;
  options.dir = debs;
  const Ran ran = run_program(argv, options);
  return ran.ok() ? "" : concat("apt-get download: ", last_lines(ran));
}

std::string ImageStore::unpack(const std::vector<Package>& packages, const std::string& root) {
  for (const Package& package : packages) {
    // tar keeps the links of a merged /usr, which dpkg-deb -x would replace.
    const Ran ran = run_program(
        {"sh", "-c",
         "dpkg-deb --fsys-tarfile \"$1\" | tar -xpf - --keep-directory-symlink -C \"$2\" "
         "--exclude=./usr/share/doc --exclude=./usr/share/man --exclude=./usr/share/locale",
         "sh", concat(cache_, "/apt/debs/", package.file), root});
    if (!ran.ok()) return concat(package.file, ": ", last_lines(ran));
  }
  return "";
}

std::string ImageStore::ensure(const std::vector<const Image*>& images) {
  std::vector<const Image*> missing;
  const Image& base = table().front();
  std::vector<const Image*> wanted = {&base};
  wanted.insert(wanted.end(), images.begin(), images.end());
  if (!make_folders(cache_ + "/images")) return concat("cannot write to ", cache_);
  // Another `tulle local up` may be making the same ones.
  const net::Fd lock(
      ::open((cache_ + "/images/.lock").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644));
  if (!lock || ::flock(lock.get(), LOCK_EX) != 0) return concat("cannot lock ", cache_, "/images");
  for (const Image* const image : wanted) {
    const bool there = ::access(folder(*image).c_str(), F_OK) == 0;
    const bool listed = std::find(missing.begin(), missing.end(), image) != missing.end();
    if (!there && !listed) missing.push_back(image);
  }
  if (missing.empty()) return "";
  if (std::string problem = refresh_lists(); !problem.empty()) return problem;
  std::vector<Package> in_base;
  if (std::string problem = resolve(base.packages, in_base); !problem.empty()) return problem;
  std::set<std::string> base_names;
  for (const Package& package : in_base) base_names.insert(package.name);
  std::vector<std::vector<Package>> closures;
  std::vector<Package> all;
  for (const Image* const image : missing) {
    std::vector<Package> closure;
    if (image == &base) {
      closure = in_base;
    } else if (!image->packages.empty()) {
      if (std::string problem = resolve(image->packages, closure); !problem.empty()) return problem;
      std::erase_if(closure, [&](const Package& p) { return base_names.contains(p.name); });
    }
    all.insert(all.end(), closure.begin(), closure.end());
    closures.push_back(std::move(closure));
  }
  if (std::string problem = download(all); !problem.empty()) return problem;
  for (std::size_t i = 0; i < missing.size(); ++i) {
    const Image& image = *missing[i];
    progress_(concat("unpacking local/", image.name));
    const std::string fresh = concat(cache_, "/images/.new-", image.name);
    remove_tree(fresh);
    if (!make_folders(fresh) || !make_merged_usr(fresh)) return concat("cannot write to ", fresh);
    if (std::string problem = unpack(closures[i], fresh); !problem.empty()) return problem;
    const bool ok = &image == &base ? finish_base(fresh) : arrange(image, fresh, folder(base));
    if (!ok) return concat("cannot finish local/", image.name);
    if (::rename(fresh.c_str(), folder(image).c_str()) != 0) {
      return concat("cannot move ", fresh, " into place");
    }
  }
  return "";
}

}  // namespace tulle::local
