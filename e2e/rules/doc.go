// Package rules tests rules from outside, with real processes.
package rules
