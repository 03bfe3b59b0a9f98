package ldap

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/go-ldap/ldap/v3"

	"github.com/castellan-io/castellan/source"
)

// watching is a Reader of Active Directory, where a server counts its changes. Other directories tell what changed, but
// not what was deleted, unless one keeps a connection open: there, everything is read each time.
type watching struct {
	*Reader
}

var _ source.Watcher = watching{}

const maxChanges = 10000 // more than these take as long as a read of everything

var errTooManyChanges = errors.New("too many changes")

// Changes implements source.Watcher. A cursor is a number of changes and the server that counted them: another server
// counts differently.
func (w watching) Changes(ctx context.Context, cursor string) (source.Changes, string, error) {
	c, err := w.connect(ctx)
	if err != nil {
		return source.Changes{}, "", err
	}
	defer c.close()
	count, server, err := c.lastChange(ctx)
	if err != nil {
		return source.Changes{}, "", err
	}
	next := fmt.Sprintf("%d %s", count, server)
	if cursor == "" || cursor == next {
		return source.Changes{}, next, nil
	}
	number, counter, _ := strings.Cut(cursor, " ")
	since, err := strconv.ParseInt(number, 10, 64)
	if err != nil || counter != server || since > count {
		return source.Changes{All: true}, next, nil
	}
	changes, err := w.changesAfter(ctx, c, since)
	if errors.Is(err, errTooManyChanges) {
		return source.Changes{All: true}, next, nil
	}
	if err != nil {
		return source.Changes{}, "", err
	}
	return changes, next, nil
}

// lastChange returns how many changes the server has counted, and what identifies the server.
func (c *conn) lastChange(ctx context.Context) (count int64, server string, err error) {
	const counted, name = "highestCommittedUSN", "dsServiceName"
	root, err := c.entry(ctx, "asking for the last change", "", []string{counted, name})
	if err != nil {
		return 0, "", err
	}
	if root != nil {
		server = root.GetEqualFoldAttributeValue(name)
		count, err = strconv.ParseInt(root.GetEqualFoldAttributeValue(counted), 10, 64)
	}
	if server == "" || err != nil || count < 0 {
		return 0, "", c.fail(source.ErrMalformed, "the server does not tell its last change: is it Active Directory?")
	}
	return count, server, nil
}

func (w watching) changesAfter(ctx context.Context, c *conn, since int64) (source.Changes, error) {
	q := query{
		what: "reading changes under " + w.o.Base, base: w.o.Base, page: w.o.PageSize,
		filter:     fmt.Sprintf("(%s>=%d)", attrVersion, since+1),
		attributes: distinct([]string{w.o.Key, attrObjectClass}), wanted: w.isMember,
		controls: []ldap.Control{ldap.NewControlMicrosoftShowDeleted()},
	}
	var changes source.Changes
	err := w.pages(ctx, c, q, func(entries []*ldap.Entry) error {
		for _, entry := range entries {
			key, missing, err := w.keyOf(entry)
			if missing || err != nil {
				continue // it is neither a person nor a group that we know
			}
			switch classOf(entry) {
			case isPerson:
				changes.People = append(changes.People, key)
			case isGroup:
				changes.Groups = append(changes.Groups, key)
			}
		}
		if len(changes.People)+len(changes.Groups) > maxChanges {
			return errTooManyChanges
		}
		return nil
	})
	if err != nil {
		return source.Changes{}, err
	}
	slices.Sort(changes.People)
	slices.Sort(changes.Groups)
	return changes, nil
}
