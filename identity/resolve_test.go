package identity

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/policy/provision"
	"github.com/castellan-io/castellan/policy/window"
)

const ana = "ana@acme.example"

// TestResolve is the table of situations: what is known of one person, and what becomes of the record.
func TestResolve(t *testing.T) {
	enabled := person(Enabled, "mail", ana, "cn", "Ana")
	inStep := record("r1", "acc-1", named(ana, "Ana"))
	lead := record("r1", "acc-1", Values{userName: ana, email: ana, displayName: "Ana", title: "Lead"})
	bound := []Binding{{Ref{"corp", "k-ana"}, "r1", "acc-1"}}
	inactive := inStep
	inactive.Active = false
	external := person(Enabled, "mail", "eve@partner.example", "cn", "Eve")

	tests := []struct {
		name   string
		person Person
		action Action
		state  State
		edits  []Edit
		holds  []Hold
		finds  []Finding
	}{
		{name: "a joiner", person: Person{Identities: []Identity{enabled}}, action: Create, state: Absent,
			edits: []Edit{{userName, "", ana}, {email, "", ana}, {displayName, "", "Ana"}}},
		{name: "a joiner whose account a login made",
			person: Person{Identities: []Identity{enabled}, Accounts: []Account{managed("acc-1", ana)}},
			action: Create, state: JITOnly,
			edits: []Edit{{userName, "", ana}, {email, "", ana}, {displayName, "", "Ana"}}},
		{name: "in step", person: Person{Identities: []Identity{enabled}, Records: []Record{inStep}, Bindings: bound},
			action: Keep, state: Linked},
		{name: "found by the address, in another case",
			person: Person{Identities: []Identity{person(Enabled, "mail", "Ana@ACME.example", "cn", "Ana")}, Records: []Record{inStep}},
			action: Keep, state: Linked},
		{name: "a new title", person: Person{Identities: []Identity{person(Enabled, "mail", ana, "cn", "Ana", "title", "Lead")},
			Records: []Record{inStep}, Bindings: bound}, action: Update, state: Linked, edits: []Edit{{title, "", "Lead"}}},
		{name: "what the source does not say is not cleared", person: Person{Identities: []Identity{enabled},
			Records: []Record{lead}, Bindings: bound},
			action: Keep, state: Linked},
		{name: "what the source says is empty is cleared",
			person: Person{Identities: []Identity{person(Enabled, "mail", ana, "cn", "Ana", "title", "")},
				Records: []Record{lead}, Bindings: bound},
			action: Update, state: Linked, edits: []Edit{{title, "Lead", ""}}},
		{name: "an empty address is no address", person: Person{Identities: []Identity{person(Enabled, "mail", "", "cn", "Ana")},
			Records: []Record{inStep}, Bindings: bound}, action: Keep, state: Linked},
		{name: "nobody is made without an address", person: Person{Identities: []Identity{person(Enabled, "cn", "Ana")}},
			action: Keep, state: Absent, finds: []Finding{FindNoAddress}},
		{name: "an attribute of two values is left alone", person: Person{Identities: []Identity{func() Identity {
			i := person(Enabled, "mail", ana, "cn", "Ana")
			i.Attributes["title"] = []any{"Lead", "Head"}
			return i
		}()}, Records: []Record{inStep}, Bindings: bound}, action: Keep, state: Linked,
			finds: []Finding{FindAttribute}},

		{name: "a leaver, disabled", person: Person{Identities: []Identity{person(Disabled)}, Records: []Record{inStep},
			Bindings: bound, Accounts: []Account{managed("acc-1", ana)}}, action: Disable, state: Linked},
		{name: "a leaver, gone", person: Person{Identities: []Identity{person(Gone)}, Records: []Record{inStep}, Bindings: bound},
			action: Disable, state: Orphaned},
		{name: "a leaver, out of scope", person: Person{Identities: []Identity{person(OutOfScope)}, Records: []Record{inStep},
			Bindings: bound}, action: Disable, state: Linked, holds: []Hold{HoldScopeChange}},
		{name: "a leaver whom the source does not know for sure", person: Person{Identities: []Identity{person(Unknown)},
			Records: []Record{inStep}, Bindings: bound}, action: Keep, state: Linked},
		{name: "a leaver whose record is inactive already", person: Person{Identities: []Identity{person(Disabled)},
			Records: []Record{inactive}, Bindings: bound}, action: Keep, state: Linked},
		{name: "a leaver found by the address only", person: Person{Identities: []Identity{person(Disabled, "mail", ana)},
			Records: []Record{inStep}}, action: Disable, state: Linked, holds: []Hold{HoldUnbound}},
		{name: "an old disabled identity of somebody who has a new one",
			person: Person{Identities: []Identity{person(Disabled, "mail", ana)}, Records: []Record{inStep}, Taken: true},
			action: Keep, state: Linked},
		{name: "a leaver whose account is not managed", person: Person{Identities: []Identity{person(Disabled)},
			Records: []Record{inStep}, Bindings: bound, Accounts: []Account{unmanaged("acc-1", ana)}}, action: Keep,
			state: Linked, finds: []Finding{FindUnmanaged}},
		{name: "the owner of the key", person: Person{Identities: []Identity{person(Gone)},
			Records: []Record{record("r1", "acc-1", named("key-owner@acme.example", "Key"))}, Bindings: bound}, action: Keep,
			state: Orphaned, finds: []Finding{FindKept}},
		{name: "nobody claims the record", person: Person{Records: []Record{inStep}}, action: Keep, state: Absent},

		{name: "gone from one of two sources", person: Person{Identities: []Identity{person(Gone),
			person(Enabled, "mail", ana, "cn", "Ana").as("hr", "7")}, Records: []Record{inStep}, Bindings: bound},
			action: Keep, state: Linked},
		{name: "gone from one, unknown in the other", person: Person{Identities: []Identity{person(Gone),
			person(Unknown).as("hr", "7")}, Records: []Record{inStep}, Bindings: bound}, action: Keep, state: Linked},
		{name: "disabled in the second, unknown in the first", person: Person{Identities: []Identity{person(Unknown),
			person(Disabled).as("hr", "7")}, Records: []Record{inStep}, Bindings: bound}, action: Keep, state: Linked},
		{name: "disabled in the first, enabled in the second", person: Person{Identities: []Identity{person(Disabled),
			person(Enabled).as("hr", "7")}, Records: []Record{inStep}, Bindings: bound}, action: Disable, state: Linked,
			finds: []Finding{FindDisagree}},
		{name: "the first source wins an attribute, the second fills in", person: Person{Identities: []Identity{
			person(Enabled, "mail", ana, "cn", "Ana"),
			person(Enabled, "mail", "ana@other.example", "cn", "A.", "title", "Lead").as("hr", "7")}, Records: []Record{inStep},
			Bindings: bound}, action: Update, state: Linked, edits: []Edit{{title, "", "Lead"}}},

		{name: "a returner", person: Person{Identities: []Identity{enabled}, Records: []Record{inactive}, Bindings: bound},
			action: Reactivate, state: Locked},
		{name: "a rehire under a new key", person: Person{Identities: []Identity{enabled.as("corp", "k-new")},
			Records: []Record{inactive}, Bindings: bound}, action: Reactivate, state: Locked,
			holds: []Hold{HoldRebind}},
		{name: "two enabled identities with one address", person: Person{Identities: []Identity{enabled},
			Records: []Record{inStep}, Bindings: bound, Taken: true}, action: Keep, state: Duplicate,
			finds: []Finding{FindDuplicate}},
		{name: "two records that would do", person: Person{Identities: []Identity{enabled},
			Records: []Record{inStep, record("r2", "acc-2", named(ana, "Ana"))}}, action: Keep, state: Duplicate,
			finds: []Finding{FindDuplicate}},
		{name: "a binding is stronger than an address", person: Person{Identities: []Identity{enabled},
			Records:  []Record{record("r2", "acc-2", named(ana, "Ana")), record("r1", "acc-1", named("old@acme.example", "Ana"))},
			Bindings: bound}, action: Update, state: Linked, holds: []Hold{HoldEmailChange},
			edits: []Edit{{userName, "old@acme.example", ana}, {email, "old@acme.example", ana}}},
		{name: "an external id is stronger than an address", person: Person{Identities: []Identity{enabled},
			Records: []Record{record("r2", "acc-2", named(ana, "Ana")), {ID: "r1", External: "k-ana", Active: true,
				Account: "acc-1", Values: named(ana, "Ana")}}}, action: Keep, state: Linked},
		{name: "the record was deleted by somebody else", person: Person{Identities: []Identity{enabled}, Bindings: bound},
			action: Create, state: Absent, holds: []Hold{HoldRebind},
			edits: []Edit{{userName, "", ana}, {email, "", ana}, {displayName, "", "Ana"}}},

		{name: "an address of another domain would lose the account",
			person: Person{Identities: []Identity{person(Enabled, "mail", "ana@gone.example", "cn", "Ana")}, Records: []Record{inStep},
				Bindings: bound}, action: Keep, state: Linked, finds: []Finding{FindUnclaimed}},
		{name: "the account has another address", person: Person{Identities: []Identity{enabled}, Records: []Record{inStep},
			Bindings: bound, Accounts: []Account{managed("acc-1", "ana.lima@acme.example")}}, action: Keep, state: EmailDrift},
		{name: "the record lost its account", person: Person{Identities: []Identity{enabled},
			Records: []Record{record("r1", "", named(ana, "Ana"))}, Bindings: bound}, action: Keep, state: Unlinked,
			finds: []Finding{FindUnlinked}},
		{name: "the record has another account", person: Person{Identities: []Identity{enabled},
			Records: []Record{record("r1", "acc-2", named(ana, "Ana"))}, Bindings: bound}, action: Keep, state: Linked,
			finds: []Finding{FindNewAccount}},

		{name: "somebody from outside joins", person: Person{Identities: []Identity{external}}, action: Create, state: Absent,
			holds: []Hold{HoldExternalLink}, edits: []Edit{{userName, "", "eve@partner.example"},
				{email, "", "eve@partner.example"}, {displayName, "", "Eve"}}},
		{name: "somebody from outside would change", person: Person{Identities: []Identity{external},
			Records: []Record{record("r1", "acc-1", named("eve@partner.example", "Eva"))}, Bindings: bound,
			Accounts: []Account{unmanaged("acc-1", "eve@partner.example")}}, action: Keep, state: Linked,
			finds: []Finding{FindExternal}},
		{name: "somebody from outside, in step", person: Person{Identities: []Identity{external},
			Records: []Record{record("r1", "acc-1", named("eve@partner.example", "Eve"))}, Bindings: bound,
			Accounts: []Account{unmanaged("acc-1", "eve@partner.example")}}, action: Keep, state: Linked},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got := resolve(t, test.person)
			require.Equal(t, test.action, got.Action)
			require.Equal(t, test.state, got.State)
			require.Equal(t, test.edits, got.Edits)
			require.Equal(t, test.holds, got.Holds)
			require.Equal(t, test.finds, findings(got))
		})
	}
}

func TestResolveWaitsForALeaver(t *testing.T) {
	p := staff()
	p.Leavers.After = window.Duration(2 * time.Hour)
	left := person(Disabled)
	known := Person{Identities: []Identity{left}, Records: []Record{record("r1", "acc-1", named(ana, "Ana"))},
		Bindings: []Binding{{left.Ref, "r1", "acc-1"}}}
	require.Equal(t, left.Since.Add(2*time.Hour), p.Resolve(known, noon).Due)
	require.Zero(t, p.Resolve(known, noon.Add(2*time.Hour)).Due)
}

func TestNewCompilesWhatThePolicySays(t *testing.T) {
	said := provision.Provision{Name: "staff", From: []string{"corp"},
		Directory:  provision.Directory{Mode: provision.Observe},
		Attributes: map[provision.Attribute]string{email: "mail"}}
	p, err := New(said, nil, nil)
	require.NoError(t, err)
	require.True(t, p.Observe)
	require.Equal(t, said.From, p.Sources)
	require.Equal(t, "mail", p.Attributes[email].String())
	said.Directory.Mode = provision.Write
	said.Attributes[title] = "title +"
	_, err = New(said, nil, nil)
	require.ErrorContains(t, err, "provision staff: title: ")
}
