package identities_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/e2e/suite"
	"github.com/castellan-io/castellan/messages"
	"github.com/castellan-io/castellan/simulator/cloud"
)

const tools = "tools"

// shop is an organization without SCIM: twenty people and a group of its own that nobody is in.
func shop() cloud.OrgFile {
	f := cloud.OrgFile{People: []string{"boss"}, Admins: []string{"boss"}, Local: []cloud.OrgGroup{{Name: tools}}}
	for n := range 20 {
		f.People = append(f.People, fmt.Sprintf("p%02d", n))
	}
	return f
}

// engineers gives the group to the engineers of the files.
var engineers = []map[string]any{{"name": "engineers", "from": []string{"hr:engineers"}, "to": []string{"group:" + tools}}}

// TestFileSourceFeedsAnOrganizationWithoutSCIM: who joins a group of the files gets what it gives, who leaves it or is
// disabled loses it, and people are who they are whatever becomes of their address.
func TestFileSourceFeedsAnOrganizationWithoutSCIM(t *testing.T) {
	suite.Long(t)
	t.Parallel()
	o := start(t, shop())
	o.Groups["engineers"] = []string{"e-p00", "e-p01", "e-p02", "e-p03"}
	o.Export()
	state := o.settled(o.policy(engineers, nil))
	o.become(tools, "p00", "p01", "p02", "p03")
	require.Len(t, state.Sources, 1)
	require.Equal(t, 21, state.Sources[0].People)
	require.Empty(t, state.Sources[0].Problem)

	o.Groups["engineers"] = []string{"e-p00", "e-p01", "e-p02", "e-p04"}
	o.Export()
	o.become(tools, "p00", "p01", "p02", "p04")

	o.Change(leaves, "e-p01")
	o.Export()
	o.become(tools, "p00", "p02", "p04")

	o.Change(returns, "e-p01")
	o.Export()
	o.become(tools, "p00", "p01", "p02", "p04")

	o.Change(func(e *suite.Employee) { e.Email = "somebody.else@acme.example" }, "e-p02")
	o.Groups["engineers"] = append(o.Groups["engineers"], "e-p05")
	o.Export()
	o.become(tools, "p00", "p01", "p02", "p04", "p05")

	delete(o.Staff, "e-p04")
	o.Groups["engineers"] = []string{"e-p00", "e-p01", "e-p02", "e-p05"}
	o.Export()
	o.become(tools, "p00", "p01", "p02", "p05")
	o.until(func(s messages.OrgSyncState) bool { return s.Sources[0].Missing == 0 })
}

// TestFileSourceThatIsBadRemovesNobody: an export that broke off, one without people, and one that cannot be read take
// nothing from anybody, while who joins is still given.
func TestFileSourceThatIsBadRemovesNobody(t *testing.T) {
	t.Parallel()
	o := start(t, shop())
	o.Groups["engineers"] = []string{"e-p00", "e-p01", "e-p02", "e-p03"}
	o.Export()
	o.settled(o.policy(engineers, nil))
	o.become(tools, "p00", "p01", "p02", "p03")

	o.Write("people.csv", "number,email,department,status\ne-p00,p00@acme.example,Works,active\n") // not what the manifest says
	o.until(func(s messages.OrgSyncState) bool { return s.Sources[0].Problem != "" })
	o.become(tools, "p00", "p01", "p02", "p03")

	whole := o.Staff
	o.Staff = map[string]suite.Employee{"e-p00": whole["e-p00"], "e-p05": whole["e-p05"]}
	o.Groups["engineers"] = []string{"e-p00", "e-p05"}
	o.Export()
	state := o.until(func(s messages.OrgSyncState) bool { return s.Sources[0].Suspect != "" })
	require.Contains(t, state.Sources[0].Suspect, "from 21 to 2 people")
	o.become(tools, "p00", "p01", "p02", "p03", "p05")

	var answer messages.Answer
	require.NoError(t, o.Update(t.Context(), org, messages.AcceptSource,
		messages.AcceptSourceInput{Source: "hr", By: "test"}, &answer))
	o.become(tools, "p00", "p05")
}

// TestAStaleSourceTakesNothing: what a source that has not been read for long gave is not taken, and a hold says why.
func TestRemovalsWaitForASourceThatWasNeverRead(t *testing.T) {
	suite.Long(t)
	t.Parallel()
	o := start(t, shop())
	o.Groups["engineers"] = []string{"e-p00"}
	o.Export()
	o.settled(o.policy(engineers, nil))
	o.become(tools, "p00")

	other := o.Source()
	other["name"], other["groupsFile"] = "payroll", "missing.csv"
	_, err := o.Apply(t.Context(), org, o.policy([]map[string]any{{"name": "engineers",
		"from": []string{"payroll:engineers"}, "to": []string{"group:" + tools}}},
		map[string]any{"sources": []any{other}}))
	require.NoError(t, err)
	state := o.until(func(s messages.OrgSyncState) bool { return s.Hold != nil })
	require.Contains(t, state.Hold.Rules[0], "payroll")
	require.Equal(t, []string{"p00"}, o.members(tools))
}
