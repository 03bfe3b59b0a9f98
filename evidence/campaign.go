package evidence

import (
	"fmt"

	"github.com/castellan-io/castellan/display"
)

// keyTree is the set of an object's keys, each with the keys of the objects below it.
type keyTree map[string]keyTree

// campaignKeys are all keys that a campaign may have. None is ever removed, or old packs could not be read.
var campaignKeys = keyTree{
	"name": nil, "description": nil, "owner": nil, "schedule": nil, "zone": nil,
	"scope":  {"targets": nil, "people": nil, "only": nil},
	"owners": {"targets": nil, "by": nil},
	"stages": {
		"reviewers": nil, "assign": nil, "fallback": nil, "fallbackAfter": nil, "escalate": nil, "length": nil,
		"next": nil,
	},
	"reminders": nil, "silence": nil, "silenceOf": {"targets": nil, "do": nil},
	"delegates": nil, "apply": nil, "most": nil, "deny": nil, "keep": nil, "codes": nil, "patience": nil,
}

func (k keyTree) child(key string) (keyTree, error) {
	under, known := k[key]
	if !known {
		return nil, fmt.Errorf("it has the key %q, which no campaign has", display.Shorten(key, maxNameLength))
	}
	return under, nil
}
