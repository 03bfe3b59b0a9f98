package inbox

import (
	"bytes"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"io"
	"math"
	"net/http"
	"strconv"
	"strings"

	"github.com/elimity-com/scim"
	scimerrors "github.com/elimity-com/scim/errors"
	"github.com/elimity-com/scim/optional"
	"github.com/elimity-com/scim/schema"
	"go.uber.org/zap"

	"github.com/castellan-io/castellan/ledger"
	"github.com/castellan-io/castellan/policy/provision"
	"github.com/castellan-io/castellan/source"
)

// The bounds of a SCIM request.
const (
	maxSCIM    = 1 << 20 // bytes: a group with all its members
	pageOfSCIM = 100     // resources in an answer
)

// pushed serves SCIM 2.0 to an identity provider. What it pushes is recorded, and it is answered from the record;
// nothing is passed on to anybody.
type pushed struct {
	*inbox
	*sender
}

func (b *inbox) scim(w http.ResponseWriter, r *http.Request) {
	org, name := r.PathValue("org"), r.PathValue("source")
	s, err := b.sender(r.Context(), org, name, provision.SCIMPush)
	if err == nil {
		err = b.admitSCIM(r, s)
	} else {
		err = b.senderFailure(org, name, err)
	}
	var body []byte
	if err == nil {
		if body, err = io.ReadAll(http.MaxBytesReader(w, r.Body, maxSCIM)); err != nil {
			err = failure{http.StatusRequestEntityTooLarge, "too-large", "a request has at most 1 MiB"}
		}
	}
	if err != nil {
		b.refuseSCIM(w, s, err)
		return
	}
	prefix := "/scim/" + org + "/" + name
	if body, err = normalized(r.Method, body); err != nil {
		scimError(w, scimerrors.ScimErrorInvalidSyntax)
		return
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	server, err := serverOf(&pushed{b, s}, "https://"+r.Host+prefix+"/v2")
	if err != nil {
		b.refuseSCIM(w, s, err)
		return
	}
	http.StripPrefix(prefix, server).ServeHTTP(w, r)
}

// admitSCIM checks the bearer token, and that the source does not ask too often.
func (b *inbox) admitSCIM(r *http.Request, s *sender) error {
	token, is := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	secrets, err := b.secretsOf(s)
	if err != nil {
		return err
	}
	admitted := 0
	for _, secret := range secrets {
		admitted |= subtle.ConstantTimeCompare([]byte(token), []byte(secret))
	}
	switch wait := b.mayPost(s); {
	case !is || admitted == 0:
		return failUnauthorized
	case wait > 0:
		return tooMany{wait}
	}
	return nil
}

// refuseSCIM is refuse in the form of SCIM.
func (b *inbox) refuseSCIM(w http.ResponseWriter, s *sender, err error) {
	var wait tooMany
	var f failure
	switch {
	case errors.As(err, &wait):
		w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(wait.wait.Seconds()))))
		f = failure{http.StatusTooManyRequests, "too-many", "more than 25 requests a second; wait"}
	case !errors.As(err, &f):
		f = failUnavailable
	}
	if s != nil {
		b.log.Info("a SCIM request was refused", zap.String("org", s.org), zap.String("source", s.spec.Name),
			zap.String("code", f.Code))
		b.refusals.add(s, f.Code)
	}
	scimError(w, scimerrors.ScimError{Status: f.status, Detail: f.Message})
}

func scimError(w http.ResponseWriter, e scimerrors.ScimError) {
	w.Header().Set("Content-Type", "application/scim+json")
	w.WriteHeader(e.Status)
	_ = json.NewEncoder(w).Encode(e)
}

// serverOf returns the protocol's server for a source at a URL.
func serverOf(p *pushed, base string) (scim.Server, error) {
	return scim.NewServer(&scim.ServerArgs{
		ServiceProviderConfig: &scim.ServiceProviderConfig{
			MaxResults: pageOfSCIM, SupportFiltering: true, SupportPatch: true,
			AuthenticationSchemes: []scim.AuthenticationScheme{{Type: scim.AuthenticationTypeOauthBearerToken,
				Name: "Bearer token", Description: "the secret of the source, as the policy names it", Primary: true}}},
		ResourceTypes: []scim.ResourceType{
			{ID: optional.NewString("User"), Name: "User", Endpoint: "/Users", Schema: schema.CoreUserSchema(),
				SchemaExtensions: []scim.SchemaExtension{{Schema: schema.ExtensionEnterpriseUser()}},
				Handler:          users{p}},
			{ID: optional.NewString("Group"), Name: "Group", Endpoint: "/Groups", Schema: schema.CoreGroupSchema(),
				Handler: groups{p}},
		},
	}, scim.WithBaseURL(base))
}

// limits are those of the source.
func (p *pushed) limits() ledger.PostLimits {
	return ledger.PostLimits{People: source.MaxPeople, Groups: source.MaxGroups}
}

// failed returns the answer to an error of the ledger, or of what it was asked to do.
func (p *pushed) failed(err error, id string) error {
	var known scimerrors.ScimError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &known):
		return err
	case errors.Is(err, ledger.ErrNotFound):
		return scimerrors.ScimErrorResourceNotFound(id)
	case errors.Is(err, ledger.ErrTaken):
		return scimerrors.ScimErrorUniqueness
	case errors.Is(err, ledger.ErrFull):
		return scimerrors.ScimErrorBadRequest("the source has as many users or groups as it may have")
	}
	p.log.Error("what was pushed was not stored", zap.String("org", p.org), zap.String("source", p.spec.Name),
		zap.Error(err))
	return scimerrors.ScimErrorInternal
}

// attributesOf decodes what is stored of a resource.
func attributesOf(r ledger.Resource) (attributes map[string]any, err error) {
	err = json.Unmarshal(r.Body, &attributes)
	return attributes, err
}

// answered is a resource as it is answered.
func answered(r ledger.Resource, attributes map[string]any) scim.Resource {
	delete(attributes, "externalId")
	is := scim.Resource{ID: r.ID, Attributes: attributes}
	is.Meta = scim.Meta{Created: &r.Created, LastModified: &r.Modified}
	if r.External != "" {
		is.ExternalID = optional.NewString(r.External)
	}
	return is
}

// textOf is a text among attributes; "" if there is none.
func textOf(attributes map[string]any, name string) string {
	text, _ := attributes[name].(string)
	return text
}
