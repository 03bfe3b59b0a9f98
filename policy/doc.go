// Package policy says what should be, and why.
//
// Parse reads the policy file strictly and reports every mistake with its place. Bind joins a policy with what one read
// of the organization showed of its groups. Resolve then answers, for one person, the question that everything else
// follows from: which targets should this person hold now, and for which reasons? Policy.Grant judges who may hold a
// target for a while.
//
// The package is pure: it performs no I/O and reads no clock, so that it may run in a workflow as well as in an
// activity.
package policy
