// Package review holds the rules of what people decide: who may decide a grant or an item of an access review, which of
// several words counts, what a verdict means, and what becomes of what is to be removed.
//
// The package is pure: it performs no I/O and reads no clock. Activities and the ledger fetch, ask it, and record.
package review
