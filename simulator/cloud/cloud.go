package cloud

import (
	"encoding/json"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"
)

// The default keys.
const (
	DefaultKey     = "sim-org-key"
	DefaultSCIMKey = "sim-scim-key"
)

// Options configure a Cloud. The zero value is a well-behaved organization: one site "acme" with Jira and Confluence,
// no people, no lag, no limits, Guard on.
type Options struct {
	Seed     int64            // determines every ID and every random choice
	OrgName  string           // default "Acme"
	Key      string           // organization API key, default DefaultKey
	SCIMKey  string           // key of the SCIM directory, default DefaultSCIMKey
	Sites    []string         // site names, the first label of the host name; default acme
	Apps     []string         // jira, confluence, jsm, or any other app key; default jira, confluence
	Settings *Settings        // default DefaultSettings()
	Now      func() time.Time // default time.Now; the clock of /_sim/clock adds to it
}

// Info identifies the organization for its callers.
type Info struct {
	OrgID           string `json:"orgId"`
	DirectoryID     string `json:"directoryId"`
	SCIMDirectoryID string `json:"scimDirectoryId"` // of the first SCIM directory; empty once there is none
	KeyOwner        string `json:"keyOwner"`        // e-mail address of the admin who made the organization API key
}

// Cloud is one organization with its directory, its SCIM directory and its sites.
type Cloud struct {
	options Options
	info    Info
	mux     *http.ServeMux
	stats   stats

	mu       sync.Mutex // guards everything below
	settings Settings
	offset   time.Duration // how far /_sim/clock has advanced the clock
	limiter  limiter
	faults   []*fault
	serials  map[string]int // how many new IDs of a kind were used
	random   *rand.Rand
	directory
	scims   []*scimDirectory // none once the last one was deleted
	planned []plannedWrite   // of other writers
	audit   auditLog
	changes []Change // since seeding
	notices []json.RawMessage
}

// New creates an organization with sites and local groups and no people. Fill it with SeedOrg or SeedGenerated.
func New(o Options) *Cloud {
	if o.OrgName == "" {
		o.OrgName = "Acme"
	}
	if o.Key == "" {
		o.Key = DefaultKey
	}
	if o.SCIMKey == "" {
		o.SCIMKey = DefaultSCIMKey
	}
	if len(o.Sites) == 0 {
		o.Sites = []string{"acme"}
	}
	if len(o.Apps) == 0 {
		o.Apps = []string{"jira", "confluence"}
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Settings == nil {
		s := DefaultSettings()
		o.Settings = &s
	}
	c := &Cloud{options: o, settings: o.Settings.clone(), serials: map[string]int{}}
	c.info = Info{OrgID: c.stableID("organization", o.OrgName), DirectoryID: c.stableID("directory", o.OrgName)}
	if c.settings.Keys == nil {
		c.settings.Keys = map[string]KeyState{}
	}
	if _, known := c.settings.Keys[o.Key]; !known {
		c.settings.Keys[o.Key] = KeyValid
	}
	c.reset(o.Sites, o.Apps, nil)
	c.mux = c.routes()
	return c
}

// Handler serves all APIs of the organization and the control API.
func (c *Cloud) Handler() http.Handler { return c.mux }

// Info returns the IDs of the organization and its directories, and the owner of its key, which is empty before
// seeding.
func (c *Cloud) Info() Info {
	c.mu.Lock()
	defer c.mu.Unlock()
	info := c.info
	if c.keyOwner != nil {
		info.KeyOwner = c.keyOwner.email
	}
	return info
}

// reset reduces the organization to its sites and their local groups; settings, keys, faults and clock stay.
func (c *Cloud) reset(sites, apps, domains []string) {
	c.random = rand.New(rand.NewPCG(uint64(c.options.Seed), 0x5eed))
	c.directory = newDirectory(domains)
	c.directory.born = c.now()
	c.info.SCIMDirectoryID = c.stableID("scim-directory", c.options.OrgName)
	c.scims = []*scimDirectory{newSCIMDirectory(c.info.SCIMDirectoryID, "Primary", c.options.SCIMKey)}
	c.planned = nil
	c.audit, c.changes = auditLog{}, nil
	c.addSites(sites, apps)
}

// now returns the simulator's time.
func (c *Cloud) now() instant { return c.options.Now().Add(c.offset).UnixNano() }
