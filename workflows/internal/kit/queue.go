package kit

import (
	"encoding/json"
	"slices"

	commonpb "go.temporal.io/api/common/v1"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/workflow"

	"github.com/castellan-io/castellan/messages"
)

const (
	// signals of one name that are handled at once: a workflow is limited to 2,000 pending activities
	mostBusy       = 50
	mostQueuedWord = 16 << 10 // bytes of a signal that may wait; larger ones are handled at once
	mostQueued     = 1 << 20  // bytes of all that wait: they are carried to the next history, which takes 2 MB
)

// queue holds signals that wait for others of their name, or for the next history.
type queue struct {
	messages *[]messages.KeptMessage // part of the state, so that it is carried
	size     int                     // in bytes
	names    map[string]int          // how many of each
	held     bool                    // nothing is handled: the history is ending
}

func newQueue(words *[]messages.KeptMessage) *queue {
	q := &queue{messages: words, names: map[string]int{}}
	for _, word := range *words {
		q.count(word, 1)
	}
	return q
}

func (q *queue) count(word messages.KeptMessage, n int) {
	q.size += n * messages.EscapedSize(word.Body)
	q.names[word.Name] += n
}

func (q *queue) add(word messages.KeptMessage) {
	*q.messages = append(*q.messages, word)
	q.count(word, 1)
}

// mayTake reports whether a signal of this name may be handled now. Many of one name, such as requests that hang in an
// outage, do not block others, such as resume.
func (h *MessageHandlers) mayTake(name string) bool {
	return !h.queue.held && h.busyOf[name] < mostBusy
}

// next returns the name of queued signals that may be handled now; "" for none.
func (h *MessageHandlers) next() string {
	for _, name := range h.names {
		if h.queue.names[name] > 0 && h.mayTake(name) {
			return name
		}
	}
	return ""
}

// ServeQueue handles queued signals, as long as the workflow runs.
func (h *MessageHandlers) ServeQueue(ctx workflow.Context) {
	workflow.GoNamed(ctx, "signals that wait", func(ctx workflow.Context) {
		for workflow.Await(ctx, func() bool { return h.next() != "" }) == nil {
			name := h.next()
			i := slices.IndexFunc(*h.queue.messages, func(word messages.KeptMessage) bool { return word.Name == name })
			word := (*h.queue.messages)[i]
			*h.queue.messages = slices.Delete(*h.queue.messages, i, i+1)
			h.queue.count(word, -1)
			raw := converter.NewRawValue(&commonpb.Payload{
				Metadata: map[string][]byte{converter.MetadataEncoding: []byte(converter.MetadataEncodingJSON)},
				Data:     word.Body,
			})
			h.handleSignal(ctx, name, raw, h.presentation(ctx, name, raw, word.Shown))
		}
	})
}

// plain reports whether a signal can wait: some JSON of moderate size.
func plain(raw converter.RawValue) bool {
	payload := raw.Payload()
	return string(payload.GetMetadata()[converter.MetadataEncoding]) == converter.MetadataEncodingJSON &&
		len(payload.GetData()) <= mostQueuedWord && json.Valid(payload.GetData())
}
