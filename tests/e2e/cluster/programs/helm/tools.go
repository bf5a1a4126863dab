// SPDX-License-Identifier: Apache-2.0

//go:build tools

// Names the published program that is built here, so that its version stands in go.mod.
package tools

import _ "helm.sh/helm/v3/cmd/helm"
