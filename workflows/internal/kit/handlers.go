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

// MessageHandlers handle a workflow's messages. Each action is an update, and a signal of the same name.
type MessageHandlers struct {
	Options
	names     []string // of actions
	listened  []string // all signals with a receiver
	handle    map[string]func(workflow.Context, converter.RawValue) error
	busy      int            // signals being handled
	busyOf    map[string]int // by name
	queue     *queue         // of waiting signals; nil: signals never wait
	updates   int            // accepted by this history
	presented int            // messages with codes so far
	burnt     int            // the last of them whose codes are invalidated
}

// Options configure MessageHandlers.
type Options struct {
	Org     string                        // whose codes messages may have; empty: none
	Review  string                        // the review, if it is a review's workflow
	Refused func(messages.RefusedMessage) // records a refused signal
	Closed  func() bool                   // whether updates are refused now; nil: never
}

// NewMessageHandlers returns handlers without actions: Handle adds them, and Serve starts to receive signals.
func NewMessageHandlers(o Options) *MessageHandlers {
	return &MessageHandlers{Options: o, handle: map[string]func(workflow.Context, converter.RawValue) error{},
		busyOf: map[string]int{}}
}

// ListensTo names the signals that are not actions and have their own receivers; all others are refused.
func (h *MessageHandlers) ListensTo(names ...string) { h.listened = append(names, h.names...) }

// Keep queues signals in kept, which is carried to the next history.
func (h *MessageHandlers) Keep(kept *[]messages.KeptMessage) { h.queue = newQueue(kept) }

// Hold sets whether new signals wait for the next history.
func (h *MessageHandlers) Hold(hold bool) {
	if h.queue != nil {
		h.queue.held = hold
	}
}

// Holds reports whether new signals wait for the next history.
func (h *MessageHandlers) Holds() bool { return h.queue != nil && h.queue.held }

// Keeps reports whether signals can wait.
func (h *MessageHandlers) Keeps() bool { return h.queue != nil }

// Updates returns how many updates this history has accepted.
func (h *MessageHandlers) Updates() int { return h.updates }

// Begin keeps the history from ending until end is called.
func (h *MessageHandlers) Begin() (end func()) {
	h.busy++
	return func() { h.busy-- }
}

// AnswerQuery registers a query handler.
func AnswerQuery[R any](ctx workflow.Context, name, description string, status func() R) error {
	return workflow.SetQueryHandlerWithOptions(ctx, name, func() (R, error) { return display.Answer(status()), nil },
		workflow.QueryHandlerOptions{
			Description: description,
		})
}

// Handle registers an action as an update and as a signal. check must not change anything: it is also the update's
// validator, which refuses without a trace in the history.
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
			return nil // the handler refuses it, and invalidates the code
		}
		return err
	}
	update := func(ctx workflow.Context, raw converter.RawValue) (answer R, err error) {
		h.updates++
		if h.Org != "" && comesWithCodes(name, raw) &&
			workflow.GetVersion(ctx, "codes-burn-first", workflow.DefaultVersion, 1) > workflow.DefaultVersion {
			YieldToCoroutines(ctx) // earlier signals go first
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

// Unknown returns the names of signals without a receiver. It returns none while a signal with one is pending: the SDK
// finds the names by taking a signal out of its channel and putting it back, and if a selector is just receiving
// another of the same name, one of the two is lost.
func (h *MessageHandlers) Unknown(ctx workflow.Context) []string {
	for _, name := range h.listened {
		if workflow.GetSignalChannel(ctx, name).Len() > 0 {
			return nil
		}
	}
	return workflow.GetUnhandledSignalNames(ctx)
}

// RefuseUnknown refuses signals without a receiver, so that misspelt names are noticed.
func (h *MessageHandlers) RefuseUnknown(ctx workflow.Context) {
	for _, name := range h.Unknown(ctx) {
		var raw converter.RawValue
		for workflow.GetSignalChannel(ctx, name).ReceiveAsync(&raw) {
			h.RefuseSignal(ctx, name, raw,
				Refuse("there is no such signal; the signals are %s", strings.Join(h.names, ", ")))
		}
	}
}

// Serve handles signals in order of arrival, as long as the workflow runs. Refused signals are recorded.
func (h *MessageHandlers) Serve(ctx workflow.Context) {
	workflow.GoNamed(ctx, "signals", func(ctx workflow.Context) {
		selector := workflow.NewSelector(ctx)
		looked := 0 // bytes of signals since the last yield
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
					// invalidate its codes now, and again when its turn comes
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

// mostAtOnce is how many bytes of signals a coroutine examines before it yields: a workflow task must not take longer
// than a second.
const mostAtOnce = 1 << 20

// handleSignal handles one signal in its own coroutine: one that waits, such as undo, must not block the next, such as
// resume.
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
			h.burnUnhandled(ctx, came)
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

// Quiet reports whether no action, no update, and none of these signals is pending or being handled.
func (h *MessageHandlers) Quiet(ctx workflow.Context, signals ...string) bool {
	for _, name := range signals {
		if workflow.GetSignalChannel(ctx, name).Len() > 0 {
			return false
		}
	}
	return !h.Pending(ctx) && workflow.AllHandlersFinished(ctx)
}

// NotForPeople is the description of internal signals.
const NotForPeople = "sent by Castellan itself, not for people"

// ReceiveEach receives an internal signal as long as the workflow runs. Those that cannot be read, or that check
// refuses, are recorded.
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

// ReceiveSignal is ReceiveEach for signals without a body.
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

// largeBody is the size from which the record of a refused signal has its size.
const largeBody = 4 << 10

// RefuseSignal records a refused signal, and invalidates the codes in it.
func (h *MessageHandlers) RefuseSignal(ctx workflow.Context, name string, raw converter.RawValue, err error) {
	h.recordRefusal(ctx, name, raw, err)
	h.burnUnhandled(ctx, h.presentation(ctx, name, raw, ""))
}

// recordRefusal records a refused signal and the sender named in it.
func (h *MessageHandlers) recordRefusal(ctx workflow.Context, name string, raw converter.RawValue, err error) {
	said := messages.RefusedMessage{At: workflow.Now(ctx), Name: Bounded(name), Why: Bounded(MessageOf(err))}
	data := raw.Payload().GetData()
	if len(data) > largeBody {
		said.Size = len(data)
	}
	said.By = messages.Keyword(sender(data))
	h.Refused(said)
}

// sender returns the sender that a body names, as far as it can be read. It is for information only.
func sender(data []byte) string {
	decoder := json.NewDecoder(bytes.NewReader(data[:min(len(data), maxScanned)]))
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

// KeepRefused appends a refused signal, and keeps the last ones.
func KeepRefused(all []messages.RefusedMessage, one messages.RefusedMessage) []messages.RefusedMessage {
	all = append(all, one)
	return all[max(0, len(all)-mostRefused):]
}
