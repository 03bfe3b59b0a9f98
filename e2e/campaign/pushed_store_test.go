package campaign

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/castellan-io/castellan/e2e/stack"
)

// pushStore keeps teams in the inbox, as an identity provider that pushes them by SCIM.
type pushStore struct {
	ctx     context.Context
	base    string
	random  *rand.Rand
	ids     map[string]string   // that the inbox gave people, by their keys
	names   map[string]string   // of teams, by key
	members map[string][]string // likewise: the keys of people, disabled or not
	off     []string            // the keys of people who are disabled

	states   map[int]int // answers, by status
	replayed int
	err      error // the first that does not pass
}

// request pushes something until it is answered, and at times once more; other statuses than 2xx that may be.
func (p *pushStore) request(method, path string, body any, may ...int) (got map[string]any) {
	status := 0
	err := stack.Eventually(p.ctx, time.Minute, func() (err error) {
		if status, got, err = p.send(method, path, body); err != nil {
			return err
		}
		if status >= 300 && !slices.Contains(may, status) {
			err = fmt.Errorf("%s %s: the inbox answers %d: %v", method, path, status, got)
		}
		return err
	})
	p.err = errors.Join(p.err, err)
	if method != http.MethodGet && p.random.IntN(6) == 0 && err == nil {
		p.replayed++
		_, _, _ = p.send(method, path, body) // whatever the answer is: nobody waits for it
	}
	if status == http.StatusConflict {
		return nil
	}
	return got
}

func (p *pushStore) send(method, path string, body any) (status int, got map[string]any, err error) {
	var text bytes.Buffer
	if body != nil {
		if err := json.NewEncoder(&text).Encode(body); err != nil {
			return 0, nil, err
		}
	}
	r, err := http.NewRequestWithContext(p.ctx, method, p.base+path, &text)
	if err != nil {
		return 0, nil, err
	}
	r.Header.Set("Authorization", "Bearer "+feedKey)
	r.Header.Set("Content-Type", "application/scim+json")
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0, nil, err
	}
	defer func() { _ = answer.Body.Close() }()
	p.states[answer.StatusCode]++
	if answer.StatusCode != http.StatusNoContent {
		err = json.NewDecoder(answer.Body).Decode(&got)
	}
	return answer.StatusCode, got, err
}

// create creates a resource, or finds it where an answer was lost, and returns its id.
func (p *pushStore) create(path, attribute, name string, body map[string]any) string {
	body["schemas"] = []string{"urn:ietf:params:scim:schemas:core:2.0:" + path[1:len(path)-1]}
	got := p.request(http.MethodPost, path, body, http.StatusConflict)
	if got == nil {
		filter := url.QueryEscape(fmt.Sprintf("%s eq %q", attribute, name))
		found := p.request(http.MethodGet, path+"?filter="+filter, nil)
		if all, _ := found["Resources"].([]any); len(all) == 1 {
			got, _ = all[0].(map[string]any)
		}
	}
	id, _ := got["id"].(string)
	if id == "" {
		p.err = errors.Join(p.err, fmt.Errorf("%s in %s has no id: %v", name, path, got))
	}
	return id
}

// patch pushes operations on a resource.
func (p *pushStore) patch(path string, operations ...map[string]any) {
	p.request(http.MethodPatch, path, map[string]any{
		"schemas": []string{"urn:ietf:params:scim:api:messages:2.0:PatchOp"}, "Operations": operations})
}

func (p *pushStore) addUser(key, address string) {
	p.ids[key] = p.create("/Users", "userName", address, map[string]any{"userName": address, "externalId": key,
		"active": true, "emails": []any{map[string]any{"primary": true, "type": "work", "value": address}}})
}

// enable enables or disables somebody, in the words of Okta or of Entra ID.
func (p *pushStore) enable(key string, enabled bool) {
	p.off = slices.DeleteFunc(p.off, func(one string) bool { return one == key })
	if !enabled {
		p.off = append(p.off, key)
	}
	operation := map[string]any{"op": "replace", "value": map[string]any{"active": enabled}}
	if p.random.IntN(2) == 0 {
		text := map[bool]string{true: "True", false: "False"}[enabled]
		operation = map[string]any{"op": "Replace", "path": "active", "value": text}
	}
	p.patch("/Users/"+p.ids[key], operation)
}

func (p *pushStore) deleteUser(key string) {
	for team, people := range p.members {
		p.members[team] = slices.DeleteFunc(people, func(one string) bool { return one == key })
	}
	p.request(http.MethodDelete, "/Users/"+p.ids[key], nil, http.StatusNotFound)
}

func (p *pushStore) addTeam(key, name string, people []string) string {
	id := p.create("/Groups", "displayName", name, map[string]any{"displayName": name, "externalId": key,
		"members": p.values(people)})
	p.names[id], p.members[id] = name, people
	return id
}

func (p *pushStore) deleteTeam(id string) {
	p.request(http.MethodDelete, "/Groups/"+id, nil, http.StatusNotFound)
	delete(p.members, id)
}

// renameTeam renames a group, in the words of Okta or of Entra ID.
func (p *pushStore) renameTeam(id, name string) {
	p.names[id] = name
	if p.random.IntN(2) == 0 {
		p.patch("/Groups/"+id, map[string]any{"op": "Replace", "path": "displayName", "value": name})
		return
	}
	p.patch("/Groups/"+id, map[string]any{"op": "replace", "value": map[string]any{"id": id, "displayName": name}})
}

// setTeam adds and removes members, or says who all are; whoever is disabled stays.
func (p *pushStore) setTeam(id string, people []string) {
	before := p.members[id]
	for _, key := range p.off {
		if slices.Contains(before, key) && !slices.Contains(people, key) {
			people = append(people, key)
		}
	}
	p.members[id] = people
	without := func(some, others []string) []any {
		in := func(key string) bool { return slices.Contains(others, key) }
		return p.values(slices.DeleteFunc(slices.Clone(some), in))
	}
	switch p.random.IntN(3) {
	case 0:
		p.request(http.MethodPut, "/Groups/"+id, map[string]any{"id": id, "displayName": p.names[id],
			"schemas": []string{"urn:ietf:params:scim:schemas:core:2.0:Group"}, "members": p.values(people)})
	case 1:
		p.patch("/Groups/"+id, map[string]any{"op": "replace", "path": "members", "value": p.values(people)})
	default:
		var operations []map[string]any
		for op, some := range map[string][]any{"Add": without(people, before), "Remove": without(before, people)} {
			if len(some) > 0 {
				operations = append(operations, map[string]any{"op": op, "path": "members", "value": some})
			}
		}
		if len(operations) > 0 {
			p.patch("/Groups/"+id, operations...)
		}
	}
}

// values names people as members.
func (p *pushStore) values(keys []string) []any {
	all := []any{}
	for _, key := range keys {
		all = append(all, map[string]any{"value": p.ids[key]})
	}
	return all
}
