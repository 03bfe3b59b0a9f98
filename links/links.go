// Package links makes and reads the personal links by which reviewers enter their page.
//
// A token names the reviewer, the review, and the time of its expiry, and carries a keyed hash over them. So nothing
// has to be stored to recognize a good one; whoever issues links has to remember, by their IDs, which were revoked. A
// token is not encrypted: whoever has it can read it.
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

// Link gives one person access to one review.
type Link struct {
	ID       string // from NewID, to remember it by
	Org      string
	Review   string
	Reviewer string    // e-mail address or account ID, of any characters
	Expires  time.Time // from this instant on it is refused; kept to the second
}

// NewID returns a new link's ID: random, of at least 128 bits.
func NewID() string { return rand.Text() }

// ErrLink is the error for every bad token, whatever is wrong with it: whoever tries tokens learns nothing.
var ErrLink = errors.New("the link opens nothing: it is not one of ours, or has expired")

// ShortestKey is the length of the shortest key, in characters.
const ShortestKey = 32

// LongestToken is the length of the longest token that is read, in characters: room for some 1,400 bytes of text, and
// it fits a cookie.
const LongestToken = 2048

// Signer makes and verifies tokens. It may be used by several goroutines at once.
type Signer struct {
	// Functions rather than keys, so that printing a Signer shows no key.
	tokens func() hash.Hash
	marks  func() hash.Hash
}

// NewSigner returns a signer with the key, a secret of at least [ShortestKey] characters. It must be random: whoever
// can guess it can make links.
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

// derive returns a separate key for each use, so that a signature for one is never accepted for another.
func derive(key []byte, label string) (func() hash.Hash, error) {
	derived, err := hkdf.Key(sha256.New, key, nil, label, sha256.Size)
	if err != nil {
		return nil, fmt.Errorf("derive the key of links: %w", err)
	}
	return func() hash.Hash { return hmac.New(sha256.New, derived) }, nil
}

// encoding is strict but skips line ends: therefore Read also compares the token with the encoding of what it decoded.
var encoding = base64.RawURLEncoding.Strict()

// Token returns the link in letters, digits, dashes and underscores: its encoding, and the HMAC-SHA256 over that. Read
// refuses one of more than [LongestToken] characters.
func (s *Signer) Token(l Link) string {
	said := encode(l)
	return encoding.EncodeToString(sum(s.tokens(), said, said))
}

// Read returns the link of a token that this key signed and that has not expired. The error is always [ErrLink].
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

// Mark returns a keyed hash of a text that belongs to the link, for a purpose. Marks of other texts, purposes and links
// differ.
func (s *Signer) Mark(l Link, purpose, text string) string {
	return encoding.EncodeToString(sum(s.marks(), nil, appendText(appendText(encode(l), purpose), text)))
}

// VerifyMark reports whether the mark is that of [Signer.Mark], in constant time.
func (s *Signer) VerifyMark(l Link, purpose, text, mark string) bool {
	return hmac.Equal([]byte(s.Mark(l, purpose, text)), []byte(mark))
}

// sum appends the hash of the data to the bytes before it.
func sum(h hash.Hash, before, said []byte) []byte {
	h.Write(said)
	return h.Sum(before)
}
