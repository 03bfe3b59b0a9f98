package cloud

import (
	"net/http"
	"strings"
)

// admit checks credentials, organization, directory and rate limit; refused: the answer is final.
func (c *Cloud) admit(in *call, header http.Header) (out answer, refused bool) {
	token, bearer := strings.CutPrefix(in.Header.Get("Authorization"), "Bearer ")
	if in.op.scim() {
		return c.admitSCIM(in, token, bearer, header)
	}
	if !c.take(in.op.name, header) {
		return in.op.refuseAs(http.StatusTooManyRequests, ""), true
	}
	state, known := c.settings.Keys[token]
	switch {
	case !bearer || !known || state == KeyExpired:
		return in.op.refuseAs(http.StatusUnauthorized, ""), true
	case state == KeyOtherOrg:
		return in.op.refuseAs(http.StatusForbidden, ""), true
	case state == KeyScoped && in.op.style == styleAccount: // seen with live keys, which cannot have this scope
		return refuse(http.StatusForbidden, "", "The key lacks the scope manage:org."), true
	case state == KeyReadOnly && in.op.write, state == KeyScoped && in.op.scope == "":
		return in.op.refuseAs(http.StatusForbidden, "The key does not have the rights that this call needs."), true
	case in.op.guard && (!c.settings.Guard || c.settings.GuardLapsed):
		return in.op.refuseAs(http.StatusForbidden, "The organization has no Atlassian Guard subscription."), true
	}
	if org := in.PathValue("orgId"); org != "" && org != c.info.OrgID {
		return refuse(http.StatusNotFound, "ADMIN-404-2", "Organization "+org+" was not found."), true
	}
	// The dash stands for all directories. The vendor documents it for reads; a write needs a real directory.
	if id := in.PathValue("directoryId"); id != "" && id != c.info.DirectoryID && (id != "-" || in.op.write) {
		return refuse(http.StatusNotFound, "ADMIN-404-1", "Directory "+id+" was not found."), true
	}
	return answer{}, false
}

// admitSCIM checks the key of a SCIM directory, which opens no other one. A deleted directory has none any more.
func (c *Cloud) admitSCIM(in *call, token string, bearer bool, header http.Header) (out answer, refused bool) {
	d, good := c.scimByKey(token)
	switch {
	case !bearer || !good:
		return refuse(http.StatusUnauthorized, "", "Unauthorized"), true
	case c.settings.GuardLapsed:
		return refuse(http.StatusForbidden, "", "The organization has no Atlassian Guard subscription."), true
	case in.PathValue("directoryId") != d.id:
		return refuse(http.StatusForbidden, "", "The key is not for directory "+in.PathValue("directoryId")+"."), true
	case !c.takeSCIM(header):
		return in.op.refuseAs(http.StatusTooManyRequests, ""), true
	}
	in.scim = d
	return answer{}, false
}

// caller returns the audit log's actor for a call of the organization API.
func (c *Cloud) caller() actor {
	if c.keyOwner == nil {
		return actor{label: "API key"}
	}
	return actor{user: c.keyOwner, token: "organization API key"}
}
