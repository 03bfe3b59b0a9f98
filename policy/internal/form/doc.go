// Package form knows the forms of names in policies: of groups, with * and ?, of people, domains and entries; and of
// values that several sections have.
package form
