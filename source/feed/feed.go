// Package feed reads what a source that is not read posts of one person: a JSON object, or a SAML assertion that the
// identity provider signed. Whether a post is from who it says is for the caller to check; assertions are checked here.
package feed

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/castellan-io/castellan/source"
	"github.com/castellan-io/castellan/source/internal/reading"
)

// Statement is what a source states of one person: all of it, with every group that they are in. Of others it says
// nothing.
type Statement struct {
	Person source.Identity
	Groups []string  // names, sorted and each once
	At     time.Time // when it was so
	ID     string    // of the message; "": it has none
}

// The bounds of a statement, besides those of package source. Beyond them it is refused, never cut.
const (
	MaxGroups = 1000
	MaxID     = 255 // bytes
)

// Code says why a statement was refused. The codes are stable.
type Code string

// The codes.
const (
	Malformed      Code = "malformed"      // it is not what a post looks like
	BadPerson      Code = "person"         // no key, or more than is taken of a person
	BadGroups      Code = "groups"         // not said, too many, or a name that is none
	BadTime        Code = "at"             // no time
	NoAssertion    Code = "assertion"      // no response of an identity provider, or not one assertion
	Encrypted      Code = "encrypted"      // the assertion is encrypted
	BadSignature   Code = "signature"      // not signed by the identity provider
	BadIssuer      Code = "issuer"         // from somebody else
	BadAudience    Code = "audience"       // for another application
	BadRecipient   Code = "recipient"      // addressed to somebody else
	Expired        Code = "expired"        // too old, or from the future
	NoKey          Code = "key"            // it does not say who the person is for ever
	BadCertificate Code = "no-certificate" // the identity provider's certificate cannot be used
)

// Refusal is why something is no statement that counts. It says nothing of what was posted.
type Refusal struct {
	Code Code
	Why  string // and what to do
}

func (r *Refusal) Error() string { return r.Why }

func refuse(code Code, format string, args ...any) error {
	return &Refusal{code, fmt.Sprintf(format, args...)}
}

// ReadPost reads the body of a post. The error is a *Refusal.
func ReadPost(body []byte) (Statement, error) {
	var post struct {
		Person reading.Attributes `json:"person"`
		Groups []string           `json:"groups"`
		At     time.Time          `json:"at"`
		ID     string             `json:"id"`
	}
	if err := json.Unmarshal(body, &post, json.RejectUnknownMembers(true)); err != nil {
		return Statement{}, refuse(Malformed, `the body is not {"person": {"key": …}, "groups": […], "at": …} in JSON%s`,
			place(err))
	}
	switch {
	case post.Person == nil:
		return Statement{}, refuse(BadPerson, `person is missing: write {"key": …, "email": …} and what else is known`)
	case post.Groups == nil:
		return Statement{}, refuse(BadGroups, "groups is missing: list every group that the person is in, and write [] for none")
	case len(post.ID) > MaxID || !utf8.ValidString(post.ID):
		return Statement{}, refuse(Malformed, "id has more than %d bytes", MaxID)
	}
	s := Statement{Groups: post.Groups, At: post.At, ID: post.ID}
	var err error
	if s.Person, err = personOf(post.Person); err != nil {
		return Statement{}, err
	}
	return s.checked()
}

// place says where a body is wrong. It does not repeat what stands there.
func place(err error) string {
	var syntactic *jsontext.SyntacticError
	var semantic *json.SemanticError
	switch {
	case errors.As(err, &syntactic):
		return fmt.Sprintf(" (byte %d)", syntactic.ByteOffset)
	case errors.As(err, &semantic):
		return fmt.Sprintf(" (byte %d)", semantic.ByteOffset)
	}
	return ""
}

// personOf takes key and enabled out of what is said of a person: everything else are attributes.
func personOf(all map[string]any) (p source.Identity, err error) {
	var is bool
	if p.Key, is = all["key"].(string); !is {
		return p, refuse(BadPerson, "person.key is missing, or no text: write what identifies the person for ever")
	}
	if said, given := all["enabled"]; given {
		enabled, is := said.(bool)
		if !is {
			return p, refuse(BadPerson, "person.enabled is neither true nor false")
		}
		p.Enabled = &enabled
	}
	delete(all, "key")
	delete(all, "enabled")
	p.Attributes = all
	return p, nil
}

// Check refuses a person who is beyond the bounds. The error is a *Refusal.
func Check(p source.Identity) error {
	if err := reading.Person(p); err != nil {
		return refuse(BadPerson, "the person has no usable key (one line of at most %d bytes), or more is said of them than is taken: an attribute has at most %d bytes, all of them %d",
			source.MaxKey, source.MaxAttribute, source.MaxIdentity)
	}
	return nil
}

// checked returns the statement if it is within the bounds.
func (s Statement) checked() (Statement, error) {
	if err := Check(s.Person); err != nil {
		return Statement{}, err
	}
	if s.At.Year() < 2000 || s.At.Year() > 9999 {
		return Statement{}, refuse(BadTime, "at is missing: write when this was so, such as 2026-12-01T09:30:00Z")
	}
	s.At = s.At.UTC()
	if len(s.Groups) > MaxGroups {
		return Statement{}, refuse(BadGroups, "there are %d groups, and at most %d are taken: post those that matter here", len(s.Groups),
			MaxGroups)
	}
	names := make([]string, 0, len(s.Groups))
	for _, name := range s.Groups {
		name = strings.TrimSpace(name)
		if name == "" || len(name) > source.MaxName || !utf8.ValidString(name) ||
			strings.ContainsFunc(name, unicode.IsControl) {
			return Statement{}, refuse(BadGroups, "the name of a group is empty, has more than %d bytes or is not one line of text",
				source.MaxName)
		}
		names = append(names, name)
	}
	slices.Sort(names)
	s.Groups = slices.Compact(names)
	return s, nil
}
