package cloud

import (
	"encoding/json"
	"net/http"
)

// answer is the result of an operation: a body, a page of a list, or a problem.
type answer struct {
	status  int
	body    any // nil: none
	page    *page
	problem *problem
	header  http.Header
}

// page is one page of a list, kept apart from its rendering so that faults can change it.
type page struct {
	items  []any
	self   string // cursor of this page
	next   string // empty at the end
	render func(items []any, next string) any
}

// problem is an error before it takes the form of its API.
type problem struct {
	code     string // for example ADMIN-404-10
	detail   string
	scimType string
	context  any // user management: details of the refusal beside its key
}

func ok(body any) answer { return answer{status: http.StatusOK, body: body} }

func noContent() answer { return answer{status: http.StatusNoContent} }

func refuse(status int, code, detail string) answer {
	return answer{status: status, problem: &problem{code: code, detail: detail}}
}

func badRequest(code, detail string) answer { return refuse(http.StatusBadRequest, code, detail) }

// style is the format of an API's errors. The vendor has five in the organization API alone, and two more in SCIM.
type style int

const (
	styleV1      style = iota // gateway shape for 401 and 429, otherwise the errors envelope
	styleV2                   // errors envelope for all
	styleDomains              // as v1, but 403 as Spring words it
	styleBare                 // workspaces: gateway shape for 401, otherwise a single error without envelope
	styleSCIM                 // gateway failure for 401 and 403, otherwise a SCIM error
	stylePUT                  // as SCIM, but 400 is a Java exception
	styleAccount              // user management: a key, and a context where its schema has one
)

func (s style) render(status int, p problem, path, id string, now instant) any {
	single := map[string]any{"id": id, "status": itoa(status), "code": p.code, "title": http.StatusText(status),
		"detail": p.detail}
	envelope := map[string]any{"errors": []any{single}}
	gateway := map[string]any{"code": status, "message": p.detail}
	switch s {
	case styleV1:
		if status == http.StatusUnauthorized || status == http.StatusTooManyRequests {
			return gateway
		}
	case styleDomains:
		if status == http.StatusForbidden {
			return map[string]any{"timestamp": timestamp(now), "status": status, "error": "Forbidden",
				"message": p.detail, "path": path, "requestId": id}
		}
		return styleV1.render(status, p, path, id, now)
	case styleBare:
		if status == http.StatusUnauthorized {
			return gateway
		}
		return single
	case styleSCIM, stylePUT:
		if status == http.StatusUnauthorized || status == http.StatusForbidden {
			return map[string]any{"error": p.detail, "traceId": id}
		}
		if s == stylePUT && status == http.StatusBadRequest {
			return map[string]any{"responseStatus": "BAD_REQUEST", "scimErrorType": orElse(p.scimType, "invalidValue"),
				"message": p.detail, "localizedMessage": p.detail}
		}
		body := map[string]any{"schemas": []string{"urn:ietf:params:scim:api:messages:2.0:Error"},
			"status": itoa(status), "detail": p.detail}
		if p.scimType != "" {
			body["scimType"] = p.scimType
		}
		return body
	case styleAccount:
		if status == http.StatusTooManyRequests {
			return nil // the vendor describes no body
		}
		if p.code == "" { // the gateway refuses the key, whatever account it is
			return gateway
		}
		body := map[string]any{"key": p.code}
		if p.context != nil {
			body["context"] = p.context
		}
		return body
	}
	return envelope
}

// refuseAs returns the answer of a gateway or a fault in place of the operation's, with the code that the operation
// documents.
func (op *operation) refuseAs(status int, detail string) answer {
	p := problem{code: "ADMIN-" + itoa(status) + "-1", detail: http.StatusText(status)}
	switch status {
	case http.StatusBadRequest:
		p = problem{code: "ADMIN-400-19", detail: "Invalid request syntax."}
	case http.StatusUnauthorized:
		p = problem{code: "ADMIN-401-2", detail: "Unauthenticated: the key is missing, wrong or expired."}
	case http.StatusForbidden:
		p = problem{code: "ADMIN-403-3", detail: "You are not allowed to manage this organization."}
	case http.StatusConflict:
		p = problem{code: "ADMIN-409-28", detail: "Conflict."}
	case http.StatusTooManyRequests:
		p = problem{code: "ADMIN-429-1", detail: "Rate limit exceeded."}
	}
	if own, set := op.codes[status]; set {
		p.code = own
	}
	p.detail = orElse(detail, p.detail)
	return answer{status: status, problem: &p}
}

// Codes of operations that document others than the usual ones.
var (
	orgCodes    = map[int]string{400: "ADMIN-400-1", 404: "ADMIN-404-2"}
	domainCodes = map[int]string{400: "ADMIN-400-2", 404: "ADMIN-404-3"}
	eventCodes  = map[int]string{404: "ADMIN-404-4"}
	activeCodes = map[int]string{400: "ADMIN-400-4", 404: "ADMIN-404-8"}
	roleCodes   = map[int]string{400: "ADMIN-UAM-400-1", 403: "ADMIN-UAM-403-1", 404: "ADMIN-UAM-404-3",
		409: "ADMIN-UAM-409-3", 500: "ADMIN-UAM-500-1"}
	inviteCodes = map[int]string{400: "ADMIN-UAM-400-1", 401: "ADMIN-UAM-401-1", 402: "ADMIN-UAM-402-1",
		403: "ADMIN-UAM-403-1", 404: "ADMIN-UAM-404-1", 409: "ADMIN-UAM-409-3", 500: "ADMIN-UAM-500-1"}
	spaceCodes   = map[int]string{400: "ADMIN-400-4"}
	accountCodes = map[int]string{400: "bodyParseFailure", 401: "unauthorized", 403: "forbidden", 404: "notFound"}
)

func writeJSON(w http.ResponseWriter, status int, contentType string, body any) {
	text, err := json.Marshal(body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", contentType)
	w.WriteHeader(status)
	_, _ = w.Write(text) // the caller is gone: nobody can be told
}
