// Package campaign plays long random campaigns of events against one organization, with workers that are killed, and
// holds the end against an oracle of its own.
package campaign
