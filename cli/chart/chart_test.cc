// SPDX-License-Identifier: Apache-2.0
#include "cli/chart/chart.h"

#include <gtest/gtest.h>
