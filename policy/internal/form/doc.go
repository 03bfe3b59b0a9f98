// Package form knows the forms of names in policies: of groups, with * and ?, of people, domains and entries.
package form
