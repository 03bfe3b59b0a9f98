package scim_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/source"
	"github.com/castellan-io/castellan/source/scim"
)

func TestReadPages(t *testing.T) {
	for name, adjust := range map[string]func(*service){
		"as asked":       func(*service) {},
		"fewer":          func(s *service) { s.most = 3 },
		"by cursor":      func(s *service) { s.cursors = true },
		"all at once":    func(s *service) { s.ignoreStart, s.before = true, dropCount },
		"total a string": func(s *service) { s.mutate = setTotal(func(n int) any { return fmt.Sprint(n) }) },
		"total a float":  func(s *service) { s.mutate = setTotal(func(n int) any { return float64(n) }) },
		"other case":     func(s *service) { s.mutate = otherCase },
		"wrong echo": func(s *service) {
			s.mutate = func(_ string, _ int, answer map[string]any) {
				answer["startIndex"], answer["itemsPerPage"] = "1", nil
			}
		},
		"cursor and total": func(s *service) {
			s.cursors = true
			s.mutate = func(list string, _ int, answer map[string]any) {
				if answer["totalResults"] = 25; list == "Groups" {
					answer["totalResults"] = 1
				}
			}
		},
	} {
		s := newService(t, 25).group("g1", "u0003", "u0001")
		adjust(s)
		got, err := read(t, s.options())
		require.NoError(t, err, name)
		require.Len(t, got.people, 25, name)
		require.Equal(t, map[string][]string{"g1": {"u0001", "u0003"}}, got.groups, name)
		require.Equal(t, "Group g1", got.names["g1"])
		if declared := pointer(25); name != "by cursor" {
			require.Equal(t, declared, got.proof.Declared, name)
		}
		require.Equal(t, []int{25, 1, 2}, []int{got.proof.People, got.proof.Groups, got.proof.Memberships}, name)
	}
}

func dropCount(_ http.ResponseWriter, r *http.Request) bool {
	query := r.URL.Query()
	query.Del("count")
	r.URL.RawQuery = query.Encode()
	return false
}

func setTotal(to func(int) any) func(string, int, map[string]any) {
	return func(_ string, _ int, answer map[string]any) {
		answer["totalResults"] = to(answer["totalResults"].(int))
	}
}

// otherCase writes names as few do, and leaves out Resources where there are none.
func otherCase(_ string, _ int, answer map[string]any) {
	resources := answer["Resources"].([]any)
	answer["TOTALRESULTS"] = answer["totalResults"]
	delete(answer, "Resources")
	delete(answer, "totalResults")
	for i, resource := range resources {
		upper := map[string]any{}
		for name, value := range resource.(map[string]any) {
			upper[strings.ToUpper(name)] = value
		}
		resources[i] = upper
	}
	if len(resources) > 0 {
		answer["resources"] = resources
	}
}

func TestReadAsksForNoMoreThanItNeeds(t *testing.T) {
	s := newService(t, 100).group("g1").group("g2", "u0001")
	_, err := read(t, s.options())
	require.NoError(t, err)
	require.Equal(t, map[string]int{"Users": 10, "Groups": 2}, s.calls) // one call looks beyond the only page of groups
	for _, r := range s.requests {
		require.Equal(t, "Bearer "+token, r.Header.Get("Authorization"))
		require.Contains(t, r.Header.Get("Accept"), "application/scim+json")
	}
	require.Empty(t, s.requests[0].URL.Query().Get("startIndex"))
	require.Equal(t, "11", s.requests[1].URL.Query().Get("startIndex"))
}

func TestReadRefusesListsThatAreNotWhole(t *testing.T) {
	for text, adjust := range map[string]func(*service){
		"was shown twice": func(s *service) { s.ignoreStart = true },
		"first 10 entries again": func(s *service) {
			s.ignoreStart = true
			s.mutate = setTotal(func(int) any { return 10 })
		},
		"declared 10 entries and shows more": func(s *service) { s.mutate = setTotal(func(int) any { return 10 }) },
		"shows none after 25":                func(s *service) { s.mutate = setTotal(func(int) any { return 30 }) },
		"declared 24 entries and shows more": func(s *service) { s.mutate = setTotal(func(int) any { return 24 }) },
		"declared 26 entries and shows 25": func(s *service) {
			s.cursors = true
			s.mutate = func(_ string, _ int, answer map[string]any) { answer["totalResults"] = 26 }
		},
		"and later": func(s *service) {
			s.mutate = func(_ string, call int, answer map[string]any) { answer["totalResults"] = 25 + call }
		},
		"showed nobody at all": func(s *service) { s.people = nil },
	} {
		s := newService(t, 25)
		adjust(s)
		_, err := read(t, s.options())
		require.ErrorIs(t, err, source.ErrIncomplete, text)
		require.ErrorContains(t, err, text)
	}
	loop := newService(t, 25)
	loop.cursors = true
	loop.mutate = func(_ string, _ int, answer map[string]any) { answer["nextCursor"] = "x"; answer["Resources"] = nil }
	_, err := read(t, loop.options())
	require.ErrorIs(t, err, source.ErrMalformed)
	require.ErrorContains(t, err, "leads back")
}

func TestReadRefusesWhatIsNoList(t *testing.T) {
	for text, answer := range map[string]string{
		"this is no list":         `{}`,
		"no totalResults":         `{"Resources":[{"id":"a"}]}`,
		"totalResults":            `{"totalResults":"many","Resources":[]}`,
		"not a number of entries": `{"totalResults":-1,"Resources":[]}`,
		"Resources are not a lis": `{"totalResults":1,"Resources":{}}`,
		"not an object":           `{"totalResults":1,"Resources":["a"]}`,
		"nextCursor":              `{"totalResults":1,"nextCursor":7,"Resources":[]}`,
		"a web page":              `<html>log in</html>`,
		"its id":                  `{"totalResults":1,"Resources":[{"userName":"a"}]}`,
		"active":                  `{"totalResults":1,"Resources":[{"id":"a","active":"maybe"}]}`,
		"in it twice":             `{"totalResults":1,"Resources":[{"id":"a","ID":"b"}]}`,
		"duplicate":               `{"totalResults":1,"Resources":[{"id":"a","id":"b"}]}`,
		"emails":                  `{"totalResults":1,"Resources":[{"id":"a","emails":[{"value":"x","VALUE":"y"}]}]}`,
		"too large":               `{"totalResults":1,"Resources":[{"id":"a","x":12345678901234567890}]}`,
		"a key has 300 bytes":     `{"totalResults":1,"Resources":[{"id":"` + strings.Repeat("k", 300) + `"}]}`,
		"not the JSON":            `{"totalResults":1,"Resources":[`,
	} {
		s := newService(t, 1)
		s.before = func(w http.ResponseWriter, _ *http.Request) bool { _, _ = w.Write([]byte(answer)); return true }
		_, err := read(t, s.options())
		require.ErrorIs(t, err, source.ErrMalformed, text)
		require.ErrorContains(t, err, text)
	}
}

func TestReadTakesAnEmptyListOfGroups(t *testing.T) {
	s := newService(t, 1)
	s.mutate = func(list string, _ int, answer map[string]any) {
		if list == "Groups" {
			delete(answer, "Resources")
		}
	}
	got, err := read(t, s.options())
	require.NoError(t, err)
	require.Empty(t, got.groups)

	s.groups = []map[string]any{{"id": "g"}}
	_, err = read(t, s.options())
	require.ErrorIs(t, err, source.ErrIncomplete, "a group is declared and not shown")
}

func TestReadAgainAfterAChange(t *testing.T) {
	s := newService(t, 25)
	s.mutate = func(list string, call int, _ map[string]any) {
		if list == "Users" && call == 2 { // a newcomer while the second page is sent
			s.people = append(s.people, map[string]any{"id": "new"})
		}
	}
	got, err := read(t, s.options())
	require.NoError(t, err)
	require.Len(t, got.people, 26)
	require.Equal(t, 6, s.calls["Users"])

	s = newService(t, 25)
	s.mutate = func(list string, call int, _ map[string]any) {
		if list == "Users" && call == 2 { // somebody who was shown leaves
			s.people = s.people[1:]
		}
	}
	_, err = read(t, s.options())
	require.ErrorIs(t, err, source.ErrIncomplete)
	require.ErrorContains(t, err, "1 people disappeared")
	_, err = read(t, s.options())
	require.NoError(t, err)
}

func TestReadTellsWhoIsEnabledAndWhatElseIsKnown(t *testing.T) {
	s := newService(t, 0)
	require.NoError(t, json.Unmarshal([]byte(`[
	 {"id":"a","active":"True","USERNAME":"ana",
	  "Emails":[{"Value":"b@x","type":"home"},{"value":"a@x","Primary":"true"}],
	  "meta":{"version":"1"},"schemas":["x"],"password":"pw","groups":[],"name":{"familyname":"Núñez","x":1},
	  "URN:ietf:params:scim:schemas:extension:Enterprise:2.0:User":{"employeenumber":"7","manager":{"Value":"b"}},
	  "urn:acme:1.0:User":{"costcode":"K"},"nickName":null,"roles":[],"badge":{"COLOR":"red","value":4}},
	 {"id":"b","active":false},{"id":"c"},{"id":17,"Active":"FALSE"}]`), &s.people))
	got, err := read(t, s.options())
	require.NoError(t, err)
	require.Equal(t, map[string]source.Identity{
		"a": {Key: "a", Enabled: pointer(true), Attributes: map[string]any{"userName": "ana",
			"emails": []any{map[string]any{"value": "a@x", "primary": "true"},
				map[string]any{"value": "b@x", "type": "home"}},
			"name": map[string]any{"familyName": "Núñez", "x": 1.0},
			"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User": map[string]any{"employeeNumber": "7",
				"manager": map[string]any{"value": "b"}},
			"urn:acme:1.0:User": map[string]any{"costcode": "K"},
			"badge":             map[string]any{"COLOR": "red", "value": 4.0}}},
		"b":  {Key: "b", Enabled: pointer(false), Attributes: map[string]any{}},
		"c":  {Key: "c", Attributes: map[string]any{}},
		"17": {Key: "17", Enabled: pointer(false), Attributes: map[string]any{}},
	}, got.people)
}

func TestReadGroupsWhoseMembersAreNotListed(t *testing.T) {
	for by, calls := range map[string]int{"": 2, "get": 5, "attributes": 8} {
		s := newService(t, 3).group("g1", "u0001").group("g2").group("g3", "u0002", "elsewhere")
		s.membersBy = by
		got, err := read(t, s.options())
		require.NoError(t, err, by)
		require.Equal(t, map[string][]string{"g1": {"u0001"}, "g2": {}, "g3": {"elsewhere", "u0002"}}, got.groups, by)
		require.Equal(t, calls, s.calls["Groups"], by)
	}
	s := newService(t, 3).group("g1", "u0001")
	s.membersBy = "never"
	_, err := read(t, s.options())
	require.ErrorIs(t, err, source.ErrIncomplete)
	require.ErrorContains(t, err, "none of the 1 groups shows members")
	o := s.options()
	o.NoGroups = true
	_, err = read(t, o)
	require.NoError(t, err)

	// left out because it is empty
	s = newService(t, 3).group("g1", "u0001").group("g2")
	delete(s.groups[1], "members")
	got, err := read(t, s.options())
	require.NoError(t, err)
	require.Empty(t, got.groups["g2"])
	require.Equal(t, 3, s.calls["Groups"])

	// gone between the list and the call
	s.membersBy = "get"
	s.before = func(w http.ResponseWriter, r *http.Request) bool {
		gone := strings.HasSuffix(r.URL.Path, "/Groups/g1")
		if gone {
			w.WriteHeader(http.StatusNotFound)
		}
		return gone
	}
	_, err = read(t, s.options())
	require.ErrorIs(t, err, source.ErrIncomplete)
	require.ErrorContains(t, err, `group "g1" disappeared`)
}

func TestReadNestedGroups(t *testing.T) {
	s := newService(t, 9).group("g1", "u0001", "g2").group("g2", "u0002", "g3", "u0001").group("g3", "u0003", "g1").
		group("g4", "g4")
	got, err := read(t, s.options())
	require.NoError(t, err)
	require.Equal(t, map[string][]string{"g1": {"u0001"}, "g2": {"u0001", "u0002"}, "g3": {"u0003"}, "g4": {}},
		got.groups)
	o := s.options()
	o.Nested = true
	all := []string{"u0001", "u0002", "u0003"}
	nested := map[string][]string{"g1": all, "g2": all, "g3": all, "g4": {}}
	got, err = read(t, o)
	require.NoError(t, err)
	require.Equal(t, nested, got.groups)

	// what members are is told by a reference only, or not at all
	for name, says := range map[string]func(map[string]any){
		"$ref": func(member map[string]any) {
			member["$ref"] = fmt.Sprintf("https://x/v2/%ss/%s", member["type"], member["value"])
		},
		"nothing": func(map[string]any) {},
	} {
		copied := newService(t, 9)
		copied.groups = append(copied.groups, s.groups...)
		for i, g := range copied.groups {
			members := []any{}
			for _, member := range g["members"].([]any) {
				changed := maps.Clone(member.(map[string]any))
				says(changed)
				delete(changed, "type")
				members = append(members, changed)
			}
			copied.groups[i] = map[string]any{"id": g["id"], "members": members}
		}
		o := copied.options()
		o.Nested = true
		got, err = read(t, o)
		require.NoError(t, err, name)
		require.Equal(t, nested, got.groups, name)
	}

	// a group that the filter leaves out is asked for
	outside := newService(t, 9).group("g1", "u0001", "g2")
	hidden := newService(t, 0).group("g2", "u0002").groups[0]
	outside.before = func(w http.ResponseWriter, r *http.Request) bool {
		if strings.HasSuffix(r.URL.Path, "/Groups/g2") {
			outside.send(w, hidden)
			return true
		}
		return false
	}
	o = outside.options()
	o.Nested = true
	got, err = read(t, o)
	require.NoError(t, err)
	require.Equal(t, map[string][]string{"g1": {"u0001", "u0002"}}, got.groups)
}

// TestReadNamesCyclesOfGroups: groups that contain each other are named, if groups in groups are followed.
func TestReadNamesCyclesOfGroups(t *testing.T) {
	for name, c := range map[string]struct {
		groups map[string][]string // what is in each
		hidden string              // a group that the list leaves out
		want   [][]string
	}{
		"of one": {groups: map[string][]string{"g1": {"g1"}}, want: [][]string{{"Group g1"}}},
		"of two": {groups: map[string][]string{"g1": {"g2"}, "g2": {"g1"}},
			want: [][]string{{"Group g1", "Group g2"}}},
		"of three": {groups: map[string][]string{"g1": {"g3"}, "g2": {"g1"}, "g3": {"g2"}},
			want: [][]string{{"Group g1", "Group g3", "Group g2"}}},
		"two": {groups: map[string][]string{"g1": {"g2"}, "g2": {"g1", "g3"}, "g3": {"g4"}, "g4": {"g3"}},
			want: [][]string{{"Group g1", "Group g2"}, {"Group g3", "Group g4"}}},
		"a diamond": {groups: map[string][]string{"g1": {"g2", "g3"}, "g2": {"g4"}, "g3": {"g4"}, "g4": {}}},
		"through a group that the filter leaves out": {groups: map[string][]string{"g1": {"g2"}, "g2": {"g1"}},
			hidden: "g2", want: [][]string{{"Group g1", "Group g2"}}},
	} {
		s := newService(t, 1)
		for _, id := range slices.Sorted(maps.Keys(c.groups)) {
			s.group(id, append([]string{"u0000"}, c.groups[id]...)...)
		}
		s.mutate = func(list string, _ int, answer map[string]any) {
			if list == "Groups" && c.hidden != "" {
				answer["Resources"] = slices.DeleteFunc(answer["Resources"].([]any),
					func(g any) bool { return g.(map[string]any)["id"] == c.hidden })
				answer["totalResults"] = len(answer["Resources"].([]any))
			}
		}
		o := s.options()
		got, err := read(t, o)
		require.NoError(t, err, name)
		require.Empty(t, got.proof.Cycles, name)
		o.Nested = true
		got, err = read(t, o)
		require.NoError(t, err, name)
		require.Equal(t, c.want, got.proof.Cycles, name)
	}
}

func TestReadComparesGroupsWithWhatPeopleSay(t *testing.T) {
	s := newService(t, 5).group("g1", "u0001")
	in := func(kind string) []any { return []any{map[string]any{"value": "g1", "type": kind}} }
	s.people[1]["groups"] = in("direct")
	s.people[2]["groups"] = in("indirect")
	_, err := read(t, s.options())
	require.NoError(t, err)
	s.people[3]["groups"] = in("Direct")
	_, err = read(t, s.options())
	require.ErrorIs(t, err, source.ErrIncomplete)
	require.ErrorContains(t, err, "shows 1 members, and 2 people say")
}

func TestReadRefusesGroups(t *testing.T) {
	for text, group := range map[string]string{
		"its id":                      `{"displayName":"x"}`,
		"are not a list":              `{"id":"g","members":{}}`,
		"not an object":               `{"id":"g","members":["a"]}`,
		"its value":                   `{"id":"g","members":[{"display":"Ana"}]}`,
		"in it twice":                 `{"id":"g","ID":"h"}`,
		"has more than 1024 bytes":    `{"id":"g","members":[],"displayName":"` + strings.Repeat("n", 1025) + `"}`,
		"a key has 300 bytes; at mos": `{"id":"g","members":[{"value":"` + strings.Repeat("k", 300) + `"}]}`,
	} {
		s := newService(t, 1)
		s.groups = []map[string]any{{}}
		require.NoError(t, json.Unmarshal([]byte(group), &s.groups[0]))
		_, err := read(t, s.options())
		require.ErrorIs(t, err, source.ErrMalformed, text)
		require.ErrorContains(t, err, text)
	}
}

func TestReadFindsTheVersion(t *testing.T) {
	s := newService(t, 3)
	for base, url := range map[string]string{"/scim": "/scim", "/scim/v2": "/scim", "/scim/V2": "/scim/V2/",
		"/v2": "/"} {
		s.base = base
		o := s.options()
		o.URL = s.url + url
		got, err := read(t, o)
		require.NoError(t, err, url)
		require.Len(t, got.people, 3)
	}
	s.base = "/elsewhere"
	o := s.options()
	o.URL = s.url + "/scim"
	_, err := read(t, o)
	require.ErrorIs(t, err, source.ErrInvalid)

	s.base = "/scim/v2"
	s.before = func(w http.ResponseWriter, r *http.Request) bool { // a web application answers everything else
		if strings.HasPrefix(r.URL.Path, s.base) {
			return false
		}
		_, _ = w.Write([]byte("<html>"))
		return true
	}
	_, err = read(t, o)
	require.NoError(t, err)
}

func TestReadWaitsWhenAsked(t *testing.T) {
	for _, status := range []int{http.StatusTooManyRequests, http.StatusServiceUnavailable} {
		s := newService(t, 3)
		once := true
		s.before = func(w http.ResponseWriter, _ *http.Request) bool {
			if !once {
				return false
			}
			once = false
			w.Header().Set("Retry-After", "7")
			w.WriteHeader(status)
			return true
		}
		_, err := read(t, s.options())
		require.NoError(t, err)
		require.Equal(t, []time.Duration{7 * time.Second}, s.waits)
	}
}

func TestReadTellsErrors(t *testing.T) {
	for text, test := range map[string]struct {
		status int
		body   string
		kind   error
	}{
		"give a new secret: bad token": {401, `{"detail":"bad token","status":"401"}`, source.ErrUnauthorized},
		"let this account read":        {403, `{}`, source.ErrForbidden},
		"invalidValue: no such":        {400, `{"scimType":"invalidValue","Detail":"no such"}`, source.ErrInvalid},
		"old words":                    {400, `{"Errors":[{"description":"old words","code":4}]}`, source.ErrInvalid},
		"status 500":                   {500, `oops`, source.ErrUnavailable},
		"[secret]":                     {500, `{"detail":"` + token + `"}`, source.ErrUnavailable},
		"status 302":                   {302, ``, source.ErrMalformed},
	} {
		s := newService(t, 3)
		s.before = func(w http.ResponseWriter, _ *http.Request) bool {
			w.WriteHeader(test.status)
			_, _ = w.Write([]byte(test.body))
			return true
		}
		_, err := read(t, s.options())
		require.ErrorIs(t, err, test.kind, text)
		require.ErrorContains(t, err, text)
	}
}

func TestReadAsAUser(t *testing.T) {
	s := newService(t, 1)
	o := s.options()
	o.User, o.Filter, o.GroupFilter = "svc", `userType eq "Employee"`, `displayName sw "eng-"`
	_, err := read(t, o)
	require.NoError(t, err)
	user, password, _ := s.requests[0].BasicAuth()
	require.Equal(t, "svc "+token, user+" "+password)
	require.Equal(t, o.Filter, s.requests[0].URL.Query().Get("filter"))
	require.Equal(t, o.GroupFilter, s.requests[1].URL.Query().Get("filter"))
}

func TestReadReturnsTheErrorsOfItsCaller(t *testing.T) {
	s := newService(t, 600)
	o := s.options()
	o.PageSize = 100
	r, err := scim.New(o)
	require.NoError(t, err)
	full := errors.New("full")
	_, err = r.Read(t.Context(), func(source.Page) error { return full })
	require.Equal(t, full, err)
	require.Equal(t, 5, s.calls["Users"])
	ctx, cancel := context.WithCancel(t.Context())
	_, err = r.Read(ctx, func(source.Page) error { cancel(); return nil })
	require.ErrorIs(t, err, context.Canceled)
}

func TestProofTellsWhoReadsWhat(t *testing.T) {
	s := newService(t, 1)
	seen := map[string]bool{}
	for _, adjust := range []func(*scim.Options){func(*scim.Options) {}, func(o *scim.Options) { o.User = "svc" },
		func(o *scim.Options) { o.Filter = "a eq 1" }, func(o *scim.Options) { o.GroupFilter = "a eq 1" },
		func(o *scim.Options) { o.Nested = true }, func(o *scim.Options) { o.NoGroups = true }} {
		o := s.options()
		adjust(&o)
		got, err := read(t, o)
		require.NoError(t, err)
		require.NotEmpty(t, got.proof.As)
		require.False(t, seen[got.proof.As])
		seen[got.proof.As] = true
	}
}

func TestLookup(t *testing.T) {
	s := newService(t, 3)
	r, err := scim.New(s.options())
	require.NoError(t, err)
	got, err := r.Lookup(t.Context(), "u0001")
	require.NoError(t, err)
	require.Equal(t, source.Identity{Key: "u0001", Enabled: pointer(true),
		Attributes: map[string]any{"userName": "user1"}}, got)
	require.Equal(t, 1, s.calls["Users"])
	_, err = r.Lookup(t.Context(), "u0009")
	require.ErrorIs(t, err, source.ErrGone)
	_, err = r.Lookup(t.Context(), "..")
	require.ErrorIs(t, err, source.ErrInvalid)
}

func TestLookupDoesNotBelieveEvery404(t *testing.T) {
	notFound := func(path string) func(http.ResponseWriter, *http.Request) bool {
		return func(w http.ResponseWriter, r *http.Request) bool {
			hidden := strings.Contains(r.URL.Path, path)
			if hidden {
				http.NotFound(w, r)
			}
			return hidden
		}
	}
	always := func(answer func(http.ResponseWriter)) func(http.ResponseWriter, *http.Request) bool {
		return func(w http.ResponseWriter, _ *http.Request) bool { answer(w); return true }
	}
	for name, adjust := range map[string]func(*service){
		"all moved":   func(s *service) { s.before = notFound("/") },
		"no look-ups": func(s *service) { s.before = notFound("/u0") },
		"nobody":      func(s *service) { s.people = nil },
		"listed and not found": func(s *service) {
			s.people[0]["id"] = "gone"
			s.before = notFound("/gone")
		},
		"401": func(s *service) {
			s.before = always(func(w http.ResponseWriter) { w.WriteHeader(http.StatusUnauthorized) })
		},
		"somebody else": func(s *service) {
			s.before = always(func(w http.ResponseWriter) { s.send(w, s.people[2]) })
		},
	} {
		s := newService(t, 3)
		adjust(s)
		r, err := scim.New(s.options())
		require.NoError(t, err)
		_, err = r.Lookup(t.Context(), "gone")
		require.Error(t, err, name)
		require.NotErrorIs(t, err, source.ErrGone, name)
	}
}

func TestNewRefuses(t *testing.T) {
	for text, spoil := range map[string]func(*scim.Options){
		"there is no secret":    func(o *scim.Options) { o.Secret = nil },
		"no colon":              func(o *scim.Options) { o.User = "a:b" },
		"1 to 1000":             func(o *scim.Options) { o.PageSize = 1001 },
		"1 to 16":               func(o *scim.Options) { o.InFlight = -1 },
		"either read or not":    func(o *scim.Options) { o.NoGroups, o.Nested = true, true },
		"must be https":         func(o *scim.Options) { o.URL = "http://idp.example/scim" },
		"must be absolute":      func(o *scim.Options) { o.URL = "" },
		"may have no credentia": func(o *scim.Options) { o.URL = "https://a:b@idp.example" },
	} {
		o := newService(t, 0).options()
		spoil(&o)
		_, err := scim.New(o)
		require.ErrorIs(t, err, source.ErrInvalid, text)
		require.ErrorContains(t, err, text)
	}
}
