// Package review holds the rules of people's decisions: who may decide a grant or an item of an access review, which of
// several decisions counts, what a verdict means, and how a removal proceeds.
//
// The package is pure: no I/O, no clock. Activities and the ledger fetch, call it, and record.
package review
