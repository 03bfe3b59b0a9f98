package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"
	"golang.org/x/sync/errgroup"

	"github.com/castellan-io/castellan/e2e/stack"
	"github.com/castellan-io/castellan/messages"
	"github.com/castellan-io/castellan/simulator/cloud"
)

// What happens to the crowd of organizations.
const (
	quietFor = time.Minute
	changed  = 100 // organizations in which somebody joins a source group at the same moment
)

// manyOrganizations measures one worker that keeps a crowd of small organizations: what they cost while nothing
// happens, and how long a change takes that happens in a hundred of them at once.
func manyOrganizations(ctx context.Context, dir, bin string, n int, latency time.Duration) ([]row, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	at := fmt.Sprintf("%d organizations of 20 people, feed every 30 s, %s per call", n, latency)
	say("%s: starting", at)
	crowd, err := stack.StartCrowd(n, smallOrganization())
	if err != nil {
		return nil, err
	}
	defer crowd.Stop()
	server, err := stack.StartTemporal(ctx, dir, 0, false)
	if err != nil {
		return nil, err
	}
	defer server.Stop(5 * time.Second)
	worker, err := stack.StartWorker(bin, dir, "", server.Address, crowd.URL, append(crowd.Keys(), server.Env()...)...)
	if err != nil {
		return nil, err
	}
	defer worker.Stop(10 * time.Second)
	s := &stack.Stack{Dir: dir, Bin: bin, Temporal: server, Worker: worker}
	for _, org := range crowd.Orgs {
		if err := org.Configure(func(s *cloud.Settings) error {
			s.Latency = cloud.Duration(latency)
			return nil
		}); err != nil {
			return nil, err
		}
	}
	rest := worker.Memory()
	began := time.Now()
	if err := startAll(ctx, s, crowd); err != nil {
		return nil, err
	}
	say("all are in step after %s, %d MB; quiet for %s", time.Since(began).Round(time.Second),
		worker.Memory()>>20, quietFor)
	quiet, err := measureQuiet(ctx, server, worker)
	if err != nil {
		return nil, err
	}
	quiet += fmt.Sprintf("; %d MB resident, %.2f MB an organization, %d MB at most", worker.Memory()>>20,
		float64(worker.Memory()-rest)/float64(n)/(1<<20), worker.PeakMemory()>>20)
	say("%s; changes in %d at once", quiet, changed)
	delays, alone, err := changeAtOnce(ctx, s, crowd)
	if err != nil {
		return nil, err
	}
	return []row{
		{"many quiet organizations in one worker", at, "run", quiet},
		{fmt.Sprintf("a change in each of %d of them at once, source → target, p50 / p95 / max", changed),
			"same", "run",
			fmt.Sprintf("%s / %s / %s", percentile(delays, 50), percentile(delays, 95), percentile(delays, 100))},
		{"sync of one person in another one meanwhile", "same", "run", alone.Round(10 * time.Millisecond).String()},
	}, nil
}

func smallOrganization() cloud.OrgFile {
	file := cloud.OrgFile{Local: []cloud.OrgGroup{{Name: "builders"}, {Name: "helpers"}}}
	for i := range 20 {
		file.People = append(file.People, fmt.Sprintf("p%d", i))
	}
	file.Admins = file.People[:1]
	file.Groups = []cloud.OrgGroup{{Name: "eng", Members: file.People[:10]},
		{Name: "support", Members: file.People[10:15]}}
	file.Foreign = map[string][]string{"builders": file.People[:10], "helpers": file.People[10:15]}
	return file
}

// startAll has all organizations take their policy, some at a time, and waits until the first verification of each is
// over.
func startAll(ctx context.Context, s *stack.Stack, crowd *stack.Crowd) error {
	var inStep atomic.Int64
	work, within := errgroup.WithContext(ctx)
	work.SetLimit(24)
	for i := range crowd.Orgs {
		work.Go(func() error {
			text, err := json.Marshal(crowd.Policy(i,
				"guard: {adopt: auto}\nsync: {every: 24h, feed: 30s}\nmappings:\n  - {name: builders, from: [eng], to: [\"group:builders\"], adopt: true}\n  - {name: helpers, from: [support], to: [\"group:helpers\"], adopt: true}\n"))
			if err != nil {
				return err
			}
			_, err = s.Temporal.Client.ExecuteWorkflow(within, client.StartWorkflowOptions{
				ID: messages.OrgSyncID(crowd.Name(i)), TaskQueue: messages.QueueWorkflows,
				WorkflowTaskTimeout: messages.TaskTimeout,
				Priority:            temporal.Priority{PriorityKey: messages.PriorityOfSync},
			}, messages.OrgSync, messages.OrgSyncInput{Policy: text, By: "bench"})
			if err != nil {
				return err
			}
			_, err = s.Until(within, crowd.Name(i), 10*time.Minute, stack.Idle)
			if n := inStep.Add(1); n%100 == 0 {
				say("%d are in step", n)
			}
			return err
		})
	}
	return work.Wait()
}

// measureQuiet returns what the processes take while nothing happens.
func measureQuiet(ctx context.Context, server *stack.Temporal, worker *stack.Worker) (string, error) {
	rest := func(d time.Duration) error {
		select {
		case <-time.After(d):
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if err := rest(30 * time.Second); err != nil { // what the first verifications left
		return "", err
	}
	ours, theirs := worker.CPU(), server.CPU()
	if err := rest(quietFor); err != nil {
		return "", err
	}
	perMinute := func(before, after time.Duration) time.Duration {
		return time.Duration(float64(after-before) * time.Minute.Seconds() / quietFor.Seconds())
	}
	return fmt.Sprintf("%s of processor time a minute in the worker, %s in the dev server",
		perMinute(ours, worker.CPU()).Round(100*time.Millisecond),
		perMinute(theirs, server.CPU()).Round(100*time.Millisecond)), nil
}

// changeAtOnce has somebody join a source group in a hundred organizations, and tells when each is in the target; alone
// is how long somebody waits meanwhile who asks for one person of another organization.
func changeAtOnce(ctx context.Context, s *stack.Stack, crowd *stack.Crowd) (delays []time.Duration, alone time.Duration,
	err error) {
	step := max(len(crowd.Orgs)/changed, 1)
	var mu sync.Mutex
	work, ctx := errgroup.WithContext(ctx)
	for i := 0; i < len(crowd.Orgs) && i/step < changed; i += step {
		org := crowd.Orgs[i]
		work.Go(func() error {
			if err := join(ctx, crowd.URL, org, "eng", "p19"); err != nil {
				return err
			}
			began := time.Now()
			if err := stack.Eventually(ctx, 15*time.Minute, func() error {
				if !slices.Contains(stack.Members(org.State(), "builders"), idOf(org, "p19")) {
					return fmt.Errorf("somebody who joined eng is not in builders")
				}
				return nil
			}); err != nil {
				return err
			}
			mu.Lock()
			defer mu.Unlock()
			delays = append(delays, time.Since(began))
			return nil
		})
	}
	if step > 1 {
		began := time.Now()
		err := s.Update(ctx, crowd.Name(1), messages.SyncNow,
			messages.SyncNowInput{Person: "p1@example.com", By: "bench"}, nil)
		alone = time.Since(began)
		if err != nil {
			return nil, 0, fmt.Errorf("sync of one person: %w", err)
		}
	}
	err = work.Wait()
	slices.Sort(delays)
	return delays, alone, err
}

// join has the identity provider put somebody into a source group.
func join(ctx context.Context, url string, org *cloud.Cloud, group, person string) error {
	state := org.State()
	at := slices.IndexFunc(state.Groups, func(g cloud.StateGroup) bool { return g.Name == group })
	who := slices.IndexFunc(state.People, func(p cloud.StatePerson) bool { return p.Name == person })
	if at < 0 || who < 0 {
		return fmt.Errorf("there is no group %s or nobody named %s", group, person)
	}
	body := fmt.Sprintf(`{"schemas":["urn:ietf:params:scim:api:messages:2.0:PatchOp"],"Operations":[{"op":"add","path":"members","value":[{"value":%q}]}]}`, state.People[who].SCIMUserID)
	request, err := http.NewRequestWithContext(ctx, http.MethodPatch,
		url+"/scim/directory/"+org.Info().SCIMDirectoryID+"/Groups/"+state.Groups[at].SCIMGroupID,
		strings.NewReader(body))
	if err != nil {
		return err
	}
	request.Header.Set("Authorization", "Bearer "+cloud.DefaultSCIMKey)
	request.Header.Set("Content-Type", "application/scim+json")
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer func() { _ = answer.Body.Close() }()
	if answer.StatusCode >= 300 {
		return fmt.Errorf("add %s to %s: %s", person, group, answer.Status)
	}
	return nil
}

func idOf(org *cloud.Cloud, person string) string {
	state := org.State()
	if at := slices.IndexFunc(state.People, func(p cloud.StatePerson) bool { return p.Name == person }); at >= 0 {
		return state.People[at].AccountID
	}
	return ""
}

// percentile of sorted delays.
func percentile(delays []time.Duration, p int) time.Duration {
	if len(delays) == 0 {
		return 0
	}
	return delays[max((len(delays)*p+99)/100-1, 0)].Round(100 * time.Millisecond)
}
