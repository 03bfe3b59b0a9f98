package policy

import (
	"errors"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"

	"github.com/castellan-io/castellan/access"
)

// Facts are what a condition may ask of a person.
type Facts struct {
	access.Person
	Groups []string // names of all groups the person is in
}

// factTypes lists the facts by the names that conditions know them by.
var factTypes = []struct {
	name string
	kind *cel.Type
}{
	{"accountStatus", cel.StringType}, {"accountType", cel.StringType}, {"added", cel.TimestampType},
	{"claimStatus", cel.StringType}, {"department", cel.StringType}, {"domain", cel.StringType}, {"email", cel.StringType},
	{"groups", cel.ListType(cel.StringType)}, {"managed", cel.BoolType}, {"managementSource", cel.StringType},
	{"membershipStatus", cel.StringType}, {"name", cel.StringType}, {"now", cel.TimestampType},
	{"roles", cel.ListType(cel.StringType)}, {"title", cel.StringType},
}

func factNames() string {
	var names []string
	for _, f := range factTypes {
		names = append(names, f.name)
	}
	return strings.Join(names, ", ")
}

var errUnknownAdded = errors.New("it is not known when the person was added to the organization")

// facts are a person's facts at an instant, as CEL asks for them.
type facts struct {
	Facts
	now time.Time
}

// Parent says that there is nothing behind the facts.
func (f facts) Parent() cel.Activation { return nil }

// ResolveName is the fact of a name. A text that the read did not say is empty; an instant that it did not say is an
// error, since no instant would be true.
func (f facts) ResolveName(name string) (any, bool) {
	switch name {
	case "accountStatus":
		return f.AccountStatus, true
	case "accountType":
		return f.AccountType, true
	case "added":
		if f.Added.IsZero() {
			return types.WrapErr(errUnknownAdded), true
		}
		return f.Added, true
	case "claimStatus":
		return f.ClaimStatus, true
	case "department":
		return f.Department, true
	case "domain":
		_, domain, _ := strings.Cut(strings.ToLower(f.Email), "@")
		return domain, true
	case "email":
		return strings.ToLower(f.Email), true
	case "groups":
		return f.Groups, true
	case "managed":
		return f.ClaimStatus == "managed", true
	case "managementSource":
		return f.ManagementSource, true
	case "membershipStatus":
		return f.MembershipStatus, true
	case "name":
		return f.Name, true
	case "now":
		return f.now, true
	case "roles":
		return f.PlatformRoles, true
	case "title":
		return f.JobTitle, true
	}
	return nil, false
}

// helpers are the functions that ask a person's facts themselves.
func helpers(f Facts, now time.Time) map[string]cel.LateBoundFunction {
	groups := sync.OnceValue(func() map[string]bool {
		folded := make(map[string]bool, len(f.Groups))
		for _, name := range f.Groups {
			folded[string(lower(name))] = true
		}
		return folded
	})
	in := func(name string) bool { return groups()[string(lower(name))] }
	return map[string]cel.LateBoundFunction{
		inStandIn: func(_ string, args ...ref.Val) ref.Val {
			name, _ := args[0].Value().(string)
			return types.Bool(in(name))
		},
		"inAny": func(_ string, args ...ref.Val) ref.Val {
			names, err := args[0].ConvertToNative(reflect.TypeFor[[]string]())
			if err != nil {
				return types.WrapErr(err)
			}
			return types.Bool(slices.ContainsFunc(names.([]string), in))
		},
		"addedWithin": func(_ string, args ...ref.Val) ref.Val {
			var span Duration
			text, _ := args[0].Value().(string)
			if err := span.UnmarshalText([]byte(text)); err != nil {
				return types.WrapErr(err)
			}
			if f.Added.IsZero() {
				return types.WrapErr(errUnknownAdded)
			}
			return types.Bool(!now.After(f.Added.Add(span.Std())))
		},
	}
}
