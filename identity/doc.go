// Package identity decides what a person's record in a SCIM directory should be, and why: identities of the sources ×
// records × Atlassian accounts × what was bound before. It is pure, and decides one person at a time.
//
// An e-mail address links once; from then on only ids count. Nothing is concluded from what is not known.
package identity
