package activities_test

import (
	"context"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/activity"

	"github.com/castellan-io/castellan/activities"
)

// registered lists the activities of the rooms that are registered, as Temporal takes them: methods that take a context
// and may fail.
type registered []string

func (r *registered) RegisterActivityWithOptions(room any, _ activity.RegisterOptions) {
	for method := range reflect.TypeOf(room).Methods() {
		is := method.Type
		if is.NumIn() > 1 && is.In(1) == reflect.TypeFor[context.Context]() && is.NumOut() > 0 &&
			is.Out(is.NumOut()-1) == reflect.TypeFor[error]() {
			*r = append(*r, method.Name)
		}
	}
}

// TestRegisterKeepsTheNamesInHistories: workflows that run already ask for activities by these names, whichever room
// they are in.
func TestRegisterKeepsTheNamesInHistories(t *testing.T) {
	const names = `AcceptSource Admit Answer Apply ApplyGroup ApplySeveral Attend Attended BeginRestore BurnCodes CheckDecider
		CheckRestore CheckWave CloseEnded Confirm Decide DecideConflict DecideGrant DecideRecords EndLinks EndRestore
		Examine ExpireGrant Explain ExtendGrant
		FindIdentities FindRun Finish Govern GovernBegin GovernEnd HandOver Judge JudgeLinks JudgeRecords
		JudgeRestore KeepSchedules Next NextGroups NextWave Outline PickLinks PlanUndo PreviewLinks PreviewRestore ReadGrants
		ReadRecords RequestGrant
		ResendCode ReviewAttend ReviewBegin ReviewCarry ReviewClose ReviewEnd ReviewMark ReviewProgress
		ReviewRank ReviewRevoke ReviewSay ReviewStage ReviewSweep ReviewTell RevokeGrant RuleTime Set Standing
		Sweep Tell Verify VerifyRecords Watch WatchSource`
	var all registered
	activities.New(activities.Options{}).Register(&all)
	slices.Sort(all)
	require.Equal(t, strings.Fields(names), []string(all), "once each")
}
