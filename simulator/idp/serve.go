package idp

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// answer is what a dialect says to one call.
type answer struct {
	status int // default 200
	header http.Header
	body   any
}

// call is a request with the fault that it meets.
type call struct {
	*http.Request
	fault *Fault
	page  int // items of a page at most; 0: as many as are asked for
}

func (c call) query(name string) string { return c.URL.Query().Get(name) }

// number is a query parameter, or the default; never more than most.
func (c call) number(name string, or, most int) int {
	n, err := strconv.Atoi(c.query(name))
	if err != nil || n < 0 {
		n = or
	}
	return min(n, most)
}

// here is the address of the call, with other query parameters.
func (c call) here(set map[string]string) string {
	query := c.URL.Query()
	for name, value := range set {
		query.Set(name, value)
	}
	host := c.Host
	if c.fault.Host != "" {
		host = c.fault.Host
	}
	return (&url.URL{Scheme: "http", Host: host, Path: c.URL.Path, RawQuery: query.Encode()}).String()
}

// serve makes a handler of what a dialect says. Denied is what it answers without a valid token.
func (d *Directory) serve(denied answer, say func(call) answer) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		started := time.Now()
		c := call{r, d.hit(r), d.options.Page}
		if c.fault.Do != nil {
			c.fault.Do()
		}
		a := denied
		if d.authorized(r) {
			d.mu.Lock()
			a = say(c)
			d.mu.Unlock()
		}
		body, err := json.Marshal(a.body)
		if err != nil {
			panic(err)
		}
		rest := d.options.Latency + c.fault.Delay - time.Since(started)
		if !wait(r.Context(), rest) {
			return
		}
		d.write(w, c.fault, a, body)
	}
}

func wait(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return true
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

func (d *Directory) write(w http.ResponseWriter, f *Fault, a answer, body []byte) {
	for name, values := range a.header {
		w.Header()[name] = values
	}
	w.Header().Set("Content-Type", "application/json")
	for name, value := range f.Header {
		w.Header().Set(name, value)
	}
	if f.Status != 0 || f.Body != "" {
		a.status, body = f.Status, []byte(f.Body)
	}
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	if a.status != 0 {
		w.WriteHeader(a.status)
	}
	if f.Cut {
		_, _ = w.Write(body[:len(body)/2])
		if flusher, can := w.(http.Flusher); can {
			flusher.Flush()
		}
		panic(http.ErrAbortHandler)
	}
	_, _ = w.Write(body)
}

// page cuts one page out of a list that is ordered by seq: what comes after the cursor, and the cursor to what is left.
func page[T any](c call, all []T, seq func(T) int, cursor string, size int) (items []T, next string) {
	after, _ := strconv.Atoi(cursor)
	if c.page > 0 {
		size = min(size, c.page)
	}
	start := 0
	for start < len(all) && seq(all[start]) <= after {
		start++
	}
	end := min(start+max(size, 1), len(all))
	items = all[start:end]
	if end < len(all) {
		next = strconv.Itoa(seq(all[end-1]))
		if c.fault.Repeat {
			next = strconv.Itoa(after)
		}
	}
	if c.fault.Short && len(items) > 0 {
		items = items[:len(items)-1]
	}
	return items[min(c.fault.Lost, len(items)):], next
}

func personSeq(p *Person) int { return p.seq }
func groupSeq(g *Group) int   { return g.seq }
