// Package access is Castellan's vocabulary: people, groups, entitlements, reasons and changes as plain values.
//
// It performs no I/O and imports nothing of the project. Every other package speaks in these words; their meanings are
// listed in docs/glossary.md.
package access
