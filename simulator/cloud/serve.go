package cloud

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"time"
)

// operation is one call of one API.
type operation struct {
	name    string // in statistics and faults
	pattern string // for http.ServeMux
	scope   string // required of a scoped key; empty: no scope exists for the operation
	style   style
	write   bool
	guard   bool           // needs Atlassian Guard
	codes   map[int]string // error codes by status, if not the usual ones
	handle  func(*Cloud, *call) answer
}

// call is one request while it is served.
type call struct {
	*http.Request
	op     *operation
	body   []byte
	view   view
	scim   *scimDirectory // of a call of SCIM
	spoil  *spoiler
	writes []MembershipWrite
}

// scim reports whether the operation is one of a SCIM directory.
func (op *operation) scim() bool { return op.style == styleSCIM || op.style == stylePUT }

// base returns the URL of the organization API as the caller reached it.
func (r *call) base() string {
	scheme := "http"
	if r.TLS != nil {
		scheme = "https"
	}
	return scheme + "://" + r.Host + "/admin"
}

// decode reads the JSON body; an empty one leaves into unchanged.
func (r *call) decode(into any) bool {
	return len(strings.TrimSpace(string(r.body))) == 0 || json.Unmarshal(r.body, into) == nil
}

func (r *call) wrote(at instant, groupName, role, account string, changed bool) {
	r.writes = append(r.writes, MembershipWrite{Group: groupName, Role: role, Account: account, Changed: changed,
		At: timestamp(at)})
}

// maxBody is generous: a SCIM group may have tens of thousands of members.
const maxBody = 32 << 20

// serve handles one call: credentials, rate limit and faults come before the operation, in the order of a gateway.
func (c *Cloud) serve(op *operation, w http.ResponseWriter, r *http.Request) {
	c.stats.begin()
	status, in := dropped, &call{Request: r, op: op}
	defer func() { c.stats.end(op, status, in.writes) }()

	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		panic(http.ErrAbortHandler) // the caller is gone, or never stops sending
	}
	in.body = body
	var latency time.Duration
	c.locked(func() { latency = time.Duration(c.settings.Latency) })
	wait(r, latency)

	var out answer
	var refused bool
	spoil := &spoiler{c: c, in: in}
	in.spoil = spoil
	c.locked(func() {
		c.writePlanned()
		if c.misplaced(in) {
			c.stats.misplaced(op)
		}
		if out, refused = c.admit(in, w.Header()); !refused {
			spoil.faults = c.drawFaults(op.name)
		}
	})
	if !refused {
		spoil.before() // may drop the connection
		out, refused = spoil.instead(w.Header())
	}
	if !refused || spoil.does() {
		var own answer
		c.locked(func() { own = c.run(in, spoil) })
		if !refused {
			out = own
		}
	}
	spoil.after() // may drop the connection
	status = itoa(out.status)
	c.write(w, in, out, spoil)
}

// run does the operation on what the call may see.
func (c *Cloud) run(in *call, spoil *spoiler) answer {
	now := c.now()
	in.view = view{until: now - int64(c.settings.Lag), roles: now - int64(c.settings.RoleLag),
		records: now - int64(c.settings.SCIMLag)}
	spoil.age(&in.view)
	out := in.op.handle(c, in)
	if out.page != nil {
		spoil.page(out.page)
		out.body = out.page.render(out.page.items, out.page.next)
	}
	return out
}

func (c *Cloud) write(w http.ResponseWriter, in *call, out answer, spoil *spoiler) {
	for name, values := range out.header {
		w.Header()[name] = values
	}
	body := out.body
	var now instant
	c.locked(func() {
		if now = c.now(); out.problem != nil {
			body = in.op.style.render(out.status, *out.problem, in.URL.Path, c.freshID("error"), now)
		}
	})
	w.Header().Set("Date", time.Unix(0, now).UTC().Format(http.TimeFormat))
	contentType := "application/json"
	if in.op.scim() {
		contentType = "application/scim+json"
	}
	switch {
	case spoil.has(FaultGarbage):
		writeGarbage(w, out.status, body)
	case spoil.has(FaultHTML):
		writeHTML(w)
	case body == nil:
		w.WriteHeader(out.status)
	default:
		writeJSON(w, out.status, contentType, body)
	}
}

func (c *Cloud) locked(do func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	do()
}

// wait really sleeps, but not longer than the caller stays.
func wait(r *http.Request, d time.Duration) {
	if d <= 0 {
		return
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-r.Context().Done():
	}
}
