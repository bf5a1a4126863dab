// SPDX-License-Identifier: Apache-2.0
#include "control/identity/issuer_files.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <optional>

#include "lib/base/text.h"
#include "lib/net/socket.h"

namespace tulle::control {
namespace {

constexpr std::size_t kMaxFile = std::size_t{1} << 20;
constexpr Duration kYear = 24h * 365;

// nullopt if it is not there or cannot be read (`why` then says so).
std::optional<std::string> read_text(const std::string& path, std::string& why) {
  const net::Fd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!fd) {
    if (errno != ENOENT) why = concat(path, ": ", std::strerror(errno));
    return std::nullopt;
  }
  std::string text;
  std::array<char, 4096> block;
  for (;;) {
    const ssize_t n = ::read(fd.get(), block.data(), block.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 || text.size() > kMaxFile) {
      why = concat(path, ": ", n < 0 ? std::strerror(errno) : "too large");
      return std::nullopt;
    }
    if (n == 0) return text;
    text.append(block.data(), static_cast<std::size_t>(n));
  }
}

// The whole file or nothing: written beside and moved into place.
bool write_text(const std::string& path, std::string_view text, mode_t mode) {
  const std::string temporary = path + ".new";
  ::unlink(temporary.c_str());
  {
    const net::Fd fd(::open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode));
    if (!fd) return false;
    while (!text.empty()) {
      const ssize_t n = ::write(fd.get(), text.data(), text.size());
      if (n < 0 && errno == EINTR) continue;
      if (n <= 0) return false;
      text.remove_prefix(static_cast<std::size_t>(n));
    }
    if (::fsync(fd.get()) != 0) return false;
  }
  return ::rename(temporary.c_str(), path.c_str()) == 0;
}

bool is_anchor(const std::vector<tls::Certificate>& anchors, const tls::Certificate& certificate) {
  for (const tls::Certificate& anchor : anchors) {
    if (anchor.der == certificate.der) return true;
  }
  return false;
}

std::string write_failed(std::string_view folder) {
  return concat("cannot write to ", folder, ": ", std::strerror(errno));
}

// A new issuer of this anchor, written certificate last: who reads in between finds that they do
// not match, keeps what it has, and looks again.
std::string write_issuer(const std::string& folder, const tls::Issuer& anchor,
                         std::string_view name) {
  const tls::Issuer issuer = tls::make_issuer(anchor, name, kYear);
  if (!write_text(folder + "/tls.key", issuer.key.to_pem(), 0600) ||
      !write_text(folder + "/tls.crt", issuer.certificate.to_pem(), 0644)) {
    return write_failed(folder);
  }
  return "";
}

}  // namespace

std::variant<IssuerState, IssuerProblem> make_issuer_state(const IssuerParts& parts) {
  auto chain = tls::Certificate::from_pem(parts.certificate_pem);
  if (!chain) return IssuerProblem{concat(parts.certificate_name, " has no readable certificate")};
  const auto key = tls::PrivateKey::from_pem(parts.key_pem);
  if (!key) return IssuerProblem{concat(parts.key_name, " has no readable key")};
  auto anchors = tls::Certificate::from_pem(parts.anchors_pem);
  if (!anchors) return IssuerProblem{concat(parts.anchors_name, " has no readable certificate")};

  IssuerState state{{chain->front(), *key, {}}, *std::move(anchors), parts.anchors_pem};
  for (std::size_t i = 1; i < chain->size(); ++i) {
    if (!is_anchor(state.anchors, (*chain)[i])) state.issuer.chain.push_back((*chain)[i]);
  }
  if (!state.issuer.certificate.matches_key(state.issuer.key)) {
    return IssuerProblem{
        concat(parts.certificate_name, " and ", parts.key_name, " do not belong together")};
  }
  if (!state.issuer.certificate.is_ca) {
    return IssuerProblem{
        concat(parts.certificate_name, " may not issue certificates (it is no CA)")};
  }
  if (const auto good = check_issuer(state); !good) {
    const tls::Certificate& certificate = state.issuer.certificate;
    return IssuerProblem{concat(parts.certificate_name, ": ", good.error().where, " (it is now ",
                                format_rfc3339(wall_now()), ", the certificate is good from ",
                                format_rfc3339(certificate.not_before), " to ",
                                format_rfc3339(certificate.not_after), ")")};
  }
  return state;
}

std::variant<IssuerState, IssuerProblem> load_issuer(const std::string& folder,
                                                     const std::string& anchors_file) {
  std::string why;
  const auto read = [&](const std::string& file) { return read_text(file, why); };
  std::string certificate_file = folder + "/tls.crt", key_file = folder + "/tls.key";
  auto certificate_pem = read(certificate_file);
  if (!certificate_pem) {
    certificate_file = folder + "/crt.pem";
    key_file = folder + "/key.pem";
    certificate_pem = read(certificate_file);
  }
  const auto key_pem = read(key_file);
  std::optional<std::string> anchors_pem;
  std::string tried;
  for (const std::string& file :
       anchors_file.empty()
           ? std::vector<std::string>{folder + "/ca.crt", folder + "/ca-bundle.crt"}
           : std::vector<std::string>{anchors_file}) {
    tried = file;
    anchors_pem = read(file);
    if (anchors_pem) break;
  }
  if (!why.empty()) return IssuerProblem{why};
  if (!certificate_pem) {
    return IssuerProblem{concat(folder, " has neither tls.crt nor crt.pem")};
  }
  if (!key_pem) return IssuerProblem{concat(key_file, " is missing")};
  if (!anchors_pem) return IssuerProblem{concat("the trust anchors are missing: ", tried)};

  return make_issuer_state(
      {*certificate_pem, certificate_file, *key_pem, key_file, *anchors_pem, tried});
}

Result<void> check_issuer(const IssuerState& state) {
  return tls::verify_chain(state.issuer.certificate, state.issuer.chain, state.anchors,
                           tls::Usage::Any);
}

std::string generate_issuer(const std::string& folder, std::string_view name) {
  if (::mkdir(folder.c_str(), 0700) != 0 && errno != EEXIST) return write_failed(folder);
  std::string why;
  const auto certificate_pem = read_text(folder + "/tls.crt", why);
  const auto anchor_pem = read_text(folder + "/ca.crt", why);
  const auto anchor_key_pem = read_text(folder + "/ca.key", why);
  const auto other = read_text(folder + "/crt.pem", why);
  if (!why.empty()) return why;
  if (!certificate_pem && !anchor_pem && !anchor_key_pem && !other) {
    const tls::Issuer anchor = tls::make_anchor(concat("root.", name), kYear * 10);
    // The key first: an anchor that was written without it could never issue.
    if (!write_text(folder + "/ca.key", anchor.key.to_pem(), 0600) ||
        !write_text(folder + "/ca.crt", anchor.certificate.to_pem(), 0644)) {
      return write_failed(folder);
    }
    return write_issuer(folder, anchor, name);
  }
  if (!anchor_key_pem || !anchor_pem) return "";
  const auto anchor_key = tls::PrivateKey::from_pem(*anchor_key_pem);
  const auto anchors = tls::Certificate::from_pem(*anchor_pem);
  if (!anchor_key || !anchors || !anchors->front().matches_key(*anchor_key)) return "";
  if (certificate_pem) {
    const auto current = tls::Certificate::from_pem(*certificate_pem);
    if (!current) return "";  // loading says what is wrong
    const tls::Certificate& issuer = current->front();
    const WallTime renew = issuer.not_before + (issuer.not_after - issuer.not_before) / 10 * 7;
    if (wall_now() < renew) return "";
  }
  return write_issuer(folder, {anchors->front(), *anchor_key, {}}, name);
}

}  // namespace tulle::control
