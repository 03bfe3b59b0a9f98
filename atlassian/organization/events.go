package organization

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/castellan-io/castellan/atlassian/internal/wire"
)

// Event is one entry of the organization's audit log.
type Event struct {
	ID          string
	Action      string    // for example user_granted_role; EventActions lists them
	Time        time.Time // when it happened
	ProcessedAt time.Time // when the log recorded it: the order of the stream
	Actor       EventObject
	Context     []EventObject // what was changed
	Container   []EventObject // where
}

// EventObject is somebody or something in an event.
type EventObject struct {
	ID    string // without an identity ARI around it
	Type  string // for example users or groups; empty for an actor
	Name  string // may be empty
	Email string // may be empty
}

type eventItem struct {
	ID         string
	Attributes struct {
		Action, Time, ProcessedAt string
		Actor                     struct{ ID, Name, Email string }
		Context, Container        []eventObjectItem
	}
}

type eventObjectItem struct {
	ID, Type   string
	Attributes struct{ Name, Email loose }
}

// loose accepts a string, and ignores any other value, which an event's free attributes may have.
type loose string

func (l *loose) UnmarshalJSON(data []byte) error {
	var s string
	if json.Unmarshal(data, &s) == nil {
		*l = loose(s)
	}
	return nil
}

func (i eventItem) event() (Event, error) {
	if i.ID == "" {
		return Event{}, errNoID
	}
	a := i.Attributes
	return Event{
		ID: i.ID, Action: a.Action, Time: instant(a.Time), ProcessedAt: instant(a.ProcessedAt),
		Actor:   EventObject{ID: BareID(a.Actor.ID), Name: a.Actor.Name, Email: a.Actor.Email},
		Context: eventObjects(a.Context), Container: eventObjects(a.Container),
	}, nil
}

func eventObjects(items []eventObjectItem) []EventObject {
	objects := make([]EventObject, 0, len(items))
	for _, i := range items {
		objects = append(objects, EventObject{ID: BareID(i.ID), Type: i.Type, Name: string(i.Attributes.Name),
			Email: string(i.Attributes.Email)})
	}
	return objects
}

// EventQuery is where in the stream to read. A cursor keeps the order and the range of the first page.
type EventQuery struct {
	Cursor     string
	From, To   time.Time // to the millisecond; zero means unbounded; not used beside a cursor
	Limit      int       // events on a page, 1 to 500; 0 means 200
	Descending bool      // newest first; the default is the order of ProcessedAt
}

// EventPage is one page of the stream. Next continues it now, or later with what has happened since: even the last page
// has one. An event may then come twice, with the same ID. Next is "" only if the stream has never given a cursor.
type EventPage struct {
	Events   []Event
	Next     string
	More     bool      // the stream continues at Next already
	Answered time.Time // by the server's clock, to the second; zero: unknown
}

// Events reads the audit event stream, which needs Guard. The vendor allows 50 calls a minute.
func (c *Client) Events(ctx context.Context, q EventQuery) (EventPage, error) {
	const operation = "read events"
	check := checks{operation: operation}
	query := pageQuery(q.Cursor, check.limit(q.Limit, 200, 500))
	if check.err != nil {
		return EventPage{}, check.err
	}
	if q.Cursor == "" {
		if !q.From.IsZero() {
			query.Set("from", strconv.FormatInt(q.From.UnixMilli(), 10))
		}
		if !q.To.IsZero() {
			query.Set("to", strconv.FormatInt(q.To.UnixMilli(), 10))
		}
		if q.Descending {
			query.Set("sortOrder", "desc")
		}
	}
	var page EventPage
	err := c.wire.Do(ctx, wire.Request{
		Operation: operation, Method: http.MethodGet, Path: wire.Path("v1", "orgs", c.org, "events-stream"),
		Query: query, Answered: &page.Answered,
		Decode: func(body io.Reader) error {
			links, err := wire.DecodePage(body, func(item eventItem) error {
				event, err := item.event()
				page.Events = append(page.Events, event)
				return err
			})
			if err != nil {
				return err
			}
			return page.position(links, q.Cursor)
		},
	})
	if err != nil {
		return EventPage{}, err
	}
	return page, nil
}

// position sets where to continue. A page without a cursor is the last one: the cursor that led to it leads to it
// again.
func (p *EventPage) position(links wire.Links, asked string) error {
	next := links.Meta
	if next == "" {
		var err error
		if next, err = wire.Cursor(links.Next); err != nil {
			return err
		}
	}
	if len(next) > wire.MostCursor {
		return fmt.Errorf("it goes on with a cursor of %d bytes; at most %d are taken", len(next), wire.MostCursor)
	}
	p.Next = next
	if next == "" {
		p.Next = asked
	}
	p.More = len(p.Events) > 0 && p.Next != asked
	return nil
}

// EventAction is a kind of event.
type EventAction struct {
	ID    string // as in Event.Action
	Name  string // for people
	Group string // its heading, for people
}

type actionItem struct {
	ID         string
	Attributes struct{ DisplayName, GroupDisplayName string }
}

// EventActions lists the kinds of event in the organization's log, all in one response.
func (c *Client) EventActions(ctx context.Context) ([]EventAction, error) {
	page, err := list(ctx, c, wire.Request{
		Operation: "list event actions", Method: http.MethodGet, Path: wire.Path("v1", "orgs", c.org, "event-actions"),
	}, "", func(i actionItem) (EventAction, error) {
		if i.ID == "" {
			return EventAction{}, errNoID
		}
		return EventAction{ID: i.ID, Name: i.Attributes.DisplayName, Group: i.Attributes.GroupDisplayName}, nil
	})
	return page.Items, err
}
