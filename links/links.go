// Package links makes and reads the personal links by which reviewers enter their page.
//
// A token says whose link it is, for which review, and until when, and proves by a keyed hash that whoever holds the
// key said so. Nothing has to be kept to know a good one from a bad one; that a link was taken back is for whoever
// issued it to remember, by its id. A token is not encrypted: whoever has it can read what it says.
//
// The package imports nothing of the project.
package links

import (
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"hash"
	"time"
)

// Link is one person's way into one review.
type Link struct {
	ID       string // as of NewID, to remember it by
	Org      string
	Review   string
	Reviewer string    // e-mail address or account id, in whatever characters
	Expires  time.Time // from this instant on it opens nothing; kept to the second
}

// NewID is a new link's id: random, of at least 128 bits.
func NewID() string { return rand.Text() }

// ErrLink is the answer to every token that is not a good one, whatever is wrong with it: who tries tokens learns
// nothing.
var ErrLink = errors.New("the link opens nothing: it is not one of ours, or has expired")

// ShortestKey is the fewest characters of a key.
const ShortestKey = 32

// LongestToken is the most characters of a token that is read: room for some 1,400 bytes of text, and for a cookie.
const LongestToken = 2048

// Signer makes tokens and knows its own. It may be used by several goroutines at once.
type Signer struct {
	// Functions, not keys, so that whatever prints a Signer shows no key.
	tokens func() hash.Hash
	marks  func() hash.Hash
}

// NewSigner makes the signer of a key, any secret of at least [ShortestKey] characters. It must be random: who can
// guess it can make links.
func NewSigner(key []byte) (*Signer, error) {
	if len(key) < ShortestKey {
		return nil, fmt.Errorf("the key that signs links has fewer than %d characters: make one, for example by openssl rand -base64 32", ShortestKey)
	}
	tokens, err := derive(key, "castellan links: tokens, version 1")
	if err != nil {
		return nil, err
	}
	marks, err := derive(key, "castellan links: marks, version 1")
	if err != nil {
		return nil, err
	}
	return &Signer{tokens, marks}, nil
}

// derive makes a key of its own for each use, so that what is signed for one is never taken for another.
func derive(key []byte, label string) (func() hash.Hash, error) {
	derived, err := hkdf.Key(sha256.New, key, nil, label, sha256.Size)
	if err != nil {
		return nil, fmt.Errorf("derive the key of links: %w", err)
	}
	return func() hash.Hash { return hmac.New(sha256.New, derived) }, nil
}

// encoding is strict, yet skips line ends: Read compares what it read with what it would have written.
var encoding = base64.RawURLEncoding.Strict()

// Token is the link in letters, digits, dashes and underscores: its version, what it says, and the HMAC-SHA256 over
// both. One that comes to more than [LongestToken] characters is not read again.
func (s *Signer) Token(l Link) string {
	said := encode(l)
	return encoding.EncodeToString(sum(s.tokens(), said, said))
}

// Read is the link of a token that this key signed and that has not expired. Everything else is [ErrLink].
func (s *Signer) Read(token string, now time.Time) (Link, error) {
	if len(token) > LongestToken {
		return Link{}, ErrLink
	}
	raw, err := encoding.DecodeString(token)
	if err != nil || len(raw) < sha256.Size || encoding.EncodeToString(raw) != token {
		return Link{}, ErrLink
	}
	said, proof := raw[:len(raw)-sha256.Size], raw[len(raw)-sha256.Size:]
	if !hmac.Equal(sum(s.tokens(), nil, said), proof) {
		return Link{}, ErrLink
	}
	l, ok := decode(said)
	if !ok || !now.Before(l.Expires) {
		return Link{}, ErrLink
	}
	return l, nil
}

// Mark is what only this key can write beside a text that belongs to the link, for a purpose. Marks of other texts,
// purposes and links differ.
func (s *Signer) Mark(l Link, purpose, text string) string {
	return encoding.EncodeToString(sum(s.marks(), nil, appendText(appendText(encode(l), purpose), text)))
}

// Marked says whether the mark is the one of [Signer.Mark], in a time that does not depend on where they differ.
func (s *Signer) Marked(l Link, purpose, text, mark string) bool {
	return hmac.Equal([]byte(s.Mark(l, purpose, text)), []byte(mark))
}

// sum appends the hash of what is said to the bytes before it.
func sum(h hash.Hash, before, said []byte) []byte {
	h.Write(said)
	return h.Sum(before)
}
