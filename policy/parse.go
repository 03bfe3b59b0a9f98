package policy

import (
	"fmt"

	"github.com/castellan-io/castellan/policy/condition"
	"github.com/castellan-io/castellan/policy/internal/strictyaml"
)

// Parse reads a policy file in YAML or JSON, strictly, and applies the defaults. The error is of type Errors and holds
// every problem found, each with its place; name is the file's name in it. A key's value is never repeated in an error.
func Parse(name string, data []byte) (*Policy, error) { return parse(name, data, MaxFile) }

// ParseWritten is Parse for a policy as Policy.Canonical wrote it: with its defaults it is larger than the file was.
func ParseWritten(name string, data []byte) (*Policy, error) { return parse(name, data, 8*MaxFile) }

func parse(name string, data []byte, most int) (*Policy, error) {
	if len(data) > most {
		return nil, Errors{{File: name,
			Message: fmt.Sprintf("the file has %d bytes; a policy file has at most %d", len(data), most)}}
	}
	file, root, err := strictyaml.Open(name, data, "policy")
	if err != nil {
		return nil, err
	}
	r := &reader{Reader: file, conditions: map[string]*condition.Condition{}}
	p := r.policy(root)
	r.check(p)
	if err := r.Err(); err != nil {
		return nil, err
	}
	p.conditions = r.conditions
	return p, nil
}

// Problem is one mistake in a file: where it stands and what to do about it.
type Problem = strictyaml.Problem

// Errors is every problem of a file, in the order of the file.
type Errors = strictyaml.Errors

// reader reads a policy file.
type reader struct {
	*strictyaml.Reader
	entries    int                             // entries of mapping lists read so far
	conditions map[string]*condition.Condition // compiled so far, by text
	words      int                             // characters of all conditions so far
	loops      int                             // conditions that go through lists so far
	patterns   int                             // steps of regular expressions so far
	mentions   []mention                       // of identity sources in conditions
}
