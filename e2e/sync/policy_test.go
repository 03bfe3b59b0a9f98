package sync_test

import (
	"encoding/json"
	"slices"

	"github.com/castellan-io/castellan/e2e/stack"
)

// policyFile is a policy as a test writes it. Fields left out take the defaults that are quickest to test with.
type policyFile struct {
	mappings []mapping
	guard    map[string]any // over the default guard
	more     map[string]any // over everything else: dryRun, ignore, …
	key      string         // secret reference; the simulator's key when empty
	id       string         // organization id; the simulator's when empty
}

// mapping is one mapping of a policy.
type mapping struct {
	Name     string   `json:"name"`
	From     []string `json:"from"`
	Except   []string `json:"except,omitempty"`
	To       []string `json:"to"`
	Create   bool     `json:"create,omitempty"`
	Removals string   `json:"removals,omitempty"`
	Adopt    bool     `json:"adopt,omitempty"`
}

// wide is a guard that lets everything through but the first run.
var wide = map[string]any{
	"flapping":   0,
	"settle":     "0s",
	"run":        map[string]any{"removals": 100000, "share": "100%"},
	"target":     map[string]any{"removals": 100000, "share": "100%"},
	"lastAccess": map[string]any{"people": 100000},
	"window":     map[string]any{"removals": 100000, "share": "100%"},
	"source":     map[string]any{"share": "100%"},
}

// adopting returns the policy with mappings that adopt whoever is in place already.
func (p policyFile) adopting() policyFile {
	p.mappings = slices.Clone(p.mappings)
	for i := range p.mappings {
		p.mappings[i].Adopt = true
	}
	return p
}

func (p policyFile) object(o *testOrg) map[string]any {
	key, id := p.key, p.id
	if key == "" {
		key = "env:" + stack.KeyVariable
	}
	if id == "" {
		id = o.Simulator.OrgID
	}
	guard := map[string]any{"settle": "0s"}
	for name, value := range p.guard {
		guard[name] = value
	}
	object := map[string]any{
		"version":      1,
		"organization": map[string]any{"name": org, "id": id, "key": key},
		"mappings":     p.mappings,
		"guard":        guard,
		"sync":         map[string]any{"feed": "5s", "every": "1h", "inFlight": 8},
	}
	for name, value := range p.more {
		object[name] = value
	}
	return object
}

// text returns the policy as a file: JSON, which is YAML too.
func (p policyFile) text(o *testOrg) string {
	text, err := json.MarshalIndent(p.object(o), "", "  ")
	if err != nil {
		panic(err) // only if a test writes what no JSON can hold
	}
	return string(text)
}
