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
	// signals of one name that are handled at once: a workflow may have 2,000 activities under way
	mostBusy       = 50
	mostQueuedWord = 16 << 10 // bytes of a signal that may wait; larger ones are handled at once
	mostQueued     = 1 << 20  // bytes of all that wait: they are carried to the next history, which takes 2 MB
)

// queue holds signals that wait: for others of their name, or for the next history while this one ends.
type queue struct {
	words *[]messages.KeptMessage // part of the state, so that it is carried
	size  int                     // in bytes
	names map[string]int          // how many of each
	held  bool                    // nothing is taken out: the history ends
}

func newQueue(words *[]messages.KeptMessage) *queue {
	q := &queue{words: words, names: map[string]int{}}
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
	*q.words = append(*q.words, word)
	q.count(word, 1)
}

// mayTake reports whether a signal of this name is handled now: many of one name, such as requests that hang in an
// outage, do not keep those of others, such as resume, from being heard.
func (h *MessageHandlers) mayTake(name string) bool {
	return !h.queue.held && h.busyOf[name] < mostBusy
}

// next is the name of signals in the queue that may be handled now; "" when there are none.
func (h *MessageHandlers) next() string {
	for _, name := range h.names {
		if h.queue.names[name] > 0 && h.mayTake(name) {
			return name
		}
	}
	return ""
}

// ServeQueue handles what waits, for the life of the run.
func (h *MessageHandlers) ServeQueue(ctx workflow.Context) {
	workflow.GoNamed(ctx, "signals that wait", func(ctx workflow.Context) {
		for workflow.Await(ctx, func() bool { return h.next() != "" }) == nil {
			name := h.next()
			i := slices.IndexFunc(*h.queue.words, func(word messages.KeptMessage) bool { return word.Name == name })
			word := (*h.queue.words)[i]
			*h.queue.words = slices.Delete(*h.queue.words, i, i+1)
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
