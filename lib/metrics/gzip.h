// SPDX-License-Identifier: Apache-2.0
// Texts as gzip (RFC 1952), for scrapers that ask for it. Made for expositions: long lines that
// resemble the ones before them. One pass, 96 KiB of memory while it runs, nothing kept; about a
// tenth is left of metrics.
#pragma once

#include <string>
#include <string_view>

namespace tulle::metrics {

std::string gzip(std::string_view text);

}  // namespace tulle::metrics
