package cloud_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/castellan-io/castellan/simulator/cloud"
	"github.com/stretchr/testify/require"
)

// sim is a simulator under test. Its clock stands still until the test advances it.
type sim struct {
	t    *testing.T
	c    *cloud.Cloud
	url  string
	info cloud.Info
	key  string
}

// smallOrg has four people, two source groups, and Bo as a foreign member of the group of Jira users.
var smallOrg = cloud.OrgFile{
	People: []string{"ana", "bo", "carol", "dan"},
	Admins: []string{"ana", "carol"},
	Groups: []cloud.OrgGroup{{Name: "engineering", Members: []string{"ana", "bo"}},
		{Name: "sales", Members: []string{"carol", "dan"}}},
	Local:   []cloud.OrgGroup{{Name: "reviewers", Members: []string{"dan"}}},
	Foreign: map[string][]string{"jira-users-acme": {"bo"}},
}

func start(t *testing.T) *sim { return startWith(t, cloud.Options{}, smallOrg) }

func startWith(t *testing.T, o cloud.Options, org cloud.OrgFile) *sim {
	t.Helper()
	now := time.Date(2026, 9, 1, 12, 0, 0, 0, time.UTC)
	o.Now = func() time.Time { return now }
	c := cloud.New(o)
	require.NoError(t, c.SeedOrg(org))
	return serve(t, c)
}

func serve(t *testing.T, c *cloud.Cloud) *sim {
	server := httptest.NewServer(c.Handler())
	t.Cleanup(server.Close)
	return &sim{t: t, c: c, url: server.URL, info: c.Info(), key: cloud.DefaultKey}
}

// reply is a response.
type reply struct {
	status int
	header http.Header
	text   string
	json   any
}

// at returns a part of the JSON: at("data", 0, "name").
func (r reply) at(path ...any) any {
	value := r.json
	for _, step := range path {
		switch step := step.(type) {
		case string:
			inner, _ := value.(map[string]any)
			value = inner[step]
		case int:
			inner, _ := value.([]any)
			if step >= len(inner) {
				return nil
			}
			value = inner[step]
		}
	}
	return value
}

// word is at for a text.
func (r reply) word(path ...any) string { s, _ := r.at(path...).(string); return s }

// each returns one member of all items of data.
func (r reply) each(member string) []string {
	out := []string{}
	items, _ := r.at("data").([]any)
	for _, item := range items {
		text, _ := item.(map[string]any)[member].(string)
		out = append(out, text)
	}
	return out
}

// call sends a request; O, D and S at the head of the path stand for the organization (v2), its directory, and the SCIM
// directory.
func (s *sim) call(method, path string, body any) reply {
	s.t.Helper()
	r, err := s.try(method, path, body)
	require.NoError(s.t, err)
	return r
}

func (s *sim) try(method, path string, body any) (reply, error) {
	key := s.key
	for head, full := range map[string]string{
		"V1": "/admin/v1/orgs/" + s.info.OrgID,
		"O":  "/admin/v2/orgs/" + s.info.OrgID,
		"D":  "/admin/v2/orgs/" + s.info.OrgID + "/directories/" + s.info.DirectoryID,
		"S":  "/scim/directory/" + s.info.SCIMDirectoryID,
	} {
		if rest, found := strings.CutPrefix(path, head+"/"); found {
			path = full + "/" + rest
			if head == "S" {
				key = cloud.DefaultSCIMKey
			}
			break
		}
	}
	if strings.HasPrefix(path, "/") {
		path = s.url + path
	}
	var reader io.Reader
	switch body := body.(type) {
	case nil:
	case string:
		reader = strings.NewReader(body)
	default:
		text, err := json.Marshal(body)
		if err != nil {
			return reply{}, err
		}
		reader = bytes.NewReader(text)
	}
	request, err := http.NewRequestWithContext(s.t.Context(), method, path, reader)
	if err != nil {
		return reply{}, err
	}
	request.Header.Set("Authorization", "Bearer "+key)
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return reply{}, err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		return reply{}, err
	}
	r := reply{status: answer.StatusCode, header: answer.Header, text: string(text)}
	_ = json.Unmarshal(text, &r.json) // some answers are not JSON on purpose
	return r, nil
}

func (s *sim) get(path string) reply { s.t.Helper(); return s.call("GET", path, nil) }

func (s *sim) post(path string, body any) reply { s.t.Helper(); return s.call("POST", path, body) }

func (s *sim) delete(path string) reply { s.t.Helper(); return s.call("DELETE", path, nil) }

// must is a post that has to succeed.
func (s *sim) must(path string, body any) reply {
	s.t.Helper()
	r := s.post(path, body)
	require.Less(s.t, r.status, 300, "POST %s: %s", path, r.text)
	return r
}

func (s *sim) account(name string) string {
	s.t.Helper()
	for _, p := range s.c.State().People {
		if p.Email == name || p.Email == name+"@example.com" {
			return p.AccountID
		}
	}
	require.Fail(s.t, "no such person", name)
	return ""
}

func (s *sim) scimUser(name string) string {
	s.t.Helper()
	id := s.account(name)
	for _, p := range s.c.State().People {
		if p.AccountID == id {
			return p.SCIMUserID
		}
	}
	return ""
}

func (s *sim) group(name string) cloud.StateGroup {
	s.t.Helper()
	for _, g := range s.c.State().Groups {
		if g.Name == name {
			return g
		}
	}
	require.Fail(s.t, "no such group", name)
	return cloud.StateGroup{}
}

func (s *sim) resource(app string) string {
	s.t.Helper()
	for _, r := range s.c.State().Resources {
		if r.App == app {
			return r.Resource
		}
	}
	require.Fail(s.t, "no such app", app)
	return ""
}

// membersOf returns a group's members according to users/search.
func (s *sim) membersOf(group string) []string {
	s.t.Helper()
	r := s.must("D/users/search", map[string]any{"groupIds": []string{s.group(group).ID}, "limit": 100})
	return r.each("accountId")
}

func (s *sim) add(group, person string) reply {
	s.t.Helper()
	return s.post("D/groups/"+s.group(group).ID+"/memberships", map[string]string{"accountId": s.account(person)})
}

func (s *sim) remove(group, person string) reply {
	s.t.Helper()
	return s.delete("D/groups/" + s.group(group).ID + "/memberships/" + s.account(person))
}

func (s *sim) settings(fields map[string]any) {
	s.t.Helper()
	s.must("/_sim/settings", fields)
}

func (s *sim) fault(f map[string]any) {
	s.t.Helper()
	s.must("/_sim/faults", f)
}

// walk reads a v2 search to its end and returns one member of every item.
func (s *sim) walk(path string, body map[string]any, member string) []string {
	s.t.Helper()
	all := []string{}
	for range 10_000 {
		r := s.must(path, body)
		all = append(all, r.each(member)...)
		next := r.word("links", "next")
		if next == "" {
			return all
		}
		body = map[string]any{"cursor": next}
	}
	require.Fail(s.t, "the list has no end")
	return nil
}

func generated(t *testing.T, seed int64, people, groups, memberships int) *sim {
	t.Helper()
	c := cloud.New(cloud.Options{Seed: seed, Apps: []string{"jira", "confluence", "jsm"}})
	require.NoError(t, c.SeedGenerated(cloud.Generator{People: people, Groups: groups, Memberships: memberships,
		Seed: seed}))
	return serve(t, c)
}

func escape(text string) string { return url.QueryEscape(text) }

func codes(r reply) string { return fmt.Sprint(r.status, " ", r.word("errors", 0, "code")) }
