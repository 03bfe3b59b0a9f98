package reviews_test

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/client"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/e2e/stack"
	"github.com/castellan-io/castellan/e2e/suite"
	"github.com/castellan-io/castellan/evidence"
	"github.com/castellan-io/castellan/messages"
	"github.com/castellan-io/castellan/simulator/cloud"
)

const (
	org      = suite.Org
	patience = suite.Patience
)

// testOrg is one organization with everything that keeps it, a mailbox, and a page for reviewers.
type testOrg struct {
	*stack.Stack
	t    *testing.T
	mail *stack.Mailbox
	page string // address of reviewers' pages
}

// staff are the people of most tests: two partners sit in a group that nothing explains.
var staff = cloud.OrgFile{
	Domains: []string{"acme.example"},
	People:  []string{"ana", "bo", "carol", "dan", "eve", "finn", "paul@partner.example", "pia@partner.example"},
	Invited: []string{"paul@partner.example", "pia@partner.example"},
	Admins:  []string{"ana", "bo"},
	Groups: []cloud.OrgGroup{{Name: "eng", Members: []string{"carol", "dan", "eve", "finn"}},
		{Name: "ops", Members: []string{"ana", "bo"}}},
	Local: []cloud.OrgGroup{{Name: "builders"},
		{Name: "partner-wiki", Members: []string{"paul@partner.example", "pia@partner.example", "finn"}}},
}

// start starts a simulated organization with a policy in force and its first plan approved.
func start(t *testing.T, people cloud.OrgFile, policy string) *testOrg {
	t.Helper()
	o := &testOrg{Stack: suite.Start(t, "--org", suite.OrgFile(t, people)), t: t, mail: stack.OpenMailbox()}
	t.Cleanup(o.mail.Close)
	o.Worker.Stop(5 * time.Second)
	o.work()
	o.apply(policy)
	_, err := o.Adopt(t.Context(), org, patience)
	require.NoError(t, err)
	return o
}

// work starts a worker that sends notices to the mailbox and serves reviewers' pages.
func (o *testOrg) work() {
	o.t.Helper()
	if o.page == "" {
		socket, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(o.t, err)
		o.page = socket.Addr().String()
		require.NoError(o.t, socket.Close())
	}
	require.NoError(o.t, o.StartWorker(append(o.mail.Env(), "CASTELLAN_REVIEW_ADDR="+o.page,
		"CASTELLAN_REVIEW_KEY="+strings.Repeat("k3y", 12))...))
}

func (o *testOrg) apply(reviews string) {
	o.t.Helper()
	_, err := o.Apply(o.t.Context(), org, fmt.Sprintf(`
version: 1
organization: {name: acme, id: %s, key: "env:%s"}
mappings:
  - {name: builders, from: [eng], to: ["group:builders"]}
guard: {settle: 2s, target: {removals: 100}}
sync: {feed: 5s}
ignore: ["*"]
%s
`, o.Simulator.OrgID, stack.KeyVariable, reviews))
	require.NoError(o.t, err)
}

// review starts a campaign and waits until its reviewers are asked.
func (o *testOrg) review(campaign string) (id string) {
	o.t.Helper()
	_, err := o.Temporal.Client.ExecuteWorkflow(o.t.Context(), client.StartWorkflowOptions{
		ID: messages.ReviewID(org, campaign+":test"), TaskQueue: messages.QueueWorkflows,
	}, messages.AccessReview, messages.AccessReviewInput{Org: org, Campaign: campaign, By: "bo@acme.example"})
	require.NoError(o.t, err)
	o.until(campaign+":test", func(s messages.ReviewStatus) bool { return s.Review.Stage == 1 && s.Progress.Asked > 0 })
	return campaign + ":test"
}

func (o *testOrg) status(review string) (s messages.ReviewStatus, err error) {
	value, err := o.Temporal.Client.QueryWorkflow(o.t.Context(), messages.ReviewID(org, review), "", messages.Status)
	if err == nil {
		err = value.Get(&s)
	}
	return s, err
}

// until waits until a review is as wanted.
func (o *testOrg) until(review string, want func(messages.ReviewStatus) bool) (s messages.ReviewStatus) {
	o.t.Helper()
	require.NoError(o.t, stack.Eventually(o.t.Context(), patience, func() (err error) {
		if s, err = o.status(review); err != nil {
			return err
		}
		if !want(s) {
			seen, _ := json.Marshal(s)
			return fmt.Errorf("the review is %s", seen)
		}
		return nil
	}))
	return s
}

// over waits until a review has ended.
func (o *testOrg) over(review string) (s messages.ReviewStatus) {
	o.t.Helper()
	require.NoError(o.t, o.Temporal.Client.GetWorkflow(o.t.Context(), messages.ReviewID(org, review),
		"").Get(o.t.Context(), &s))
	return s
}

// items returns those of a review, as the ledger has them.
func (o *testOrg) items(review string) (all []access.Item) {
	o.t.Helper()
	in := messages.ReportInput{Org: org, Kind: messages.ReportReview, ID: review, Limit: 500}
	for {
		answer, err := o.Ask(o.t.Context(), in)
		require.NoError(o.t, err)
		all = append(all, answer.Items...)
		if in.After = answer.Next; in.After == "" {
			return all
		}
	}
}

func (o *testOrg) item(review, person string, target access.Entitlement) access.Item {
	o.t.Helper()
	all := o.items(review)
	i := slices.IndexFunc(all, func(i access.Item) bool {
		return strings.HasPrefix(i.Email, person) &&
			i.Target == target
	})
	require.GreaterOrEqual(o.t, i, 0, "no item of %s and %s in %v", person, target, all)
	return all[i]
}

// asked returns what a reviewer was sent.
func (o *testOrg) asked(who string) (n messages.Notice) {
	o.t.Helper()
	require.NoError(o.t, stack.Eventually(o.t.Context(), patience, func() error {
		came := o.mail.Of("review-asked", who)
		if len(came) == 0 {
			return fmt.Errorf("%s was not asked yet", who)
		}
		n = came[len(came)-1]
		return nil
	}))
	return n
}

// update calls an update of a review as any client would.
func (o *testOrg) update(review, name string, in, answer any) error {
	handle, err := o.Temporal.Client.UpdateWorkflow(o.t.Context(), client.UpdateWorkflowOptions{
		WorkflowID: messages.ReviewID(org, review), UpdateName: name, Args: []any{in},
		WaitForStage: client.WorkflowUpdateStageCompleted,
	})
	if err != nil {
		return err
	}
	return handle.Get(o.t.Context(), answer)
}

// members returns the names of the people in a group, by the simulator's own truth.
func (o *testOrg) members(group string) (names []string) {
	o.t.Helper()
	state, err := o.Simulator.State(o.t.Context())
	require.NoError(o.t, err)
	for _, id := range stack.Members(state, group) {
		i := slices.IndexFunc(state.People, func(p cloud.StatePerson) bool { return p.AccountID == id })
		names = append(names, state.People[i].Name)
	}
	return names
}

// with runs the ops command with a variable more.
func (o *testOrg) with(variable string, args ...string) (string, error) {
	cmd := exec.CommandContext(o.t.Context(), filepath.Join(o.Bin, "starter"), args...)
	cmd.Env = append(append(os.Environ(), o.Temporal.Env()...), variable)
	out, err := cmd.CombinedOutput()
	if err != nil {
		err = fmt.Errorf("starter %v: %w\n%s", args, err, out)
	}
	return string(out), err
}

// evidence fetches a review's pack and checks it.
func (o *testOrg) evidence(review string) ([]byte, evidence.VerifiedPack) {
	o.t.Helper()
	var pack bytes.Buffer
	in := messages.ReportInput{Org: org, Kind: messages.ReportEvidence, ID: review}
	for {
		answer, err := o.Ask(o.t.Context(), in)
		require.NoError(o.t, err)
		unzip, err := gzip.NewReader(bytes.NewReader(answer.Evidence.Document))
		require.NoError(o.t, err)
		_, err = io.Copy(&pack, unzip)
		require.NoError(o.t, err)
		if in.After = answer.Next; in.After == "" {
			break
		}
	}
	checked, err := evidence.Verify(bytes.NewReader(pack.Bytes()))
	require.NoError(o.t, err)
	return pack.Bytes(), checked
}
