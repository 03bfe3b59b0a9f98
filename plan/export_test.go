package plan

import "github.com/castellan-io/castellan/access"

// GrantGrace is how long the end of a grant is left to its workflow.
const GrantGrace = grantGrace

// Hash returns the hash of a whole plan, in whatever order its lines come.
func Hash(changes []access.Change) string {
	h := NewHasher()
	for _, c := range ordered(changes) {
		h.write(c)
	}
	return h.Sum()
}
