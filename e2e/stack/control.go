package stack

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/castellan-io/castellan/atlassian/scim"
	"github.com/castellan-io/castellan/messages"
	"github.com/castellan-io/castellan/simulator/cloud"
)

// control calls the simulator's control API.
func (s *Simulator) control(ctx context.Context, method, path string, in, out any) error {
	var body io.Reader
	if in != nil {
		data, err := json.Marshal(in)
		if err != nil {
			return err
		}
		body = bytes.NewReader(data)
	}
	r, err := http.NewRequestWithContext(ctx, method, s.URL+"/_sim/"+path, body)
	if err != nil {
		return err
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return err
	}
	defer func() { _ = answer.Body.Close() }()
	data, err := io.ReadAll(answer.Body)
	if err != nil {
		return err
	}
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("simulator %s %s: %s: %s", method, path, answer.Status, data)
	}
	if out == nil {
		return nil
	}
	return json.Unmarshal(data, out)
}

// Stats returns the calls made since the start or the last reset.
func (s *Simulator) Stats(ctx context.Context) (stats cloud.Stats, err error) {
	return stats, s.control(ctx, http.MethodGet, "stats", nil, &stats)
}

// ResetStats starts counting anew.
func (s *Simulator) ResetStats(ctx context.Context) error {
	return s.control(ctx, http.MethodPost, "stats/reset", nil, nil)
}

// State returns the whole truth, without any lag.
func (s *Simulator) State(ctx context.Context) (state cloud.State, err error) {
	return state, s.control(ctx, http.MethodGet, "state", nil, &state)
}

// History returns every change that took effect since the start, in order, on the simulator's clock.
func (s *Simulator) History(ctx context.Context) (changes []cloud.Change, err error) {
	return changes, s.control(ctx, http.MethodGet, "history", nil, &changes)
}

// Fault switches a fault on.
func (s *Simulator) Fault(ctx context.Context, f cloud.Fault) error {
	return s.control(ctx, http.MethodPost, "faults", f, nil)
}

// Faults lists the faults that are on, with how often each struck.
func (s *Simulator) Faults(ctx context.Context) (faults []cloud.Fault, err error) {
	return faults, s.control(ctx, http.MethodGet, "faults", nil, &faults)
}

// ClearFaults switches all faults off.
func (s *Simulator) ClearFaults(ctx context.Context) error {
	return s.control(ctx, http.MethodDelete, "faults", nil, nil)
}

// Set changes some of the simulator's settings, named as in its JSON.
func (s *Simulator) Set(ctx context.Context, settings map[string]any) error {
	return s.control(ctx, http.MethodPost, "settings", settings, nil)
}

// Notices returns those that a worker was told to send to the simulator, the oldest first.
func (s *Simulator) Notices(ctx context.Context) (notices []messages.Notice, err error) {
	return notices, s.control(ctx, http.MethodGet, "notices", nil, &notices)
}

// Invite adds people, named by e-mail address or account id, to a group as an admin or an invitation would.
func (s *Simulator) Invite(ctx context.Context, group string, people ...string) error {
	return s.control(ctx, http.MethodPost, "groups/"+url.PathEscape(group)+"/members", map[string]any{"people": people},
		nil)
}

// Expel takes people out of a group as an admin would.
func (s *Simulator) Expel(ctx context.Context, group string, people ...string) error {
	return s.control(ctx, http.MethodDelete, "groups/"+url.PathEscape(group)+"/members",
		map[string]any{"people": people}, nil)
}

// Person changes what an admin can change of a person by hand, named as in the simulator's JSON: title, suspended and
// others.
func (s *Simulator) Person(ctx context.Context, name string, change map[string]any) error {
	return s.control(ctx, http.MethodPost, "people/"+url.PathEscape(name), change, nil)
}

// Login lets somebody log in to an app for the first time: an account is made that no SCIM record is linked to.
func (s *Simulator) Login(ctx context.Context, email, name, app, site string) error {
	return s.control(ctx, http.MethodPost, "login",
		map[string]string{"email": email, "name": name, "app": app, "site": site}, nil)
}

// Content leaves marks that an account, named by its address or key, has written something: they stay with the account.
func (s *Simulator) Content(ctx context.Context, name string, marks ...string) error {
	return s.control(ctx, http.MethodPost, "people/"+url.PathEscape(name)+"/content",
		map[string]any{"marks": marks}, nil)
}

// Directory returns the organization's SCIM directory with its records, without any lag.
func (s *Simulator) Directory(ctx context.Context) (d cloud.SCIMDirectory, err error) {
	return d, s.control(ctx, http.MethodGet, "scim/"+s.SCIMDirectoryID, nil, &d)
}

// AcceptGroup accepts a group of the SCIM directory in place of the organization's own group of that name, as a person
// does in Atlassian Administration.
func (s *Simulator) AcceptGroup(ctx context.Context, name string) error {
	return s.control(ctx, http.MethodPost, "scim/"+s.SCIMDirectoryID+"/groups/"+url.PathEscape(name)+"/accept", nil, nil)
}

// PatchRecord changes an attribute of somebody's record in the SCIM directory, as another identity provider does, and
// whatever fault is on.
func (s *Simulator) PatchRecord(ctx context.Context, person, attribute, value string) error {
	return s.control(ctx, http.MethodPost, "scim/"+s.SCIMDirectoryID+"/write", map[string]any{
		"method": http.MethodPatch, "person": person, "body": map[string]any{
			"schemas":    []string{"urn:ietf:params:scim:api:messages:2.0:PatchOp"},
			"Operations": []any{map[string]any{"op": "replace", "path": attribute, "value": value}},
		},
	}, nil)
}

// Activity returns when people last used an app of a site.
func (s *Simulator) Activity(ctx context.Context, app, site string, at time.Time, people ...string) error {
	return s.control(ctx, http.MethodPost, "activity",
		map[string]any{"people": people, "app": app, "site": site, "at": at.Format(time.RFC3339)}, nil)
}

// MoveDefault makes another group the default one for a role.
func (s *Simulator) MoveDefault(ctx context.Context, app, site, role, group string) error {
	return s.control(ctx, http.MethodPost, "defaults",
		map[string]string{"app": app, "site": site, "role": role, "group": group}, nil)
}

// GroupRole gives a group a role on an app, as an admin does.
func (s *Simulator) GroupRole(ctx context.Context, group, app, site, role string) error {
	return s.control(ctx, http.MethodPost, "groups/"+url.PathEscape(group)+"/roles",
		map[string]string{"app": app, "site": site, "role": role}, nil)
}

// LocalGroup creates a group that no identity provider owns.
func (s *Simulator) LocalGroup(ctx context.Context, name string) error {
	return s.control(ctx, http.MethodPost, "groups", map[string]any{"name": name}, nil)
}

// DropGroup deletes one of the organization's own groups as an admin would.
func (s *Simulator) DropGroup(ctx context.Context, name string) error {
	return s.control(ctx, http.MethodDelete, "groups/"+url.PathEscape(name), nil, nil)
}

// SCIM returns a client of the organization's SCIM directory: what the identity provider does.
func (s *Simulator) SCIM() (scim.Writer, error) {
	client, err := scim.New(scim.Options{
		BaseURL: s.URL + "/scim/directory/" + s.SCIMDirectoryID,
		Key:     func(context.Context) (string, error) { return SCIMKey, nil },
	})
	return scim.NewWriter(client), err
}

// Members returns the account ids in a group, by the group's name.
func Members(state cloud.State, group string) []string {
	for _, g := range state.Groups {
		if g.Name == group {
			return g.Members
		}
	}
	return nil
}

// MembersOf reads the account ids in a group, by the group's name, without any lag.
func (s *Simulator) MembersOf(ctx context.Context, group string) ([]string, error) {
	var answer struct {
		Members []struct {
			AccountID string `json:"accountId"`
		} `json:"members"`
	}
	err := s.control(ctx, http.MethodGet, "groups/"+url.PathEscape(group)+"/members", nil, &answer)
	ids := make([]string, len(answer.Members))
	for i, m := range answer.Members {
		ids[i] = m.AccountID
	}
	return ids, err
}
