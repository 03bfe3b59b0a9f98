package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/castellan-io/castellan/e2e/stack"
	"github.com/castellan-io/castellan/messages"
	"github.com/castellan-io/castellan/simulator/cloud"
)

const (
	ldapSecret = "CASTELLAN_KEY_BENCH_LDAP" // variable of the worker
	flight     = 8                          // writes at once, as a policy has it that does not say
	poll       = 5 * time.Second            // of the source
	settle     = 5 * time.Second            // guard.settle, as a policy has it that does not say
)

// provisioning is an organization whose people come from an LDAP directory.
type provisioning struct {
	*bench
	ldap     ldapDirectory
	people   int
	recorded bool // all have records already, of what is provisioned then
}

// setUpProvisioning starts everything with so many people in the LDAP directory. All of them have records already, or
// none.
func setUpProvisioning(ctx context.Context, dir, bin string, people int, recorded bool,
	latency time.Duration) (p *provisioning, err error) {
	say("provisioning of %d people: starting", people)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	file := cloud.OrgFile{Domains: []string{"acme.example"}, People: []string{"boss"}, Admins: []string{"boss"}}
	for n := range people {
		if recorded {
			file.People = append(file.People, keyOf(n))
		}
	}
	text, err := json.Marshal(file)
	if err != nil {
		return nil, err
	}
	path := filepath.Join(dir, "org.json")
	if err := os.WriteFile(path, text, 0o600); err != nil {
		return nil, err
	}
	p = &provisioning{people: people, recorded: recorded}
	if p.ldap, err = startLDAP(ctx, dir, people); err != nil {
		return nil, err
	}
	started, err := stack.Start(ctx, dir, bin, false, "--org", path)
	if err != nil {
		p.ldap.stop()
		return nil, err
	}
	p.bench = &bench{Stack: started, latency: latency}
	p.Worker.Stop(5 * time.Second)
	if err := p.StartWorker(ldapSecret+"="+ldapPassword,
		"CASTELLAN_SECRETS="+org+"=env:"+stack.KeyVariable+","+org+"=env:"+stack.SCIMKeyVariable,
		"CASTELLAN_SECRET_HOSTS="+org+"=env:"+ldapSecret+"@"+p.ldap.address()); err != nil {
		p.stop()
		return nil, err
	}
	return p, p.Simulator.Set(ctx, map[string]any{"latency": latency.String()})
}

func (p *provisioning) stop() {
	p.Stop()
	p.ldap.stop()
}

// policy reads the LDAP directory every so often, and provisions its people if wanted.
func (p *provisioning) policy(every time.Duration, provisions bool) string {
	text := fmt.Sprintf(`
version: 1
organization: {name: %s, id: %s, key: "env:%s"}
sources:
  - {name: corp, kind: ldap, url: "ldap://%s", base: "%s", bind: "%s", secret: "env:%s",
     enabled: {attribute: employeeType, no: [%s]}, every: %s}
mappings: [{name: none, from: ["corp:none"], to: ["default:jira/acme/user"]}]
guard: {adopt: auto, settle: %s, deactivations: {people: 100000, share: 100%%}, window: {removals: 100000, share: 100%%}}
sync: {every: 24h, feed: 30s, inFlight: %d}
`, org, p.Simulator.OrgID, stack.KeyVariable, p.ldap.address(), ldapBase, ldapReader, ldapSecret, ldapLeft, every,
		settle, flight)
	if !provisions {
		return text
	}
	attributes := ""
	if p.recorded {
		attributes = ", attributes: {userName: mail, emails: mail}"
	}
	return text + fmt.Sprintf("provision: [{name: staff, from: [corp], directory: {id: %s, key: \"env:%s\"}%s}]\n",
		p.Simulator.SCIMDirectoryID, stack.SCIMKeyVariable, attributes)
}

// linked waits until nothing runs or is due, after the run before, and so many people are linked.
func (p *provisioning) linked(ctx context.Context, within time.Duration, before string, people int) (
	messages.OrgSyncState, error) {
	return p.Until(ctx, org, within, func(s messages.OrgSyncState) bool {
		return stack.Idle(s) && len(s.Pending.Provisions) == 0 && len(s.Provisions) == 1 &&
			s.Provisions[0].Run != before &&
			slices.Contains(s.Provisions[0].States, messages.StateCount{State: "linked", Count: people})
	})
}

// cost is what something took.
type cost struct {
	cloud.Stats
	took, worker time.Duration // wall time, processor time
}

func (c cost) of(operations ...string) (n int) {
	for _, operation := range operations {
		n += c.Operations[operation]
	}
	return n
}

// SCIM operations as the simulator counts them.
const (
	scimCreate = "scim.users.create"
	scimPatch  = "scim.users.patch"
	scimList   = "scim.users.list"
	scimGet    = "scim.users.get"
)

// costs measures what something costs.
func (p *provisioning) costs(ctx context.Context, do func() error) (c cost, err error) {
	if err := p.Simulator.ResetStats(ctx); err != nil {
		return c, err
	}
	began, used := time.Now(), p.Worker.CPU()
	if err := do(); err != nil {
		return c, err
	}
	c.took, c.worker = time.Since(began), p.Worker.CPU()-used
	c.Stats, err = p.Simulator.Stats(ctx)
	say("took %s, %s of the worker's processor time, %d calls: %v", c.took.Round(time.Millisecond), c.worker, c.Calls,
		c.Operations)
	return c, err
}

// provision measures the provisioning of so many people: at first, with nothing to change, one change, and many single
// ones.
func provision(ctx context.Context, dir, bin string, people, singles int, latency time.Duration) ([]row, error) {
	p, err := setUpProvisioning(ctx, dir, bin, people, false, latency)
	if err != nil {
		return nil, err
	}
	defer p.stop()
	var rows []row
	for _, step := range []func(context.Context) ([]row, error){p.first, p.nothing, p.one,
		func(ctx context.Context) ([]row, error) { return p.single(ctx, singles) }} {
		more, err := step(ctx)
		if err != nil {
			return rows, err
		}
		rows = append(rows, more...)
	}
	return rows, nil
}

func (p *provisioning) at() string { return fmt.Sprintf("%d people, %s", p.people, p.ldap.name()) }

// first measures the first provisioning of everybody. The organization is verified before.
func (p *provisioning) first(ctx context.Context) ([]row, error) {
	if _, err := p.Apply(ctx, org, p.policy(time.Hour, false)); err != nil {
		return nil, err
	}
	if _, err := p.settled(ctx); err != nil {
		return nil, err
	}
	say("provisioning %d people for the first time", p.people)
	c, err := p.costs(ctx, func() error {
		if _, err := p.Apply(ctx, org, p.policy(time.Hour, true)); err != nil {
			return err
		}
		_, err := p.linked(ctx, time.Hour, "", p.people)
		return err
	})
	if err != nil {
		return nil, err
	}
	best := time.Duration(c.Writes) * p.latency / flight
	return []row{
		{"calls of the first provisioning", p.at(), fmt.Sprintf("≤ %d writes, ≤ 400 other calls", p.people),
			fmt.Sprintf("%d writes, %d other calls, of which %d SCIM", c.Writes, c.Calls-c.Writes, c.of(scimList, scimGet))},
		{"time of that", fmt.Sprintf("%s per call, %d writes at once", p.latency, flight), "≤ 4 min",
			fmt.Sprintf("%s, and %s of the worker's processor time; the writes alone take %s at best",
				c.took.Round(time.Second), c.worker.Round(time.Second), best.Round(time.Second))},
		{"worker memory (peak RSS) after that", p.at(), "", fmt.Sprintf("%d MB", p.Worker.PeakMemory()>>20)},
	}, nil
}

// nothing measures a run over everybody that finds nothing to change, and a read of the source.
func (p *provisioning) nothing(ctx context.Context) ([]row, error) {
	before, err := p.settled(ctx)
	if err != nil {
		return nil, err
	}
	say("provisioning %d people with nothing to change", p.people)
	c, err := p.costs(ctx, func() error {
		if _, err := p.Apply(ctx, org, p.policy(2*time.Hour, true)); err != nil {
			return err
		}
		_, err := p.linked(ctx, 10*time.Minute, before.Provisions[0].Run, p.people)
		return err
	})
	if err != nil {
		return nil, err
	}
	read, err := readLDAP(ctx, p.ldap)
	return []row{
		{"SCIM calls with nothing to change", p.at(), "0 writes, ≤ 105 SCIM calls",
			fmt.Sprintf("%d writes, %d SCIM calls (%d pages of 100 at best); %s with a verification of everybody, %s of processor time",
				c.Writes, c.of(scimList, scimGet), (p.people+99)/100, c.took.Round(100*time.Millisecond),
				c.worker.Round(100*time.Millisecond))},
		{"a read of the source", p.at(), "≤ 1 s", read.Round(time.Millisecond).String()},
	}, err
}

// one measures a single change of an attribute.
func (p *provisioning) one(ctx context.Context) ([]row, error) {
	if _, err := p.Apply(ctx, org, p.policy(poll, true)); err != nil {
		return nil, err
	}
	before, err := p.linked(ctx, 10*time.Minute, "", p.people)
	if err != nil {
		return nil, err
	}
	say("one title changes")
	c, err := p.costs(ctx, func() error {
		if err := p.ldap.set(keyOf(0), "title", "Director"); err != nil {
			return err
		}
		_, err := p.linked(ctx, 5*time.Minute, before.Provisions[0].Run, p.people)
		return err
	})
	return []row{{"SCIM calls for one change", p.at(), "1 write, 1 read-back",
		fmt.Sprintf("%d writes, %d reads: when deciding, just before the write, and the read-back; %s", c.Writes,
			c.of(scimList, scimGet), c.took.Round(100*time.Millisecond))}}, err
}

// single measures single changes, of which some are under way at once: people join, are disabled, and are deleted.
func (p *provisioning) single(ctx context.Context, n int) ([]row, error) {
	say("%d single changes, a second apart, the source read every %s", n, poll)
	joined, left, gone := map[string]time.Time{}, map[string]time.Time{}, map[string]time.Time{}
	every := time.NewTicker(time.Second)
	defer every.Stop()
	for i := range n {
		var err error
		switch key := keyOf(i + 1); i % 3 {
		case 0:
			key = keyOf(p.people + i)
			err = p.ldap.add(key, "Engineer")
			joined[key] = time.Now()
		case 1:
			err = p.ldap.set(key, "employeeType", ldapLeft)
			left[key] = time.Now()
		default:
			err = p.ldap.remove(key)
			gone[key] = time.Now()
		}
		if err != nil {
			return nil, err
		}
		select {
		case <-every.C:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	var delays [3][]time.Duration
	err := stack.Eventually(ctx, 5*time.Minute, func() (err error) {
		delays, err = p.arrived(ctx, joined, left, gone)
		return err
	})
	at := fmt.Sprintf("%s, read every %s, %d single changes", p.at(), poll, n)
	return []row{
		{"— a joiner has a record and an account, p50 / p95 / max", at, "p95 ≤ 15 s", quantiles(delays[0])},
		{"— who is disabled is inactive", at, "p95 ≤ 20 s", quantiles(delays[1])},
		{"— who is deleted is inactive", at,
			fmt.Sprintf("p95 ≤ poll %s + settle %s + 15 s", poll, settle), quantiles(delays[2])},
	}, err
}

// arrived returns how long each change took, by the records' own times; an error while one has not arrived.
func (p *provisioning) arrived(ctx context.Context, joined, left, gone map[string]time.Time) (
	delays [3][]time.Duration, err error) {
	directory, err := p.Simulator.Directory(ctx)
	if err != nil {
		return delays, err
	}
	records := map[string]cloud.SCIMRecord{}
	for _, r := range directory.Records {
		records[r.UserName] = r
	}
	for i, changes := range []map[string]time.Time{joined, left, gone} {
		for key, began := range changes {
			r, there := records[key+"@acme.example"]
			if !there || r.Active != (i == 0) || r.AccountID == "" {
				return delays, fmt.Errorf("%s is not so yet: %+v", key, r)
			}
			text := r.Modified
			if i == 0 {
				text = r.Created
			}
			at, err := time.Parse(time.RFC3339, text)
			if err != nil {
				return delays, err
			}
			delays[i] = append(delays[i], at.Sub(began))
		}
	}
	return delays, nil
}

// provisionMemory measures the worker's memory with so many people who have records already.
func provisionMemory(ctx context.Context, dir, bin string, people int, latency time.Duration) ([]row, error) {
	p, err := setUpProvisioning(ctx, dir, bin, people, true, latency)
	if err != nil {
		return nil, err
	}
	defer p.stop()
	if _, err := p.Apply(ctx, org, p.policy(time.Hour, false)); err != nil {
		return nil, err
	}
	if _, err := p.Until(ctx, org, time.Hour, stack.Idle); err != nil {
		return nil, err
	}
	verified := p.Worker.PeakMemory()
	c, err := p.costs(ctx, func() error {
		if _, err := p.Apply(ctx, org, p.policy(time.Hour, true)); err != nil {
			return err
		}
		_, err := p.Until(ctx, org, time.Hour, func(s messages.OrgSyncState) bool {
			return stack.Idle(s) && len(s.Pending.Provisions) == 0 && len(s.Provisions) == 1
		})
		return err
	})
	got := fmt.Sprintf("%d MB, of which %d MB before provisioning; %s, %s of processor time, %d writes",
		p.Worker.PeakMemory()>>20, verified>>20, c.took.Round(time.Second), c.worker.Round(time.Second), c.Writes)
	return []row{{"worker memory (peak RSS), verified, read and provisioned", p.at() + ", all with records", "≤ 250 MB",
		got}}, err
}
