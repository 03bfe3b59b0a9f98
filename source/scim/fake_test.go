package scim_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/source"
	"github.com/castellan-io/castellan/source/scim"
)

const token = "s3cret-token"

// service is a fake that behaves as its fields say.
type service struct {
	t      testing.TB
	url    string
	base   string // where Users is; default /scim/v2
	people []map[string]any
	groups []map[string]any

	most        int                                                // people and groups on a page
	mutate      func(list string, call int, answer map[string]any) // changes an answer to a list
	before      func(http.ResponseWriter, *http.Request) bool      // true: it answered
	membersBy   string                                             // "": in lists; "get", "attributes", "never"
	ignoreStart bool
	cursors     bool

	mu       sync.Mutex
	calls    map[string]int
	requests []*http.Request
	waits    []time.Duration
}

func newService(t testing.TB, people int) *service {
	s := &service{t: t, base: "/scim/v2", most: 1000, calls: map[string]int{}}
	for i := range people {
		s.people = append(s.people, map[string]any{"id": fmt.Sprintf("u%04d", i), "userName": fmt.Sprintf("user%d", i),
			"active": true})
	}
	server := httptest.NewServer(http.HandlerFunc(s.serve))
	t.Cleanup(server.Close)
	s.url = server.URL
	return s
}

// group adds one; members that begin with g are groups.
func (s *service) group(id string, members ...string) *service {
	list := []any{}
	for _, member := range members {
		kind := "User"
		if strings.HasPrefix(member, "g") {
			kind = "Group"
		}
		list = append(list, map[string]any{"value": member, "type": kind})
	}
	s.groups = append(s.groups, map[string]any{"id": id, "displayName": "Group " + id, "members": list})
	return s
}

func (s *service) options() scim.Options {
	return scim.Options{URL: s.url + s.base, PageSize: 10,
		Secret: func(context.Context) (string, error) { return token, nil },
		Sleep: func(_ context.Context, d time.Duration) error {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.waits = append(s.waits, d)
			return nil
		}}
}

func (s *service) serve(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests = append(s.requests, r)
	path, below := strings.CutPrefix(r.URL.Path, s.base)
	list, id, single := strings.Cut(strings.TrimPrefix(path, "/"), "/")
	s.calls[list]++
	if s.before != nil && s.before(w, r) {
		return
	}
	if below && list == "ServiceProviderConfig" {
		s.send(w, map[string]any{"pagination": map[string]any{"cursor": s.cursors, "index": !s.cursors}})
		return
	}
	all, known := map[string][]map[string]any{"Users": s.people, "Groups": s.groups}[list]
	if !below || !known {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", "application/scim+json")
	if !single {
		s.list(w, r, list, all)
		return
	}
	for _, one := range all {
		if one["id"] == id {
			s.send(w, s.shown(list, one, r))
			return
		}
	}
	w.WriteHeader(http.StatusNotFound)
	s.send(w, map[string]any{"schemas": []string{"urn:ietf:params:scim:api:messages:2.0:Error"}, "status": "404"})
}

func (s *service) send(w http.ResponseWriter, answer any) {
	require.NoError(s.t, json.NewEncoder(w).Encode(answer))
}

func (s *service) list(w http.ResponseWriter, r *http.Request, list string, all []map[string]any) {
	query := r.URL.Query()
	number := func(name string, otherwise int) int {
		if n, err := strconv.Atoi(query.Get(name)); err == nil {
			return n
		}
		return otherwise
	}
	start := number("startIndex", 1) - 1
	if s.ignoreStart {
		start = 0
	}
	if s.cursors {
		start = number("cursor", 0)
	}
	start = min(start, len(all))
	end := min(start+min(number("count", s.most), s.most), len(all))
	resources := []any{}
	for _, one := range all[start:end] {
		resources = append(resources, s.shown(list, one, r))
	}
	answer := map[string]any{"schemas": []string{"urn:ietf:params:scim:api:messages:2.0:ListResponse"},
		"totalResults": len(all), "itemsPerPage": len(resources), "startIndex": start + 1, "Resources": resources}
	if s.cursors {
		delete(answer, "totalResults")
		if end < len(all) {
			answer["nextCursor"] = strconv.Itoa(end)
		}
	}
	if s.mutate != nil {
		s.mutate(list, s.calls[list], answer)
	}
	s.send(w, answer)
}

// shown leaves out the members that are not to be shown.
func (s *service) shown(list string, one map[string]any, r *http.Request) map[string]any {
	single := strings.Contains(strings.TrimPrefix(r.URL.Path, s.base+"/"), "/")
	asked := strings.Contains(r.URL.Query().Get("attributes"), "members")
	if list == "Users" || s.membersBy == "" || s.membersBy == "get" && single || s.membersBy == "attributes" && asked {
		return one
	}
	copied := map[string]any{}
	for name, value := range one {
		if name != "members" {
			copied[name] = value
		}
	}
	return copied
}

type result struct {
	people map[string]source.Identity
	groups map[string][]string
	names  map[string]string
	proof  source.Proof
}

func read(t testing.TB, o scim.Options) (result, error) {
	t.Helper()
	r, err := scim.New(o)
	require.NoError(t, err)
	got := result{people: map[string]source.Identity{}, groups: map[string][]string{}, names: map[string]string{}}
	got.proof, err = r.Read(t.Context(), func(page source.Page) error {
		for _, p := range page.People {
			require.NotContains(t, got.people, p.Key)
			got.people[p.Key] = p
		}
		for _, g := range page.Groups {
			got.groups[g.Key], got.names[g.Key] = g.Members, g.Name
		}
		return nil
	})
	if err != nil {
		require.Zero(t, got.proof)
		require.NotContains(t, err.Error(), token)
	}
	return got, err
}

func pointer[T any](v T) *T { return &v }
