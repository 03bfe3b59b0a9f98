// Package grants tests temporary grants from outside, with real processes.
package grants
