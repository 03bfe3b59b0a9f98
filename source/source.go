package source

import (
	"context"
	"errors"
	"time"
)

// Source is an identity provider as one policy entry describes it: with its credentials, its scope and its bounds. It
// is safe for use by several goroutines. Nothing is retried, but for the pauses that a provider's rate limit asks for.
type Source interface {
	// Read shows everybody and every group in scope to page, in any order and each exactly once, and returns the proof
	// that nothing was left out. It holds a bounded number of people in memory, but may hold all their keys. An error
	// of page ends the read and is returned as it is. After an error the proof is empty.
	Read(ctx context.Context, page func(Page) error) (Proof, error)

	// Lookup looks up one person by the immutable key. ErrGone: the provider answers that there is no such person, or
	// that the person was deleted. Any other error: it is not known. A person outside the scope is found all the same.
	Lookup(ctx context.Context, key string) (Identity, error)
}

// Limited is a Source of which the policy may read only a part, by a filter or a place that the provider knows.
type Limited interface {
	Source

	// Outside reports whether the provider confirms that a person, who is there, is outside of what Read shows. That
	// Read did not show them does not confirm it. An error: it is not known.
	Outside(ctx context.Context, key string) (bool, error)
}

// Watcher is a Source that reports what changed. Its reports are hints about where to look, never evidence.
type Watcher interface {
	Source

	// Changes returns the keys of people and groups that may have changed since cursor, and the cursor for the next
	// call. An empty cursor begins with now. All: the provider cannot say what changed, so that everything has to be
	// read, as after a cursor that is too old.
	Changes(ctx context.Context, cursor string) (changes Changes, next string, err error)
}

// Changes is what a provider says has changed.
type Changes struct {
	People []string // keys
	Groups []string // keys
	All    bool
}

// Page is a part of a read.
type Page struct {
	People []Identity
	Groups []Group
}

// Identity is a person in a source, as one read showed them.
type Identity struct {
	// Key identifies the person for as long as the provider knows them, whatever else changes: objectGUID, entryUUID,
	// id. At most MaxKey bytes.
	Key string `json:"key"`
	// Enabled is false if the provider says that the account is disabled, suspended or deprovisioned. Nil: it does not
	// say.
	Enabled *bool `json:"enabled,omitempty"`
	// Attributes are what else the provider says, by its own names: string, bool, float64, []any of those and
	// map[string]any, as in JSON. An attribute of several values is a list, in an order that two reads share. Secrets
	// such as password hashes are never among them.
	Attributes map[string]any `json:"attributes,omitempty"`
}

// Group is a group in a source, with all its members.
type Group struct {
	Key  string `json:"key"`  // immutable, as that of a person
	Name string `json:"name"` // as people call it; several groups may share one
	// Members are the keys of the people in it, sorted and each once; those of groups in it as well, if the source is
	// to follow them. Somebody may be outside the scope of the people that the same read shows.
	Members []string `json:"members"`
}

// Proof is what a read that was complete says of itself. Two proofs can be compared.
type Proof struct {
	People      int `json:"people"`
	Groups      int `json:"groups"`
	Memberships int `json:"memberships"`
	// Declared is how many people the provider itself said there are, where it says so; it equals People then.
	Declared *int `json:"declared,omitempty"`
	// As identifies who was reading what, so that a narrower credential is noticed: a digest of the place, the account
	// or client (never its secret) and the scope.
	As string `json:"as"`
	// State is the provider's own word for what it held, where it has one, such as a file's hash.
	State string `json:"state,omitempty"`
	// Cycles are groups that contain each other, where the source is to follow groups in groups and the reader does so
	// itself: the names of each cycle's groups, each of which contains the next one, and the last one the first. At
	// most MaxCycles are named. All groups of a cycle have the same members, which is hardly ever meant.
	Cycles [][]string `json:"cycles,omitempty"`
}

// MaxCycles is how many cycles of groups are named. People undo them one by one, and then the next ones are named.
const MaxCycles = 20

// The bounds on what a source may say. Beyond them it is an error, never a shorter list.
const (
	MaxKey       = 255     // bytes of a key
	MaxName      = 1024    // bytes of a group's name
	MaxAttribute = 16384   // bytes of one attribute as JSON
	MaxIdentity  = 65536   // bytes of one identity as JSON
	MaxPeople    = 1000000 // in a source
	MaxGroups    = 250000  // in a source

	MaxMemberships = 10000000 // in all groups of a source together
)

// The kinds of failure. errors.Is tells them; the texts of the errors that wrap them say what was wrong and what to do.
var (
	ErrGone         = errors.New("the source knows nobody by this key")
	ErrUnauthorized = errors.New("the source does not accept the credentials")
	ErrForbidden    = errors.New("the credentials may not read this")
	ErrUnavailable  = errors.New("the source could not be reached or could not answer: try again later")
	ErrRateLimited  = errors.New("the source asks for fewer calls: wait before the next one")
	ErrIncomplete   = errors.New("the source did not show everything: nobody counts as gone by this read")
	ErrMalformed    = errors.New("the source's answer cannot be trusted")
	ErrInvalid      = errors.New("the source is not configured right")
)

// PauseOf returns how long a provider asked to be left alone when it failed with err; 0: it did not say.
func PauseOf(err error) time.Duration {
	var asks interface{ Pause() time.Duration }
	if errors.As(err, &asks) {
		return asks.Pause()
	}
	return 0
}
