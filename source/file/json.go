package file

import (
	"errors"
	"fmt"
	"io"
	"regexp"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/castellan-io/castellan/source"
	"github.com/castellan-io/castellan/source/internal/reading"
)

type jsonPerson struct {
	Key        jsonKey            `json:"key"`
	Enabled    *bool              `json:"enabled"`
	Attributes reading.Attributes `json:"attributes"`
}

type jsonGroup struct {
	Key     jsonKey   `json:"key"`
	Name    string    `json:"name"`
	Members []jsonKey `json:"members"`
}

// jsonKey is a key, which systems that count people write as a number.
type jsonKey string

var wholeNumber = regexp.MustCompile(`^-?[0-9]+$`)

func (k *jsonKey) UnmarshalJSONFrom(d *jsontext.Decoder) error {
	value, err := d.ReadValue()
	if err != nil {
		return err
	}
	if value.Kind() == '0' && wholeNumber.Match(value) {
		*k = jsonKey(value)
		return nil
	}
	if value.Kind() != '"' {
		return errors.New("a key must be a string or a whole number")
	}
	return json.Unmarshal(value, (*string)(k))
}

// readJSON takes people and groups one by one as they come.
func readJSON(o *opened, read *reading.Reading) error {
	text := &portions{o.text, maxItem}
	d := jsontext.NewDecoder(text)
	err := members(d, map[string]func() error{
		"people": func() error {
			return items(d, func(p jsonPerson) error {
				text.left = maxItem
				o.rows++
				person := source.Identity{Key: string(p.Key), Enabled: p.Enabled, Attributes: p.Attributes}
				return numbered("person", o.rows, read.Person(person))
			})
		},
		"groups": func() error {
			return items(d, func(g jsonGroup) error {
				text.left = maxItem
				o.groups++
				group := source.Group{Key: string(g.Key), Name: g.Name}
				if g.Members == nil {
					return fmt.Errorf(`%w: the group %.100q does not say its "members"`, source.ErrMalformed, g.Key)
				}
				for _, member := range g.Members {
					group.Members = append(group.Members, string(member))
				}
				return numbered("group", o.groups, read.Group(group))
			})
		},
	})
	var taken *takenError
	if errors.As(err, &taken) && !errors.Is(err, source.ErrMalformed) {
		return taken.err
	}
	var syntax *jsontext.SyntacticError
	var semantic *json.SemanticError
	switch {
	case err == nil:
		return nil
	case taken == nil && !errors.As(err, &syntax) && !errors.As(err, &semantic):
		err = fmt.Errorf("at %q: %w", d.StackPointer(), err)
	}
	return unreadable(o.name, err)
}

// numbered says which one was refused. Errors of the page's taker stay as they are.
func numbered(what string, n int, err error) error {
	if errors.Is(err, source.ErrMalformed) {
		return fmt.Errorf("%s %d: %w", what, n, err)
	}
	return err
}

// takenError is what the read said of something that was decoded.
type takenError struct{ err error }

func (e *takenError) Error() string { return e.err.Error() }
func (e *takenError) Unwrap() error { return e.err }

// members reads one object and nothing after it. All those of want must be in it; others are ignored.
func members(d *jsontext.Decoder, want map[string]func() error) error {
	if err := token(d, '{'); err != nil {
		return err
	}
	for d.PeekKind() != '}' {
		name, err := d.ReadToken()
		if err != nil {
			return err
		}
		read, wanted := want[name.String()]
		if !wanted {
			read = d.SkipValue
		}
		delete(want, name.String())
		if err = read(); err != nil {
			return err
		}
	}
	if err := token(d, '}'); err != nil {
		return err
	}
	for name := range want {
		return fmt.Errorf("it has no %q; where there are none, it says so by an empty list", name)
	}
	if _, err := d.ReadToken(); err == nil {
		return errors.New("something follows the JSON object")
	} else if err != io.EOF {
		return err
	}
	return nil
}

func items[T any](d *jsontext.Decoder, use func(T) error) error {
	if err := token(d, '['); err != nil {
		return err
	}
	for d.PeekKind() != ']' {
		var item T
		if err := json.UnmarshalDecode(d, &item, json.RejectUnknownMembers(true)); err != nil {
			return err
		}
		if err := use(item); err != nil {
			return &takenError{err}
		}
	}
	return token(d, ']')
}

func token(d *jsontext.Decoder, want jsontext.Kind) error {
	got, err := d.ReadToken()
	if err != nil {
		return err
	}
	if got.Kind() != want {
		return fmt.Errorf("%s was expected", want)
	}
	return nil
}
