// Package kit is what workflows have in common: message handlers, the invalidation of codes that appear in messages,
// continue-as-new, retries, and timers.
package kit
