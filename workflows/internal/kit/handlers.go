package kit

import (
	"bytes"
	"cmp"
	"encoding/json"
	"strings"

	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/workflow"

	"github.com/castellan-io/castellan/display"
	"github.com/castellan-io/castellan/messages"
)

// MessageHandlers are the signals a workflow listens to, each handled like the update of the same name.
type MessageHandlers struct {
	Options
	names     []string // of actions
	listened  []string // all signals that somebody listens to
	handle    map[string]func(workflow.Context, converter.RawValue) error
	busy      int            // signals being handled
	busyOf    map[string]int // by name
	queue     *queue         // of signals that wait; nil: none does
	updates   int            // accepted by this history
	presented int            // bodies with codes that came
	burnt     int            // the last of them whose codes were burnt
}

// Options are what a workflow's handlers need of it.
type Options struct {
	Org     string                        // whose codes may be typed; empty: none may
	Review  string                        // of which review, where this is one's
	Refused func(messages.RefusedMessage) // takes what was not accepted
	Closed  func() bool                   // no update is taken just now; nil: each is
}

// NewMessageHandlers makes them; Handle gives each action its handler, and Serve begins to hear signals.
func NewMessageHandlers(o Options) *MessageHandlers {
	return &MessageHandlers{Options: o, handle: map[string]func(workflow.Context, converter.RawValue) error{},
		busyOf: map[string]int{}}
}

// ListensTo names the signals that are no actions and have receivers of their own, so that others are known to have
// none.
func (h *MessageHandlers) ListensTo(names ...string) { h.listened = append(names, h.names...) }

// Keep lets signals wait, in the state that is carried to the next history.
func (h *MessageHandlers) Keep(kept *[]messages.KeptMessage) { h.queue = newQueue(kept) }

// Hold has signals that come wait for the next history, or not any more.
func (h *MessageHandlers) Hold(hold bool) {
	if h.queue != nil {
		h.queue.held = hold
	}
}

// Holds reports whether what comes waits for the next history.
func (h *MessageHandlers) Holds() bool { return h.queue != nil && h.queue.held }

// Keeps reports whether signals can wait.
func (h *MessageHandlers) Keeps() bool { return h.queue != nil }

// Updates is how many were accepted by this history.
func (h *MessageHandlers) Updates() int { return h.updates }

// Begin keeps the history from its end until what it returns is called.
func (h *MessageHandlers) Begin() (end func()) {
	h.busy++
	return func() { h.busy-- }
}

// AnswerQuery registers the query that says how a workflow stands.
func AnswerQuery[R any](ctx workflow.Context, name, description string, status func() R) error {
	return workflow.SetQueryHandlerWithOptions(ctx, name, func() (R, error) { return display.Answer(status()), nil },
		workflow.QueryHandlerOptions{
			Description: description,
		})
}

// Handle registers an action as an update and as a signal. check must not change anything: it is the update's
// validator, and refuses without a trace in the history.
func Handle[T, R any](ctx workflow.Context, h *MessageHandlers, name, description string, check func(T) error,
	do func(workflow.Context, T) (R, error)) error {
	h.names = append(h.names, name)
	read := func(raw converter.RawValue) (T, error) {
		body, err := DecodeInput[T](name, raw)
		if err == nil {
			err = check(body)
		}
		return body, err
	}
	h.handle[name] = func(ctx workflow.Context, raw converter.RawValue) error {
		body, err := read(raw)
		if err == nil {
			_, err = do(ctx, body)
		}
		return err
	}
	validate := func(raw converter.RawValue) error {
		_, err := read(raw)
		switch {
		case h.Closed != nil && h.Closed() && err == nil:
			return renewing()
		case err != nil && h.Org != "" && comesWithCodes(name, raw):
			return nil // its handler refuses it, and burns the code
		}
		return err
	}
	update := func(ctx workflow.Context, raw converter.RawValue) (answer R, err error) {
		h.updates++
		if h.Org != "" && comesWithCodes(name, raw) &&
			workflow.GetVersion(ctx, "codes-burn-first", workflow.DefaultVersion, 1) > workflow.DefaultVersion {
			YieldToCoroutines(ctx) // signals that came before take their turn first
		}
		came := h.presentation(ctx, name, raw, "")
		burnt, err := h.burnFirst(ctx, came)
		if err != nil {
			return answer, err
		}
		body, err := DecodeInput[T](name, raw)
		if err == nil && h.Org != "" && comesWithCodes(name, raw) {
			body, err = read(raw)
		}
		if err == nil {
			answer, err = do(withPresentation(ctx, came), body)
		}
		h.resend(ctx, burnt)
		h.burnLast(ctx, came)
		return display.Answer(answer), PlainError(err)
	}
	workflow.GetSignalChannelWithOptions(ctx, name, workflow.SignalChannelOptions{Description: description})
	return workflow.SetUpdateHandlerWithOptions(ctx, name, update,
		workflow.UpdateHandlerOptions{Validator: validate, Description: description})
}

// Unknown names the signals that came and that nobody listens to. While one that somebody listens to waits to be heard,
// it says nothing: the SDK finds the names by taking a signal out of its channel and putting it back, and where a
// selector is just being handed another of the same name, one of the two is lost.
func (h *MessageHandlers) Unknown(ctx workflow.Context) []string {
	for _, name := range h.listened {
		if workflow.GetSignalChannel(ctx, name).Len() > 0 {
			return nil
		}
	}
	return workflow.GetUnhandledSignalNames(ctx)
}

// RefuseUnknown refuses signals that nobody listens to, so that a misspelt name does not go unnoticed.
func (h *MessageHandlers) RefuseUnknown(ctx workflow.Context) {
	for _, name := range h.Unknown(ctx) {
		var raw converter.RawValue
		for workflow.GetSignalChannel(ctx, name).ReceiveAsync(&raw) {
			h.RefuseSignal(ctx, name, raw,
				Refuse("there is no such signal; the signals are %s", strings.Join(h.names, ", ")))
		}
	}
}

// Serve handles signals in the order they came, for the life of the run. What is refused is recorded, never fatal.
func (h *MessageHandlers) Serve(ctx workflow.Context) {
	workflow.GoNamed(ctx, "signals", func(ctx workflow.Context) {
		selector := workflow.NewSelector(ctx)
		looked := 0 // bytes of signals, since others took their turn
		for _, name := range h.names {
			selector.AddReceive(workflow.GetSignalChannel(ctx, name), func(c workflow.ReceiveChannel, _ bool) {
				var raw converter.RawValue
				if !c.ReceiveAsync(&raw) {
					return
				}
				looked += len(raw.Payload().GetData())
				came := h.presentation(ctx, name, raw, "")
				if h.queue == nil || h.mayTake(name) || !plain(raw) {
					h.handleSignal(ctx, name, raw, came)
					return
				}
				kept := messages.KeptMessage{Name: name, Body: raw.Payload().GetData()}
				if came != nil && came.id != "" {
					kept.Shown = came.id
					end := h.Begin()
					// what waits is burnt now; when its turn comes, the same again
					workflow.GoNamed(ctx, "burn codes", func(ctx workflow.Context) {
						defer end()
						_, _ = h.burnFirst(ctx, came)
					})
				}
				h.queue.add(kept)
			})
		}
		for ctx.Err() == nil {
			if h.queue != nil && h.queue.size >= mostQueued {
				_ = workflow.Await(ctx, func() bool { return h.queue.size < mostQueued })
				continue
			}
			selector.Select(ctx)
			if looked > mostAtOnce && workflow.GetVersion(ctx, "floods-in-parts", workflow.DefaultVersion,
				1) > workflow.DefaultVersion {
				looked = 0
				YieldToCoroutines(ctx)
			}
		}
	})
}

// mostAtOnce is how many bytes of signals one coroutine looks at before others take their turn: none may think for
// longer than a second.
const mostAtOnce = 1 << 20

// handleSignal handles one signal, in its own coroutine: one that waits, such as undo, must not keep the next, such as
// resume, from being heard.
func (h *MessageHandlers) handleSignal(ctx workflow.Context, name string, raw converter.RawValue, came *presentation) {
	h.busy++
	h.busyOf[name]++
	workflow.GoNamed(ctx, name, func(ctx workflow.Context) {
		defer func() { h.busy--; h.busyOf[name]-- }()
		burnt, err := h.burnFirst(ctx, came)
		if err == nil {
			err = h.handle[name](withPresentation(ctx, came), raw)
		}
		h.resend(ctx, burnt)
		switch {
		case err == nil:
			h.burnLast(ctx, came)
		case came == nil || came.id != "":
			h.recordRefusal(ctx, name, raw, err)
		default:
			h.recordRefusal(ctx, name, raw, err)
			h.burnOnly(ctx, came)
		}
	})
}

// Pending reports whether signals wait or are being handled.
func (h *MessageHandlers) Pending(ctx workflow.Context) bool {
	for _, name := range h.names {
		if workflow.GetSignalChannel(ctx, name).Len() > 0 {
			return true
		}
	}
	return h.busy > 0
}

// Quiet reports whether nothing said to the workflow is unheard or being handled: no action, no update, and none of
// these signals.
func (h *MessageHandlers) Quiet(ctx workflow.Context, signals ...string) bool {
	for _, name := range signals {
		if workflow.GetSignalChannel(ctx, name).Len() > 0 {
			return false
		}
	}
	return !h.Pending(ctx) && workflow.AllHandlersFinished(ctx)
}

// NotForPeople describes the signals that are no actions of people's, where all of a workflow's signals are listed.
const NotForPeople = "sent by Castellan itself, not for people"

// ReceiveEach takes the signals of a name that are no action of people's, for the life of the run. One that check
// refuses, or that cannot be read, is recorded like any other.
func ReceiveEach[T any](ctx workflow.Context, h *MessageHandlers, name string, check func(T) error,
	take func(workflow.Context, T)) {
	signals := workflow.GetSignalChannelWithOptions(ctx, name, workflow.SignalChannelOptions{Description: NotForPeople})
	workflow.GoNamed(ctx, name, func(ctx workflow.Context) {
		for {
			var raw converter.RawValue
			if !signals.Receive(ctx, &raw) {
				return
			}
			in, err := DecodeInternal[T](name, raw)
			if err == nil {
				err = check(in)
			}
			if err != nil {
				h.RefuseSignal(ctx, name, raw, err)
				continue
			}
			take(ctx, in)
		}
	})
}

// ReceiveSignal is ReceiveEach for signals whose body says nothing.
func ReceiveSignal(ctx workflow.Context, h *MessageHandlers, name string, do func()) {
	signals := workflow.GetSignalChannelWithOptions(ctx, name, workflow.SignalChannelOptions{Description: NotForPeople})
	workflow.GoNamed(ctx, name, func(ctx workflow.Context) {
		var raw converter.RawValue
		for signals.Receive(ctx, &raw) {
			if err := tooLarge(name, raw); err != nil {
				h.RefuseSignal(ctx, name, raw, err)
				continue
			}
			do()
		}
	})
}

// largeBody is from which size on a body's is worth telling.
const largeBody = 4 << 10

// RefuseSignal records a signal that was not accepted, and burns the codes in it.
func (h *MessageHandlers) RefuseSignal(ctx workflow.Context, name string, raw converter.RawValue, err error) {
	h.recordRefusal(ctx, name, raw, err)
	h.burnOnly(ctx, h.presentation(ctx, name, raw, ""))
}

// recordRefusal records a signal that was not accepted, and whom its body names as the one who says it.
func (h *MessageHandlers) recordRefusal(ctx workflow.Context, name string, raw converter.RawValue, err error) {
	said := messages.RefusedMessage{At: workflow.Now(ctx), Name: Bounded(name), Why: Bounded(MessageOf(err))}
	data := raw.Payload().GetData()
	if len(data) > largeBody {
		said.Size = len(data)
	}
	said.By = messages.Keyword(sender(data))
	h.Refused(said)
}

// sender is whom a body names as the one who says it, as far as it can be read and not too far into it: nothing is
// decided by it.
func sender(data []byte) string {
	decoder := json.NewDecoder(bytes.NewReader(data[:min(len(data), mostLookedAt)]))
	if token, err := decoder.Token(); err != nil || token != json.Delim('{') {
		return ""
	}
	named := map[string]string{}
	for decoder.More() {
		var value any
		token, err := decoder.Token()
		if err != nil || decoder.Decode(&value) != nil {
			break
		}
		name, _ := token.(string)
		if text, is := value.(string); is {
			named[strings.ToLower(name)] = text
		}
	}
	return cmp.Or(named["by"], named["requestedby"], named["workflow"])
}

const mostRefused = 10

// KeepRefused keeps the last of the signals that were not accepted.
func KeepRefused(all []messages.RefusedMessage, one messages.RefusedMessage) []messages.RefusedMessage {
	all = append(all, one)
	return all[max(0, len(all)-mostRefused):]
}
