package identity

import (
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/castellan-io/castellan/policy/provision"
)

// Attributes as tables write them.
const (
	userName    = provision.UserName
	email       = provision.Email
	displayName = provision.DisplayName
	title       = provision.Title
)

var noon = time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)

// staff is a provision as most organizations have it, with acme.example as its verified domain.
var staff = sync.OnceValue(func() Provision {
	said := provision.Provision{
		Name: "staff", From: []string{"corp", "hr"},
		Match: []provision.Means{provision.ByExternalID, provision.ByEmail},
		Attributes: map[provision.Attribute]string{userName: "mail", email: "mail", displayName: "first(displayName, cn)",
			title: "title", provision.Department: "department"},
		External: provision.External{Link: provision.Ask, Update: provision.Never},
	}
	verified := func(domain string) bool { return domain == "acme.example" }
	kept := func(_ AccountID, address string) bool { return strings.HasPrefix(address, "key-owner@") }
	p, err := New(said, verified, kept)
	if err != nil {
		panic(err)
	}
	return p
})

func person(presence Presence, attributes ...string) Identity {
	i := Identity{Ref: Ref{"corp", "k-ana"}, Presence: presence, Since: noon.Add(-time.Hour), Attributes: map[string]any{}}
	for n := 0; n < len(attributes); n += 2 {
		i.Attributes[attributes[n]] = attributes[n+1]
	}
	return i
}

func (i Identity) as(source, key string) Identity {
	i.Ref = Ref{source, key}
	return i
}

func record(id RecordID, account AccountID, values Values) Record {
	return Record{ID: id, Account: account, Active: true, Values: values}
}

func named(address, name string) Values {
	return Values{userName: address, email: address, displayName: name}
}

func managed(id AccountID, address string) Account {
	yes := true
	return Account{ID: id, Address: address, Managed: &yes}
}

func unmanaged(id AccountID, address string) Account {
	no := false
	return Account{ID: id, Address: address, Managed: &no}
}

func findings(d Decision) (all []Finding) {
	for _, n := range d.Notes {
		all = append(all, n.Finding)
	}
	return all
}

func resolve(t *testing.T, p Person) Decision {
	t.Helper()
	return staff().Resolve(p, noon)
}
