package notify

import (
	"context"
	"errors"
	"slices"
	"sync"

	"github.com/castellan-io/castellan/messages"
)

// Many sends each notice to several channels. It may be used by many goroutines.
type Many struct {
	channels []channel
	done     deliveryLog
}

// Private reports whether any channel may carry codes. The others get the notice without it.
func (m *Many) Private() bool {
	return slices.ContainsFunc(m.channels, channel.Private)
}

// Notify sends the notice to every channel, even if some fail, and joins their errors. Sent again after a failure, it
// goes only to the channels that failed, as far as this process remembers. The error is ErrPermanent only if every
// failure is: otherwise some channel is worth another try.
func (m *Many) Notify(ctx context.Context, n messages.Notice) error {
	failures := make([]error, len(m.channels))
	var sending sync.WaitGroup
	for i, c := range m.channels {
		theirs := n
		if !c.Private() {
			theirs = withoutSecrets(n)
		}
		sending.Go(func() {
			failures[i] = m.done.once(i, n, func() error { return c.Notify(ctx, theirs) })
		})
	}
	sending.Wait()
	return join(failures)
}

// join is errors.Join, but the result is ErrPermanent only if all failures are.
func join(failures []error) error {
	joined := errors.Join(failures...)
	if slices.ContainsFunc(failures, func(err error) bool { return err != nil && !errors.Is(err, ErrPermanent) }) {
		return retryable{joined}
	}
	return joined
}

// retryable hides that some of the failures are permanent.
type retryable struct{ error }

func (r retryable) Is(target error) bool { return target != ErrPermanent && errors.Is(r.error, target) }

// remembered is how many deliveries a process remembers.
const remembered = 1000

// deliveryLog remembers the latest deliveries, so that a channel that fails for hours does not make the others send
// again at every attempt.
type deliveryLog struct {
	mu     sync.Mutex
	latest []delivery
}

type delivery struct {
	channel int
	id, to  string
}

// once calls send unless the channel has already delivered the notice of this ID.
func (d *deliveryLog) once(channel int, n messages.Notice, send func() error) error {
	this := delivery{channel, n.ID, n.To}
	if d.has(this) {
		return nil
	}
	if err := send(); err != nil {
		return err
	}
	d.add(this)
	return nil
}

func (d *deliveryLog) has(this delivery) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Contains(d.latest, this)
}

func (d *deliveryLog) add(this delivery) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.latest) == remembered {
		d.latest = slices.Delete(d.latest, 0, 1)
	}
	d.latest = append(d.latest, this)
}
