// Package layout tests that imports point up the table in docs/architecture.md, and never down.
package layout
