package ldap

import (
	"context"
	"strings"
	"testing"

	"github.com/go-ldap/ldap/v3"
	"github.com/stretchr/testify/require"

	"github.com/castellan-io/castellan/source"
)

func TestNewChecksOptions(t *testing.T) {
	tests := map[string]struct {
		change func(o *Options)
		want   string // in the error; empty: none
	}{
		"ldaps":            {func(*Options) {}, ""},
		"a port":           {func(o *Options) { o.URL = "ldaps://dc1.acme.example:3269/" }, ""},
		"StartTLS":         {func(o *Options) { o.URL, o.StartTLS = "ldap://dc1", true }, ""},
		"loopback":         {func(o *Options) { o.URL = "ldap://[::1]:3389" }, ""},
		"allowed in clear": {func(o *Options) { o.URL, o.Plaintext = "ldap://dc1", true }, ""},
		"anonymous":        {func(o *Options) { o.BindDN, o.Password = "", nil }, ""},
		"in the clear":     {func(o *Options) { o.URL = "ldap://dc1" }, "in the clear"},
		"looks like loopback": {func(o *Options) { o.URL = "ldap://localhost.evil.example" },
			"in the clear"},
		"StartTLS over TLS": {func(o *Options) { o.StartTLS = true }, "StartTLS"},
		"another scheme":    {func(o *Options) { o.URL = "https://dc1" }, "ldaps://"},
		"no host":           {func(o *Options) { o.URL = "ldaps://" }, "URL"},
		"a secret in URL":   {func(o *Options) { o.URL = "ldaps://me:hunter2@dc1" }, "nothing else"},
		"a path":            {func(o *Options) { o.URL = "ldaps://dc1/dc=acme" }, "nothing else"},
		"an unreadable URL": {func(o *Options) { o.URL = "ldaps://me:hunter2@%zz" }, "cannot be read"},
		"no base":           {func(o *Options) { o.Base = "" }, "Base"},
		"no DN":             {func(o *Options) { o.Base = "acme" }, "not a DN"},
		"people elsewhere":  {func(o *Options) { o.People.Base = "dc=other" }, "not under"},
		"a broken filter":   {func(o *Options) { o.People.Filter = "(uid=*" }, "not a filter"},
		"a long timeout":    {func(o *Options) { o.Timeout = 2 * maxTimeout }, "Timeout"},
		"a large page":      {func(o *Options) { o.PageSize = maxPage + 1 }, "PageSize"},
		"a negative page":   {func(o *Options) { o.PageSize = -1 }, "PageSize"},
		"no password":       {func(o *Options) { o.Password = nil }, "together"},
		"a secret attribute": {func(o *Options) { o.People.Attributes = []string{"mail", "unicodePwd"} },
			"never read"},
		"all attributes":     {func(o *Options) { o.People.Attributes = []string{"*"} }, "not the name"},
		"a key of passwords": {func(o *Options) { o.Key = "userPassword;x-a" }, "never read"},
		"a range":            {func(o *Options) { o.Key = "member;range=0-1" }, "not the name"},
		"a filter in a key":  {func(o *Options) { o.Key = "a)(b" }, "not the name"},
		"no attribute":       {func(o *Options) { o.Enabled.Disabled = []string{"TRUE"} }, "needs an Attribute"},
		"no value":           {func(o *Options) { o.Enabled.Attribute = "nsAccountLock" }, "either"},
		"no members":         {func(o *Options) { o.Groups.Member = []string{} }, "no attribute"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			o := Options{
				URL: "ldaps://dc1.acme.example", Base: "dc=acme", BindDN: "cn=reader,dc=acme",
				Password: func(context.Context) (string, error) { return "hunter2", nil },
			}
			test.change(&o)
			_, err := New(o)
			if test.want == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorIs(t, err, source.ErrInvalid)
			require.ErrorContains(t, err, test.want)
			require.NotContains(t, err.Error(), "hunter2")
		})
	}
}

func TestEnabledOf(t *testing.T) {
	locked := Enabled{Attribute: "nsAccountLock", Disabled: []string{"true"}, Enabled: []string{"FALSE"}}
	policy := Enabled{Attribute: "pwdAccountLockedTime", Disabled: []string{"000001010000Z"}}
	bits := Enabled{Attribute: "userAccountControl", Bits: accountDisabled}
	yes, no := true, false
	tests := map[string]struct {
		rule   Enabled
		values []string
		want   *bool
		fails  bool
	}{
		"not said":         {Enabled{}, nil, nil, false},
		"no lock":          {locked, nil, &yes, false},
		"a lock":           {locked, []string{"TRUE"}, &no, false},
		"a lock that is 0": {locked, []string{"false"}, &yes, false},
		"another word":     {locked, []string{"maybe"}, nil, true},
		"locked for good":  {policy, []string{"000001010000Z"}, &no, false},
		"wrong passwords":  {policy, []string{"20261129100000Z"}, &yes, false},
		"bit 2":            {bits, []string{"514"}, &no, false},
		"other bits":       {bits, []string{"66048"}, &yes, false},
		"negative":         {bits, []string{"-2147483646"}, &no, false},
		"no bits":          {bits, nil, nil, true},
		"no number":        {bits, []string{"0x202"}, nil, true},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			entry := ldap.NewEntry("uid=p1", map[string][]string{test.rule.Attribute: test.values})
			enabled, err := test.rule.of(entry)
			require.Equal(t, test.fails, err != nil)
			require.Equal(t, test.want, enabled)
		})
	}
}

func TestAttributes(t *testing.T) {
	entry := ldap.NewEntry("uid=p1", map[string][]string{
		"mail": {"b@acme.example", "a@acme.example"}, "cn": {"Ana\nÀ"},
		"userPassword": {"{SSHA}x"}, "krbPrincipalKey": {"x"},
		"jpegPhoto": {"text"}, "badge": {"\xff\xfe"}, "blob": {"a\x00b"}, "mixed": {"text", "\xff"},
		"memberOf":               {"cn=g"},
		"userCertificate;binary": {"x"}, "unicodePwd": {"x"}, "objectGUID": {guidOf(7)}, "cn;lang-de": {"Anna"},
		"msDS-ManagedPasswordId": {"x"}, "badPwdCount": {"3"}, "empty": nil, "sambaNTPassword": {"x"},
	})
	r := &Reader{o: Options{}}
	got, err := r.attributes(entry)
	require.NoError(t, err)
	require.Equal(t, map[string]any{
		"mail": []any{"a@acme.example", "b@acme.example"}, "cn": "Ana\nÀ", "cn;lang-de": "Anna",
	}, got)

	r = &Reader{}
	r.o.People.Attributes = []string{"MEMBEROF", "objectGUID", "cn", "badge"}
	got, err = r.attributes(entry)
	require.NoError(t, err)
	require.Equal(t, map[string]any{
		"memberOf": "cn=g", "objectGUID": "00000000-0000-0000-0000-000000000007", "cn": "Ana\nÀ", "cn;lang-de": "Anna",
	}, got)
}

func TestGUID(t *testing.T) {
	stored := []byte{0x78, 0x56, 0x34, 0x12, 0xbc, 0x9a, 0xf0, 0xde, 0x12, 0x34, 0x56, 0x78, 0x9a, 0xbc, 0xde, 0xf0}
	text, err := guidText(stored)
	require.NoError(t, err)
	require.Equal(t, "12345678-9abc-def0-1234-56789abcdef0", text)
	back, err := guidBytes(strings.ToUpper(text))
	require.NoError(t, err)
	require.Equal(t, stored, back)

	for _, bad := range []string{"", "12345678-9abc-def0-1234-56789abcdef", "12345678-9abc-def0-1234-56789abcdefg",
		"12345678-9abcd-ef0-1234-56789abcdef0", "123456789abcdef0123456789abcdef0"} {
		_, err := guidBytes(bad)
		require.Error(t, err, bad)
	}
	_, err = guidText(stored[:15])
	require.Error(t, err)
}

func TestKeyFilter(t *testing.T) {
	r := &Reader{o: Options{Key: "objectGUID"}}
	filter, err := r.keyFilter("12345678-9abc-def0-1234-56789abcdef0")
	require.NoError(t, err)
	require.Equal(t, `(objectGUID=\78\56\34\12\bc\9a\f0\de\12\34\56\78\9a\bc\de\f0)`, filter)
	r.o.Key = "uid"
	filter, err = r.keyFilter("a*(b)\\")
	require.NoError(t, err)
	require.Equal(t, `(uid=a\2a\28b\29\5c)`, filter)
}

func TestParseRange(t *testing.T) {
	tests := map[string]struct {
		part       valueRange
		ranged, ok bool
	}{
		"member":               {valueRange{}, false, true},
		"member;range=0-1499":  {valueRange{"member", 0, 1499}, true, true},
		"member;Range=1500-*":  {valueRange{"member", 1500, -1}, true, true},
		"member;range=":        {valueRange{}, true, false},
		"member;range=5-2":     {valueRange{}, true, false},
		"member;range=a-*":     {valueRange{}, true, false},
		"member;range=0-1499x": {valueRange{}, true, false},
		"member;range=-1-2":    {valueRange{}, true, false},
	}
	for name, test := range tests {
		part, ranged, ok := parseRange(name)
		require.Equal(t, test.part, part, name)
		require.Equal(t, test.ranged, ranged, name)
		require.Equal(t, test.ok, ok, name)
	}
}

func TestNormalize(t *testing.T) {
	equal := [][]string{
		{"uid=ana,ou=People,dc=acme", "UID=Ana, OU=people ,DC=ACME", "uid=ana,ou=\\50eople,dc=acme"},
		{"cn=Smith\\, Ana,dc=acme", "CN=smith\\2C  ana,dc=acme"},
		{"cn=a+uid=b,dc=acme", "uid=b+cn=a,dc=acme"},
		{"cn=Zoë,dc=acme", "cn=Zo\\C3\\AB,dc=acme", "cn=ZOË,dc=acme"},
		{"cn=a\\+b,dc=acme", "cn=a\\2bb,dc=acme"},
	}
	all := map[string]int{}
	for i, same := range equal {
		for _, dn := range same {
			require.Equal(t, normalize(same[0]), normalize(dn), dn)
		}
		_, known := all[normalize(same[0])]
		require.False(t, known)
		all[normalize(same[0])] = i
	}
	require.NotEqual(t, normalize("no dn"), normalize("No dn"))
	require.True(t, isUnder("uid=a,OU=x,dc=acme", "ou=X, dc=acme"))
	require.False(t, isUnder("uid=a,ou=xx,dc=acme", "ou=x,dc=acme"))
	require.False(t, isUnder("uid=a,dc=notacme", "dc=acme"))
	require.False(t, isUnder("cn=a\\,dc=acme", "dc=acme"))
}

// TestNormalizePlain: the short way leads where the long one does, which an escaped letter forces.
func TestNormalizePlain(t *testing.T) {
	for _, dn := range []string{"uid=Ana,dc=acme", " CN = Ana  de  la  Costa, dc = acme ", "cn=a b,o=c/d&e(f)*'g"} {
		plain, ok := normalizePlain(dn)
		require.True(t, ok, dn)
		escaped := strings.Replace(strings.Replace(dn, "a,", "\\61,", 1), "cn=a", "cn=\\61", 1)
		require.NotEqual(t, dn, escaped)
		require.Equal(t, normalize(escaped), plain)
		require.Equal(t, plain, normalize(plain))
	}
	for _, dn := range []string{"", "ana", "=a", "cn=", "cn=a=b", "cn=a,", "c n=a", "cn=a+b=c", "cn=\\20a", "cn=É",
		"cn=#04"} {
		_, ok := normalizePlain(dn)
		require.False(t, ok, dn)
	}
}

func TestMemberDN(t *testing.T) {
	require.Equal(t, "cn=a,dc=acme", memberDN("cn=a,dc=acme#'0101'B"))
	require.Equal(t, "cn=a,dc=acme", memberDN("cn=a,dc=acme"))
	require.Equal(t, "cn=a#'x'B", memberDN("cn=a#'x'B"))
}
