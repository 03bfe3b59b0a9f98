package cloud

// The vendor's file types these responses as a string; the service sends the JSON objects of RFC 7643.

func (c *Cloud) getSCIMConfig(*call) answer {
	no := map[string]any{"supported": false}
	return ok(map[string]any{"schemas": []string{"urn:ietf:params:scim:schemas:core:2.0:ServiceProviderConfig"},
		"patch":  map[string]any{"supported": true},
		"bulk":   map[string]any{"supported": false, "maxOperations": 0, "maxPayloadSize": 0},
		"filter": map[string]any{"supported": true, "maxResults": scimPage}, "changePassword": no, "sort": no,
		"etag": no,
		"authenticationSchemes": []any{map[string]any{"type": "oauthbearertoken", "name": "Bearer token",
			"description": "The key of the SCIM directory"}}})
}

func scimTypes() []any {
	return []any{
		map[string]any{"schemas": []string{"urn:ietf:params:scim:schemas:core:2.0:ResourceType"}, "id": "User",
			"name": "User", "endpoint": "/Users", "schema": scimUserSchema,
			"schemaExtensions": []any{map[string]any{"schema": scimEnterpriseSchema, "required": false}}},
		map[string]any{"schemas": []string{"urn:ietf:params:scim:schemas:core:2.0:ResourceType"}, "id": "Group",
			"name": "Group", "endpoint": "/Groups", "schema": scimGroupSchema},
	}
}

func scimSchemas() []any {
	attribute := func(name, kind, mutability string, required, many bool) any {
		return map[string]any{"name": name, "type": kind, "multiValued": many, "required": required,
			"mutability": mutability, "returned": "default", "uniqueness": "none"}
	}
	schema := func(id, name string, attributes ...any) any {
		return map[string]any{"schemas": []string{"urn:ietf:params:scim:schemas:core:2.0:Schema"}, "id": id,
			"name": name, "attributes": attributes}
	}
	return []any{
		schema(scimUserSchema, "User", attribute("userName", "string", "readWrite", true, false),
			attribute("displayName", "string", "readWrite", false, false),
			attribute("emails", "complex", "readWrite", true, true),
			attribute("active", "boolean", "readWrite", false, false),
			attribute("groups", "complex", "readOnly", false, true)),
		schema(scimGroupSchema, "Group", attribute("displayName", "string", "immutable", true, false),
			attribute("members", "complex", "readWrite", false, true)),
		schema(scimEnterpriseSchema, "EnterpriseUser", attribute("organization", "string", "readWrite", false, false),
			attribute("department", "string", "readWrite", false, false)),
	}
}

func (c *Cloud) listSCIMTypes(r *call) answer { return listAll(scimTypes()) }

func (c *Cloud) listSCIMSchemas(r *call) answer { return listAll(scimSchemas()) }

func (c *Cloud) getSCIMType(r *call) answer { return byID(scimTypes(), r.PathValue("id")) }

func (c *Cloud) getSCIMSchema(r *call) answer { return byID(scimSchemas(), r.PathValue("id")) }

func listAll(items []any) answer {
	return ok(map[string]any{"schemas": []string{scimListSchema}, "totalResults": len(items), "startIndex": 1,
		"itemsPerPage": len(items), "Resources": items})
}

func byID(items []any, id string) answer {
	for _, item := range items {
		if item.(map[string]any)["id"] == id {
			return ok(item)
		}
	}
	return scimNotFound(id)
}
