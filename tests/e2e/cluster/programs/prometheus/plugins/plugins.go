// SPDX-License-Identifier: Apache-2.0

// Package plugins stands in for Prometheus' own package of that name: of all ways to discover targets only that of
// Kubernetes, without the libraries of a dozen clouds, which take longer to compile than everything else in it.
package plugins

import _ "github.com/prometheus/prometheus/discovery/kubernetes"
