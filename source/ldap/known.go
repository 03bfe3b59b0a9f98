package ldap

// reference is what a DN stands for: the index of a person or of a group, or neither.
type reference struct {
	kind  referenceKind
	index int32
}

type referenceKind int8

const (
	isNobody    referenceKind = iota // no person, or no such entry
	isPerson                         // index into known.keys
	isGroup                          // index into known.groups
	isAmbiguous                      // several entries look the same: only the server can tell
)

// known is what a read knows of the directory: keys and DNs, and who is in which group.
type known struct {
	keys    []string             // of people
	byKey   map[string]int32     // index into keys
	byDN    map[string]reference // by normalized DN
	primary map[string][]int32   // people in scope by their primaryGroupID
	groups  []*group
}

// group is a group as the read knows it.
type group struct {
	key, name string
	inScope   bool
	token     string // primaryGroupToken
	people    []int32
	groups    []int32
	pending   []string // members' DNs that are not known yet
}

func newKnown() *known {
	return &known{byKey: map[string]int32{}, byDN: map[string]reference{}, primary: map[string][]int32{}}
}

// addPerson notes a person, and returns what their DN stands for.
func (k *known) addPerson(dn, key string) reference {
	index, again := k.byKey[key]
	if !again {
		index = int32(len(k.keys))
		k.keys = append(k.keys, key)
		k.byKey[key] = index
	}
	is := reference{kind: isPerson, index: index}
	k.note(dn, is)
	return is
}

// note remembers what a DN stands for. If it looks like another entry's, nobody is taken for the other.
func (k *known) note(dn string, is reference) {
	at := normalize(dn)
	if before, ok := k.byDN[at]; ok && before != is {
		is = reference{kind: isAmbiguous}
	}
	k.byDN[at] = is
}

// addMember puts what a member's DN stands for into a group, or notes that it must be asked for.
func (k *known) addMember(g *group, dn string) {
	is, ok := k.byDN[normalize(dn)]
	switch {
	case !ok || is.kind == isAmbiguous:
		g.pending = append(g.pending, dn)
	case is.kind == isPerson:
		g.people = append(g.people, is.index)
	case is.kind == isGroup:
		g.groups = append(g.groups, is.index)
	}
}
