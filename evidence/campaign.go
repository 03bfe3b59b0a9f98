package evidence

import (
	"fmt"

	"github.com/castellan-io/castellan/display"
)

// keys are the keys of an object of a campaign, and of the objects that stand under them.
type keys map[string]keys

// campaignKeys are all that a policy can say of a campaign: a pack has no others. One that a policy can say is never
// taken away, or packs from before could not be read any more.
var campaignKeys = keys{
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

// below is what may stand under a key.
func (k keys) below(key string) (keys, error) {
	under, known := k[key]
	if !known {
		return nil, fmt.Errorf("it says %q, which no campaign has", display.Shorten(key, mostName))
	}
	return under, nil
}
