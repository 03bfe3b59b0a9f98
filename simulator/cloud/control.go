package cloud

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"strings"
	"time"
)

// The control API is under /_sim/ and needs no key. A refused request gets 400 with {"error": "…"}.

func (c *Cloud) controlRoutes(mux *http.ServeMux) {
	handlers := map[string]func(*http.Request) (any, error){
		"GET /_sim/info":         func(*http.Request) (any, error) { return c.Info(), nil },
		"GET /_sim/state":        func(*http.Request) (any, error) { return c.State(), nil },
		"GET /_sim/history":      func(*http.Request) (any, error) { return c.History(), nil },
		"GET /_sim/stats":        func(*http.Request) (any, error) { return c.Stats(), nil },
		"POST /_sim/stats/reset": func(*http.Request) (any, error) { c.stats.reset(); return done, nil },
		"GET /_sim/settings":     func(*http.Request) (any, error) { return c.Settings(), nil },
		"POST /_sim/settings":    c.postSettings,
		"POST /_sim/seed":        c.postSeed,
		"GET /_sim/faults":       func(*http.Request) (any, error) { return c.Faults(), nil },
		"POST /_sim/faults":      c.postFault,
		"DELETE /_sim/faults": func(*http.Request) (any,
			error) {
			return map[string]int{"cleared": c.ClearFaults("")}, nil
		},
		"DELETE /_sim/faults/{id}":           c.deleteFault,
		"GET /_sim/clock":                    func(*http.Request) (any, error) { return c.clock(), nil },
		"POST /_sim/clock":                   c.postClock,
		"POST /_sim/noise":                   c.postNoise,
		"POST /_sim/groups":                  c.postLocalGroup,
		"DELETE /_sim/groups/{name}":         c.deleteLocalGroup,
		"GET /_sim/groups/{name}/members":    c.getMembers,
		"POST /_sim/groups/{name}/roles":     c.postGroupRole,
		"POST /_sim/groups/{name}/members":   func(r *http.Request) (any, error) { return c.changeMembers(r, true) },
		"DELETE /_sim/groups/{name}/members": func(r *http.Request) (any, error) { return c.changeMembers(r, false) },
		"POST /_sim/defaults":                c.postDefault,
		"POST /_sim/people/{name}":           c.postPerson,
		"POST /_sim/activity":                c.postActivity,
		"POST /_sim/notices":                 c.postNotice,
		"GET /_sim/notices":                  func(*http.Request) (any, error) { return c.Notices(), nil },
	}
	maps.Copy(handlers, c.provisioningControls())
	for pattern, handle := range handlers {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			out, err := handle(r)
			if err != nil {
				writeJSON(w, http.StatusBadRequest, "application/json", map[string]string{"error": err.Error()})
				return
			}
			writeJSON(w, http.StatusOK, "application/json", out)
		})
	}
}

var done = map[string]bool{"done": true}

// read decodes the body strictly: with a misspelt field a test would mean something else.
func read(r *http.Request, into any) error {
	d := json.NewDecoder(io.LimitReader(r.Body, 1<<30))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("%s %s: the body cannot be read: %w", r.Method, r.URL.Path, err)
	}
	return nil
}

// Settings returns a copy of the settings as they are.
func (c *Cloud) Settings() Settings {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.settings.clone()
}

// Configure changes settings while the simulator runs. If change or the check that follows returns an error, everything
// stays as it was.
func (c *Cloud) Configure(change func(*Settings) error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	next := c.settings.clone()
	if err := change(&next); err != nil {
		return err
	}
	if err := next.Validate(); err != nil {
		return err
	}
	c.settings = next
	return nil
}

func (c *Cloud) postSettings(r *http.Request) (any, error) {
	if err := c.Configure(func(s *Settings) error { return read(r, s) }); err != nil {
		return nil, err
	}
	return c.Settings(), nil
}

func (c *Cloud) postSeed(r *http.Request) (any, error) {
	var body struct {
		Org      *OrgFile   `json:"org"`
		Generate *Generator `json:"generate"`
		Sites    []string   `json:"sites"`
		Apps     []string   `json:"apps"`
	}
	if err := read(r, &body); err != nil {
		return nil, err
	}
	if (body.Org == nil) == (body.Generate == nil) {
		return nil, fmt.Errorf("write either org or generate")
	}
	err := func() error {
		c.mu.Lock()
		defer c.mu.Unlock()
		sites, apps := c.options.Sites, c.options.Apps
		if body.Sites != nil {
			sites = body.Sites
		}
		if body.Apps != nil {
			apps = body.Apps
		}
		if len(sites) == 0 || len(apps) == 0 {
			return fmt.Errorf("sites and apps must not be empty")
		}
		var err error
		if body.Org != nil {
			err = c.seedOrg(*body.Org, sites, apps)
		} else {
			err = c.seedGenerated(*body.Generate, sites, apps)
		}
		if err == nil {
			c.options.Sites, c.options.Apps = sites, apps
		}
		return err
	}()
	return c.Info(), err
}

// Faults returns the active faults and how often each struck.
func (c *Cloud) Faults() []Fault {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := []Fault{}
	for _, f := range c.faults {
		out = append(out, f.Fault)
	}
	return out
}

func (c *Cloud) postFault(r *http.Request) (any, error) {
	var f Fault
	if err := read(r, &f); err != nil {
		return nil, err
	}
	id, err := c.Inject(f)
	return map[string]string{"id": id}, err
}

func (c *Cloud) deleteFault(r *http.Request) (any, error) {
	id := r.PathValue("id")
	if c.ClearFaults(id) == 0 {
		return nil, fmt.Errorf("there is no fault %q", id)
	}
	return map[string]int{"cleared": 1}, nil
}

func (c *Cloud) clock() map[string]string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return map[string]string{"now": timestamp(c.now())}
}

// Advance moves the simulator's clock forward: lags pass, rate windows end.
func (c *Cloud) Advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.offset += max(0, d)
	c.writePlanned()
}

func (c *Cloud) postClock(r *http.Request) (any, error) {
	var body struct {
		Advance Duration `json:"advance"`
	}
	if err := read(r, &body); err != nil {
		return nil, err
	}
	c.Advance(time.Duration(body.Advance))
	return c.clock(), nil
}

func (c *Cloud) postNoise(r *http.Request) (any, error) {
	var body struct {
		Count int `json:"count"`
	}
	if err := read(r, &body); err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.makeNoise(body.Count)
	return done, nil
}

// known returns people by account ID, e-mail address or key.
func (c *Cloud) known(names ...string) (people []*user, err error) {
	for _, name := range names {
		u := c.person(name)
		if u == nil {
			return nil, fmt.Errorf("there is no person %q", name)
		}
		people = append(people, u)
	}
	return people, nil
}

// named returns a live group by name.
func (c *Cloud) named(name string) (*group, error) {
	if g := c.byName[strings.ToLower(name)]; g != nil {
		return g, nil
	}
	return nil, fmt.Errorf("there is no group %q", name)
}
