package messages

import (
	"time"

	"github.com/castellan-io/castellan/access"
)

// Notice is a message to a person. It never goes through a workflow: it may contain a code or a link.
type Notice struct {
	// the same when the same notice is sent again: a receiver may drop the repeat
	ID   string    `json:"id"`
	Kind string    `json:"kind"` // for example grant-requested
	Org  string    `json:"org"`
	At   time.Time `json:"at"`
	// e-mail address of the one addressee; empty: whoever watches the channel
	To      string `json:"to,omitempty"`
	Subject string `json:"subject"`           // one line
	Text    string `json:"text"`              // what happened and what to do, in plain lines
	Command string `json:"command,omitempty"` // to type, without the code
	// an approver's or reviewer's code; only in channels that the addressee alone reads
	Code string `json:"code,omitempty"`
	// the addressee's personal page; only in such channels too
	Link     string             `json:"link,omitempty"`
	Workflow string             `json:"workflow,omitempty"` // to open in the Web UI
	Grant    string             `json:"grant,omitempty"`
	Review   string             `json:"review,omitempty"`
	Person   string             `json:"person,omitempty"`
	Target   access.Entitlement `json:"target,omitempty"`
}
