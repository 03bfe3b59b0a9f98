// Command bench measures what Castellan costs and prints it as a Markdown table: real Temporal server, simulator and
// worker as separate processes on one machine. `make bench` runs it; docs/benchmarks.md explains the method.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/castellan-io/castellan/e2e/stack"
)

func main() {
	sizes := flag.String("sizes", "1000,10000,100000", "organizations to measure, by their people")
	latency := flag.Duration("latency", 50*time.Millisecond, "how long each simulated call takes")
	singles := flag.Int("singles", 100, "single source changes whose delay is measured")
	orgs := flag.Int("orgs", 2000, "organizations that one worker keeps; 0: none")
	starred := flag.Int("starred", 500, "starred targets of 10,000 people and 1,000 groups; 0: none")
	provisioned := flag.Int("provision", 10000, "people of an LDAP directory who are provisioned; 0: none")
	recorded := flag.Int("recorded", 100000, "people with records already, whose provisioning's memory is measured; 0: none")
	followed := flag.Int("follow", 50000, "memberships of LDAP groups that become local groups; 0: none")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *sizes, *latency, *singles, *orgs, *starred, *provisioned, *recorded,
		*followed); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// size is an organization to measure.
type size struct{ people, groups, memberships int }

func (s size) String() string {
	return fmt.Sprintf("%d people, %d groups, %d memberships, 10 targets", s.people, s.groups, s.memberships)
}

var (
	small  = size{1_000, 100, 5_000}
	medium = size{10_000, 200, 50_000}
	big    = size{100_000, 1_000, 500_000}
)

type row struct{ what, at, bar, got string }

func run(ctx context.Context, wanted string, latency time.Duration, singles, orgs, starred, provisioned,
	recorded, followed int) error {
	dir, err := os.MkdirTemp("", "castellan-bench-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	if err := stack.Build(ctx, dir, "worker", "starter", "simulator"); err != nil {
		return err
	}
	var r results
	for _, s := range []size{small, medium, big} {
		if !slices.Contains(strings.Split(wanted, ","), fmt.Sprint(s.people)) {
			continue
		}
		if err := r.measure(ctx, dir, s, latency, singles); err != nil {
			return fmt.Errorf("%s: %w", s, err)
		}
	}
	if starred > 0 {
		one, err := manyTargets(ctx, filepath.Join(dir, "starred"), dir, starred, latency)
		if err != nil {
			return fmt.Errorf("%d starred targets: %w", starred, err)
		}
		r.rows = append(r.rows, one)
	}
	if provisioned > 0 {
		more, err := provision(ctx, filepath.Join(dir, "provision"), dir, provisioned, singles, latency)
		if err != nil {
			return fmt.Errorf("provisioning of %d people: %w", provisioned, err)
		}
		r.rows = append(r.rows, more...)
	}
	if followed > 0 {
		more, err := follow(ctx, filepath.Join(dir, "follow"), dir, followed, latency)
		if err != nil {
			return fmt.Errorf("groups with %d memberships: %w", followed, err)
		}
		r.rows = append(r.rows, more...)
	}
	if recorded > 0 {
		more, err := provisionMemory(ctx, filepath.Join(dir, "recorded"), dir, recorded, latency)
		if err != nil {
			return fmt.Errorf("provisioning of %d people with records: %w", recorded, err)
		}
		r.rows = append(r.rows, more...)
	}
	if orgs > 0 {
		more, err := manyOrganizations(ctx, filepath.Join(dir, "orgs"), dir, orgs, latency)
		if err != nil {
			return fmt.Errorf("%d organizations: %w", orgs, err)
		}
		r.rows = append(r.rows, more...)
	}
	r.print(latency)
	return nil
}

// results are what was measured so far.
type results struct {
	rows   []row
	growth []verification
}

// measure measures one organization, with the programs built in dir.
func (r *results) measure(ctx context.Context, dir string, s size, latency time.Duration, singles int) error {
	b, err := setUp(ctx, filepath.Join(dir, fmt.Sprint(s.people)), dir, s, latency)
	if err != nil {
		return err
	}
	defer b.Stop()
	v, err := b.verification(ctx)
	if err != nil {
		return err
	}
	r.growth = append(r.growth, v)
	switch s {
	case medium:
		r.rows = append(r.rows, v.rows(s, latency)...)
		r.rows, err = b.changes(ctx, r.rows, singles)
	case big:
		r.rows = append(r.rows, row{"worker memory (peak RSS), first and second full verification", s.String(),
			"≤ 200 MB", fmt.Sprintf("%d MB", v.memory>>20)})
	}
	return err
}

func (r *results) print(latency time.Duration) {
	fmt.Printf("\n%d CPU, %s, %s; simulator answers after %s\n\n", runtime.NumCPU(), runtime.Version(),
		time.Now().UTC().Format("2006-01-02"), latency)
	fmt.Println("| what | at | bar | measured |\n|---|---|---|---|")
	for _, r := range r.rows {
		fmt.Printf("| %s | %s | %s | %s |\n", r.what, r.at, r.bar, r.got)
	}
	fmt.Println("\nHow a full verification grows (nothing to change):\n\n| people | groups | memberships | calls | calls per 100 people | time | time / (calls × latency) | worker peak RSS |\n|---|---|---|---|---|---|---|---|")
	for _, v := range r.growth {
		fmt.Printf("| %d | %d | %d | %d | %.2f | %.2f s | %.2f | %d MB |\n", v.people, v.groups, v.memberships, v.calls,
			float64(v.calls)/float64(v.people)*100, v.took.Seconds(),
			v.took.Seconds()/(float64(v.calls)*latency.Seconds()), v.memory>>20)
	}
}
