package session_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/interceptor"

	"github.com/castellan-io/castellan/activities/session"
)

// innermost is what an interceptor intercepts.
type innermost struct {
	interceptor.ActivityInboundInterceptorBase
	outbound interceptor.ActivityOutboundInterceptor
}

func (i *innermost) Init(outbound interceptor.ActivityOutboundInterceptor) error {
	i.outbound = outbound
	return nil
}

// heartbeats are those that reach Temporal.
type heartbeats struct {
	interceptor.ActivityOutboundInterceptorBase
	details []any
}

func (h *heartbeats) RecordHeartbeat(_ context.Context, details ...any) {
	h.details = append(h.details, details...)
}

func TestHeartbeatsAreNotSentByShortActivities(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		for range 2 { // each attempt anew
			inside, reached := &innermost{}, &heartbeats{}
			require.NoError(t, (&session.LateHeartbeats{}).InterceptActivity(t.Context(), inside).Init(reached))
			for _, detail := range []int{1, 2, 3} {
				inside.outbound.RecordHeartbeat(t.Context(), detail)
				<-time.After(250 * time.Millisecond)
			}
			inside.outbound.RecordHeartbeat(t.Context(), 4)
			require.Equal(t, []any{3, 4}, reached.details)
		}
	})
}
