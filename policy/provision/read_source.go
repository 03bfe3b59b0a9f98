package provision

import (
	"cmp"
	"errors"
	"fmt"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/castellan-io/castellan/policy/attribute"
	"github.com/castellan-io/castellan/policy/condition"
	"github.com/castellan-io/castellan/policy/internal/form"
	"github.com/castellan-io/castellan/policy/internal/strictyaml"
)

// The bounds of both sections.
const (
	MaxSources    = 20
	MaxProvisions = 20
	maxList       = 100 // entries of one list
	maxPage       = 1000
	maxText       = strictyaml.MaxText // characters of one text or expression
)

// ReadSources reads the section sources.
func ReadSources(r *strictyaml.Reader, into *[]Source) strictyaml.Field {
	return r.List(MaxSources, func(n *yaml.Node, path string) { *into = append(*into, readSource(r, n, path)) })
}

func readSource(r *strictyaml.Reader, n *yaml.Node, path string) Source {
	s := Source{Link: LinkVerified, Quiet: DefaultQuiet}
	before := r.Count()
	r.Object(n, path, strictyaml.Fields{
		"name":    r.Checked(&s.Name, form.CheckShort),
		"kind":    strictyaml.OneOf(r, &s.Kind, Kinds()...),
		"url":     text(r, &s.URL),
		"secret":  form.Secret(r, &s.Secret),
		"key":     text(r, &s.Key),
		"email":   expression(r, &s.Email, attribute.CompileValue),
		"people":  readPeople(r, &s.People),
		"groups":  readGroups(r, &s.Groups),
		"enabled": strictyaml.Section(&s.Enabled, readEnabled(r)),
		"every":   form.Duration(r, &s.Every, minEvery, maxEvery),
		"stale":   form.Duration(r, &s.Stale, 2*minEvery, maxStale),
		"link":    strictyaml.OneOf(r, &s.Link, LinkVerified, LinkAny),

		"base":            text(r, &s.Base),
		"bind":            text(r, &s.Bind),
		"startTLS":        r.Flag(&s.StartTLS),
		"plaintext":       r.Flag(&s.Plaintext),
		"activeDirectory": r.Flag(&s.ActiveDirectory),
		"elsewhere":       texts(r, &s.Elsewhere),
		"pageSize":        r.Number(&s.PageSize, 1, maxPage),

		"folder":     r.Checked(&s.Folder, checkFolder),
		"peopleFile": r.Checked(&s.PeopleFile, checkFileName),
		"groupsFile": r.Checked(&s.GroupsFile, checkFileName),
		"lists":      readLists(r, &s.Lists),
		"separator":  r.Checked(&s.Separator, checkSeparator),
		"maxAge":     form.Duration(r, &s.MaxAge, 0, maxAge),

		"user":        text(r, &s.User),
		"clientId":    text(r, &s.ClientID),
		"keyId":       text(r, &s.KeyID),
		"events":      r.Flag(&s.Events),
		"tenant":      text(r, &s.Tenant),
		"certificate": form.Secret(r, &s.Certificate),
		"loginUrl":    text(r, &s.LoginURL),
		"subject":     r.Checked(&s.Subject, form.CheckEmail),
		"customer":    text(r, &s.Customer),
		"realm":       text(r, &s.Realm),
		"clientRealm": text(r, &s.ClientRealm),

		"valid":     form.Duration(r, &s.Valid, minValid, maxValid),
		"quiet":     form.Duration(r, &s.Quiet, minValid, maxQuiet),
		"issuer":    text(r, &s.Issuer),
		"audience":  text(r, &s.Audience),
		"recipient": text(r, &s.Recipient),
	}, "name", "kind")
	if s.Email == "" {
		s.Email = emailOf[s.Kind]
	}
	s.complete()
	if r.Count() == before {
		checkSource(r, s, path)
	}
	return s
}

// complete sets the times that the file does not.
func (s *Source) complete() {
	if s.Kind.Pushed() {
		if s.Kind == Feed {
			s.Valid = cmp.Or(s.Valid, DefaultValid)
		}
		return
	}
	s.Every, s.Quiet = cmp.Or(s.Every, DefaultEvery), 0
	s.Stale = cmp.Or(s.Stale, max(DefaultStale, 2*s.Every))
}

func readPeople(r *strictyaml.Reader, p *People) strictyaml.Field {
	return func(n *yaml.Node, path string) {
		r.Object(n, path, strictyaml.Fields{
			"base":       text(r, &p.Base),
			"filter":     text(r, &p.Filter),
			"attributes": texts(r, &p.Attributes),
			"scope":      expression(r, &p.Scope, attribute.CompileScope),
		})
	}
}

func readGroups(r *strictyaml.Reader, g *Groups) strictyaml.Field {
	return func(n *yaml.Node, path string) {
		r.Object(n, path, strictyaml.Fields{
			"base":    text(r, &g.Base),
			"filter":  text(r, &g.Filter),
			"names":   strictyaml.Set(r, &g.Names, maxList, checkGlob),
			"nested":  r.Flag(&g.Nested),
			"skip":    r.Flag(&g.Skip),
			"name":    text(r, &g.Name),
			"members": texts(r, &g.Members),

			"attribute": text(r, &g.Attribute),
		})
	}
}

func readEnabled(r *strictyaml.Reader) func(*yaml.Node, string) Enabled {
	return func(n *yaml.Node, path string) (e Enabled) {
		r.Object(n, path, strictyaml.Fields{
			"attribute": text(r, &e.Attribute),
			"bits":      r.Number(&e.Bits, 1, 1<<31-1),
			"column":    text(r, &e.Column),
			"yes":       texts(r, &e.Yes),
			"no":        texts(r, &e.No),
		})
		return e
	}
}

// readLists reads which columns hold several values.
func readLists(r *strictyaml.Reader, into *map[string]string) strictyaml.Field {
	return r.Names(maxList, func(column string, key, value *yaml.Node, path string) {
		if err := checkText(column); err != nil {
			r.Fail(key, path, "%s", err)
			return
		}
		if *into == nil {
			*into = map[string]string{}
		}
		var separator string
		r.Checked(&separator, checkListSeparator)(value, path)
		(*into)[column] = separator
	})
}

// expression reads and compiles an expression over what a source says of a person. What is wrong with it is reported at
// its place in the file.
func expression(r *strictyaml.Reader, into *string,
	compile func(string) (*attribute.Expression, error)) strictyaml.Field {
	return func(n *yaml.Node, path string) {
		before := r.Count()
		var written string
		if text(r, &written)(n, path); r.Count() > before {
			return
		}
		var wrong *condition.Error
		if _, err := compile(written); errors.As(err, &wrong) {
			r.FailWithin(n, path, wrong.Offset, "%s", err)
			return
		}
		*into = written
	}
}

// text reads a text that is not empty, and texts a list of them.
func text(r *strictyaml.Reader, into *string) strictyaml.Field { return r.Checked(into, checkText) }

func texts(r *strictyaml.Reader, into *[]string) strictyaml.Field {
	return strictyaml.Set(r, into, maxList, strictyaml.Kept(checkText))
}

func checkText(s string) error {
	switch {
	case strings.TrimSpace(s) == "":
		return errors.New("the text is empty; write one, or take the key away")
	case len(s) > maxText:
		return fmt.Errorf("the text has %d bytes; at most %d are allowed", len(s), maxText)
	}
	return nil
}

func checkGlob(s string) (string, error) {
	_, err := form.Compile(s)
	return s, err
}

func checkFolder(s string) error {
	if !form.IsAbsolute(s) {
		return fmt.Errorf("%q is not the absolute path of a folder; write one without . and .., such as /srv/castellan/hr",
			strictyaml.Shown(s))
	}
	return nil
}

func checkListSeparator(s string) error {
	if s == "" || len(s) > 10 {
		return fmt.Errorf("%q does not separate values; write what stands between them, such as a semicolon, in 1 to 10 characters", strictyaml.Shown(s))
	}
	return nil
}

func checkSeparator(s string) error {
	if s != "," && s != ";" && s != "\t" {
		return fmt.Errorf(`%q does not separate cells; write ",", ";" or "\t"`, strictyaml.Shown(s))
	}
	return nil
}
