package ledger_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/ledger"
)

func directoryGroup(id string, members ...string) ledger.DirectoryGroup {
	return ledger.DirectoryGroup{ID: id, Name: "name of " + id, Members: members, Digest: fmt.Sprint(members)}
}

func TestDirectoryGroups(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, l *ledger.Ledger) {
		ctx := t.Context()
		save := func(groups ...ledger.DirectoryGroup) {
			t.Helper()
			require.NoError(t, l.SaveDirectoryGroups(ctx, org, directory, groups, noon))
		}
		members := func(id string) []string {
			t.Helper()
			all, err := l.DirectoryMembers(ctx, org, directory, id)
			require.NoError(t, err)
			return all
		}
		save(directoryGroup("g1", "r1", "r2"), directoryGroup("g2"))
		save(directoryGroup("g1", "r2", "r3"))
		require.Equal(t, []string{"r2", "r3"}, members("g1"))
		require.NoError(t, l.MoveDirectoryMembers(ctx, org, directory, "g1", []string{"r4", "r3"}, []string{"r2"}))
		require.Equal(t, []string{"r3", "r4"}, members("g1"))
		digests, err := l.DirectoryGroupDigests(ctx, org, directory)
		require.NoError(t, err)
		require.Equal(t, map[string]string{"g1": "", "g2": "[]"}, digests, "what was written is read again")
		save(directoryGroup("g2", "r4"))
		of, err := l.DirectoryGroupsOf(ctx, org, directory, []string{"r3", "r4", "r9"})
		require.NoError(t, err)
		require.Equal(t, map[string][]string{"r3": {"g1"}, "r4": {"g1", "g2"}}, of)
		all, err := l.DirectoryGroups(ctx, org, directory)
		require.NoError(t, err)
		require.Equal(t, []any{2, "name of g1", 2, 1}, []any{len(all), all[0].Name, all[0].Count, all[1].Count})
		require.NoError(t, l.DirectoryGroupGone(ctx, org, directory, "g1"))
		require.Empty(t, members("g1"))

		require.NoError(t, l.SaveRecords(ctx, org, directory, 0, records(4, 5), noon))
		save(directoryGroup("g2", recordOf(4).ID, recordOf(5).ID))
		require.NoError(t, l.SetPersonStates(ctx, org, "staff", "r1",
			[]ledger.ProvisionedState{{Source: corp, Key: key(4), State: "linked", Record: recordOf(4).ID}}))
		for _, run := range []string{"r1", ""} {
			stray, err := l.StrayMembers(ctx, org, "staff", run, directory, "g2", 0)
			require.NoError(t, err)
			require.Equal(t, []string{recordOf(5).ID}, recordIDs(stray))
		}
	})
}

func TestSyncedGroupsAreExplainedByTheChain(t *testing.T) {
	t.Parallel()
	eng := ledger.SyncedGroup{Provision: "staff", Source: corp, Key: "1", SourceName: "corp:eng", Group: "g1",
		Name: "eng", By: "provision staff"}
	groups := func(t *testing.T, l *ledger.Ledger) []ledger.SyncedGroup {
		t.Helper()
		all, err := l.SyncedGroups(t.Context(), org, "staff")
		require.NoError(t, err)
		return all
	}
	both(t, func(t *testing.T, l *ledger.Ledger) {
		ctx := t.Context()
		require.NoError(t, l.BindGroup(ctx, org, eng, noon))
		before, _, err := l.Head(ctx, org)
		require.NoError(t, err)
		require.NoError(t, l.BindGroup(ctx, org, eng, minutes(1)), "a repeat")
		require.Empty(t, entries(t, l, before))
		other := eng
		other.Key = "2"
		require.ErrorIs(t, l.BindGroup(ctx, org, other, noon), ledger.ErrBound)

		next := eng
		next.Group, next.Name, next.Former, next.FormerName = "g2", "Engineering", "g1", "eng"
		require.NoError(t, l.BindGroup(ctx, org, next, minutes(2)))
		next.Since = minutes(2)
		require.Equal(t, []ledger.SyncedGroup{next}, groups(t, l))
		require.NoError(t, l.UnbindGroup(ctx, org, "staff", "g1", "provision staff", minutes(3)))
		next.Former, next.FormerName = "", ""
		require.Equal(t, []ledger.SyncedGroup{next}, groups(t, l))
		sound(t, l)

		restore := saveRows(t, l, "synced_groups", "1 = 1")
		_, err = l.Exec(ctx, `UPDATE synced_groups SET bound = 'evil'`)
		require.NoError(t, err)
		require.True(t, groups(t, l)[0].Unexplained)
		require.Contains(t, unexplained(t, l)[0], "synced_groups staff "+corp+" 1")
		restore()
		again := next
		again.Group, again.Name, again.Former, again.FormerName = "g3", "Builders", "g2", "Engineering"
		require.NoError(t, l.BindGroup(ctx, org, again, minutes(2)))
		require.NoError(t, l.UnbindGroup(ctx, org, "staff", "g3", "provision staff", minutes(3)))
		require.Equal(t, []any{"g2", "Engineering", ""},
			[]any{groups(t, l)[0].Group, groups(t, l)[0].Name, groups(t, l)[0].Former}, "the former one is still there")
		require.False(t, groups(t, l)[0].Unexplained)
		sound(t, l)
		require.NoError(t, l.UnbindGroup(ctx, org, "staff", "g2", "provision staff", minutes(4)))
		require.Empty(t, groups(t, l))
		sound(t, l)
	})
}

// TestGroupLinesAreFoundByTheirGroup: of a large plan, the lines of one group are read alone, and begun together.
func TestGroupLinesAreFoundByTheirGroup(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, l *ledger.Ledger) {
		ctx := t.Context()
		target := access.SCIMGroupTarget("staff", "eng")
		var changes []access.Change
		for n := range 300 {
			changes = append(changes,
				access.Change{Person: key(n), Target: target, Action: access.Add},
				access.Change{Person: key(n), Target: access.RecordTarget("staff"), Action: access.Add})
		}
		held := access.Change{Person: key(1), Target: access.SCIMGroupTarget("staff", "ops"), Action: access.Remove,
			HeldBy: []string{"stray-member"}}
		plan(t, l, "r1", append(changes, held)...)
		no := false
		work, err := l.GroupWork(ctx, org, "r1", &no)
		require.NoError(t, err)
		require.Equal(t, []ledger.GroupWork{{Target: target, Action: access.Add, Lines: 300}}, work)
		lines, err := l.GroupLines(ctx, org, "r1", work[0], &no, key(9), 2)
		require.NoError(t, err)
		require.Equal(t, []string{key(10), key(11)}, []string{lines[0].Person, lines[1].Person})
		plans, err := l.Plans(ctx, func(l *ledger.Ledger) error {
			_, err := l.GroupLines(ctx, org, "r1", work[0], nil, key(9), 2)
			return err
		})
		require.NoError(t, err)
		require.Contains(t, plans, "lines_of_scim_groups")

		people := []string{key(10), key(11)}
		for _, want := range []access.ChangeState{access.Planned, access.Sent} {
			before, err := l.BeginChanges(ctx, org, "r1", target, people, noon)
			require.NoError(t, err)
			require.Equal(t, []access.ChangeState{want, want}, []access.ChangeState{before[0].State, before[1].State})
		}
		require.NoError(t, l.CancelChanges(ctx, org, "r1", target, people[:1]))
		before, err := l.BeginChanges(ctx, org, "r1", target, people, noon)
		require.NoError(t, err)
		require.Equal(t, access.Sent, before[0].State, "an earlier attempt may have written it")
	})
}
