// Package cases tries a policy on made-up people: a table of expected decisions, and what-if changes to a person or to
// the time. It decides by the policy itself, bound to an organization in which all is there that the policy or a table
// names, or to the real one.
//
// The package is pure: it performs no I/O and reads no clock.
package cases
