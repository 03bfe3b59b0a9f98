// Package identity decides what a person's record in a SCIM directory should be, and why, from the identities in the
// sources, the records, the Atlassian accounts and the bindings made before. It is pure, and decides one person at a
// time.
//
// An e-mail address links only once; from then on only ids count. What is not known changes nothing.
package identity
