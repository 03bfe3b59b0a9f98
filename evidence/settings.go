package evidence

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/castellan-io/castellan/display"
)

// setting is one line of a campaign: where in it, and what it says there.
type setting struct{ Name, Value string }

const (
	// deepest is how far a campaign may be nested.
	deepest = 16
	// mostName is how many bytes of a setting's name are shown, so that what is shown does not outgrow what was read.
	mostName = 200
)

// settingsOf reads a campaign in the order in which it says things. It refuses what two readers could read differently.
func settingsOf(campaign json.RawMessage) ([]setting, error) {
	if !utf8.Valid(campaign) {
		return nil, errors.New("the campaign is not UTF-8")
	}
	s := settings{in: json.NewDecoder(bytes.NewReader(campaign))}
	s.in.UseNumber()
	token, err := s.in.Token()
	if err == nil && token != json.Delim('{') {
		err = errors.New("it is no JSON object")
	}
	if err == nil {
		err = s.object("", campaignKeys, 0)
	}
	if err == nil && s.in.More() {
		err = errors.New("something comes after it")
	}
	if err != nil {
		return nil, fmt.Errorf("the campaign cannot be read: %w", err)
	}
	return s.all, nil
}

type settings struct {
	in  *json.Decoder
	all []setting
}

func (s *settings) object(name string, known keys, depth int) error {
	seen := make(map[string]bool)
	for s.in.More() {
		token, err := s.in.Token()
		if err != nil {
			return err
		}
		key, _ := token.(string)
		if seen[key] {
			return fmt.Errorf("it says %q twice", display.Shorten(key, mostName))
		}
		seen[key] = true
		under, err := known.below(key)
		if err != nil {
			return err
		}
		below := key
		if name != "" {
			below = name + "." + key
		}
		if err := s.value(display.Shorten(below, mostName), under, depth+1); err != nil {
			return err
		}
	}
	if len(seen) == 0 && depth > 0 {
		s.all = append(s.all, setting{name, "nothing"})
	}
	_, err := s.in.Token()
	return err
}

// array shows plain values on one line, and others each on lines of its own.
func (s *settings) array(name string, known keys, depth int) error {
	var plain []string
	n := 0
	for ; s.in.More(); n++ {
		token, err := s.in.Token()
		if err != nil {
			return err
		}
		if _, nested := token.(json.Delim); !nested {
			plain = append(plain, plainly(token))
			continue
		}
		if err := s.nested(token, display.Shorten(name+" "+strconv.Itoa(n+1), mostName), known, depth+1); err != nil {
			return err
		}
	}
	switch {
	case n == 0:
		s.all = append(s.all, setting{name, "nothing"})
	case len(plain) > 0:
		s.all = append(s.all, setting{name, strings.Join(plain, ", ")})
	}
	_, err := s.in.Token()
	return err
}

func (s *settings) value(name string, known keys, depth int) error {
	token, err := s.in.Token()
	if err != nil {
		return err
	}
	if _, nested := token.(json.Delim); nested {
		return s.nested(token, name, known, depth)
	}
	s.all = append(s.all, setting{name, plainly(token)})
	return nil
}

func (s *settings) nested(token json.Token, name string, known keys, depth int) error {
	if depth > deepest {
		return fmt.Errorf("it is nested more than %d deep", deepest)
	}
	if token == json.Delim('{') {
		return s.object(name, known, depth)
	}
	return s.array(name, known, depth)
}

// plainly is a plain JSON value as people write it.
func plainly(token json.Token) string {
	switch token := token.(type) {
	case bool:
		if token {
			return "yes"
		}
		return "no"
	case nil:
		return "nothing"
	}
	return fmt.Sprint(token)
}
