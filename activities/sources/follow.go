package sources

import (
	"context"
	"time"
)

// How often the ledger is asked whether a source that posts has said something: people wait for it. That posts were
// refused is told less often: whoever sends wrong ones must not keep the workflow busy.
const (
	postsEvery   = time.Second
	refusedEvery = 15 * time.Second
)

// follow returns once a source that posts has said something new of somebody, once posts were refused, or after ten
// minutes; with now, at once. What was posted is in the ledger already, whichever worker took it.
func (w *watch) follow(ctx context.Context, now bool) (WatchResult, error) {
	began := w.Now()
	for first := true; ; first = false {
		known, err := w.Ledger.Source(ctx, w.Org, w.spec.Name)
		if err != nil {
			return WatchResult{}, err
		}
		if first {
			w.state = known
		}
		refused := known.Refused != w.state.Refused && w.Now().Sub(began) >= refusedEvery
		if now || known.Change != w.after && !first || refused {
			found, err := w.whom(ctx)
			if err != nil {
				return WatchResult{}, err
			}
			return w.result(ctx, found)
		}
		end := began.Add(watchFor)
		if !waitUntil(ctx, w.Session, earlier(w.Now().Add(postsEvery), end)) || !w.Now().Before(end) {
			return w.result(context.WithoutCancel(ctx), touched{})
		}
	}
}
