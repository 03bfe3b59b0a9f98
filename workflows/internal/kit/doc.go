// Package kit is what workflows have in common: how they are told something and refuse it, how codes that were typed
// are made useless, how a history is renewed, how something that failed is tried again, and timers.
package kit
