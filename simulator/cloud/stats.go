package cloud

import (
	"maps"
	"sync"
)

// Stats counts calls since the start or the last reset.
type Stats struct {
	Calls      int            `json:"calls"`
	Operations map[string]int `json:"operations"` // calls by operation
	// responses by status; "dropped" for a connection that was cut
	Statuses     map[string]int            `json:"statuses"`
	ByOperation  map[string]map[string]int `json:"byOperation"`  // both together
	Writes       int                       `json:"writes"`       // calls of operations that write
	PeakInFlight int                       `json:"peakInFlight"` // most concurrent calls
	// Misplaced counts, by operation, the calls that carried an account's id where only records of SCIM are known, or
	// the reverse.
	Misplaced map[string]int `json:"misplaced"`
	// WritesByMembership has one entry for each person and group (or role) of a write, in order.
	WritesByMembership []MembershipWrite `json:"writesByMembership"`
}

// MembershipWrite is one write concerning one person.
type MembershipWrite struct {
	Operation string `json:"operation"`
	Group     string `json:"group,omitempty"` // name
	Role      string `json:"role,omitempty"`  // for writes that concern a role instead of a group
	Account   string `json:"account"`
	Status    string `json:"status"`  // of the response; "dropped" if the connection was cut after the write
	Changed   bool   `json:"changed"` // whether the write changed anything
	At        string `json:"at"`
}

const dropped = "dropped"

// stats has its own lock: counting must not wait for a slow read.
type stats struct {
	mu       sync.Mutex
	inFlight int
	Stats
}

func (s *stats) begin() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.inFlight++
	s.PeakInFlight = max(s.PeakInFlight, s.inFlight)
}

func (s *stats) end(op *operation, status string, writes []MembershipWrite) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.inFlight--
	if s.Operations == nil {
		s.Operations, s.Statuses, s.ByOperation = map[string]int{}, map[string]int{}, map[string]map[string]int{}
	}
	if s.ByOperation[op.name] == nil {
		s.ByOperation[op.name] = map[string]int{}
	}
	s.Calls++
	s.Operations[op.name]++
	s.Statuses[status]++
	s.ByOperation[op.name][status]++
	if op.write {
		s.Writes++
	}
	for _, w := range writes {
		w.Operation, w.Status = op.name, status
		s.WritesByMembership = append(s.WritesByMembership, w)
	}
}

func (s *stats) reset() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.Stats = Stats{PeakInFlight: s.inFlight}
}

// misplaced counts a call that carried the id of the wrong kind.
func (s *stats) misplaced(op *operation) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.Misplaced == nil {
		s.Misplaced = map[string]int{}
	}
	s.Misplaced[op.name]++
}

// Stats returns a copy of the counts so far.
func (c *Cloud) Stats() Stats {
	c.stats.mu.Lock()
	defer c.stats.mu.Unlock()
	out := c.stats.Stats
	out.Operations, out.Statuses = nonNil(maps.Clone(out.Operations)), nonNil(maps.Clone(out.Statuses))
	out.Misplaced = nonNil(maps.Clone(out.Misplaced))
	out.ByOperation = map[string]map[string]int{}
	for name, counts := range c.stats.ByOperation {
		out.ByOperation[name] = maps.Clone(counts)
	}
	out.WritesByMembership = append([]MembershipWrite{}, out.WritesByMembership...)
	return out
}

func nonNil(m map[string]int) map[string]int {
	if m == nil {
		return map[string]int{}
	}
	return m
}
