package ldap

import (
	"slices"
	"strconv"
	"strings"

	ber "github.com/go-asn1-ber/asn1-ber"
	"github.com/go-ldap/ldap/v3"
)

// matches reports whether a filter matches an entry. Values are compared whatever the case; what is no such filter as
// this server knows matches nothing.
func (e entry) matches(filter *ber.Packet) bool {
	children := filter.Children
	switch {
	case filter.Tag == ldap.FilterAnd:
		return !slices.ContainsFunc(children, func(each *ber.Packet) bool { return !e.matches(each) })
	case filter.Tag == ldap.FilterOr:
		return slices.ContainsFunc(children, e.matches)
	case filter.Tag == ldap.FilterNot && len(children) == 1:
		return !e.matches(children[0])
	case filter.Tag == ldap.FilterPresent:
		return len(e.attributes[strings.ToLower(filter.Data.String())]) > 0
	case filter.Tag == ldap.FilterEqualityMatch && len(children) == 2:
		want := children[1].Data.String()
		return slices.ContainsFunc(e.attributes[strings.ToLower(children[0].Data.String())],
			func(value string) bool { return strings.EqualFold(value, want) })
	}
	return false
}

// packet is what is shown of an entry to who asks for these attributes; for none, or for *: all that is not
// operational. Of an attribute with more than most values (0: any number) a range is shown.
func (e entry) packet(names []string, most int) *ber.Packet {
	packet := ber.Encode(ber.ClassApplication, ber.TypeConstructed, ldap.ApplicationSearchResultEntry, nil, "")
	packet.AppendChild(octets(e.dn))
	attributes := ber.NewSequence("")
	for name, values := range e.attributes {
		if len(values) == 0 {
			continue
		}
		all := (len(names) == 0 || slices.Contains(names, "*")) && !slices.Contains(operational, name)
		if all || slices.Contains(names, name) {
			if most == 0 || len(values) <= most {
				attributes.AppendChild(attribute(name, values))
			} else {
				attributes.AppendChild(attribute(name, nil))
				attributes.AppendChild(rangeOf(name, values, 0, most))
			}
		}
		for _, asked := range names {
			if from, ranged := strings.CutPrefix(asked, name+rangeOption); ranged && most > 0 {
				first, _, _ := strings.Cut(from, "-")
				if at, err := strconv.Atoi(first); err == nil && at < len(values) {
					attributes.AppendChild(rangeOf(name, values, at, most))
				}
			}
		}
	}
	packet.AppendChild(attributes)
	return packet
}

const rangeOption = ";range="

// rangeOf is a range of an attribute's values, at most so many from the first one on. A star says that they are the
// last ones.
func rangeOf(name string, values []string, first, most int) *ber.Packet {
	last := "*"
	if first+most < len(values) {
		last = strconv.Itoa(first + most - 1)
	}
	return attribute(name+rangeOption+strconv.Itoa(first)+"-"+last, values[first:min(first+most, len(values))])
}

func attribute(name string, values []string) *ber.Packet {
	packet, set := ber.NewSequence(""), ber.Encode(ber.ClassUniversal, ber.TypeConstructed, ber.TagSet, nil, "")
	for _, value := range values {
		set.AppendChild(octets(value))
	}
	packet.AppendChild(octets(name))
	packet.AppendChild(set)
	return packet
}

func octets(value string) *ber.Packet {
	return ber.NewString(ber.ClassUniversal, ber.TypePrimitive, ber.TagOctetString, value, "")
}

func result(tag ber.Tag, code int64) *ber.Packet {
	packet := ber.Encode(ber.ClassApplication, ber.TypeConstructed, tag, nil, "")
	packet.AppendChild(ber.NewInteger(ber.ClassUniversal, ber.TypePrimitive, ber.TagEnumerated, code, ""))
	packet.AppendChild(octets(""))
	packet.AppendChild(octets(""))
	return packet
}

// send answers the message. If that fails, the flush that follows does too.
func (c *session) send(response *ber.Packet, controls ...ldap.Control) {
	message := ber.NewSequence("")
	message.AppendChild(ber.NewInteger(ber.ClassUniversal, ber.TypePrimitive, ber.TagInteger, c.id, ""))
	message.AppendChild(response)
	if len(controls) > 0 {
		list := ber.Encode(ber.ClassContext, ber.TypeConstructed, 0, nil, "")
		for _, control := range controls {
			list.AppendChild(control.Encode())
		}
		message.AppendChild(list)
	}
	_, _ = c.out.Write(message.Bytes())
}
