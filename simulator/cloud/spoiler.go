package cloud

import (
	"encoding/json"
	"net/http"
	"strings"
	"time"
)

// spoiler applies the faults that strike a call: before it, instead of it, on what it reads, on its page, and after it.
type spoiler struct {
	c      *Cloud
	in     *call
	faults []*fault
}

func (s *spoiler) find(kind string) *fault {
	for _, f := range s.faults {
		if f.Kind == kind {
			return f
		}
	}
	return nil
}

func (s *spoiler) has(kind string) bool { return s.find(kind) != nil }

// before delays the call, or drops it with nothing done.
func (s *spoiler) before() {
	if f := s.find(FaultLatency); f != nil {
		wait(s.in.Request, time.Duration(f.Params.Delay))
	}
	if f := s.find(FaultTimeoutBefore); f != nil {
		wait(s.in.Request, f.Params.hang())
		panic(http.ErrAbortHandler)
	}
}

// instead returns the error of a fault in place of the operation's answer.
func (s *spoiler) instead(header http.Header) (answer, bool) {
	if s.has(FaultExpireKey) {
		s.c.mu.Lock()
		defer s.c.mu.Unlock()
		token, _ := strings.CutPrefix(s.in.Header.Get("Authorization"), "Bearer ")
		if s.in.op.scim() {
			s.c.expireSCIMKey(token)
		} else {
			s.c.settings.Keys[token] = KeyExpired
		}
		return s.in.op.refuseAs(http.StatusUnauthorized, ""), true
	}
	if s.has(FaultHTML) {
		return answer{status: http.StatusBadGateway}, true
	}
	f := s.find(FaultStatus)
	if f == nil {
		return answer{}, false
	}
	out := s.in.op.refuseAs(f.Params.Status, "")
	out.problem.code = orElse(f.Params.Code, out.problem.code)
	if f.Params.RetryAfter != "" {
		header.Set("Retry-After", f.Params.RetryAfter)
	}
	return out, true
}

// does reports whether the operation is done although the answer is an error.
func (s *spoiler) does() bool {
	for _, f := range s.faults {
		if (f.Kind == FaultStatus || f.Kind == FaultHTML) && f.Params.Done {
			return true
		}
	}
	return false
}

// age makes the read see an old copy of all groups, or of some.
func (s *spoiler) age(v *view) {
	f := s.find(FaultStaleRead)
	if f == nil {
		return
	}
	v.older = v.until - int64(f.Params.Age)
	share := uint64(f.Params.share(1) * 1000)
	v.stale = func(g *group) bool { return s.c.chance(1000, "stale", itoa(int(f.Seed)), g.id) < share }
}

// keeps puts the attributes that the fault does not store back to what they were.
func (s *spoiler) keeps(p, before scimProfile) scimProfile {
	f := s.find(FaultKeptAttributes)
	if f == nil {
		return p
	}
	fields, old := jsonMembers(p), jsonMembers(before)
	for _, name := range f.Params.Attributes {
		delete(fields, name)
		if value, had := old[name]; had {
			fields[name] = value
		}
	}
	text, err := json.Marshal(fields)
	if err != nil {
		panic(err) // came from Unmarshal
	}
	var out scimProfile
	if err := json.Unmarshal(text, &out); err != nil {
		panic(err) // all of it came from profiles
	}
	return out
}

func (s *spoiler) page(p *page) {
	for _, f := range s.faults {
		switch f.Kind {
		case FaultEmptyPage:
			p.items = []any{}
		case FaultTruncatedPage:
			kept := []any{}
			for _, item := range p.items {
				if f.random.Float64() >= f.Params.share(0.5) {
					kept = append(kept, item)
				}
			}
			if len(kept) == len(p.items) && len(kept) > 0 {
				kept = kept[:len(kept)-1] // a truncated page lacks at least one item
			}
			p.items = kept
		case FaultRepeatedCursor:
			p.next = p.self
		case FaultTruncatedGroups:
			truncateGroups(p.items, f)
		case FaultTruncatedApps:
			truncateApps(p.items, f)
		case FaultCountsDisagree:
			for _, item := range p.items {
				if g, isGroup := item.(*groupJSON); isGroup && g.Counts != nil && g.Counts.Users != nil {
					off := f.Params.Off
					if off == 0 {
						off = 1
					}
					*g.Counts.Users = max(0, *g.Counts.Users+off)
				}
			}
		}
		if (f.Kind == FaultEmptyPage || f.Kind == FaultTruncatedPage) && f.Params.Next == "drop" {
			p.next = ""
		}
	}
}

func truncateGroups(items []any, f *fault) {
	for _, item := range items {
		if u, isUser := item.(*userJSON); isUser {
			truncate(u.Groups, f)
		}
	}
}

func truncateApps(items []any, f *fault) {
	for _, item := range items {
		if u, isUser := item.(*userJSON); isUser {
			truncate(u.ProductAccess, f)
		}
	}
}

// truncate drops the fault's share of a list, if the list was requested.
func truncate[T any](list *[]T, f *fault) {
	if list == nil {
		return
	}
	kept := []T{}
	for _, one := range *list {
		if f.random.Float64() >= f.Params.share(0.5) {
			kept = append(kept, one)
		}
	}
	*list = kept
}

// after drops the connection once the operation is done.
func (s *spoiler) after() {
	if f := s.find(FaultTimeoutAfter); f != nil {
		wait(s.in.Request, f.Params.hang())
		panic(http.ErrAbortHandler)
	}
}

// writeGarbage sends the first half of the response, like a proxy that died.
func writeGarbage(w http.ResponseWriter, status int, body any) {
	text, err := json.Marshal(body)
	if err != nil || len(text) < 8 {
		text = []byte(`{"data":[{"accountId":"7120`)
	}
	if status == http.StatusNoContent {
		status = http.StatusOK // a 204 cannot have a body
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(text[:len(text)/2]) // the caller is gone: nobody can be told
}

func writeHTML(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(http.StatusBadGateway)
	_, _ = w.Write([]byte("<!DOCTYPE html>\n<html><head><title>502 Bad Gateway</title></head><body><h1>502 Bad Gateway</h1></body></html>\n"))
}
