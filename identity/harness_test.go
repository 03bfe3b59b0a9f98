package identity

import (
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/castellan-io/castellan/policy/attribute"
)

var noon = time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)

// staff is a provision as most organizations have it, with acme.example as its verified domain.
var staff = sync.OnceValue(func() Provision {
	p := Provision{
		Name: "staff", Sources: []string{"corp", "hr"}, Match: []Means{ByExternalID, ByEmail},
		Attributes: map[Attribute]*attribute.Expression{},
		Domains:    func(domain string) bool { return domain == "acme.example" },
		External:   External{Link: Ask, Update: Never},
		Kept:       func(_ AccountID, address string) bool { return strings.HasPrefix(address, "key-owner@") },
	}
	for name, text := range map[Attribute]string{
		UserName: "mail", Email: "mail", DisplayName: "first(displayName, cn)", Title: "title", Department: "department",
	} {
		expression, err := attribute.CompileValue(text)
		if err != nil {
			panic(err)
		}
		p.Attributes[name] = expression
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
	return Values{UserName: address, Email: address, DisplayName: name}
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
