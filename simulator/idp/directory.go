package idp

import (
	"crypto/rsa"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// The states of a person. Okta shows them in capitals, whatever they are; the others know only whether it is Active or
// Locked, which is enabled.
const (
	Active        = "active"
	Locked        = "locked_out"
	Staged        = "staged"
	Suspended     = "suspended"
	Deprovisioned = "deprovisioned"
)

// Person is somebody in the directory.
type Person struct {
	ID, Login, Email, First, Last, Title, Department string
	Status                                           string // default Active

	seq     int
	changed time.Time
	deleted time.Time // zero: is there; else in the bin
}

// Group is a group, with the people and groups that are in it.
type Group struct {
	ID, Name, Email string
	People          []string
	Groups          []string // in Keycloak: its children

	seq int
}

// Options are what a Directory is made with.
type Options struct {
	Latency time.Duration    // that each answer with data takes, and no longer unless the answer itself does
	Now     func() time.Time // default time.Now
	Page    int              // items of a page at most, whatever a client asks for; 0: as many as the vendor allows

	// What opens it. A client comes with its secret or with an assertion that Key verifies.
	Token        string // Okta's API token; default DefaultToken
	ClientID     string // default DefaultClientID; for Google, the service account
	ClientSecret string // default DefaultClientSecret
	Key          *rsa.PublicKey
	Lifetime     time.Duration // of a token; default an hour
}

// What opens a Directory unless Options says otherwise.
const (
	DefaultToken        = "sim-api-token"
	DefaultClientID     = "sim-client"
	DefaultClientSecret = "sim-client-secret"
)

// Directory is one company's people and groups.
type Directory struct {
	options Options

	mu      sync.Mutex
	serial  int
	people  []*Person // by seq
	byID    map[string]*Person
	groups  []*Group
	group   map[string]*Group
	changes []change
	faults  []*Fault
	tokens  map[string]time.Time
	calls   []string
}

// change is something that happened to a person or a group.
type change struct {
	at      time.Time
	id      string
	group   bool
	deleted bool
}

// New makes an empty directory.
func New(o Options) *Directory {
	if o.Now == nil {
		o.Now = time.Now
	}
	for field, value := range map[*string]string{&o.Token: DefaultToken, &o.ClientID: DefaultClientID,
		&o.ClientSecret: DefaultClientSecret} {
		if *field == "" {
			*field = value
		}
	}
	if o.Lifetime == 0 {
		o.Lifetime = time.Hour
	}
	return &Directory{options: o, byID: map[string]*Person{}, group: map[string]*Group{},
		tokens: map[string]time.Time{}}
}

// Generate adds people, everybody active, and a group for each size, with as many of them as members.
func (d *Directory) Generate(people int, groups ...int) {
	for i := range people {
		name := fmt.Sprintf("person%06d", i)
		d.AddPerson(Person{ID: fmt.Sprintf("00000000-0000-4000-8000-%012d", i), Login: name + "@acme.example",
			Email: name + "@acme.example", First: fmt.Sprintf("First%d", i), Last: fmt.Sprintf("Last%d", i),
			Title:      "Engineer",
			Department: fmt.Sprintf("Department %d", i%50)})
	}
	for i, size := range groups {
		name := fmt.Sprintf("atl-group-%d", i)
		group := Group{ID: fmt.Sprintf("00000000-0000-4000-9000-%012d", i), Name: name, Email: name + "@acme.example"}
		for j := range size {
			group.People = append(group.People, d.people[(i+j)%people].ID)
		}
		d.AddGroup(group)
	}
}

// AddPerson adds somebody.
func (d *Directory) AddPerson(p Person) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if p.Status == "" {
		p.Status = Active
	}
	d.serial++
	p.seq, p.changed = d.serial, d.options.Now()
	d.people = append(d.people, &p)
	d.byID[p.ID] = &p
	d.changed(p.ID, false, false)
}

// SetStatus changes a person's state.
func (d *Directory) SetStatus(id, status string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.byID[id].Status, d.byID[id].changed = status, d.options.Now()
	d.changed(id, false, false)
}

// Change changes what is known of a person.
func (d *Directory) Change(id string, change func(*Person)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	change(d.byID[id])
	d.byID[id].changed = d.options.Now()
	d.changed(id, false, false)
}

// Delete moves a person to the bin, and out of all groups.
func (d *Directory) Delete(id string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.byID[id].deleted = d.options.Now()
	for _, g := range d.groups {
		g.People = slices.DeleteFunc(g.People, func(member string) bool { return member == id })
	}
	d.changed(id, false, true)
}

// Purge removes a person for good.
func (d *Directory) Purge(id string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.people = slices.DeleteFunc(d.people, func(p *Person) bool { return p.ID == id })
	delete(d.byID, id)
	d.changed(id, false, true)
}

// AddGroup adds a group.
func (d *Directory) AddGroup(g Group) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.serial++
	g.seq = d.serial
	d.groups = append(d.groups, &g)
	d.group[g.ID] = &g
	d.changed(g.ID, true, false)
}

// DeleteGroup removes a group.
func (d *Directory) DeleteGroup(id string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.groups = slices.DeleteFunc(d.groups, func(g *Group) bool { return g.ID == id })
	delete(d.group, id)
	d.changed(id, true, true)
}

// RenameGroup changes a group's name.
func (d *Directory) RenameGroup(id, name string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.group[id].Name = name
	d.changed(id, true, false)
}

// SetMembers replaces the people in a group.
func (d *Directory) SetMembers(group string, people ...string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.group[group].People = people
	d.changed(group, true, false)
}

func (d *Directory) changed(id string, group, deleted bool) {
	d.changes = append(d.changes, change{d.options.Now(), id, group, deleted})
}

// Calls are the requests so far, for example "GET /api/v1/users", without their queries.
func (d *Directory) Calls() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.calls)
}

// There and below are asked with the lock held.

// there are the people who were not deleted.
func (d *Directory) there() []*Person {
	return slices.DeleteFunc(slices.Clone(d.people), func(p *Person) bool { return !p.deleted.IsZero() })
}

func (p *Person) enabled() bool { return p.Status == Active || p.Status == Locked }

// members are the people in a group, and those of the groups in it if asked, in the order of their ids.
func (d *Directory) members(g *Group, nested bool) []*Person {
	ids, seen := map[string]bool{}, map[string]bool{}
	var walk func(*Group)
	walk = func(g *Group) {
		if seen[g.ID] {
			return
		}
		seen[g.ID] = true
		for _, id := range g.People {
			ids[id] = true
		}
		for _, child := range g.Groups {
			if nested && d.group[child] != nil {
				walk(d.group[child])
			}
		}
	}
	walk(g)
	var people []*Person
	for id := range ids {
		if p := d.byID[id]; p != nil {
			people = append(people, p)
		}
	}
	slices.SortFunc(people, func(a, b *Person) int { return a.seq - b.seq })
	return people
}

// find looks for somebody by id, login or address, deleted or not.
func (d *Directory) find(key string) *Person {
	if p := d.byID[key]; p != nil {
		return p
	}
	for _, p := range d.people {
		if strings.EqualFold(p.Login, key) || strings.EqualFold(p.Email, key) {
			return p
		}
	}
	return nil
}

// Fault spoils answers.
type Fault struct {
	Path  string // which calls: those whose path contains it
	Whole bool   // only those whose path is Path itself
	After int    // so many of them pass first
	Times int    // so many of them are hit; 0: all

	Status  int               // answer with this status and Body; with a body alone, with 200
	Header  map[string]string // added to the answer
	Body    string
	Cut     bool          // break off in the middle of the body
	Delay   time.Duration // answer later
	Repeat  bool          // the link or cursor to the next page leads to the same page again
	Host    string        // the link to the next page leads to this host
	Short   bool          // leave out the last one of a page, without a word
	Lost    int           // leave out so many of a page, the first ones, without a word
	Do      func()        // called before the answer is made, for example to change the directory
	matched int
}

// Break adds a fault.
func (d *Directory) Break(f Fault) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.faults = append(d.faults, &f)
}

// Mend takes all faults away.
func (d *Directory) Mend() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.faults = nil
}

// hit returns the fault that a call meets.
func (d *Directory) hit(r *http.Request) *Fault {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.calls = append(d.calls, r.Method+" "+r.URL.Path)
	for _, f := range d.faults {
		if !strings.Contains(r.URL.Path, f.Path) || f.Whole && r.URL.Path != f.Path {
			continue
		}
		f.matched++
		if f.matched > f.After && (f.Times == 0 || f.matched <= f.After+f.Times) {
			return f
		}
	}
	return &Fault{}
}
