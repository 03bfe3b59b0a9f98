// Package sync tests an organization's loop from outside, with real processes.
package sync
