// Package plan says what to change, and whether it may be changed.
//
// Decide compares what one person should hold with what the person holds and gives the changes. Judge measures all
// changes of a run against the policy's limits, Stopped says which rules hold one of them, and Floor is asked once more
// at the moment of writing. GrantRecord plans what grants give and take from the ledger alone, and Moment says what of
// it is still right when it is written. Hasher names a plan by its content, and Inverse takes a change back.
//
// The package is pure: it performs no I/O and reads no clock, so that it may run in a workflow as well as in an
// activity.
package plan
