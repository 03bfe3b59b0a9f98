package okta

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"time"

	"github.com/castellan-io/castellan/source"
	"github.com/castellan-io/castellan/source/internal/rest"
)

const (
	kept       = 89 * 24 * time.Hour // Okta keeps its system log for 90 days
	late       = time.Minute         // how late an event may show in the log
	mostEvents = 20000               // beyond them, reading everything is quicker
)

var errTooMany = errors.New("more events than are looked at")

// event is an entry of the system log.
type event struct {
	Target []struct {
		ID   string `json:"id"`
		Type string `json:"type"`
	} `json:"target"`
}

// Changes reads the system log since cursor, which is a time.
func (w watcher) Changes(ctx context.Context, cursor string) (source.Changes, string, error) {
	until := time.Now().UTC() // a fixed end, or the log of a busy organization would have none
	next := until.Add(-late).Format(time.RFC3339)
	if cursor == "" {
		return source.Changes{}, next, nil
	}
	since, err := time.Parse(time.RFC3339, cursor)
	if err != nil {
		return source.Changes{}, "", fmt.Errorf("okta: %w: the cursor is no time of the system log", source.ErrInvalid)
	}
	if until.Sub(since) > kept {
		return source.Changes{All: true}, next, nil
	}
	var changes source.Changes
	events, seen := 0, map[string]bool{}
	err = list(ctx, w.Reader, rest.Request{Operation: "read the system log", Path: "/api/v1/logs", Query: url.Values{
		"since": {since.UTC().Format(time.RFC3339)}, "until": {until.Format(time.RFC3339)}, "sortOrder": {"ASCENDING"},
	}}, logPage, func(e event) error {
		if events++; events > mostEvents {
			return errTooMany
		}
		for _, target := range e.Target {
			known := target.ID == "" || seen[target.Type+target.ID]
			seen[target.Type+target.ID] = true
			switch {
			case known:
			case target.Type == "User":
				changes.People = append(changes.People, target.ID)
			case target.Type == "UserGroup":
				changes.Groups = append(changes.Groups, target.ID)
			}
		}
		return nil
	})
	if errors.Is(err, errTooMany) {
		return source.Changes{All: true}, next, nil
	}
	if err != nil {
		return source.Changes{}, "", err
	}
	return changes, next, nil
}
