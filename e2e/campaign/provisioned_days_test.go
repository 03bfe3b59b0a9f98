package campaign

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/castellan-io/castellan/e2e/stack"
	"github.com/castellan-io/castellan/simulator/idp"
)

// day is some of what goes on at an identity provider: people are hired, renamed, move, leave and return; the policy's
// scope is edited; a worker dies.
func (w *provisionedOrg) day(ctx context.Context, random *rand.Rand) error {
	if err := w.look(ctx, 0); err != nil {
		return err
	}
	for range 2 + random.IntN(6) {
		h := w.people[random.IntN(len(w.people))]
		switch random.IntN(10) {
		case 0:
			w.keys++
			h = &human{address: fmt.Sprintf("hire%04d@acme.example", w.keys), first: "Hire", last: fmt.Sprint("No", w.keys)}
			h.title, h.department = titles[random.IntN(len(titles))], departments[random.IntN(2)]
			w.hire(h)
		case 1, 2:
			w.change(h, func() { h.title = titles[random.IntN(len(titles))] })
		case 3:
			w.keys++
			w.change(h, func() { h.last = fmt.Sprint("Renamed", w.keys) })
		case 4:
			if w.keys++; h.linked { // under a new key, the address is all that tells who it is
				w.change(h, func() { h.address = fmt.Sprintf("moved%04d@acme.example", w.keys) })
			}
		case 5:
			w.change(h, func() { h.department = departments[random.IntN(len(departments))] })
		case 6, 7:
			w.change(h, func() { h.enabled = !h.enabled })
		case 8:
			w.leaveOrReturn(h)
		default:
			if err := w.nickname(ctx, h); err != nil {
				return err
			}
		}
	}
	w.awaitRead(ctx)
	if random.IntN(5) == 0 {
		w.editScope(ctx)
	}
	if random.IntN(4) == 0 {
		w.kills++
		return w.restart()
	}
	return nil
}

// awaitRead waits until the identity provider has been read again, if it leaves people out: only what several reads say
// could do harm.
func (w *provisionedOrg) awaitRead(ctx context.Context) {
	if !strings.Contains(w.spoilt, "short") {
		return
	}
	reads := func() (n int) {
		for _, call := range w.idp.Calls() {
			if call == "GET /api/v1/groups" { // the last list of a read
				n++
			}
		}
		return n
	}
	before := reads()
	_ = stack.Eventually(ctx, 8*time.Second, func() error {
		if reads() == before {
			return errors.New("it was not read")
		}
		return nil
	})
}

// hire adds somebody to the identity provider, under a new key.
func (w *provisionedOrg) hire(h *human) {
	w.keys++
	h.key = fmt.Sprintf("00u%05d", w.keys)
	h.there, h.enabled, h.linked = true, true, false
	w.of[h.address] = h
	w.idp.AddPerson(w.shown(h))
	for _, known := range w.people {
		if known == h {
			w.note(h)
			return
		}
	}
	w.people = append(w.people, h)
	w.note(h)
}

// shown is what the identity provider says of somebody.
func (w *provisionedOrg) shown(h *human) idp.Person {
	p := idp.Person{ID: h.key, Login: h.address, Email: h.address, First: h.first, Last: h.last, Title: h.title,
		Department: h.department, Status: idp.Active}
	if !h.enabled {
		p.Status = idp.Deprovisioned
	}
	return p
}

// change changes somebody of the identity provider; not somebody who is not there.
func (w *provisionedOrg) change(h *human, do func()) {
	if !h.there {
		return
	}
	do()
	w.of[h.address] = h
	if !w.counts(h) {
		w.note(h) // from now on a deactivation is right
	}
	now := w.shown(h)
	w.idp.Change(h.key, func(p *idp.Person) {
		p.Login, p.Email, p.Last, p.Title = now.Login, now.Email, now.Last, now.Title
		p.Department, p.Status = now.Department, now.Status
	})
	w.note(h)
}

// leaveOrReturn deletes somebody at the identity provider; who was deleted is hired again, as somebody new.
func (w *provisionedOrg) leaveOrReturn(h *human) {
	if !h.there {
		w.hire(h)
		return
	}
	h.there = false
	w.note(h)
	w.idp.Delete(h.key)
}

// editScope narrows or widens whom the policy counts. A fault may keep the policy from being checked: it is applied
// again in the end.
func (w *provisionedOrg) editScope(ctx context.Context) {
	if w.scope == wideScope {
		w.scope = thinScope
	} else {
		w.scope = wideScope
	}
	for _, h := range w.people {
		if !w.counts(h) {
			w.note(h)
		}
	}
	_, err := w.Apply(ctx, org, w.policy())
	w.unapplied = err != nil
	for _, h := range w.people {
		w.note(h)
	}
}

// note keeps the spans in which somebody's record is to be active.
func (w *provisionedOrg) note(h *human) {
	now := time.Now()
	open := len(h.due) > 0 && h.due[len(h.due)-1].until.IsZero()
	if due := w.counts(h); due && !open {
		h.due = append(h.due, span{from: now})
	} else if !due && open {
		h.due[len(h.due)-1].until = now
	}
}
