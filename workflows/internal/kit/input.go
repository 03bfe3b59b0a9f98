package kit

import (
	"encoding/json"

	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/workflow"

	"github.com/castellan-io/castellan/messages"
)

// DecodeInput decodes people's input for an action: exactly one JSON object, no unknown field, no repeated key, nothing
// too large.
func DecodeInput[T any](name string, raw converter.RawValue) (T, error) {
	var body T
	data, err := bodyOf(name, raw)
	if err != nil {
		return body, err
	}
	if err := messages.Decode(data, &body); err != nil {
		return body, Refuse("the input is not valid: %v", err)
	}
	return body, nil
}

// DecodeInternal decodes messages between Castellan's own workflows and activities.
func DecodeInternal[T any](name string, raw converter.RawValue) (T, error) {
	var body T
	data, err := bodyOf(name, raw)
	if err != nil {
		return body, err
	}
	if err := messages.DecodeInternal(data, &body); err != nil {
		return body, Refuse("the input is not valid: %v", err)
	}
	return body, nil
}

// bodyOf returns a message's JSON, or an error if it is not JSON or too large.
func bodyOf(name string, raw converter.RawValue) ([]byte, error) {
	payload := raw.Payload()
	if payload == nil {
		return nil, Refuse("a JSON object is needed, but there was no input")
	}
	encoding := string(payload.GetMetadata()[converter.MetadataEncoding])
	if encoding != converter.MetadataEncodingJSON {
		return nil, Refuse("a JSON object is needed, but this is %s", Bounded(encoding))
	}
	return payload.GetData(), tooLarge(name, raw)
}

func tooLarge(name string, raw converter.RawValue) error {
	if size, most := len(raw.Payload().GetData()), messages.MostBody(name); size > most {
		return Refuse("the body has %d KB; at most %d are allowed: split it. It was not read",
			size>>10, most>>10)
	}
	return nil
}

// Input decodes a workflow's input. After a continue-as-new, or from a parent workflow, it is Castellan's own, perhaps
// written by another version.
func Input[T any](ctx workflow.Context, name string, raw converter.RawValue) (T, error) {
	info := workflow.GetInfo(ctx)
	if info.ContinuedExecutionRunID == "" && info.ParentWorkflowExecution == nil {
		return DecodeInput[T](name, raw)
	}
	var in T
	if err := json.Unmarshal(raw.Payload().GetData(), &in); err != nil {
		return in, Refuse("the state of the previous history cannot be read: %v", err)
	}
	return in, nil
}

// CheckStateOf refuses an input's state that is not this workflow's. An old state, which does not name its workflow, is
// accepted only after a continue-as-new or from a parent workflow.
func CheckStateOf(ctx workflow.Context, named, is string) error {
	info := workflow.GetInfo(ctx)
	if named == is || named == "" && (info.ContinuedExecutionRunID != "" || info.ParentWorkflowExecution != nil) {
		return nil
	}
	return Refuse("the state in the input is not that of %s: leave state out, which only Castellan hands to the next history", is)
}
