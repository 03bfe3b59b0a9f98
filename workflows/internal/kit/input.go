package kit

import (
	"encoding/json"

	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/workflow"

	"github.com/castellan-io/castellan/messages"
)

// DecodeInput reads what ops typed for an action: exactly one JSON object, no field that is not documented, no key
// twice, nothing too large.
func DecodeInput[T any](name string, raw converter.RawValue) (T, error) {
	var body T
	data, err := bodyOf(name, raw)
	if err != nil {
		return body, err
	}
	if err := messages.Decode(data, &body); err != nil {
		return body, Refuse("the input is not what is needed: %v", err)
	}
	return body, nil
}

// DecodeInternal reads what workflows and activities of ours say to each other.
func DecodeInternal[T any](name string, raw converter.RawValue) (T, error) {
	var body T
	data, err := bodyOf(name, raw)
	if err != nil {
		return body, err
	}
	if err := messages.DecodeInternal(data, &body); err != nil {
		return body, Refuse("the input is not what is needed: %v", err)
	}
	return body, nil
}

// bodyOf is the JSON of an input, signal or update, where it is JSON and not too large.
func bodyOf(name string, raw converter.RawValue) ([]byte, error) {
	payload := raw.Payload()
	if payload == nil {
		return nil, Refuse("a JSON object is needed, nothing came")
	}
	encoding := string(payload.GetMetadata()[converter.MetadataEncoding])
	if encoding != converter.MetadataEncodingJSON {
		return nil, Refuse("a JSON object is needed, this is %s", Bounded(encoding))
	}
	return payload.GetData(), tooLarge(name, raw)
}

func tooLarge(name string, raw converter.RawValue) error {
	if size, most := len(raw.Payload().GetData()), messages.MostBody(name); size > most {
		return Refuse("the body has %d KB; at most %d are allowed: say it in several pieces. It was not read",
			size>>10, most>>10)
	}
	return nil
}

// Input reads what a workflow is started with. What one history hands to the next, or a workflow to its child, is ours,
// and may have been written by another version.
func Input[T any](ctx workflow.Context, name string, raw converter.RawValue) (T, error) {
	info := workflow.GetInfo(ctx)
	if info.ContinuedExecutionRunID == "" && info.ParentWorkflowExecution == nil {
		return DecodeInput[T](name, raw)
	}
	var in T
	if err := json.Unmarshal(raw.Payload().GetData(), &in); err != nil {
		return in, Refuse("what the history before this one left cannot be read: %v", err)
	}
	return in, nil
}

// CheckStateOf says why the state that an input carries is not this workflow's. A state from before states named their
// workflow is taken from the history before this one, or from the workflow that started it, alone.
func CheckStateOf(ctx workflow.Context, named, is string) error {
	info := workflow.GetInfo(ctx)
	if named == is || named == "" && (info.ContinuedExecutionRunID != "" || info.ParentWorkflowExecution != nil) {
		return nil
	}
	return Refuse("the state in the input is not that of %s: leave state out, it is carried from one history to the next", is)
}
