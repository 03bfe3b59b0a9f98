package session

import (
	"cmp"
	"fmt"

	"github.com/castellan-io/castellan/policy/provision"
	"github.com/castellan-io/castellan/source"
	"github.com/castellan-io/castellan/source/entra"
	"github.com/castellan-io/castellan/source/file"
	"github.com/castellan-io/castellan/source/google"
	"github.com/castellan-io/castellan/source/keycloak"
	"github.com/castellan-io/castellan/source/ldap"
	"github.com/castellan-io/castellan/source/okta"
	"github.com/castellan-io/castellan/source/scim"
)

// open makes the reader of the source's kind. What it names by URL, and nothing else, is where the reader sends the
// secret.
func (o *sourceOpener) open() (source.Source, error) {
	switch o.Kind {
	case provision.LDAP:
		return ldap.New(o.ldap())
	case provision.File:
		options, err := o.file()
		if err != nil {
			return nil, err
		}
		return file.New(options)
	case provision.SCIM:
		return scim.New(o.scim())
	case provision.Okta:
		return okta.New(o.okta())
	case provision.Entra:
		return entra.New(o.entra())
	case provision.Google:
		return google.New(o.google())
	case provision.Keycloak:
		return keycloak.New(o.keycloak())
	}
	return nil, fmt.Errorf("%w: there is no kind %q of sources", source.ErrInvalid, o.Kind)
}

func (o *sourceOpener) ldap() ldap.Options {
	options := ldap.Options{
		URL: o.URL, StartTLS: o.StartTLS, Plaintext: o.Plaintext, RootCAs: o.env.sourceCAs,
		BindDN: o.Bind, Password: o.secret(o.Secret, o.URL), PageSize: o.PageSize,
		ActiveDirectory: o.ActiveDirectory, Base: o.Base, Elsewhere: o.Elsewhere, Key: o.Key,
		People: ldap.People{Base: o.People.Base, Filter: o.People.Filter, Attributes: o.People.Attributes},
		Groups: ldap.Groups{Skip: o.Groups.Skip, Base: o.Groups.Base, Filter: o.Groups.Filter, Names: o.Groups.Names,
			Name: o.Groups.Name, Member: o.Groups.Members, Nested: o.Groups.Nested},
	}
	if e := o.Enabled; e != nil {
		options.Enabled = ldap.Enabled{Attribute: e.Attribute, Bits: int64(e.Bits), Disabled: e.No, Enabled: e.Yes}
	}
	return options
}

func (o *sourceOpener) file() (file.Options, error) {
	options := file.Options{
		URL: o.URL, Secret: o.secret(o.Secret, o.URL), User: o.User, HTTP: o.env.sourceHTTP,
		People: o.PeopleFile, Groups: o.GroupsFile, MaxAge: o.MaxAge.Std(), Key: o.Key, Lists: o.Lists,
	}
	if o.Folder != "" {
		var err error
		if options.Root, options.Folder, err = o.folder(); err != nil {
			return file.Options{}, err
		}
	}
	if e := o.Enabled; e != nil {
		options.Enabled = file.Enabled{Column: e.Column, Disabled: e.No, Enabled: e.Yes}
	}
	for _, separator := range o.Separator {
		options.Separator = separator
	}
	return options, nil
}

func (o *sourceOpener) scim() scim.Options {
	return scim.Options{
		URL: o.URL, Secret: o.secret(o.Secret, o.URL), User: o.User, Filter: o.People.Filter,
		GroupFilter: o.Groups.Filter, NoGroups: o.Groups.Skip, Nested: o.Groups.Nested, PageSize: o.PageSize,
		HTTP: o.env.sourceHTTP,
	}
}

// okta takes the secret for an API token, or for the private key of the client if there is one.
func (o *sourceOpener) okta() okta.Options {
	options := okta.Options{URL: o.URL, ClientID: o.ClientID, KeyID: o.KeyID, Groups: o.Groups.Names, Events: o.Events,
		HTTP: o.env.sourceHTTP}
	if o.ClientID == "" {
		options.Token = o.secret(o.Secret, o.URL)
	} else {
		options.Key = o.secret(o.Secret, o.URL)
	}
	return options
}

func (o *sourceOpener) entra() entra.Options {
	graph, login := cmp.Or(o.URL, entra.DefaultURL), cmp.Or(o.LoginURL, entra.DefaultLoginURL)
	return entra.Options{
		Tenant: o.Tenant, ClientID: o.ClientID, Secret: o.secret(o.Secret, graph, login),
		Certificate: o.secret(o.Certificate, graph, login), URL: graph, LoginURL: login, Filter: o.People.Filter,
		Attributes: o.People.Attributes, Groups: o.Groups.Names, Nested: o.Groups.Nested, HTTP: o.env.sourceHTTP,
	}
}

func (o *sourceOpener) google() google.Options {
	api, token := cmp.Or(o.URL, google.DefaultURL), cmp.Or(o.LoginURL, google.DefaultTokenURL)
	return google.Options{
		Key: o.secret(o.Secret, api, token), Subject: o.Subject, Customer: o.Customer, URL: api, TokenURL: token,
		Query: o.People.Filter, Groups: o.Groups.Names, Nested: o.Groups.Nested, HTTP: o.env.sourceHTTP,
	}
}

func (o *sourceOpener) keycloak() keycloak.Options {
	return keycloak.Options{
		URL: o.URL, Realm: o.Realm, ClientID: o.ClientID, ClientRealm: o.ClientRealm,
		Secret: o.secret(o.Secret, o.URL), Groups: o.Groups.Names, Nested: o.Groups.Nested, HTTP: o.env.sourceHTTP,
	}
}
