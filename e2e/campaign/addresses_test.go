package campaign

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"

	"github.com/castellan-io/castellan/e2e/stack"
)

// addressChanges changes people's addresses, and gives those that are free to others. Nobody's domain changes: rules
// ask for it.
type addressChanges struct {
	sim             *stack.Simulator
	of              map[string]string   // by account
	free            map[string][]string // those that somebody had before, by domain
	changed, reused int
}

func newAddresses(sim *stack.Simulator) *addressChanges {
	return &addressChanges{sim: sim, of: map[string]string{}, free: map[string][]string{}}
}

// change gives somebody another address: one that somebody else had, as often as not, else one that nobody ever had.
func (a *addressChanges) change(ctx context.Context, random *rand.Rand, account string) error {
	before := a.of[account]
	_, domain, _ := strings.Cut(before, "@")
	a.changed++
	now := fmt.Sprintf("renamed-%d@%s", a.changed, domain)
	free := a.free[domain]
	if len(free) > 0 && random.IntN(2) == 0 {
		a.reused++
		i := random.IntN(len(free))
		now, free[i] = free[i], before
	} else {
		a.free[domain] = append(free, before)
	}
	a.of[account] = now
	return a.sim.Person(ctx, account, map[string]any{"email": now})
}

func (a *addressChanges) String() string {
	return fmt.Sprintf("addresses changed: %d, %d of them to one that somebody had before", a.changed, a.reused)
}
