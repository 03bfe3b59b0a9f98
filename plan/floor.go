package plan

import (
	"fmt"
	"strings"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/policy"
)

// Floor refuses a removal from a protected target that would leave fewer active holders than its minimum, or that takes
// a person who always stays or the owner of Castellan's own key. holders is everybody who holds the target as read just
// before writing; suspended people and apps do not count. owner is the key owner's account id or e-mail address, "" when
// the policy names none.
//
// Where the read does not tell who somebody is, the removal is refused: a lock-out is worse than a delay. Floors hold in
// any order of removals only if one writer asks for each removal and writes it before it asks for the next.
func Floor(t policy.Target, holders []access.Person, person access.Person, owner string) error {
	if t.Protected == nil {
		return nil
	}
	refuse := func(format string, args ...any) error {
		return fmt.Errorf("removing %s from %s: refused, %s", person.Label(), t.Entitlement, fmt.Sprintf(format, args...))
	}
	if is, known := isPerson(person, owner); is {
		return refuse("this person owns the key that Castellan works with; give Castellan a key of somebody else first")
	} else if !known {
		return refuse("the read shows no e-mail address, so this might be the key's owner; name the owner by account id in the policy (organization.keyOwner)")
	}
	for _, always := range t.Protected.Always {
		if is, known := isPerson(person, always); is {
			return refuse("the policy says that this person always stays; take %s out of protected first", always)
		} else if !known {
			return refuse("the read shows no e-mail address, so this might be %s, who always stays; name people by account id in the policy (protected.always)", always)
		}
	}
	others := map[string]bool{}
	for _, h := range holders {
		if h.ID != person.ID && h.CanReceive() {
			others[h.ID] = true
		}
	}
	if len(others) < t.Protected.Minimum {
		return refuse("%d active holders would remain and the policy wants at least %d; add somebody first", len(others), t.Protected.Minimum)
	}
	return nil
}

// KeepsKey refuses to suspend or remove the owner of Castellan's own key, whatever they hold.
func KeepsKey(person access.Person, owner string) error {
	if is, known := isPerson(person, owner); is {
		return fmt.Errorf("taking %s out: refused, this person owns the key that Castellan works with; give Castellan a key of somebody else first", person.Label())
	} else if !known {
		return fmt.Errorf("taking %s out: refused, the read shows no e-mail address, so this might be the key's owner; name the owner by account id in the policy (organization.keyOwner)", person.Label())
	}
	return nil
}

// isPerson says whether a person goes by the name, an account id or e-mail address; known is false when the read shows
// too little to tell.
func isPerson(p access.Person, name string) (is, known bool) {
	switch {
	case name == "":
		return false, true
	case p.ID == name:
		return true, true
	case !strings.Contains(name, "@"):
		return false, true
	default:
		return strings.EqualFold(p.Email, name), p.Email != ""
	}
}
