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

// setting is one value of a campaign, with its path.
type setting struct{ Name, Value string }

const (
	// maxDepth is how deep a campaign may be nested.
	maxDepth = 16
	// maxNameLength is how many bytes of a setting's path are shown, so that the output does not outgrow the input.
	maxNameLength = 200
)

// readSettings reads a campaign's settings in their order. It refuses JSON that two readers could read differently.
func readSettings(campaign json.RawMessage) ([]setting, error) {
	if !utf8.Valid(campaign) {
		return nil, errors.New("the campaign is not UTF-8")
	}
	s := settingsReader{in: json.NewDecoder(bytes.NewReader(campaign))}
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

type settingsReader struct {
	in  *json.Decoder
	all []setting
}

func (s *settingsReader) object(name string, known keyTree, depth int) error {
	seen := make(map[string]bool)
	for s.in.More() {
		token, err := s.in.Token()
		if err != nil {
			return err
		}
		key, _ := token.(string)
		if seen[key] {
			return fmt.Errorf("it has the key %q twice", display.Shorten(key, maxNameLength))
		}
		seen[key] = true
		under, err := known.child(key)
		if err != nil {
			return err
		}
		below := key
		if name != "" {
			below = name + "." + key
		}
		if err := s.value(display.Shorten(below, maxNameLength), under, depth+1); err != nil {
			return err
		}
	}
	if len(seen) == 0 && depth > 0 {
		s.all = append(s.all, setting{name, "nothing"})
	}
	_, err := s.in.Token()
	return err
}

// array puts scalar values on one line, and each other value on lines of its own.
func (s *settingsReader) array(name string, known keyTree, depth int) error {
	var plain []string
	n := 0
	for ; s.in.More(); n++ {
		token, err := s.in.Token()
		if err != nil {
			return err
		}
		if _, nested := token.(json.Delim); !nested {
			plain = append(plain, plainText(token))
			continue
		}
		if err := s.nested(token, display.Shorten(name+" "+strconv.Itoa(n+1), maxNameLength), known, depth+1); err != nil {
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

func (s *settingsReader) value(name string, known keyTree, depth int) error {
	token, err := s.in.Token()
	if err != nil {
		return err
	}
	if _, nested := token.(json.Delim); nested {
		return s.nested(token, name, known, depth)
	}
	s.all = append(s.all, setting{name, plainText(token)})
	return nil
}

func (s *settingsReader) nested(token json.Token, name string, known keyTree, depth int) error {
	if depth > maxDepth {
		return fmt.Errorf("it is nested more than %d deep", maxDepth)
	}
	if token == json.Delim('{') {
		return s.object(name, known, depth)
	}
	return s.array(name, known, depth)
}

// plainText returns a scalar JSON value as text.
func plainText(token json.Token) string {
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
