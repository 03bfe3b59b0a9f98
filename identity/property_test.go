package identity

import (
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/castellan-io/castellan/policy/provision"
)

// drawPerson makes somebody of a few sources, records, accounts and bindings that meet often.
func drawPerson(t *rapid.T) Person {
	addresses := rapid.SampledFrom([]string{ana, "bo@acme.example", "key-owner@acme.example", "eve@partner.example", ""})
	accounts := rapid.SampledFrom([]AccountID{"", "acc-1", "acc-2"})
	var p Person
	for n, source := range []string{"corp", "hr"} {
		if n > 0 && !rapid.Bool().Draw(t, "two sources") {
			break
		}
		i := person(rapid.SampledFrom([]Presence{Enabled, Disabled, Gone, OutOfScope, Unknown}).Draw(t, "presence"))
		i.Ref = Ref{source, rapid.SampledFrom([]string{"k1", "k2"}).Draw(t, "key")}
		for _, name := range []string{"mail", "cn", "title"} {
			if rapid.Bool().Draw(t, name+" known") {
				i.Attributes[name] = addresses.Draw(t, name)
			}
		}
		p.Identities = append(p.Identities, i)
	}
	for _, id := range []RecordID{"r1", "r2"} {
		if rapid.Bool().Draw(t, "record") {
			r := record(id, accounts.Draw(t, "linked to"), named(addresses.Draw(t, "address"), "Ana"))
			r.Active = rapid.Bool().Draw(t, "active")
			r.External = rapid.SampledFrom([]string{"", "k1"}).Draw(t, "external")
			p.Records = append(p.Records, r)
		}
		if rapid.Bool().Draw(t, "bound") {
			p.Bindings = append(p.Bindings, Binding{Ref{"corp", rapid.SampledFrom([]string{"k1", "k2", "k3"}).Draw(t, "to")}, id,
				accounts.Draw(t, "account")})
		}
	}
	for _, id := range []AccountID{"acc-1", "acc-2"} {
		if rapid.Bool().Draw(t, "account there") {
			a := Account{ID: id, Address: addresses.Draw(t, "account address")}
			if rapid.Bool().Draw(t, "claim known") {
				is := rapid.Bool().Draw(t, "managed")
				a.Managed = &is
			}
			p.Accounts = append(p.Accounts, a)
		}
	}
	p.Taken = rapid.Bool().Draw(t, "taken")
	return p
}

// claims reports whether one of the person's identities is the one named.
func claims(p Person, r Ref) bool {
	return slices.ContainsFunc(p.Identities, func(i Identity) bool { return i.Ref == r })
}

// eachPerson checks a few dozen people in each run, since most of them are nobody of interest.
func eachPerson(t *testing.T, check func(*rapid.T, Person)) {
	rapid.Check(t, func(t *rapid.T) {
		for range 40 {
			check(t, drawPerson(t))
		}
	})
}

// TestResolveDeactivatesOnEvidence: nobody is deactivated but by a source that says so, or by all of them.
func TestResolveDeactivatesOnEvidence(t *testing.T) {
	eachPerson(t, func(t *rapid.T, person Person) {
		d := staff().Resolve(person, noon)
		if d.Action != Disable {
			return
		}
		first := slices.IndexFunc(person.Identities, func(i Identity) bool {
			return i.Presence == Enabled || i.Presence == Disabled || i.Presence == Unknown
		})
		if first >= 0 {
			require.Equal(t, Disabled, person.Identities[first].Presence, "the first source that is not sure of an absence")
		}
		r := byID(person.Records, d.Record)
		require.NotNil(t, r)
		require.True(t, r.Active)
		require.False(t, strings.HasPrefix(r.Address(), "key-owner@"))
		require.NotEqual(t, Duplicate, d.State)
		require.False(t, person.Taken)
		if a := accountOf(person.Accounts, r.Account); a != nil && a.Managed != nil {
			require.True(t, *a.Managed)
		}
		bound := slices.ContainsFunc(person.Bindings, func(b Binding) bool {
			return b.Record == d.Record && claims(person, b.Ref)
		})
		require.True(t, bound || len(d.Holds) > 0, "a record that was never bound is not deactivated unasked")
	})
}

// TestResolveTakesNothingUnknown: an attribute that no enabled source says is neither written nor cleared, no address
// is ever cleared, and a record that is bound to another identity is not touched unasked.
func TestResolveTakesNothingUnknown(t *testing.T) {
	says := map[provision.Attribute][]string{userName: {"mail"}, email: {"mail"}, displayName: {"displayName", "cn"},
		title: {"title"}}
	eachPerson(t, func(t *rapid.T, person Person) {
		d := staff().Resolve(person, noon)
		for _, e := range d.Edits {
			known := slices.ContainsFunc(person.Identities, func(i Identity) bool {
				return i.Presence == Enabled && slices.ContainsFunc(says[e.Attribute],
					func(name string) bool { return i.Attributes[name] == e.To })
			})
			require.True(t, known, "%+v", e)
			require.False(t, e.Attribute.IsAddress() && e.To == "")
		}
		foreign := slices.ContainsFunc(person.Bindings, func(b Binding) bool {
			return b.Record == d.Record && d.Record != "" && !claims(person, b.Ref)
		})
		if foreign && d.Means != provision.ByBinding && d.Action != Keep {
			require.NotEmpty(t, d.Holds)
		}
	})
}

// TestResolveIsDoneOnce: what was decided, once it is so, is decided to be kept.
func TestResolveIsDoneOnce(t *testing.T) {
	eachPerson(t, func(t *rapid.T, person Person) {
		p := staff()
		d := p.Resolve(person, noon)
		if d.Action == Keep {
			return
		}
		if d.Action == Create {
			d.Record = "new"
			person.Records = append(person.Records, Record{ID: "new", Active: true, Values: Values{}})
		}
		r := byID(person.Records, d.Record)
		r.Active = d.Action != Disable
		for _, e := range d.Edits {
			r.Values[e.Attribute] = e.To
		}
		person.Bindings = slices.DeleteFunc(person.Bindings, func(b Binding) bool {
			return b.Record == d.Record || claims(person, b.Ref)
		})
		for _, i := range person.Identities {
			person.Bindings = append(person.Bindings, Binding{i.Ref, d.Record, r.Account})
		}
		again := p.Resolve(person, noon)
		require.Equal(t, Keep, again.Action, "%+v, then %+v", d, again)
	})
}
