// SPDX-License-Identifier: Apache-2.0
//go:build tools

// Package tools pins what h2spec 2.2.1 is built from; it has no go.mod of its own.
package tools

import _ "github.com/summerwind/h2spec/cmd/h2spec"
