package stack

import (
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/castellan-io/castellan/simulator/cloud"
)

// Crowd is many simulated organizations behind one address, in this process.
type Crowd struct {
	URL    string
	Orgs   []*cloud.Cloud
	byID   map[string]http.Handler
	server *http.Server
}

// StartCrowd starts so many organizations, each like the file.
func StartCrowd(n int, file cloud.OrgFile) (*Crowd, error) {
	c := &Crowd{byID: make(map[string]http.Handler, n)}
	for i := range n {
		org := cloud.New(cloud.Options{Seed: int64(i + 1), OrgName: c.Name(i), Key: OrgKey})
		if err := org.SeedOrg(file); err != nil {
			return nil, err
		}
		c.Orgs = append(c.Orgs, org)
		c.byID[org.Info().OrgID], c.byID[org.Info().SCIMDirectoryID] = org.Handler(), org.Handler()
	}
	socket, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	c.URL = "http://" + socket.Addr().String()
	c.server = &http.Server{Handler: c, ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = c.server.Serve(socket) }()
	return c, nil
}

// ServeHTTP hands each call to the organization in its path.
func (c *Crowd) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	_, rest, found := strings.Cut(r.URL.Path, "/orgs/")
	if !found {
		_, rest, _ = strings.Cut(r.URL.Path, "/scim/directory/")
	}
	id, _, _ := strings.Cut(rest, "/")
	org := c.byID[id]
	if org == nil {
		http.NotFound(w, r)
		return
	}
	org.ServeHTTP(w, r)
}

// Name returns an organization's short name.
func (c *Crowd) Name(i int) string { return fmt.Sprintf("crowd-%d", i) }

// Keys returns the organizations' keys as the worker's environment.
func (c *Crowd) Keys() (env []string) {
	for i := range c.Orgs {
		env = append(env, c.variable(i)+"="+OrgKey)
	}
	return env
}

func (c *Crowd) variable(i int) string {
	return "CASTELLAN_KEY_" + strings.ToUpper(strings.ReplaceAll(c.Name(i), "-", "_"))
}

// Policy returns an organization's policy; more is what follows its first two lines.
func (c *Crowd) Policy(i int, more string) string {
	return fmt.Sprintf("version: 1\norganization: {name: %s, id: %s, key: \"env:%s\"}\n%s", c.Name(i),
		c.Orgs[i].Info().OrgID, c.variable(i), more)
}

// Stop ends them.
func (c *Crowd) Stop() { _ = c.server.Close() }
