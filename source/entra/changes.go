package entra

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"

	"github.com/castellan-io/castellan/source"
	"github.com/castellan-io/castellan/source/internal/rest"
)

// mostChanges is from when on reading everything is quicker.
const mostChanges = 20000

var errTooMany = errors.New("more changes than are looked at")

// cursor are the links with which Graph goes on; they are good for seven days.
type cursor struct {
	Users  string `json:"users"`
	Groups string `json:"groups"`
}

// Changes asks Graph what changed. It says nothing of a membership that ended because the person was deleted.
func (r *Reader) Changes(ctx context.Context, since string) (source.Changes, string, error) {
	if since == "" {
		next, err := r.now(ctx)
		return source.Changes{}, next, err
	}
	var at, next cursor
	if json.Unmarshal([]byte(since), &at) != nil || at.Users == "" || at.Groups == "" {
		return source.Changes{}, "", fmt.Errorf("entra: %w: the cursor is none of Graph's", source.ErrInvalid)
	}
	var changes source.Changes
	var err error
	if changes.People, next.Users, err = r.delta(ctx, "list changed users", rest.Request{Link: at.Users}); err == nil {
		changes.Groups, next.Groups, err = r.delta(ctx, "list changed groups", rest.Request{Link: at.Groups})
	}
	var failed *rest.Error
	if errors.Is(err, errTooMany) || errors.As(err, &failed) && failed.Status == http.StatusGone {
		text, err := r.now(ctx)
		return source.Changes{All: true}, text, err
	}
	if err != nil {
		return source.Changes{}, "", err
	}
	text, err := json.Marshal(next)
	return changes, string(text), err
}

// now is the cursor of what will change.
func (r *Reader) now(ctx context.Context) (string, error) {
	var at cursor
	var err error
	if _, at.Users, err = r.delta(ctx, "list changed users", rest.Request{Path: "/users/delta",
		Query: url.Values{"$deltatoken": {"latest"}, "$select": {r.selected}}}); err != nil {
		return "", err
	}
	if _, at.Groups, err = r.delta(ctx, "list changed groups", rest.Request{Path: "/groups/delta",
		Query: url.Values{"$deltatoken": {"latest"}, "$select": {"id,displayName,members"}}}); err != nil {
		return "", err
	}
	text, err := json.Marshal(at)
	return string(text), err
}

// delta returns the keys of what changed, each once, and the link to go on with.
func (r *Reader) delta(ctx context.Context, operation string, first rest.Request) (keys []string, next string,
	err error) {
	seen := map[string]bool{}
	first.Operation = operation
	err = rest.Pages(ctx, "entra: "+operation, first.Link, func(ctx context.Context, link string) (string, error) {
		first.Link = link
		var answer struct {
			Next  string `json:"@odata.nextLink"`
			Delta string `json:"@odata.deltaLink"`
			Value []struct {
				ID string `json:"id"`
			} `json:"value"`
		}
		if _, err := r.client.Do(ctx, first, &answer); err != nil {
			return "", err
		}
		for _, item := range answer.Value {
			if !seen[item.ID] && item.ID != "" {
				seen[item.ID] = true
				keys = append(keys, item.ID)
			}
		}
		if len(keys) > mostChanges {
			return "", errTooMany
		}
		next = answer.Delta
		if (answer.Next == "") == (answer.Delta == "") {
			return "", fmt.Errorf("entra: %s: %w: the answer has no link to go on with, or two", operation,
				source.ErrMalformed)
		}
		return answer.Next, nil
	})
	return keys, next, err
}
