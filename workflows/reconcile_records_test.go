package workflows_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/mock"
	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/activities/provisioning"
	"github.com/castellan-io/castellan/messages"
)

// TestReconcileRecordsReportsLeaversWhoAreActive: whoever's account stays active however often it is read is in the
// run's findings, once.
func TestReconcileRecordsReportsLeaversWhoAreActive(t *testing.T) {
	for name, lasts := range map[string]int{"for a while": 2, "for good": 99} {
		t.Run(name, func(t *testing.T) {
			r := newRunTest(t, &planLine{person: "a", target: access.RecordTarget("staff"), action: access.Remove})
			play := func(name string, do any) { r.env.OnActivity(name, mock.Anything, mock.Anything).Return(do) }
			r.input.Scope = messages.Scope{Kind: messages.ScopeProvision, Provision: "staff"}
			play("ReadRecords", func(context.Context, provisioning.ReadInput) (provisioning.ReadResult, error) {
				return provisioning.ReadResult{Records: 1}, nil
			})
			play("DecideRecords", func(context.Context, provisioning.DecideInput) (provisioning.DecideResult, error) {
				return provisioning.DecideResult{People: 1}, nil
			})
			play("JudgeRecords", func(context.Context, provisioning.JudgeInput) (provisioning.JudgeResult, error) {
				return provisioning.JudgeResult{Plan: "sha256:plan", Open: 1, Findings: []string{"duplicate staff"},
					Reported: 1}, nil
			})
			reads := 0
			play("VerifyRecords", func(context.Context, provisioning.RunInput) (provisioning.VerifyResult, error) {
				if reads++; reads > lasts {
					return provisioning.VerifyResult{Verified: 1}, nil
				}
				return provisioning.VerifyResult{Unverified: 1, Findings: []string{"account-active a"}, Reported: 1}, nil
			})
			sum := r.do()
			if lasts < 4 {
				require.Equal(t, []any{lasts + 1, 1, 0}, []any{reads, sum.Counts.Verified, sum.Counts.Unverified})
				require.Equal(t, []string{"duplicate staff"}, sum.Findings)
				return
			}
			require.Equal(t, []any{4, 0, 1}, []any{reads, sum.Counts.Verified, sum.Counts.Unverified})
			require.Equal(t, []string{"duplicate staff", "account-active a"}, sum.Findings)
			require.Equal(t, 2, sum.Reported)
		})
	}
}
