package cloud

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// eventQuery is the query of both event lists, with its position in the log.
type eventQuery struct {
	Limit    int      `json:"l"`
	From     *int64   `json:"f,omitempty"` // epoch milliseconds
	To       *int64   `json:"t,omitempty"`
	Term     string   `json:"q,omitempty"`
	Action   string   `json:"n,omitempty"`
	Actors   []string `json:"a,omitempty"`
	IPs      []string `json:"i,omitempty"`
	Products []string `json:"p,omitempty"`
	Down     bool     `json:"d,omitempty"`

	// Positions in the log. Ascending: Low is the first not yet seen. Descending: events in [Low, High) are still to
	// come, and Top is where the next round starts when the log has grown.
	Low, High, Top int
}

// listEvents lists the audit log, newest first, with its filters.
func (c *Cloud) listEvents(r *call) answer {
	values := r.URL.Query()
	q, bad := c.openEvents(r, 30)
	if bad != nil {
		return *bad
	}
	if values.Get("cursor") == "" {
		q.Term, q.Action, q.Down = values.Get("q"), values.Get("action"), true
		q.Actors, q.IPs, q.Products = r.list("actor"), r.list("ip"), r.list("product")
		if len(strings.Fields(q.Term)) > 1 {
			return badRequest("ADMIN-400-21", "Only one search term is allowed.")
		}
		q.High = c.audit.visible(c.now())
	}
	self := q
	items := c.readDown(r, &q, false)
	next := ""
	if c.matchBelow(&q) {
		next = q.cursor(r)
	}
	return c.eventPage(r, self, items, next)
}

// streamEvents lists the feed: oldest first by default. Every page has a cursor; that of the last page can be used
// again and again, and yields what happened meanwhile, in the same order.
func (c *Cloud) streamEvents(r *call) answer {
	q, bad := c.openEvents(r, 200)
	if bad != nil {
		return *bad
	}
	end := c.audit.visible(c.now())
	if values := r.URL.Query(); values.Get("cursor") == "" {
		switch values.Get("sortOrder") {
		case "", "asc":
		case "desc":
			q.Down, q.High, q.Top = true, end, end
		default:
			return badRequest("ADMIN-400-19", "sortOrder must be asc or desc.")
		}
	}
	self := q
	var items []any
	if q.Down {
		if q.High <= q.Low { // the round is over: the next one covers what was logged since
			q.Low, q.High, q.Top = q.Top, end, end
		}
		items = c.readDown(r, &q, true)
		return c.eventPage(r, self, items, q.cursor(r))
	}
	items = []any{}
	for ; q.Low < end && len(items) < q.Limit; q.Low++ {
		if q.matches(c, q.Low, true) {
			items = append(items, c.eventJSON(q.Low, r.base(), true))
		}
	}
	return c.eventPage(r, self, items, q.cursor(r))
}

func (c *Cloud) readDown(r *call, q *eventQuery, stream bool) []any {
	items := []any{}
	for q.High = min(q.High, len(c.audit.events)); q.High > q.Low && len(items) < q.Limit; q.High-- {
		if q.matches(c, q.High-1, stream) {
			items = append(items, c.eventJSON(q.High-1, r.base(), stream))
		}
	}
	return items
}

func (c *Cloud) matchBelow(q *eventQuery) bool {
	for i := q.High - 1; i >= q.Low; i-- {
		if q.matches(c, i, false) {
			return true
		}
	}
	return false
}

func (q *eventQuery) matches(c *Cloud, position int, stream bool) bool {
	e := c.audit.events[position]
	at := e.at
	if stream {
		at = e.processed
	}
	switch {
	case q.From != nil && at < *q.From*1e6, q.To != nil && at > *q.To*1e6:
		return false
	case q.Action != "" && q.Action != e.action:
		return false
	case q.Actors != nil && (e.actor.user == nil || !slices.Contains(q.Actors, e.actor.user.id)):
		return false
	case q.IPs != nil && !slices.Contains(q.IPs, "192.0.2."+strconv.Itoa(1+position%254)):
		return false
	case q.Products != nil && (e.resource == nil || !slices.Contains(q.Products, e.resource.app)):
		return false
	}
	return q.Term == "" || strings.Contains(strings.ToLower(messageOf(e)), strings.ToLower(q.Term))
}

func (q eventQuery) cursor(r *call) string {
	text, err := json.Marshal(q)
	if err != nil {
		panic(err) // plain data
	}
	return cursor{Operation: r.op.name, Query: text}.String()
}

// openEvents decodes the cursor, or else the parameters that both lists share.
func (c *Cloud) openEvents(r *call, otherwise int) (q eventQuery, bad *answer) {
	refused := func(a answer) (eventQuery, *answer) { return q, &a }
	values := r.URL.Query()
	if given := values.Get("cursor"); given != "" {
		cur, valid := parseCursor(r.op.name, given)
		if !valid || json.Unmarshal(cur.Query, &q) != nil || q.Low < 0 || q.High < 0 || q.Limit < 1 {
			return refused(badRequest("ADMIN-400-1", "The cursor is not valid."))
		}
		return q, nil
	}
	limit, err := r.number("limit")
	if err := firstError(err, limits(limit, 500)); err != nil {
		return refused(badRequest("ADMIN-400-19", err.Error()))
	}
	if q.Limit = otherwise; limit != nil {
		q.Limit = *limit
	}
	if q.From, err = epochMillis(values.Get("from")); err == nil {
		q.To, err = epochMillis(values.Get("to"))
	}
	if err == nil && q.From != nil && q.To != nil && *q.From > *q.To {
		err = fmt.Errorf("from is later than to")
	}
	if err != nil {
		return refused(badRequest("ADMIN-400-3", err.Error()))
	}
	return q, nil
}

func epochMillis(text string) (*int64, error) {
	if text == "" {
		return nil, nil
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 0 || n > 1<<43 {
		return nil, fmt.Errorf("time %q: write milliseconds since 1970", text)
	}
	return &n, nil
}

func (c *Cloud) eventPage(r *call, self eventQuery, items []any, next string) answer {
	p := &page{items: items, self: self.cursor(r), next: next}
	p.render = func(items []any, next string) any {
		links, meta := map[string]any{"self": withCursor(r, p.self)}, map[string]any{"page_size": len(items)}
		if next != "" {
			links["next"], meta["next"] = withCursor(r, next), next
		}
		return map[string]any{"data": items, "links": links, "meta": meta}
	}
	return answer{status: http.StatusOK, page: p}
}

func (c *Cloud) getEvent(r *call) answer {
	position, found := c.eventPosition(r.PathValue("eventId"))
	if !found {
		return refuse(http.StatusNotFound, "ADMIN-404-4", "Event "+r.PathValue("eventId")+" was not found.")
	}
	return ok(map[string]any{"data": c.eventJSON(position, r.base(), false)})
}

func (c *Cloud) listEventActions(*call) answer {
	items := []any{}
	for _, action := range eventActions {
		items = append(items, map[string]any{"id": action.id, "type": "actions",
			"attributes": map[string]any{"displayName": action.display, "groupDisplayName": action.group}})
	}
	return ok(map[string]any{"data": items})
}
