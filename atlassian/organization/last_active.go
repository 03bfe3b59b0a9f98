package organization

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"time"

	"github.com/castellan-io/castellan/atlassian/internal/wire"
)

// LastActive is a page of when a user last used each app. An app that the user never used is missing.
type LastActive struct {
	// never nil; with only a date, the beginning of that day; without one, the zero time
	Apps       []ProductAccess
	AddedToOrg time.Time // zero if unknown, as always in organizations without centralized user management
	Next       string    // the bare cursor of the page after this one; "" at the end
}

// LastActive reads when a user last used each app, after a cursor or, with "", from the beginning. In the vendor's
// words, to be active is to look at a page of the app for two seconds or more.
//
// The response may be up to 24 hours old. An app that is on no page up to the last one was never used by then; nothing
// else means never. The vendor allows 200 calls a minute for the whole organization: ErrRateLimited, like any other
// error, means nothing about the user's activity. ErrNotFound (ADMIN-404-8) means that the organization does not know
// the account, ErrForbidden (ADMIN-403-3) that the key may not manage the organization, and ErrInvalid (ADMIN-400-4) a
// bad request, which was also the v1 response of organizations without centralized user management. If neither an app's
// time nor its date can be read the response is ErrMalformed, since leaving the app out would mean never. All this is
// from the vendor's OpenAPI file of 2026-08-21 and its documentation.
func (c *Client) LastActive(ctx context.Context, accountID, cursor string) (LastActive, error) {
	const operation = "read last active dates"
	path, err := path(operation, "v1", "orgs", c.org, "directory", "users", accountPart(accountID), "last-active-dates")
	if err != nil {
		return LastActive{}, err
	}
	var page LastActive
	err = c.wire.Do(ctx, wire.Request{
		Operation: operation, Method: http.MethodGet, Path: path, Query: pageQuery(cursor, 0),
		Decode: func(body io.Reader) (err error) {
			page, err = decodeLastActive(body, cursor)
			return err
		},
	})
	if err != nil {
		return LastActive{}, err // never part of a page
	}
	return page, nil
}

type lastActiveItem struct {
	ProductAccess       *[]productActivity `json:"product_access"`
	AddedToOrg          string             `json:"added_to_org"`
	AddedToOrgTimestamp string             `json:"added_to_org_timestamp"`
}

type productActivity struct {
	ID, Key             string
	LastActive          string `json:"last_active"`
	LastActiveTimestamp string `json:"last_active_timestamp"`
}

// decodeLastActive reads a page whose data is one object with a list in it, unlike all other pages.
func decodeLastActive(body io.Reader, cursor string) (LastActive, error) {
	var item lastActiveItem
	var links struct{ Next string }
	err := wire.DecodeObject(body, func(name string, d *json.Decoder) error {
		switch name {
		case "data":
			return d.Decode(&item)
		case "links":
			return d.Decode(&links)
		}
		var other json.RawMessage
		return d.Decode(&other)
	})
	if err != nil {
		return LastActive{}, err
	}
	if item.ProductAccess == nil { // taking it for an empty list would mean that no app was ever used
		return LastActive{}, errors.New(`its "data" has no "product_access"`)
	}
	page := LastActive{Apps: make([]ProductAccess, 0, len(*item.ProductAccess))}
	for _, p := range *item.ProductAccess {
		at, err := timeOrDate(p.LastActiveTimestamp, p.LastActive)
		if err != nil {
			return LastActive{}, err
		}
		if p.ID == "" {
			return LastActive{}, errors.New("an app of a user has no id")
		}
		page.Apps = append(page.Apps, ProductAccess{ResourceID: p.ID, Key: p.Key, LastActive: at})
	}
	if added, err := timeOrDate(item.AddedToOrgTimestamp, item.AddedToOrg); err == nil { // else unknown, as in User
		page.AddedToOrg = added
	}
	page.Next, err = wire.Next(links.Next, cursor)
	return page, err
}

// timeOrDate returns the time, or else the beginning of the day; zero if both are missing.
func timeOrDate(timestamp, date string) (time.Time, error) {
	if timestamp == "" && date == "" {
		return time.Time{}, nil
	}
	if at := instant(timestamp); !at.IsZero() {
		return at, nil
	}
	at, err := time.Parse(time.DateOnly, date)
	if err != nil {
		return time.Time{}, errors.New("neither a time nor its date can be read")
	}
	return at, nil
}
