// Package scim reads people and groups from any service that speaks SCIM 2.0 (RFC 7643, RFC 7644, RFC 9865). It is
// liberal about the form of answers, whose names may have any case, and strict about their being complete: each person
// and group appears once, as many as the service declares.
//
// The key of a person or group is its id. Attributes have the names of RFC 7643. They hold no groups, meta, schemas or
// password; active is the identity's Enabled.
package scim
