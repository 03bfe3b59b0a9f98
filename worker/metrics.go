package main

import (
	"context"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/castellan-io/castellan/ledger"
	"github.com/castellan-io/castellan/policy"
	"github.com/castellan-io/castellan/policy/provision"
)

// measureEvery is how long the numbers of the ledger are shown before they are counted again, and measureWithin how
// long that may take.
const (
	measureEvery  = 15 * time.Second
	measureWithin = 5 * time.Second
)

// The numbers of identity sources and records, which come from the ledger: every worker shows the same.
var (
	identitiesCount = prometheus.NewDesc("castellan_identities",
		"People of identity sources, by their state in the source.", []string{"org", "source", "state"}, nil)
	recordsCount = prometheus.NewDesc("castellan_records",
		"People of provisions, by their state.", []string{"org", "provision", "state"}, nil)
	recordsGap = prometheus.NewDesc("castellan_accounts_without_record",
		"Active managed accounts without a record in a provision's directory.", []string{"org", "provision"}, nil)
	sourceAge = prometheus.NewDesc("castellan_source_age_seconds",
		"Time since a source was last read completely, or last posted something.", []string{"org", "source"}, nil)
	sourceMissing = prometheus.NewDesc("castellan_source_missing",
		"People, groups and memberships that the last read of a source did not show.", []string{"org", "source"}, nil)
	sourceSuspect = prometheus.NewDesc("castellan_source_suspect",
		"1 if what the last read of a source lacks is not believed.", []string{"org", "source"}, nil)
	sourceRefused = prometheus.NewDesc("castellan_source_refused_posts",
		"Posts of a source that were refused.", []string{"org", "source"}, nil)
	sourceFailing = prometheus.NewDesc("castellan_source_failing",
		"1 if a source cannot be read.", []string{"org", "source"}, nil)
)

// ledgerMetrics collects numbers from the ledger once there is one. Until they are counted again, it shows the last.
type ledgerMetrics struct {
	log *zap.Logger
	now func() time.Time

	mu      sync.Mutex
	store   *ledger.Ledger
	counted time.Time
	last    []prometheus.Metric
}

// setLedger gives the ledger to count in.
func (m *ledgerMetrics) setLedger(store *ledger.Ledger) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.store = store
}

// Describe implements prometheus.Collector.
func (m *ledgerMetrics) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{identitiesCount, recordsCount, recordsGap, sourceAge, sourceMissing,
		sourceSuspect, sourceFailing, sourceRefused} {
		out <- d
	}
}

// Collect implements prometheus.Collector. What cannot be counted now is left out, and the log says why.
func (m *ledgerMetrics) Collect(out chan<- prometheus.Metric) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.store != nil && m.now().Sub(m.counted) >= measureEvery {
		ctx, cancel := context.WithTimeout(context.Background(), measureWithin)
		defer cancel()
		c := counting{store: m.store, now: m.now()}
		if err := c.count(ctx); err != nil {
			m.log.Warn("the ledger's numbers are not shown in the metrics", zap.Error(err))
			c.found = nil
		}
		m.counted, m.last = m.now(), c.found
	}
	for _, one := range m.last {
		out <- one
	}
}

// counting counts once.
type counting struct {
	store *ledger.Ledger
	now   time.Time
	found []prometheus.Metric
}

func (c *counting) add(what *prometheus.Desc, value float64, labels ...string) {
	c.found = append(c.found, prometheus.MustNewConstMetric(what, prometheus.GaugeValue, value, labels...))
}

func (c *counting) count(ctx context.Context) error {
	all, err := c.store.Organizations(ctx)
	if err != nil {
		return err
	}
	for _, org := range all {
		written, err := c.store.Policy(ctx, org.Org, org.Policy)
		if err != nil {
			continue // no policy is in force
		}
		p, err := policy.ParseWritten("policy", written.Body)
		if err != nil || len(p.Sources) == 0 {
			continue // a policy of an older version is read when it is applied again
		}
		if err := c.organization(ctx, org.Org, p); err != nil {
			return err
		}
	}
	return nil
}

// organization counts what the policy in force has: what others left behind in the ledger is not shown.
func (c *counting) organization(ctx context.Context, org string, p *policy.Policy) error {
	counts, err := c.store.IdentityCounts(ctx, org)
	if err != nil {
		return err
	}
	for _, n := range counts {
		if p.Source(n.Source) != nil {
			c.add(identitiesCount, float64(n.Count), org, n.Source, n.State)
		}
	}
	for _, s := range p.Sources {
		if err := c.source(ctx, org, s); err != nil {
			return err
		}
	}
	for _, provision := range p.Provision {
		states, err := c.store.PersonStateCounts(ctx, org, provision.Name)
		if err != nil {
			return err
		}
		for state, n := range states {
			c.add(recordsCount, float64(n), org, provision.Name, state)
		}
		gap, err := c.store.Unrecorded(ctx, org, provision.Directory.ID)
		if err != nil {
			return err
		}
		c.add(recordsGap, float64(gap), org, provision.Name)
	}
	return nil
}

func (c *counting) source(ctx context.Context, org string, s provision.Source) error {
	name := s.Name
	known, err := c.store.Source(ctx, org, name)
	if err != nil {
		return err
	}
	if s.Kind.Pushed() {
		if !known.Posted.IsZero() {
			c.add(sourceAge, c.now.Sub(known.Posted).Seconds(), org, name)
		}
		c.add(sourceRefused, float64(known.Refused), org, name)
		return nil
	}
	missing, err := c.store.MissingCount(ctx, org, name)
	if err != nil {
		return err
	}
	if !known.ReadAt.IsZero() {
		c.add(sourceAge, c.now.Sub(known.ReadAt).Seconds(), org, name)
	}
	c.add(sourceMissing, float64(missing), org, name)
	c.add(sourceSuspect, one(known.Suspect != ""), org, name)
	c.add(sourceFailing, one(known.Problem != ""), org, name)
	return nil
}

// one is 1 for what is so, and 0 otherwise.
func one(is bool) float64 {
	if is {
		return 1
	}
	return 0
}
