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

// presentation is a body that came with codes: they stand in this history, where others read them.
type presentation struct {
	id   string // of this presentation; "" in histories from before codes were burnt as they come
	turn int    // bodies burn their codes in the order in which they came
	in   grants.BurnCodesInput
}

// presentation sees whether codes came in a body; nil: none did.
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
	_ = json.Unmarshal(raw.Payload().GetData(), &of) // as far as it can be read
	in.Shown, in.Wrong, in.By, in.Grant, in.Review = id, meant, Bounded(cmp.Or(of.By, of.RequestedBy)),
		Bounded(of.Request), h.Review
	return &presentation{id: id, turn: h.presented, in: in}
}

// burnFirst burns codes before anything else is done with the body that they came in. Where they cannot be burnt,
// nothing is done.
func (h *MessageHandlers) burnFirst(ctx workflow.Context, s *presentation) ([]session.BurntCode, error) {
	if s == nil || s.id == "" {
		return nil, nil
	}
	whole, _ := workflow.NewDisconnectedContext(ctx)
	_ = workflow.Await(whole, func() bool { return h.burnt == s.turn-1 })
	burnt, err := act.BurnCodes(whole, s.in)
	h.burnt = s.turn
	if err != nil {
		return nil, Refuse("the code in it could not be made useless, so nothing was done: %s", MessageOf(err))
	}
	return burnt, nil
}

// burnLast is for histories in which codes were burnt once it was known what had come of them.
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

// resend sends whoever had a code that was burnt, and still has to decide, another.
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

// burnOnly burns the codes of a body that nothing is done with.
func (h *MessageHandlers) burnOnly(ctx workflow.Context, s *presentation) {
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

// presentationKey is under which a context carries the presentation that burnt the codes of what is being done.
type presentationKey struct{}

func withPresentation(ctx workflow.Context, s *presentation) workflow.Context {
	if s == nil || s.id == "" {
		return ctx
	}
	return workflow.WithValue(ctx, presentationKey{}, s.id)
}

// PresentationIn is the presentation that burnt the codes of what is being done; "" for none.
func PresentationIn(ctx workflow.Context) string {
	id, _ := ctx.Value(presentationKey{}).(string)
	return id
}
