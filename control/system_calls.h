// SPDX-License-Identifier: Apache-2.0
// What tulle-control does beyond what every server of ours does (lib/sandbox/sandbox.h): it is told
// of changes in folders, and where it keeps an issuer in files it writes these.
#pragma once

#include <vector>

#include "control/options.h"
#include "lib/base/confine.h"

namespace tulle::control {

// Files are written only with --identity-generate from a folder: the filter cannot see which, so
// everybody else writes none at all. The order has no meaning.
std::vector<AllowedCall> system_calls(const Options& options);

}  // namespace tulle::control
