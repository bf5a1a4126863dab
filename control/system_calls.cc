// SPDX-License-Identifier: Apache-2.0
#include "control/system_calls.h"

#include <sys/syscall.h>

namespace tulle::control {
namespace {

// Manifests and the issuer are followed; a folder that comes again is watched again.
constexpr AllowedCall kFollowing[] = {
    {__NR_inotify_init1}, {__NR_inotify_add_watch}, {__NR_inotify_rm_watch},
#ifdef __NR_access
    {__NR_access},  // which bundle of certificates the machine has
#endif
    {__NR_faccessat},
};

// The issuer's files: written beside and moved into place. Architectures differ in what the C
// library makes of mkdir(), rename() and unlink().
constexpr AllowedCall kWriting[] = {
    {__NR_openat},    {__NR_fsync}, {__NR_mkdirat}, {__NR_unlinkat},
#ifdef __NR_open
    {__NR_open},
#endif
#ifdef __NR_mkdir
    {__NR_mkdir},
#endif
#ifdef __NR_unlink
    {__NR_unlink},
#endif
#ifdef __NR_rename
    {__NR_rename},
#endif
#ifdef __NR_renameat
    {__NR_renameat},
#endif
    {__NR_renameat2},
};

template <std::size_t N>
void append(std::vector<AllowedCall>& calls, const AllowedCall (&more)[N]) {
  calls.insert(calls.end(), std::begin(more), std::end(more));
}

}  // namespace

std::vector<AllowedCall> system_calls(const Options& options) {
  std::vector<AllowedCall> calls;
  append(calls, kFollowing);
  if (options.generate_issuer && !options.issuer.empty()) append(calls, kWriting);
  return calls;
}

}  // namespace tulle::control
