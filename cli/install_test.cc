// SPDX-License-Identifier: Apache-2.0
#include "cli/install.h"

#include <gtest/gtest.h>
