// Package config turns the environment into the programs' settings, the secrets that a policy refers to, the options of
// the Temporal client, and the logger.
//
// Castellan's own settings are CASTELLAN_* variables; each field of [Worker] and [Starter] gives its variable, its
// default and what it accepts. How to reach Temporal is in Temporal's own variables (TEMPORAL_ADDRESS and so on), which
// [TemporalOptions] reads, so that the worker, the ops command and the Temporal CLI share one profile.
package config
