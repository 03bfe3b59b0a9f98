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

// world is one organization with everything that keeps it, a mailbox, and a page for reviewers.
type world struct {
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

// start starts a world with a policy in force and its first plan approved.
func start(t *testing.T, people cloud.OrgFile, policy string) *world {
	t.Helper()
	w := &world{Stack: suite.Start(t, "--org", suite.OrgFile(t, people)), t: t, mail: stack.OpenMailbox()}
	t.Cleanup(w.mail.Close)
	w.Worker.Stop(5 * time.Second)
	w.work()
	w.apply(policy)
	_, err := w.Adopt(t.Context(), org, patience)
	require.NoError(t, err)
	return w
}

// work starts a worker that sends notices to the mailbox and serves reviewers' pages.
func (w *world) work() {
	w.t.Helper()
	if w.page == "" {
		socket, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(w.t, err)
		w.page = socket.Addr().String()
		require.NoError(w.t, socket.Close())
	}
	require.NoError(w.t, w.StartWorker(append(w.mail.Env(), "CASTELLAN_REVIEW_ADDR="+w.page,
		"CASTELLAN_REVIEW_KEY="+strings.Repeat("k3y", 12))...))
}

func (w *world) apply(reviews string) {
	w.t.Helper()
	_, err := w.Apply(w.t.Context(), org, fmt.Sprintf(`
version: 1
organization: {name: acme, id: %s, key: "env:%s"}
mappings:
  - {name: builders, from: [eng], to: ["group:builders"]}
guard: {settle: 2s, target: {removals: 100}}
sync: {feed: 5s}
ignore: ["*"]
%s
`, w.Simulator.OrgID, stack.KeyVariable, reviews))
	require.NoError(w.t, err)
}

// review starts a campaign and waits until its reviewers are asked.
func (w *world) review(campaign string) (id string) {
	w.t.Helper()
	_, err := w.Temporal.Client.ExecuteWorkflow(w.t.Context(), client.StartWorkflowOptions{
		ID: messages.ReviewID(org, campaign+":test"), TaskQueue: messages.QueueWorkflows,
	}, messages.AccessReview, messages.AccessReviewInput{Org: org, Campaign: campaign, By: "bo@acme.example"})
	require.NoError(w.t, err)
	w.until(campaign+":test", func(s messages.ReviewStatus) bool { return s.Review.Stage == 1 && s.Progress.Asked > 0 })
	return campaign + ":test"
}

func (w *world) status(review string) (s messages.ReviewStatus, err error) {
	value, err := w.Temporal.Client.QueryWorkflow(w.t.Context(), messages.ReviewID(org, review), "", messages.Status)
	if err == nil {
		err = value.Get(&s)
	}
	return s, err
}

// until waits until a review is as wanted.
func (w *world) until(review string, want func(messages.ReviewStatus) bool) (s messages.ReviewStatus) {
	w.t.Helper()
	require.NoError(w.t, stack.Eventually(w.t.Context(), patience, func() (err error) {
		if s, err = w.status(review); err != nil {
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
func (w *world) over(review string) (s messages.ReviewStatus) {
	w.t.Helper()
	require.NoError(w.t, w.Temporal.Client.GetWorkflow(w.t.Context(), messages.ReviewID(org, review),
		"").Get(w.t.Context(), &s))
	return s
}

// items are those of a review, as the ledger has them.
func (w *world) items(review string) (all []access.Item) {
	w.t.Helper()
	in := messages.ReportInput{Org: org, Kind: messages.ReportReview, ID: review, Limit: 500}
	for {
		answer, err := w.Ask(w.t.Context(), in)
		require.NoError(w.t, err)
		all = append(all, answer.Items...)
		if in.After = answer.Next; in.After == "" {
			return all
		}
	}
}

func (w *world) item(review, person string, target access.Entitlement) access.Item {
	w.t.Helper()
	all := w.items(review)
	i := slices.IndexFunc(all, func(i access.Item) bool {
		return strings.HasPrefix(i.Email, person) &&
			i.Target == target
	})
	require.GreaterOrEqual(w.t, i, 0, "no item of %s and %s in %v", person, target, all)
	return all[i]
}

// asked is what a reviewer was sent.
func (w *world) asked(who string) (n messages.Notice) {
	w.t.Helper()
	require.NoError(w.t, stack.Eventually(w.t.Context(), patience, func() error {
		came := w.mail.Of("review-asked", who)
		if len(came) == 0 {
			return fmt.Errorf("%s was not asked yet", who)
		}
		n = came[len(came)-1]
		return nil
	}))
	return n
}

// update calls an update of a review as any client would.
func (w *world) update(review, name string, in, answer any) error {
	handle, err := w.Temporal.Client.UpdateWorkflow(w.t.Context(), client.UpdateWorkflowOptions{
		WorkflowID: messages.ReviewID(org, review), UpdateName: name, Args: []any{in},
		WaitForStage: client.WorkflowUpdateStageCompleted,
	})
	if err != nil {
		return err
	}
	return handle.Get(w.t.Context(), answer)
}

// members are the names of the people in a group, by the simulator's own truth.
func (w *world) members(group string) (names []string) {
	w.t.Helper()
	state, err := w.Simulator.State(w.t.Context())
	require.NoError(w.t, err)
	for _, id := range stack.Members(state, group) {
		i := slices.IndexFunc(state.People, func(p cloud.StatePerson) bool { return p.AccountID == id })
		names = append(names, state.People[i].Name)
	}
	return names
}

// with runs the ops command with a variable more.
func (w *world) with(variable string, args ...string) (string, error) {
	cmd := exec.CommandContext(w.t.Context(), filepath.Join(w.Bin, "starter"), args...)
	cmd.Env = append(append(os.Environ(), w.Temporal.Env()...), variable)
	out, err := cmd.CombinedOutput()
	if err != nil {
		err = fmt.Errorf("starter %v: %w\n%s", args, err, out)
	}
	return string(out), err
}

// evidence fetches a review's pack and checks it.
func (w *world) evidence(review string) ([]byte, evidence.Checked) {
	w.t.Helper()
	var pack bytes.Buffer
	in := messages.ReportInput{Org: org, Kind: messages.ReportEvidence, ID: review}
	for {
		answer, err := w.Ask(w.t.Context(), in)
		require.NoError(w.t, err)
		unzip, err := gzip.NewReader(bytes.NewReader(answer.Evidence.Document))
		require.NoError(w.t, err)
		_, err = io.Copy(&pack, unzip)
		require.NoError(w.t, err)
		if in.After = answer.Next; in.After == "" {
			break
		}
	}
	checked, err := evidence.Verify(bytes.NewReader(pack.Bytes()))
	require.NoError(w.t, err)
	return pack.Bytes(), checked
}
