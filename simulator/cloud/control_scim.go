package cloud

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"
)

// provisioningControls are the calls of the control API that concern domains, accounts, and SCIM directories, which are
// named by their ID or name.
func (c *Cloud) provisioningControls() map[string]func(*http.Request) (any, error) {
	return map[string]func(*http.Request) (any, error){
		"POST /_sim/domains":                c.postDomain,
		"DELETE /_sim/domains/{name}":       c.deleteDomain,
		"POST /_sim/login":                  c.postLogin,
		"POST /_sim/people/{name}/content":  c.postContent,
		"POST /_sim/people/{name}/tokens":   c.postToken,
		"GET /_sim/scim":                    c.listDirectoriesOfSCIM,
		"POST /_sim/scim":                   c.postSCIMDirectory,
		"GET /_sim/scim/{directory}":        c.getSCIMDirectory,
		"DELETE /_sim/scim/{directory}":     c.deleteSCIMDirectory,
		"POST /_sim/scim/{directory}/keys":  c.postSCIMKey,
		"POST /_sim/scim/{directory}/write": c.postWrite,

		"POST /_sim/scim/{directory}/groups/{name}/accept": c.acceptSCIMGroup,
		"POST /_sim/scim/disconnect":                       c.disconnectSCIM,
	}
}

// directoryNamed returns a SCIM directory by its ID or name.
func (c *Cloud) directoryNamed(r *http.Request) (*scimDirectory, error) {
	name := r.PathValue("directory")
	for _, d := range c.scims {
		if d.id == name || strings.EqualFold(d.name, name) {
			return d, nil
		}
	}
	return nil, fmt.Errorf("there is no SCIM directory %q", name)
}

// SCIMDirectory is a SCIM directory as the control API shows it.
type SCIMDirectory struct {
	ID      string              `json:"id"`
	Name    string              `json:"name"`
	Keys    map[string]KeyState `json:"keys"`
	Groups  int                 `json:"groups"`
	Count   int                 `json:"count"`             // records
	Records []SCIMRecord        `json:"records,omitempty"` // in the order of creation; only of one directory
	// Ever are all groups that there are or were, apart from those that went with a deleted directory; likewise.
	Ever []SCIMGroup `json:"ever,omitempty"`
}

// SCIMGroup is the true state of a group of a SCIM directory, or what it was.
type SCIMGroup struct {
	ID         string    `json:"id"`
	Name       string    `json:"name"`
	ExternalID string    `json:"externalId,omitempty"`
	Conflict   bool      `json:"conflict,omitempty"` // held back until a person accepts it
	Created    time.Time `json:"created"`
	Deleted    time.Time `json:"deleted,omitzero"`
}

// SCIMRecord is the true state of a record, without any lag.
type SCIMRecord struct {
	ID        string `json:"id"`
	AccountID string `json:"accountId,omitempty"` // absent: not linked
	UserName  string `json:"userName"`
	Email     string `json:"email"`
	Active    bool   `json:"active"`
	Created   string `json:"created"`
	Modified  string `json:"modified"`
	Writes    int    `json:"writes"` // changes after its creation, by whomever
}

func (d *scimDirectory) show(records bool) SCIMDirectory {
	out := SCIMDirectory{ID: d.id, Name: d.name, Keys: d.keys, Groups: len(d.groups), Count: len(d.users)}
	for _, u := range d.users {
		if !records {
			break
		}
		p := u.current()
		record := SCIMRecord{ID: u.id, UserName: u.userName, Email: p.email(), Active: !u.inactive,
			Created: timestamp(u.created), Modified: timestamp(u.modified), Writes: u.writes}
		if u.account != nil {
			record.AccountID = u.account.id
		}
		out.Records = append(out.Records, record)
	}
	if records {
		out.Ever = d.groupsEver()
	}
	return out
}

// groupsEver returns the groups that there were and are.
func (d *scimDirectory) groupsEver() (all []SCIMGroup) {
	for _, g := range slices.Concat(d.goneGroups, d.groups) {
		one := SCIMGroup{ID: g.id, Name: g.name, ExternalID: g.externalID, Conflict: g.conflict,
			Created: time.Unix(0, g.created).UTC()}
		if g.deleted != 0 {
			one.Deleted = time.Unix(0, g.deleted).UTC()
		}
		all = append(all, one)
	}
	return all
}

// SCIMDirectories returns the SCIM directories with their records, the first one first.
func (c *Cloud) SCIMDirectories() []SCIMDirectory { return c.showDirectories(true) }

func (c *Cloud) showDirectories(records bool) []SCIMDirectory {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.writePlanned()
	out := []SCIMDirectory{}
	for _, d := range c.scims {
		one := d.show(records)
		one.Keys = maps.Clone(one.Keys)
		out = append(out, one)
	}
	return out
}

func (c *Cloud) listDirectoriesOfSCIM(*http.Request) (any, error) {
	return c.showDirectories(false), nil
}

func (c *Cloud) getSCIMDirectory(r *http.Request) (any, error) {
	for _, d := range c.SCIMDirectories() {
		if name := r.PathValue("directory"); d.ID == name || strings.EqualFold(d.Name, name) {
			return d, nil
		}
	}
	return nil, fmt.Errorf("there is no SCIM directory %q", r.PathValue("directory"))
}

// postSCIMDirectory connects one more identity provider.
func (c *Cloud) postSCIMDirectory(r *http.Request) (any, error) {
	var body struct {
		Name string `json:"name"`
		Key  string `json:"key"` // default: a new one
	}
	if err := read(r, &body); err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	id := c.freshID("scim-directory")
	key := orElse(body.Key, "sim-scim-key-"+id)
	taken := slices.ContainsFunc(c.scims, func(d *scimDirectory) bool { return strings.EqualFold(d.name, body.Name) })
	if known, _ := c.scimByKey(key); known != nil || taken || strings.TrimSpace(body.Name) == "" {
		return nil, fmt.Errorf("SCIM directory %q: the name is empty or taken, or the key is another directory's", body.Name)
	}
	d := newSCIMDirectory(id, body.Name, key)
	c.scims = append(c.scims, d)
	c.info.SCIMDirectoryID = c.scims[0].id
	return map[string]string{"id": d.id, "key": key}, nil
}

// deleteSCIMDirectory deletes the provisioning configuration with all its records and keys: its groups become local
// ones with the same members, and accounts stay as they are.
func (c *Cloud) deleteSCIMDirectory(r *http.Request) (any, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	d, err := c.directoryNamed(r)
	if err != nil {
		return nil, err
	}
	c.release(d)
	c.scims = slices.DeleteFunc(c.scims, func(other *scimDirectory) bool { return other == d })
	c.info.SCIMDirectoryID = ""
	if len(c.scims) > 0 {
		c.info.SCIMDirectoryID = c.scims[0].id
	}
	return done, nil
}

// release makes the directory's groups local, and separates its records from their accounts.
func (c *Cloud) release(d *scimDirectory) {
	for _, g := range c.groups {
		if g.scim != nil && g.scim.dir == d {
			g.synced, g.scim = false, nil
		}
	}
	for _, u := range slices.Clone(d.users) {
		c.forget(u)
	}
	d.groups, d.groupByID = nil, map[string]*scimGroup{}
}

// disconnectSCIM empties the first SCIM directory as if it were deleted; its ID and key stay good.
func (c *Cloud) disconnectSCIM(*http.Request) (any, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.scims) == 0 {
		return nil, fmt.Errorf("there is no SCIM directory")
	}
	c.release(c.scims[0])
	return done, nil
}

// postSCIMKey makes a new key in place of all others, as regenerating one does, or changes the state of one.
func (c *Cloud) postSCIMKey(r *http.Request) (any, error) {
	var body struct {
		Key   string   `json:"key"`
		State KeyState `json:"state"` // valid or expired; default: a new key, and all others cease
	}
	if err := read(r, &body); err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	d, err := c.directoryNamed(r)
	if err != nil {
		return nil, err
	}
	other, _ := c.scimByKey(body.Key)
	switch _, known := d.keys[body.Key]; {
	case body.State != "" && !known:
		return nil, fmt.Errorf("SCIM directory %q has no such key", d.name)
	case body.State == "" && other != nil:
		return nil, fmt.Errorf("the key is one already: name another, or none")
	case body.State == "":
		key := orElse(body.Key, "sim-scim-key-"+c.freshID("scim-key"))
		d.keys = map[string]KeyState{key: KeyValid}
		return map[string]string{"key": key}, nil
	case body.State != KeyValid && body.State != KeyExpired:
		return nil, fmt.Errorf("state %q: write valid or expired", body.State)
	}
	d.keys[body.Key] = body.State
	return done, nil
}

// plannedWrite is what another writer does to a SCIM directory, such as a second identity provider.
type plannedWrite struct {
	at     instant
	dir    *scimDirectory
	method string
	person string // whose record it is, if the path does not say
	path   string // below the directory, for example /Users
	body   []byte
}

// postWrite does a call of SCIM as another writer, at once or at a time of the simulator's clock. It needs no key,
// meets no fault, and counts in no statistics.
func (c *Cloud) postWrite(r *http.Request) (any, error) {
	var body struct {
		Method string          `json:"method"`
		Path   string          `json:"path"`   // below the directory, for example /Users/<id>
		Person string          `json:"person"` // in place of the path: account ID, e-mail address or key
		Body   json.RawMessage `json:"body"`
		After  Duration        `json:"after"`
	}
	if err := read(r, &body); err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	d, err := c.directoryNamed(r)
	if err != nil {
		return nil, err
	}
	write := plannedWrite{at: c.now() + int64(body.After), dir: d, method: body.Method, path: body.Path,
		person: body.Person, body: body.Body}
	if body.After == 0 {
		return c.writeAs(write)
	}
	c.planned = append(c.planned, write)
	slices.SortStableFunc(c.planned, func(a, b plannedWrite) int { return cmp.Compare(a.at, b.at) })
	return map[string]string{"at": timestamp(write.at)}, nil
}

// writePlanned does what other writers were to do by now. Nobody hears of what fails.
func (c *Cloud) writePlanned() {
	for len(c.planned) > 0 && c.planned[0].at <= c.now() {
		due := c.planned[0]
		c.planned = c.planned[1:]
		_, _ = c.writeAs(due)
	}
}

// providerWrites are the calls of SCIM that write, by method and kind.
var providerWrites = map[string]func(*Cloud, *call) answer{
	"POST Users": (*Cloud).createSCIMUser, "PUT Users": (*Cloud).replaceSCIMUser, "PATCH Users": (*Cloud).patchSCIMUser,
	"DELETE Users": (*Cloud).deleteSCIMUser, "POST Groups": (*Cloud).createSCIMGroup,
	"PUT Groups": (*Cloud).replaceSCIMGroup, "PATCH Groups": (*Cloud).patchSCIMGroup,
	"DELETE Groups": (*Cloud).deleteSCIMGroup,
}

func (c *Cloud) writeAs(w plannedWrite) (any, error) {
	if w.person != "" {
		u := c.person(w.person)
		if u == nil || u.recordIn(w.dir) == nil {
			return nil, fmt.Errorf("%q has no record in SCIM directory %q", w.person, w.dir.name)
		}
		w.path = "/Users/" + u.recordIn(w.dir).id
	}
	kind, id, _ := strings.Cut(strings.TrimPrefix(w.path, "/"), "/")
	handle := providerWrites[w.method+" "+kind]
	if handle == nil {
		return nil, fmt.Errorf("%s %s is no call of SCIM that writes", w.method, w.path)
	}
	request, err := http.NewRequest(w.method, "http://sim.invalid/scim/directory/"+w.dir.id+w.path, bytes.NewReader(w.body))
	if err != nil {
		return nil, err
	}
	request.SetPathValue("id", id)
	in := &call{Request: request, body: w.body, scim: w.dir}
	in.spoil = &spoiler{c: c, in: in}
	out := handle(c, in)
	if out.problem != nil {
		return nil, fmt.Errorf("%s %s: %d %s", w.method, w.path, out.status, out.problem.detail)
	}
	return map[string]any{"status": out.status, "body": out.body}, nil
}
