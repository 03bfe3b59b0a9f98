// Package identities tests identity sources from outside, with real processes.
package identities
