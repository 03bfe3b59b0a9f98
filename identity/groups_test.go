package identity

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/castellan-io/castellan/access"
)

var groupOne = Ref{"corp", "1"}

func wantedGroup(key, name string) WantedGroup {
	return WantedGroup{Ref: Ref{"corp", key}, SourceName: "corp:" + name, Name: name, Entry: "g", Create: true}
}

func boundGroup(key, name string, id GroupID) GroupBinding {
	return GroupBinding{Ref: Ref{"corp", key}, SourceName: "corp:" + name, Name: name, Group: id, Since: noon,
		InSource: true}
}

// describe writes a decision in one line.
func (d GroupDecision) describe() string {
	text := fmt.Sprintf("%s[%s] %s", d.Name, d.Group, d.Action)
	for _, h := range d.Holds {
		text += " +" + string(h)
	}
	for _, n := range d.Notes {
		text += " !" + string(n.Finding)
	}
	if d.Joins {
		text += " joins"
	}
	if d.Leaves {
		text += " leaves"
	}
	if d.Waits {
		text += " waits"
	}
	if d.Successor != "" {
		text += " for " + d.Successor
	}
	return text
}

// TestResolveGroups is the table of what becomes of groups as a whole.
func TestResolveGroups(t *testing.T) {
	local, synced := OrganizationGroup{Users: 3}, OrganizationGroup{Synced: true}
	byDefault := OrganizationGroup{Default: []access.Entitlement{"default:jira-software/acme/user"}}
	later := noon.Add(time.Hour)
	eng := wantedGroup("1", "eng")
	renamed := eng
	renamed.Name, renamed.SourceName = "Engineering", "corp:Engineering"
	gone := boundGroup("1", "eng", "s1")
	gone.InSource = false
	replaced := boundGroup("1", "Engineering", "s2")
	replaced.Former, replaced.FormerName = "s1", "eng"
	goneReplaced := replaced
	goneReplaced.InSource = false
	noCreate, doubted, former, forged := eng, gone, eng, boundGroup("1", "eng", "s1")
	noCreate.Create, doubted.Doubted, former.Former, forged.Unexplained = false, true, true, true

	tests := map[string]struct {
		wanted       []WantedGroup
		bound        []GroupBinding
		directory    map[GroupID]string
		organization map[string]OrganizationGroup
		adopted      bool
		read         time.Time
		want         []string
	}{
		"new":                     {wanted: []WantedGroup{eng}, want: []string{"eng[] create joins leaves"}},
		"new, and not to be made": {wanted: []WantedGroup{noCreate}, want: []string{"eng[]  !group-missing"}},
		"followed": {wanted: []WantedGroup{eng}, bound: []GroupBinding{boundGroup("1", "eng", "s1")},
			directory: map[GroupID]string{"s1": "eng"}, organization: map[string]OrganizationGroup{"eng": synced}, read: later,
			want: []string{"eng[s1]  joins leaves"}},
		"made just now": {wanted: []WantedGroup{eng}, bound: []GroupBinding{boundGroup("1", "eng", "s1")},
			directory: map[GroupID]string{"s1": "eng"}, read: noon.Add(time.Minute), want: []string{"eng[s1]  joins leaves"}},
		"never shown": {wanted: []WantedGroup{eng}, bound: []GroupBinding{boundGroup("1", "eng", "s1")},
			directory: map[GroupID]string{"s1": "eng"}, read: later,
			want: []string{"eng[s1] delete +group-dropped !group-dropped"}},
		"dropped for a default group": {wanted: []WantedGroup{eng}, bound: []GroupBinding{boundGroup("1", "eng", "s1")},
			directory: map[GroupID]string{"s1": "eng"}, organization: map[string]OrganizationGroup{"eng": byDefault},
			read: later, want: []string{"eng[s1] delete +group-dropped !group-dropped"}},
		"waits for a person at Atlassian": {wanted: []WantedGroup{eng},
			bound: []GroupBinding{boundGroup("1", "eng", "s1")}, directory: map[GroupID]string{"s1": "eng"},
			organization: map[string]OrganizationGroup{"eng": local}, read: later,
			want: []string{"eng[s1]  !group-conflict joins leaves waits"}},
		"the name of a default group": {wanted: []WantedGroup{eng},
			organization: map[string]OrganizationGroup{"eng": byDefault}, want: []string{"eng[]  !group-dropped"}},
		"the name of a built-in group": {wanted: []WantedGroup{wantedGroup("1", "Org-Admins")},
			want: []string{"Org-Admins[]  !group-dropped"}},
		"the name of a local group": {wanted: []WantedGroup{eng}, organization: map[string]OrganizationGroup{"eng": local},
			want: []string{"eng[] create +group-conflict joins leaves"}},
		"the name of another directory's": {wanted: []WantedGroup{eng},
			organization: map[string]OrganizationGroup{"eng": synced}, want: []string{"eng[]  !group-conflict"}},
		"taken over with the first plan": {wanted: []WantedGroup{eng}, directory: map[GroupID]string{"s9": "ENG"},
			want: []string{"eng[s9] take over joins leaves"}},
		"taken over later": {wanted: []WantedGroup{eng}, directory: map[GroupID]string{"s9": "ENG"}, adopted: true,
			want: []string{"eng[s9] take over +group-takeover joins leaves"}},
		"two of one name": {wanted: []WantedGroup{eng, wantedGroup("2", "ENG")},
			want: []string{"eng[] create joins leaves", "ENG[]  !group-taken"}},
		"renamed": {wanted: []WantedGroup{renamed}, bound: []GroupBinding{boundGroup("1", "eng", "s1")},
			directory: map[GroupID]string{"s1": "eng"}, organization: map[string]OrganizationGroup{"eng": synced},
			want: []string{"eng[s1] delete +group-replace joins leaves for Engineering",
				"Engineering[] create +group-replace joins leaves"}},
		"renamed to the name of a default group": {wanted: []WantedGroup{renamed},
			bound: []GroupBinding{boundGroup("1", "eng", "s1")}, directory: map[GroupID]string{"s1": "eng"},
			organization: map[string]OrganizationGroup{"eng": synced, "engineering": byDefault},
			want:         []string{"eng[s1]  !group-dropped joins leaves"}},
		"replaced, and the former one is still there": {wanted: []WantedGroup{renamed},
			bound: []GroupBinding{replaced}, directory: map[GroupID]string{"s1": "eng", "s2": "Engineering"},
			want: []string{"Engineering[s2]  joins leaves", "eng[s1] delete +group-replace leaves for Engineering"}},
		"renamed to what the policy does not know": {wanted: []WantedGroup{former},
			bound: []GroupBinding{boundGroup("1", "eng", "s1")}, directory: map[GroupID]string{"s1": "eng"},
			want: []string{"eng[s1]  !group-renamed joins leaves"}},
		"gone from the source": {bound: []GroupBinding{gone}, directory: map[GroupID]string{"s1": "eng"},
			want: []string{"eng[s1] delete +group-delete"}},
		"gone from a source that proves nothing": {bound: []GroupBinding{doubted},
			directory: map[GroupID]string{"s1": "eng"}},
		"no longer wanted": {bound: []GroupBinding{boundGroup("1", "eng", "s1")}, directory: map[GroupID]string{"s1": "eng"},
			want: []string{"eng[s1]  !group-unwanted"}},
		"renamed again while the former one is still there": {wanted: []WantedGroup{wantedGroup("1", "Builders")},
			bound: []GroupBinding{replaced}, directory: map[GroupID]string{"s1": "eng", "s2": "Engineering"},
			want: []string{"Engineering[s2]  !group-renamed joins leaves",
				"eng[s1] delete +group-replace leaves for Engineering"}},
		"renamed back while the former one is still there": {wanted: []WantedGroup{eng},
			bound: []GroupBinding{replaced}, directory: map[GroupID]string{"s1": "eng", "s2": "Engineering"},
			want: []string{"Engineering[s2] delete +group-replace joins leaves for eng",
				"eng[s1] take over +group-replace joins leaves"}},
		"the name of a former one that is still there": {wanted: []WantedGroup{renamed, wantedGroup("0", "eng")},
			bound: []GroupBinding{replaced}, directory: map[GroupID]string{"s1": "eng", "s2": "Engineering"},
			want: []string{"eng[]  !group-taken", "Engineering[s2]  joins leaves",
				"eng[s1] delete +group-replace leaves for Engineering"}},
		"gone from the source while the former one is still there": {bound: []GroupBinding{goneReplaced},
			directory: map[GroupID]string{"s1": "eng", "s2": "Engineering"},
			want:      []string{"Engineering[s2] delete +group-delete", "eng[s1] delete +group-delete"}},
		"deleted by somebody else while the former one is still there": {wanted: []WantedGroup{renamed},
			bound: []GroupBinding{replaced}, directory: map[GroupID]string{"s1": "eng"},
			want: []string{"Engineering[] create +rebind joins leaves",
				"eng[s1] delete +group-replace leaves for Engineering"}},
		"of another key, the former one being deleted": {wanted: []WantedGroup{wantedGroup("2", "eng")},
			bound: []GroupBinding{gone}, want: []string{"eng[] create joins leaves"}},
		"of another key, the former one being there": {wanted: []WantedGroup{wantedGroup("0", "eng")},
			bound: []GroupBinding{gone}, directory: map[GroupID]string{"s1": "eng"},
			want: []string{"eng[]  !group-taken", "eng[s1] delete +group-delete"}},
		"deleted by somebody else": {wanted: []WantedGroup{eng}, bound: []GroupBinding{boundGroup("1", "eng", "s1")},
			want: []string{"eng[] create +rebind joins leaves"}},
		"bound by a forger": {wanted: []WantedGroup{eng}, bound: []GroupBinding{forged},
			directory: map[GroupID]string{"s1": "eng"}, want: []string{"eng[]  !identity-unexplained"}},
		"others are left alone": {directory: map[GroupID]string{"s1": "eng"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			facts := GroupFacts{Wanted: tt.wanted, Bound: tt.bound, Directory: tt.directory, Adopted: tt.adopted,
				Read: tt.read, Organization: func(name string) (OrganizationGroup, bool) {
					g, known := tt.organization[strings.ToLower(name)]
					return g, known
				}}
			var got []string
			for _, d := range staff().ResolveGroups(facts) {
				got = append(got, d.describe())
			}
			require.Equal(t, tt.want, got)
		})
	}
}

// TestGroupSetNamed: where several sources' groups of one name are known, the name is that of the one that is there.
func TestGroupSetNamed(t *testing.T) {
	taken, there := GroupDecision{Ref: Ref{"corp", "0"}, Name: "eng"}, GroupDecision{Ref: groupOne, Name: "eng",
		Group: "s1", Action: DeleteGroup}
	for _, all := range [][]GroupDecision{{taken, there}, {there, taken}} {
		require.Equal(t, GroupID("s1"), NewGroupSet(all).Named("ENG").Group)
	}
	require.Nil(t, NewGroupSet([]GroupDecision{taken, there}).Named("ops"))
}

func in(i Identity, keys ...string) Identity {
	i.GroupKeys = keys
	return i
}

// TestMemberships is the table of who joins and leaves groups.
func TestMemberships(t *testing.T) {
	inStep := record("r1", "acc-1", named(ana, "Ana"))
	bound := []Binding{{Ref{"corp", "k-ana"}, "r1", "acc-1"}}
	enabled := person(Enabled, "mail", ana, "cn", "Ana")
	is := func(i ...Identity) Person { return Person{Identities: i, Records: []Record{inStep}, Bindings: bound} }
	unlinked := is(in(enabled, "1"))
	unlinked.Records = []Record{record("r1", "", named(ana, "Ana"))}
	external := Person{Identities: []Identity{in(person(Enabled, "mail", "eve@partner.example", "cn", "Eve"), "1")}}
	keeper := is(person(Disabled))
	keeper.Records = []Record{record("r1", "acc-1", named("key-owner@acme.example", "Owner"))}
	follows := GroupDecision{Ref: groupOne, Name: "eng", Group: "s1", Joins: true, Leaves: true}
	coming, dropped, doubted := follows, follows, follows
	coming.Group, coming.Action, coming.Holds = "", CreateGroup, []Hold{HoldGroupConflict}
	dropped.Joins, dropped.Leaves = false, false
	doubted.Doubted = true
	elsewhere := in(person(Unknown), "1").as("hr", "h1")

	tests := map[string]struct {
		person Person
		group  GroupDecision
		in     bool
		theirs bool // somebody else put the person into the group
		want   string
	}{
		"joins":                               {person: is(in(enabled, "1")), want: "join"},
		"is in it":                            {person: is(in(enabled, "1")), in: true},
		"is in it by somebody else":           {person: is(in(enabled, "1")), in: true, theirs: true, want: "stay"},
		"leaves":                              {person: is(in(enabled, "2")), in: true, want: "leave"},
		"leaves what somebody else gave":      {person: is(enabled), in: true, theirs: true, want: "leave +stray-member"},
		"a joiner joins":                      {person: Person{Identities: []Identity{in(enabled, "1")}}, want: "join"},
		"an external joiner waits":            {person: external, want: "join +external-link"},
		"without an account it serves nobody": {person: unlinked},
		"a group to come":                     {person: is(in(enabled, "1")), group: coming, want: "join +group-conflict"},
		"a group that is never shown":         {person: is(in(enabled, "1")), group: dropped},
		"a leaver":                            {person: is(in(person(Disabled), "1")), in: true, want: "leave"},
		"a leaver out of scope":               {person: is(in(person(OutOfScope), "1")), in: true, want: "leave +scope-change"},
		"a leaver whom the policy protects":   {person: keeper, in: true},
		"of a source that does not tell":      {person: is(in(person(Unknown), "1")), in: true},
		"one source does not tell":            {person: is(enabled, elsewhere), in: true, want: "leave"},
		"a doubted source takes nothing":      {person: is(enabled), group: doubted, in: true, want: "doubt"},
		"a doubted source gives":              {person: is(in(enabled, "1")), group: doubted, want: "join"},
		"duplicates are left alone": {person: Person{Identities: []Identity{in(enabled, "1")},
			Records: []Record{inStep, record("r2", "acc-2", named(ana, "Ana"))}}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			g := tt.group
			if g.Name == "" {
				g = follows
			}
			require.Equal(t, tt.want, memberships(tt.person, g, tt.in, !tt.theirs))
		})
	}
}

func memberships(p Person, g GroupDecision, in, own bool) (text string) {
	var groups []GroupID
	if in {
		groups = []GroupID{g.Group}
	}
	m := staff().Memberships(p, staff().Resolve(p, noon), groups, func(string) bool { return own },
		NewGroupSet([]GroupDecision{g}))
	for word, some := range map[string][]Membership{"join": m.Joins, "leave": m.Leaves, "stay": m.Stays, "doubt": m.Doubted} {
		for _, one := range some {
			text += word
			if word == "join" || word == "leave" {
				for _, h := range one.Holds {
					text += " +" + string(h)
				}
			}
		}
	}
	return text
}

// TestMembershipsOfAnybody: nobody leaves a group that an enabled identity of theirs is in, nobody whose presence is
// not known joins or leaves, and whoever was put there by somebody else leaves by a decision only.
func TestMembershipsOfAnybody(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := drawPerson(t)
		for i := range p.Identities {
			p.Identities[i].GroupKeys = rapid.SliceOfDistinct(rapid.SampledFrom([]string{"1", "2"}), rapid.ID).Draw(t, "groups")
		}
		var all []GroupDecision
		for n, key := range []string{"1", "2"} {
			all = append(all, GroupDecision{Ref: Ref{"corp", key}, Name: "g" + key, Group: GroupID(fmt.Sprint("s", n)),
				Joins: true, Leaves: true, Doubted: rapid.Bool().Draw(t, "doubted")})
		}
		isIn := rapid.SliceOfDistinct(rapid.SampledFrom([]GroupID{"s0", "s1"}), rapid.ID).Draw(t, "in")
		own := rapid.Bool().Draw(t, "own")
		d := staff().Resolve(p, noon)
		m := staff().Memberships(p, d, isIn, func(string) bool { return own }, NewGroupSet(all))
		if d.Presence == Unknown {
			require.Empty(t, append(m.Joins, m.Leaves...))
		}
		for _, l := range m.Leaves {
			require.False(t, l.Doubted)
			require.Contains(t, isIn, l.Group)
			require.Equal(t, !own, slices.Contains(l.Holds, HoldStrayMember))
			require.False(t, d.Presence == Enabled && slices.ContainsFunc(p.Identities, func(i Identity) bool {
				return i.Presence == Enabled && i.Source == l.Source && slices.Contains(i.GroupKeys, l.Key)
			}))
		}
		for _, j := range m.Joins {
			require.NotContains(t, isIn, j.Group)
			require.True(t, slices.ContainsFunc(p.Identities, func(i Identity) bool {
				return i.Presence == Enabled && i.Source == j.Source && slices.Contains(i.GroupKeys, j.Key)
			}))
		}
	})
}
