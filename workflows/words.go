package workflows

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/castellan-io/castellan/messages"
)

// errRefused is the type of error with which an update refuses bad input.
const errRefused = "Refused"

func renewing() error {
	return temporal.NewApplicationErrorWithOptions("the history is being renewed; try again in a moment", messages.Renewing, temporal.ApplicationErrorOptions{})
}

func refuse(format string, args ...any) error {
	return temporal.NewApplicationErrorWithOptions(fmt.Sprintf(format, args...), errRefused, temporal.ApplicationErrorOptions{NonRetryable: true})
}

// word reads what ops typed: exactly one JSON object, no field that is not documented.
func word[T any](raw converter.RawValue) (T, error) {
	var body T
	payload := raw.Payload()
	if payload == nil {
		return body, refuse("a JSON object is needed, nothing came")
	}
	if encoding := string(payload.GetMetadata()[converter.MetadataEncoding]); encoding != converter.MetadataEncodingJSON {
		return body, refuse("a JSON object is needed, this is %s", encoding)
	}
	decoder := json.NewDecoder(bytes.NewReader(payload.GetData()))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&body); err != nil {
		return body, refuse("the input is not what is needed: %v", err)
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return body, refuse("one JSON object is needed; something follows it")
	}
	return body, nil
}

// words are the signals a workflow listens to, each handled like the update of the same name.
type words struct {
	names   []string // of actions
	heard   []string // all that somebody listens to
	handle  map[string]func(workflow.Context, converter.RawValue) error
	refused func(ctx workflow.Context, name string, err error)
	busy    int                            // signals being handled
	busyOf  map[string]int                 // by name
	queue   *queue                         // of signals that wait; nil: none does
	updates int                            // accepted by this history
	closed  func() bool                    // no update is taken just now; nil: each is
	strict  func(converter.RawValue) error // what every body must be besides; nil: nothing
}

// listen registers an action as an update and as a signal. check must not change anything: it is the update's validator,
// and refuses without a trace in the history.
func listen[T, R any](ctx workflow.Context, w *words, name, description string, check func(T) error, do func(workflow.Context, T) (R, error)) error {
	w.names = append(w.names, name)
	read := func(raw converter.RawValue) (T, error) {
		body, err := word[T](raw)
		if err == nil && w.strict != nil {
			err = w.strict(raw)
		}
		if err == nil {
			err = check(body)
		}
		return body, err
	}
	w.handle[name] = func(ctx workflow.Context, raw converter.RawValue) error {
		body, err := read(raw)
		if err == nil {
			_, err = do(ctx, body)
		}
		return err
	}
	validate := func(raw converter.RawValue) error {
		_, err := read(raw)
		if err == nil && w.closed != nil && w.closed() {
			err = renewing()
		}
		return err
	}
	update := func(ctx workflow.Context, raw converter.RawValue) (R, error) {
		w.updates++
		body, err := word[T](raw)
		if err != nil {
			var none R
			return none, err
		}
		return do(ctx, body)
	}
	return workflow.SetUpdateHandlerWithOptions(ctx, name, update, workflow.UpdateHandlerOptions{Validator: validate, Description: description})
}

// unknown names the signals that came and that nobody listens to. While one that somebody listens to waits to be heard, it
// says nothing: the SDK finds the names by taking a signal out of its channel and putting it back, and where a selector is just
// being handed another of the same name, one of the two is lost.
func (w *words) unknown(ctx workflow.Context) []string {
	for _, name := range w.heard {
		if workflow.GetSignalChannel(ctx, name).Len() > 0 {
			return nil
		}
	}
	return workflow.GetUnhandledSignalNames(ctx)
}

// refuseUnknown refuses signals that nobody listens to, so that a misspelt name does not go unnoticed.
func (w *words) refuseUnknown(ctx workflow.Context) {
	for _, name := range w.unknown(ctx) {
		for workflow.GetSignalChannel(ctx, name).ReceiveAsync(nil) {
			w.refused(ctx, bounded(name), refuse("there is no such signal; the signals are %s", strings.Join(w.names, ", ")))
		}
	}
}

// serve handles signals in the order they came, for the life of the run. What is refused is recorded, never fatal.
func (w *words) serve(ctx workflow.Context) {
	workflow.GoNamed(ctx, "signals", func(ctx workflow.Context) {
		selector := workflow.NewSelector(ctx)
		for _, name := range w.names {
			selector.AddReceive(workflow.GetSignalChannel(ctx, name), func(c workflow.ReceiveChannel, _ bool) {
				var raw converter.RawValue
				if !c.ReceiveAsync(&raw) {
					return
				}
				if w.queue != nil && !w.mayTake(name) && plain(raw) {
					w.queue.add(messages.KeptWord{Name: name, Body: raw.Payload().GetData()})
				} else {
					w.take(ctx, name, raw)
				}
			})
		}
		for ctx.Err() == nil {
			if w.queue != nil && w.queue.size >= mostQueued {
				_ = workflow.Await(ctx, func() bool { return w.queue.size < mostQueued })
				continue
			}
			selector.Select(ctx)
		}
	})
}

// take handles one signal, in its own coroutine: one that waits, such as undo, must not keep the next, such as resume, from
// being heard.
func (w *words) take(ctx workflow.Context, name string, raw converter.RawValue) {
	w.busy++
	w.busyOf[name]++
	workflow.GoNamed(ctx, name, func(ctx workflow.Context) {
		defer func() { w.busy--; w.busyOf[name]-- }()
		if err := w.handle[name](ctx, raw); err != nil {
			w.refused(ctx, name, err)
		}
	})
}

// pending says that signals wait or are being handled.
func (w *words) pending(ctx workflow.Context) bool {
	for _, name := range w.names {
		if workflow.GetSignalChannel(ctx, name).Len() > 0 {
			return true
		}
	}
	return w.busy > 0
}

// hear takes the signals of a name that are no action of people's, for the life of the run.
func hear[T any](ctx workflow.Context, name string, take func(workflow.Context, T)) {
	heard := workflow.GetSignalChannel(ctx, name)
	workflow.GoNamed(ctx, name, func(ctx workflow.Context) {
		for {
			var in T
			if !heard.Receive(ctx, &in) {
				return
			}
			take(ctx, in)
		}
	})
}

// called is hear for signals without a body.
func called(ctx workflow.Context, name string, do func()) {
	heard := workflow.GetSignalChannel(ctx, name)
	workflow.GoNamed(ctx, name, func(ctx workflow.Context) {
		for heard.Receive(ctx, nil) {
			do()
		}
	})
}

// others lets every other coroutine take what has come for it. A signal that was handed to a coroutine which has not run yet
// stands in no channel: a history that ended now would lose it.
func others(ctx workflow.Context) {
	whole, _ := workflow.NewDisconnectedContext(ctx)
	ran := false
	workflow.Go(whole, func(workflow.Context) { ran = true }) // the last one in turn
	_ = workflow.Await(whole, func() bool { return ran })
}
