// Package provision is what a policy says of identity sources, and of the records in SCIM directories that are made of
// their people: the types, and their strict reading. It is pure and reaches no source.
package provision
