// Package access is Castellan's vocabulary: people, groups, entitlements, reasons and changes as plain values.
//
// It performs no I/O and imports nothing of the project. Every other package uses these types; docs/glossary.md
// explains the terms.
package access
