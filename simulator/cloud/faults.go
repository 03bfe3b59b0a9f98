package cloud

import (
	"fmt"
	"math/rand/v2"
	"path"
	"slices"
	"time"
)

// The kinds of fault.
const (
	FaultEmptyPage       = "emptyPage"       // 200 with no items
	FaultTruncatedPage   = "truncatedPage"   // items are missing
	FaultTruncatedGroups = "truncatedGroups" // the users are there, some of their expanded groups are not
	FaultTruncatedApps   = "truncatedApps"   // likewise for the apps that they have access to
	FaultRepeatedCursor  = "repeatedCursor"  // the next cursor leads to the same page again
	FaultStatus          = "status"          // an error, in the API's own shape
	FaultHTML            = "html"            // 502 with an HTML page
	FaultGarbage         = "garbage"         // the operation is done, its response is broken JSON
	FaultTimeoutBefore   = "timeoutBefore"   // nothing is done and the connection drops
	FaultTimeoutAfter    = "timeoutAfter"    // the operation is done and the connection drops
	FaultLatency         = "latency"         // a slow answer
	FaultStaleRead       = "staleRead"       // an old copy of the memberships is read
	FaultCountsDisagree  = "countsDisagree"  // counts.users of groups is wrong
	FaultExpireKey       = "expireKey"       // the caller's key expires with this call
	FaultUnstored        = "unstored"        // a PATCH or PUT of SCIM answers as if it were done, and stores nothing
	FaultKeptAttributes  = "keptAttributes"  // a PATCH or PUT of a SCIM user answers 200, and keeps some attributes
)

var faultKinds = []string{FaultEmptyPage, FaultTruncatedPage, FaultTruncatedGroups, FaultTruncatedApps,
	FaultRepeatedCursor, FaultStatus, FaultHTML, FaultGarbage,
	FaultTimeoutBefore, FaultTimeoutAfter, FaultLatency, FaultStaleRead, FaultCountsDisagree, FaultExpireKey,
	FaultUnstored, FaultKeptAttributes}

// Fault is what goes wrong, where and how often.
type Fault struct {
	ID          string      `json:"id"`          // set by the simulator if empty
	Operations  []string    `json:"operations"`  // patterns such as users.search or scim.*; default *
	Kind        string      `json:"kind"`        // one of the Fault constants
	Probability float64     `json:"probability"` // 0..1; 0 means always
	Count       int         `json:"count"`       // how many times at most; 0 means without end
	After       int         `json:"after"`       // how many matching calls pass first
	Seed        uint64      `json:"seed"`        // of its random choices
	Params      FaultParams `json:"params"`
	Matched     int         `json:"matched"` // calls that it could have struck; set by the simulator
	Struck      int         `json:"struck"`  // calls that it struck; set by the simulator
}

// FaultParams are the parameters; each kind uses its own.
type FaultParams struct {
	// emptyPage, truncatedPage: keep (default) or drop the next cursor
	Next string `json:"next,omitempty"`
	// truncated…: share of items that is lost, default 0.5; staleRead: share of groups that is stale, default all
	Share      float64 `json:"share,omitempty"`
	Status     int     `json:"status,omitempty"`     // status: default 500
	Code       string  `json:"code,omitempty"`       // status: error code instead of the usual one
	RetryAfter string  `json:"retryAfter,omitempty"` // status: value of the Retry-After header
	Done       bool    `json:"done,omitempty"`       // status, html: the operation is done all the same
	// timeoutBefore, timeoutAfter: how long before the connection drops
	Hang  Duration `json:"hang,omitempty"`
	Delay Duration `json:"delay,omitempty"` // latency
	Age   Duration `json:"age,omitempty"`   // staleRead: how old the copy is
	Off   int      `json:"off,omitempty"`   // countsDisagree: by how much, default 1
	// keptAttributes: names such as title, department, active, emails, name
	Attributes []string `json:"attributes,omitempty"`
}

type fault struct {
	Fault
	random *rand.Rand
}

// Inject activates a fault and returns its ID.
func (c *Cloud) Inject(f Fault) (string, error) {
	if !slices.Contains(faultKinds, f.Kind) {
		return "", fmt.Errorf("fault kind %q is unknown; write one of %v", f.Kind, faultKinds)
	}
	if len(f.Operations) == 0 {
		f.Operations = []string{"*"}
	}
	for _, pattern := range f.Operations {
		if _, err := path.Match(pattern, "users.search"); err != nil {
			return "", fmt.Errorf("operations: pattern %q: %w", pattern, err)
		}
	}
	if f.Probability < 0 || f.Probability > 1 || f.Params.Share < 0 || f.Params.Share > 1 {
		return "", fmt.Errorf("probability %v, share %v: write numbers from 0 to 1", f.Probability, f.Params.Share)
	}
	if f.Params.Next != "" && f.Params.Next != "keep" && f.Params.Next != "drop" {
		return "", fmt.Errorf("params.next %q: write keep or drop", f.Params.Next)
	}
	if f.Kind == FaultKeptAttributes && len(f.Params.Attributes) == 0 {
		return "", fmt.Errorf("params.attributes: name those that a write does not store, for example title")
	}
	if f.Kind == FaultStatus && f.Params.Status == 0 {
		f.Params.Status = 500
	}
	if s := f.Params.Status; s != 0 && (s < 400 || s > 599) {
		return "", fmt.Errorf("params.status %d: write an error status, 400 to 599", s)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if f.ID == "" {
		f.ID = c.freshID("fault")
	}
	f.Matched, f.Struck = 0, 0
	c.faults = slices.DeleteFunc(c.faults, func(old *fault) bool { return old.ID == f.ID })
	c.faults = append(c.faults, &fault{Fault: f, random: rand.New(rand.NewPCG(f.Seed, 0xfa17))})
	return f.ID, nil
}

// ClearFaults removes one fault, or all if id is empty, and returns how many there were.
func (c *Cloud) ClearFaults(id string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	before := len(c.faults)
	c.faults = slices.DeleteFunc(c.faults, func(f *fault) bool { return id == "" || f.ID == id })
	return before - len(c.faults)
}

// drawFaults returns the faults that strike this call.
func (c *Cloud) drawFaults(operation string) (struck []*fault) {
	for _, f := range c.faults {
		matches := slices.ContainsFunc(f.Operations,
			func(pattern string) bool { hit, _ := path.Match(pattern, operation); return hit })
		if !matches {
			continue
		}
		f.Matched++
		switch {
		case f.Matched <= f.After, f.Count > 0 && f.Struck >= f.Count:
		case f.Probability > 0 && f.random.Float64() >= f.Probability:
		default:
			f.Struck++
			struck = append(struck, f)
		}
	}
	return struck
}

func (p FaultParams) share(otherwise float64) float64 {
	if p.Share == 0 {
		return otherwise
	}
	return p.Share
}

func (p FaultParams) hang() time.Duration { return time.Duration(p.Hang) }
