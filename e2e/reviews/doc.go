// Package reviews tests access reviews from outside, with real processes.
package reviews
