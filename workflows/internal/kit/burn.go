package kit

import (
	"cmp"
	"encoding/json"
	"fmt"

	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/workflow"

	"github.com/castellan-io/castellan/activities/grants"
	"github.com/castellan-io/castellan/activities/session"
	"github.com/castellan-io/castellan/workflows/internal/act"
)

// presentation is a message with codes in it. They are now in the history, where others may read them.
type presentation struct {
	id   string // "" in old histories, which burned codes last
	turn int    // codes are burned in order of arrival
	in   grants.BurnCodesInput
}

// presentation finds the codes in a message; nil: none.
func (h *MessageHandlers) presentation(ctx workflow.Context, name string, raw converter.RawValue,
	id string) *presentation {
	if h.Org == "" || raw.Payload() == nil {
		return nil
	}
	in := grants.BurnCodesInput{Org: h.Org, Hashes: codesIn(name, raw)}
	meant := meantAsCode(name, raw)
	if len(in.Hashes) == 0 && !meant {
		return nil
	}
	if workflow.GetVersion(ctx, "codes-burn-first", workflow.DefaultVersion, 1) == workflow.DefaultVersion {
		return &presentation{in: in}
	}
	h.presented++
	if id == "" {
		id = fmt.Sprintf("%s/%d", workflow.GetInfo(ctx).WorkflowExecution.RunID, h.presented)
	}
	var of struct{ By, RequestedBy, Request string }
	_ = json.Unmarshal(raw.Payload().GetData(), &of) // best effort
	in.Shown, in.Wrong, in.By, in.Grant, in.Review = id, meant, Bounded(cmp.Or(of.By, of.RequestedBy)),
		Bounded(of.Request), h.Review
	return &presentation{id: id, turn: h.presented, in: in}
}

// burnFirst invalidates the codes before the message is handled. If that fails, the message is refused.
func (h *MessageHandlers) burnFirst(ctx workflow.Context, s *presentation) ([]session.BurntCode, error) {
	if s == nil || s.id == "" {
		return nil, nil
	}
	whole, _ := workflow.NewDisconnectedContext(ctx)
	_ = workflow.Await(whole, func() bool { return h.burnt == s.turn-1 })
	burnt, err := act.BurnCodes(whole, s.in)
	h.burnt = s.turn
	if err != nil {
		return nil, Refuse("the code in it could not be invalidated, so nothing was done: %s", MessageOf(err))
	}
	return burnt, nil
}

// burnLast is for old histories, in which codes were invalidated after the message was handled.
func (h *MessageHandlers) burnLast(ctx workflow.Context, s *presentation) {
	if s == nil || s.id != "" || len(s.in.Hashes) == 0 ||
		workflow.GetVersion(ctx, "codes-burn", workflow.DefaultVersion, 1) == workflow.DefaultVersion {
		return
	}
	whole, _ := workflow.NewDisconnectedContext(ctx)
	burnt, err := act.BurnCodes(whole, s.in)
	if err != nil {
		workflow.GetLogger(ctx).Error("a code that was typed is still good", "error", err)
		return
	}
	h.resend(whole, burnt)
}

// resend sends new codes to those who still have to decide.
func (h *MessageHandlers) resend(ctx workflow.Context, burnt []session.BurntCode) {
	whole, _ := workflow.NewDisconnectedContext(ctx)
	for _, code := range burnt {
		end := h.Begin()
		workflow.GoNamed(whole, "send another code", func(ctx workflow.Context) {
			defer end()
			if err := act.ResendCode(ctx, code); err != nil {
				workflow.GetLogger(ctx).Warn("somebody has no code any more: the one they had was typed, and another could not be sent", "code", code.Of(), "error", err)
			}
		})
	}
}

// burnUnhandled invalidates the codes of a message that is not handled.
func (h *MessageHandlers) burnUnhandled(ctx workflow.Context, s *presentation) {
	if s == nil {
		return
	}
	end := h.Begin()
	workflow.GoNamed(ctx, "burn codes", func(ctx workflow.Context) {
		defer end()
		burnt, err := h.burnFirst(ctx, s)
		if err != nil {
			workflow.GetLogger(ctx).Error("a code that was typed is still good", "error", err)
		}
		h.resend(ctx, burnt)
		h.burnLast(ctx, s)
	})
}

// presentationKey is the context key of the presentation's id.
type presentationKey struct{}

func withPresentation(ctx workflow.Context, s *presentation) workflow.Context {
	if s == nil || s.id == "" {
		return ctx
	}
	return workflow.WithValue(ctx, presentationKey{}, s.id)
}

// PresentationIn returns the id of the presentation whose codes were invalidated for this message; "" for none.
func PresentationIn(ctx workflow.Context) string {
	id, _ := ctx.Value(presentationKey{}).(string)
	return id
}
