package plan

import (
	"fmt"
	"slices"

	"github.com/castellan-io/castellan/access"
	"github.com/castellan-io/castellan/policy"
)

// Floor refuses a removal from a protected target that would leave fewer active holders than its minimum, or that
// removes a person who always stays or the owner of Castellan's key. holders is everybody who holds the target, read
// just before writing; suspended people and apps do not count. owner is the key owner's account id, "" if the policy
// names none.
//
// Names in the policy that lead to no account may be anybody's, so nobody is removed until they are corrected: a
// lock-out is worse than a delay. Floors are only safe with a single writer that checks and writes one removal after
// the other.
func Floor(t policy.Target, holders []access.Person, person access.Person, owner string) error {
	if t.Protected == nil {
		return nil
	}
	refuse := func(format string, args ...any) error {
		return fmt.Errorf("removing %s from %s: refused, %s", person.Label(), t.Entitlement,
			fmt.Sprintf(format, args...))
	}
	if unsettled := t.UnresolvedNames(owner); len(unsettled) > 0 {
		return refuse("the directory shows nobody named %s, whom the policy protects, so this might be that person; correct the name in the policy (organization.keyOwner or protected.always)", unsettled[0])
	}
	if owner != "" && person.ID == owner {
		return refuse("this person owns Castellan's key; give Castellan another person's key first")
	}
	if slices.Contains(t.Protected.Always, person.ID) {
		return refuse("the policy says that this person always stays; remove them from protected first")
	}
	others := map[string]bool{}
	for _, h := range holders {
		if h.ID != person.ID && h.CanReceive() {
			others[h.ID] = true
		}
	}
	if len(others) < t.Protected.Minimum {
		return refuse("%d active holders would remain and the policy requires at least %d; add another holder first",
			len(others), t.Protected.Minimum)
	}
	return nil
}

// KeyOwnerStays refuses to suspend or remove the owner of Castellan's key; owner as in Floor.
func KeyOwnerStays(person access.Person, owner string) error {
	switch {
	case access.IsAddress(owner):
		return fmt.Errorf("taking %s out: refused, the directory shows nobody named %s, who owns Castellan's key, so this might be that person; correct organization.keyOwner in the policy", person.Label(), owner)
	case owner != "" && person.ID == owner:
		return fmt.Errorf("taking %s out: refused, this person owns Castellan's key; give Castellan another person's key first", person.Label())
	}
	return nil
}
