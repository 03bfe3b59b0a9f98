package workflows_test

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	sdkpb "go.temporal.io/api/sdk/v1"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/testsuite"

	"github.com/castellan-io/castellan/activities/grants"
	"github.com/castellan-io/castellan/activities/session"
	"github.com/castellan-io/castellan/messages"
)

// carolsCode is what carol was sent for request g1.
const carolsCode = "ABCDE-FGHIJ-KLMNO-PQRST-UVWX2-Z"

// fakeCodes plays the ledger's codes.
type fakeCodes struct {
	mu     sync.Mutex
	burnt  []string
	came   []grants.BurnCodesInput
	resent []session.BurntCode
	fails  int // how many attempts to burn codes fail
}

func (b *fakeCodes) register(env *testsuite.TestWorkflowEnvironment) {
	env.RegisterActivityWithOptions(func(_ context.Context, in grants.BurnCodesInput) ([]session.BurntCode, error) {
		b.mu.Lock()
		defer b.mu.Unlock()
		if b.fails > 0 {
			b.fails--
			return nil, errors.New("the ledger is away")
		}
		b.burnt, b.came = append(b.burnt, in.Hashes...), append(b.came, in)
		for _, hash := range in.Hashes {
			if hash == messages.CodeHash(carolsCode) {
				return []session.BurntCode{{Org: in.Org, Grant: "g1", Name: "carol@acme.example"}}, nil
			}
		}
		return nil, nil
	}, activity.RegisterOptions{Name: "BurnCodes"})
	env.RegisterActivityWithOptions(func(_ context.Context, code session.BurntCode) error {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.resent = append(b.resent, code)
		return nil
	}, activity.RegisterOptions{Name: "ResendCode"})
}

// TestCodesThatAreTypedAreBurnt types carol's code in every way that may be refused, and in one that is not.
func TestCodesThatAreTypedAreBurnt(t *testing.T) {
	for name, test := range map[string]struct {
		name, body string
		signalOnly bool
		refused    string
	}{
		"a decision that counts": {name: messages.Approve,
			body: `{"request":"g1","by":"carol@acme.example","code":"` + carolsCode + `"}`},
		"without who decides": {name: messages.Approve,
			body: `{"request":"g1","code":"` + carolsCode + `"}`, refused: "by is missing"},
		"without the request": {name: messages.Deny,
			body: `{"by":"carol@acme.example","code":"` + carolsCode + `"}`, refused: "request is missing"},
		"a misspelt field": {name: messages.Approve,
			body: `{"request":"g1","bye":"carol@acme.example","code":"` + carolsCode + `"}`, refused: "bye"},
		"the code's field misspelt": {name: messages.Approve,
			body: `{"request":"g1","by":"carol@acme.example","cod":"` + carolsCode + `"}`, refused: "cod"},
		"in the note": {name: messages.Approve,
			body: `{"request":"g1","by":"carol@acme.example","note":"my code is abcde fghij klmno pqrst uvwx2 z"}`},
		"said to another action": {name: messages.Pause,
			body: `{"by":"carol@acme.example","code":"` + carolsCode + `"}`, refused: "code"},
		"no JSON": {name: messages.Approve,
			body: `{"request":"g1","code":"` + carolsCode + `"`, refused: "input is not valid"},
		"with the dashes of a word processor": {name: messages.Approve,
			body: `{"request":"g1","by":"carol@acme.example","note":"abcde–fghij—klmno‑pqrst−uvwx2\u00adz"}`},
		"with spaces that do not break": {name: messages.Approve,
			body: `{"request":"g1","by":"carol@acme.example","note":"it is abcde\u00a0fghij\u202fklmno\u2009pqrst\u200buvwx2\u2060z"}`},
		"over two lines": {name: messages.Approve,
			body: `{"request":"g1","by":"carol@acme.example","note":"abcde-fghij-klmno-\npqrst-uvwx2-z"}`},
		"in two strings": {name: messages.Approve,
			body:    `{"request":"g1","by":"carol@acme.example","note":["ABCDE-FGHIJ-KLMNO","PQRST-UVWX2-Z"]}`,
			refused: "input is not valid"},
		"full width": {name: messages.Approve,
			body: `{"request":"g1","by":"carol@acme.example","note":"ＡＢＣＤＥ－ＦＧＨ１Ｊ－ＫＬＭＮ０－ＰＱＲＳＴ－ＵＶＷＸ２－Ｚ"}`},
		"among letters of another script": {name: messages.Approve,
			body: `{"request":"g1","by":"carol@acme.example","note":"承認コードはabcdefghijklmnopqrstuvwx2zです"}`},
		"a name before it": {name: messages.Approve,
			body: `{"request":"g1","by":"carol@acme.example","note":"codeabcdefghijklmnopqrstuvwx2z"}`},
		"no JSON, over two lines": {name: messages.Approve,
			body: `{"request":"g1","c":"ABCDE\u2013FGHIJ-KLMNO-\nPQRST-UVWX2-Z"`, refused: "input is not valid"},
		"twice under one name": {name: messages.Approve,
			body:    `{"request":"g1","by":"carol@acme.example","code":"abcde.fghij.klmno.pqrst.uvwx2.z","code":"x"}`,
			refused: "code"},
		"deep within": {name: messages.Approve,
			body: `{"approve":[{"code":"abcdefghijklmnopqrstuvwx2z"}]}`, refused: "approve"},
		"an action that is not there": {name: "aprove",
			body: `{"request":"g1","by":"carol@acme.example","code":"` + carolsCode + `"}`, signalOnly: true,
			refused: "there is no such signal"},
	} {
		for _, way := range []string{"update", "signal"} {
			if way == "update" && test.signalOnly {
				continue
			}
			t.Run(name+", by "+way, func(t *testing.T) {
				d := newGrantsLoop(t)
				var said *answer
				if way == "update" {
					said = d.updateAt(time.Minute, test.name, typed(test.body))
				} else {
					d.signalAt(time.Minute, test.name, typed(test.body))
				}
				d.start(time.Hour)
				require.Contains(t, d.codes.burnt, messages.CodeHash(carolsCode))
				require.Equal(t, []session.BurntCode{{Org: org, Grant: "g1", Name: "carol@acme.example"}},
					d.codes.resent)
				switch {
				case test.refused == "" && said != nil:
					require.NoError(t, said.err)
				case test.refused == "":
					require.Empty(t, d.status().Refused)
				case said != nil:
					require.ErrorContains(t, said.err, test.refused)
				default:
					require.Contains(t, d.status().Refused[0].Why, test.refused)
				}
				for _, in := range d.decided {
					require.NotContains(t, in.Code+in.Note, "ABCDE", "a code goes no further than the workflow")
				}
			})
		}
	}
}

// TestCodesAreBurntBeforeTheyDecide: whoever reads it in the history comes too late, and what it came with counts.
func TestCodesAreBurntBeforeTheyDecide(t *testing.T) {
	for _, way := range []string{"update", "signal"} {
		t.Run(way, func(t *testing.T) {
			d := newGrantsLoop(t)
			body := typed(`{"request":"g1","by":"carol@acme.example","code":"` + carolsCode + `"}`)
			if way == "update" {
				d.updateAt(time.Minute, messages.Approve, body)
			} else {
				d.signalAt(time.Minute, messages.Approve, body)
			}
			d.updateAt(2*time.Minute, messages.Approve, body)
			d.start(time.Hour)
			require.Len(t, d.codes.came, 2)
			require.Len(t, d.decided, 2)
			for i, in := range d.decided {
				require.NotEmpty(t, in.Shown)
				require.Equal(t, d.codes.came[i].Shown, in.Shown)
			}
			require.NotEqual(t, d.decided[0].Shown, d.decided[1].Shown, "what burnt it decides, and nothing else")
		})
	}
}

// TestCodesAreBurntAtOnceWhileAHistoryEnds: it decides in the next history, by the presentation that burnt it
// in the one before, and one other is sent. The same where the ledger, or the worker that had the code, was away for a
// while.
func TestCodesAreBurntAtOnceWhileAHistoryEnds(t *testing.T) {
	for name, fails := range map[string]int{"at once": 0, "after a while": 2} {
		t.Run(name, func(t *testing.T) {
			d := newGrantsLoop(t)
			d.judging, d.codes.fails = 3*time.Second, fails
			d.signalAt(time.Minute, messages.ForceContinueAsNew, nil)
			// of these, one or another keeps the history
			for after := 58 * time.Second; after < 5*time.Minute; after += 500 * time.Millisecond {
				d.signalAt(after, messages.Grant, messages.GrantInput{
					Person: "eve", Target: jira, RequestedBy: "eve", RequestID: after.String(),
					Duration: messages.Duration(time.Hour),
				})
			}
			d.signalAt(time.Minute+time.Second, messages.Approve,
				typed(`{"request":"g1","by":"carol@acme.example","code":"`+carolsCode+`"}`))
			state := d.renewed(messages.OrgSyncInput{Policy: json.RawMessage(`"first"`), By: "ana"})
			waits := slices.IndexFunc(state.Kept,
				func(word messages.KeptMessage) bool { return word.Name == messages.Approve })
			if fails == 0 {
				require.Len(t, d.codes.came, 1, "its code is burnt")
				require.GreaterOrEqual(t, waits, 0, "and it waits for the next history")
				require.Equal(t, d.codes.came[0].Shown, state.Kept[waits].Shown)
			} else {
				require.Negative(t, waits, "no history ends before the codes that came in it are burnt")
			}

			next := newGrantsLoop(t)
			next.env.SetStartTime(d.env.Now())
			next.startWith(messages.OrgSyncInput{State: &state}, time.Minute)
			for _, in := range append(d.codes.came, next.codes.came...) {
				require.Equal(t, d.codes.came[0].Shown, in.Shown, "it is one presentation, so nothing is burnt twice")
			}
			decided := append(d.decided, next.decided...)
			require.Len(t, decided, 1)
			require.Equal(t, d.codes.came[0].Shown, decided[0].Shown)
			require.Len(t, append(d.codes.resent, next.codes.resent...), 1)
		})
	}
}

func TestCodesWithTyposAreWrong(t *testing.T) {
	for name, body := range map[string]string{
		"the last letter missing":       `{"request":"g1","by":"carol@acme.example","code":"ABCDE-FGHIJ-KLMNO-PQRST-UVWXY"}`,
		"one wrong":                     `{"request":"g1","by":"carol@acme.example","code":"8BCDEFGHIJKLMNOPQRSTUVWXYZ"}`,
		"under another name":            `{"request":"g1","by":"carol@acme.example","cod":"AB2DE–FGHIJ–KLMNO–PQRST–UVWXY"}`,
		"to an action that is not hers": `{"request":"g1","by":"carol@acme.example","duration":"1h","code":"ABCDE-FGHIJ-KLMNO-PQRST-UVWXY"}`,
	} {
		t.Run(name, func(t *testing.T) {
			d := newGrantsLoop(t)
			d.updateAt(time.Minute, messages.Approve, typed(body))
			d.start(time.Hour)
			require.Len(t, d.codes.came, 1)
			in := d.codes.came[0]
			require.True(t, in.Wrong)
			require.Equal(t, []string{"carol@acme.example", "g1"}, []string{in.By, in.Grant})
		})
	}
}

func TestCodesAreNotBurntByOtherText(t *testing.T) {
	d := newGrantsLoop(t)
	d.updateAt(time.Minute, messages.Approve, messages.ApprovalInput{
		Request: "g1", By: "carol@acme.example", Note: "after the change board met",
		Credential: messages.Credential{Nonce: "6ba7b810-9dad-11d1-80b4-00c04fd430c8", Proof: messages.CodeHash("x")},
	})
	refused := d.updateAt(2*time.Minute, messages.Approve,
		typed(`{"by":"bo@acme.example","duration":"24h","reason":"`+strings.Repeat("x", 101)+`"}`))
	d.start(time.Hour)
	require.Error(t, refused.rejected, "what is refused leaves no trace")
	require.Empty(t, d.codes.burnt)
	require.Len(t, d.decided, 1)
}

func TestOrgSyncTakesDecisionsByRequestAlone(t *testing.T) {
	d := newGrantsLoop(t)
	approved := d.updateAt(time.Minute, messages.Approve,
		messages.ApprovalInput{Request: "g1", By: "carol@acme.example"})
	denied := d.updateAt(2*time.Minute, messages.Deny, messages.ApprovalInput{Request: "g2", By: "carol@acme.example"})
	extended := d.updateAt(3*time.Minute, messages.Extend,
		messages.ExtendInput{Request: "g1", RequestedBy: "ana@acme.example", Duration: messages.Duration(time.Hour)})
	nameless := d.updateAt(4*time.Minute, messages.Extend,
		messages.ExtendInput{RequestedBy: "ana@acme.example", Duration: messages.Duration(time.Hour)})
	d.signalAt(5*time.Minute, messages.Approve, messages.ApprovalInput{Request: "g3", By: "carol@acme.example"})
	d.start(time.Hour)
	for _, said := range []*answer{approved, denied, extended} {
		require.NoError(t, said.err)
	}
	require.ErrorContains(t, nameless.rejected, "request is missing")
	require.Len(t, d.decided, 3)
	require.Equal(t, "g1", d.decided[0].Request)
	require.Empty(t, d.decided[0].Key, "the request tells whose it is")
	require.Len(t, d.extended, 1)
	require.NotEmpty(t, d.extended[0].RequestID)
}

// TestARefusalComesFirstAndAlone: nobody has to read what Temporal says of the activity that refused.
func TestARefusalComesFirstAndAlone(t *testing.T) {
	d := newGrantsLoop(t)
	d.refuses = temporal.NewApplicationErrorWithOptions("request g1: somebody said no", session.ErrRefused,
		temporal.ApplicationErrorOptions{NonRetryable: true})
	said := d.updateAt(time.Minute, messages.Approve, messages.ApprovalInput{Request: "g1", By: "carol@acme.example"})
	d.start(time.Hour)
	var app *temporal.ApplicationError
	require.ErrorAs(t, said.err, &app)
	require.Equal(t, "request g1: somebody said no", app.Message())
	require.Equal(t, session.ErrRefused, app.Type())
	require.NotContains(t, said.err.Error(), "activity error")
}

func TestOrgSyncSaysWhichSignalsAreForPeople(t *testing.T) {
	d := newGrantsLoop(t)
	d.at(time.Minute, func() {
		value, err := d.env.QueryWorkflow("__temporal_workflow_metadata")
		require.NoError(t, err)
		var metadata sdkpb.WorkflowMetadata
		require.NoError(t, value.Get(&metadata))
		described := map[string]string{}
		for _, signal := range metadata.GetDefinition().GetSignalDefinitions() {
			described[signal.GetName()] = signal.GetDescription()
		}
		for _, name := range []string{messages.ReconcileGrant, messages.WritesPaused, messages.RunProgress,
			messages.LookAt, messages.ForceContinueAsNew} {
			require.Contains(t, described[name], "not for people", name)
		}
		for _, name := range []string{messages.Approve, messages.Pause, messages.Grant} {
			require.NotEmpty(t, described[name])
			require.NotContains(t, described[name], "not for people")
		}
	})
	d.start(time.Hour)
}
