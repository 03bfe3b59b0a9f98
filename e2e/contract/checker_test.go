package contract_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
)

// violation is one thing in one exchange that is not as the vendor's document says.
type violation struct {
	operation string // for example "organization GET /v1/orgs"; the method and the path when there is none
	side      string // request or answer
	status    int    // of the answer; 0 on the request's side
	text      string
}

func (v violation) String() string {
	if v.side == "request" {
		return v.operation + ": request: " + v.text
	}
	return fmt.Sprintf("%s: answer %d: %s", v.operation, v.status, v.text)
}

// checker is a transport that holds every exchange against the vendor's documents and keeps what does not fit.
type checker struct {
	documents []*document
	transport http.RoundTripper

	mu         sync.Mutex
	requests   int
	answers    int
	covered    map[string]bool // operations that answered with a success
	violations []violation
}

func newChecker(documents []*document) *checker {
	return &checker{documents: documents, transport: http.DefaultTransport, covered: map[string]bool{}}
}

type deliberateKey struct{}

// deliberate marks requests that break the vendor's rules on purpose, to see how they are refused: only their answers
// are checked.
func deliberate(ctx context.Context) context.Context {
	return context.WithValue(ctx, deliberateKey{}, true)
}

// RoundTrip sends the request, and checks it and its answer. It changes neither.
func (c *checker) RoundTrip(r *http.Request) (*http.Response, error) {
	sent, err := drain(&r.Body)
	if err != nil {
		return nil, err
	}
	op := find(c.documents, r.Method, r.URL.Path)
	var found []violation
	if op == nil {
		found = append(found, violation{r.Method + " " + r.URL.Path, "request", 0, "the vendor has no such operation"})
	} else if r.Context().Value(deliberateKey{}) == nil {
		found = append(found, checkRequest(op, r, sent)...)
	}
	response, err := c.transport.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	received, err := drain(&response.Body)
	if err != nil {
		return nil, err
	}
	if op != nil {
		found = append(found, checkAnswer(op, r, response, received)...)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.violations = append(c.violations, found...)
	c.requests++
	c.answers++
	if op != nil && response.StatusCode/100 == 2 {
		c.covered[op.name()] = true
	}
	return response, nil
}

// drain reads a body and puts it back.
func drain(body *io.ReadCloser) ([]byte, error) {
	if *body == nil || *body == http.NoBody {
		return nil, nil
	}
	defer (*body).Close()
	all, err := io.ReadAll(*body)
	*body = io.NopCloser(bytes.NewReader(all))
	return all, err
}

func (o *operation) input(r *http.Request, body []byte) *openapi3filter.RequestValidationInput {
	copied := r.Clone(context.Background())
	copied.Body = http.NoBody
	if len(body) > 0 {
		copied.Body = io.NopCloser(bytes.NewReader(body))
	}
	return &openapi3filter.RequestValidationInput{
		Request: copied, PathParams: o.values,
		Route: &routers.Route{Spec: o.document.spec, Path: o.template, PathItem: o.item, Method: o.method,
			Operation: o.spec},
		Options: &openapi3filter.Options{
			MultiError: true, IncludeResponseStatus: true, RejectWhenRequestBodyNotSpecified: true,
			SkipSettingDefaults: true,
			AuthenticationFunc:  bearer,
			SchemaValidationOptions: []openapi3.SchemaValidationOption{
				openapi3.EnableFormatValidation(),
				openapi3.WithStringFormatValidator("uuid",
					openapi3.NewRegexpFormatValidator(openapi3.FormatOfStringForUUIDOfRFC9562)),
			},
		},
	}
}

func bearer(_ context.Context, in *openapi3filter.AuthenticationInput) error {
	if !strings.HasPrefix(in.RequestValidationInput.Request.Header.Get("Authorization"), "Bearer ") {
		return errors.New("no bearer token")
	}
	return nil
}

func checkRequest(op *operation, r *http.Request, body []byte) []violation {
	var texts []string
	texts = append(texts, flatten("", openapi3filter.ValidateRequest(context.Background(), op.input(r, body)))...)
	names := op.queryNames()
	for name := range r.URL.Query() {
		if !names[name] {
			texts = append(texts, fmt.Sprintf("query parameter %q is not declared", name))
		}
	}
	if op.spec.RequestBody != nil && len(body) > 0 {
		if media := op.spec.RequestBody.Value.Content.Get(r.Header.Get("Content-Type")); media != nil {
			texts = append(texts, undeclaredIn(media, body)...)
		}
	}
	return violations(op, "request", 0, texts)
}

func checkAnswer(op *operation, r *http.Request, response *http.Response, body []byte) []violation {
	input := op.input(r, nil)
	texts := flatten("", openapi3filter.ValidateResponse(context.Background(), &openapi3filter.ResponseValidationInput{
		RequestValidationInput: input, Status: response.StatusCode, Header: response.Header,
		Body: io.NopCloser(bytes.NewReader(body)), Options: input.Options,
	}))
	if described := op.spec.Responses.Status(response.StatusCode); described != nil {
		content := described.Value.Content
		media := content.Get(response.Header.Get("Content-Type"))
		switch {
		case len(content) == 0 && len(body) > 0 && response.StatusCode >= 400:
			texts = append(texts, "an error's body where none is described")
			texts = append(texts, asErrors(op, body)...)
		case len(content) == 0 && len(body) > 0:
			texts = append(texts, "a body where none is described")
		case media != nil:
			texts = append(texts, undeclaredIn(media, body)...)
		}
	}
	if op.document.rates {
		texts = append(texts, rateHeaders(response.Header)...)
	}
	return violations(op, "answer", response.StatusCode, texts)
}

// asErrors holds an error body that is not described against the errors envelope that its siblings use.
func asErrors(op *operation, body []byte) []string {
	envelope := op.document.spec.Components.Schemas["Errors"]
	var value any
	if err := json.Unmarshal(body, &value); err != nil || envelope == nil {
		return []string{"an error body that is not the errors envelope"}
	}
	texts := flatten("", envelope.Value.VisitJSON(value, openapi3.MultiErrors()))
	return append(texts, undeclared(envelope, value, "")...)
}

// rateHeaders checks the headers of the narrative's chapter on rate limits.
func rateHeaders(h http.Header) []string {
	var texts []string
	for _, name := range []string{"X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset"} {
		if h.Get(name) == "" {
			texts = append(texts, "header "+name+" is missing")
		}
	}
	reset := h.Get("X-RateLimit-Reset")
	if _, err := time.Parse(time.RFC3339, reset); err != nil && reset != "" {
		texts = append(texts, "header X-RateLimit-Reset is not ISO 8601")
	}
	return texts
}

func undeclaredIn(media *openapi3.MediaType, body []byte) []string {
	var value any
	if media.Schema == nil || json.Unmarshal(body, &value) != nil {
		return nil
	}
	return undeclared(media.Schema, value, "")
}

func violations(op *operation, side string, status int, texts []string) []violation {
	all := make([]violation, 0, len(texts))
	for _, text := range texts {
		all = append(all, violation{op.name(), side, status, text})
	}
	return all
}

// flatten takes a validation error apart into one short text for each finding.
func flatten(before string, err error) []string {
	var many openapi3.MultiError
	var schema *openapi3.SchemaError
	var request *openapi3filter.RequestError
	var response *openapi3filter.ResponseError
	switch {
	case err == nil:
		return nil
	case asType(err, &many):
		var texts []string
		for _, e := range many {
			texts = append(texts, flatten(before, e)...)
		}
		return texts
	case asType(err, &request):
		if request.Parameter != nil {
			before = fmt.Sprintf("parameter %q in %s: ", request.Parameter.Name, request.Parameter.In)
		}
		if request.Err == nil {
			return []string{before + request.Reason}
		}
		return flatten(before, request.Err)
	case asType(err, &response):
		if response.Err == nil {
			return []string{before + response.Reason}
		}
		return flatten(before, response.Err)
	case asType(err, &schema):
		if schema.SchemaField == "allOf" && schema.Origin != nil {
			return flatten(before, schema.Origin)
		}
		return []string{fmt.Sprintf("%s/%s: %s", before, strings.Join(schema.JSONPointer(), "/"), schema.Reason)}
	default:
		return []string{before + err.Error()}
	}
}

// asType looks at the error itself, not into what it wraps: each layer has something to say.
func asType[T error](err error, into *T) bool {
	e, is := err.(T)
	if is {
		*into = e
	}
	return is
}
