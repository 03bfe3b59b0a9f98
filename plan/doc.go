// Package plan decides what to change, and whether it may be changed.
//
// Decide compares what one person should hold with what they hold, and returns the changes. Judge compares a run's
// changes with the policy's limits, HeldBy returns the guard rules that hold a change, and Floor is checked again at
// the moment of writing. GrantRecord plans the changes of grants from the ledger alone, and GrantRecheck rechecks them
// when they are written. Hasher computes a plan's hash, and Inverse returns the change that undoes one.
//
// The package is pure: no I/O, no clock.
package plan
