// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package zone

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/miekg/dns"
)

// Record data are text: the fields in the order of the wire, names in lower case with
// their final dot, addresses compressed, hexadecimal digits in lower case, the strings
// of a TXT joined into one. What is not printable ASCII is \DDD, so that such a text
// may be shown anywhere, and a backslash is doubled, so that two texts are the same if
// and only if the data are.

// maxText is what fits into one record with its lengths.
const maxText = 65_000

// escape shows bytes; in quotes a quote needs a backslash too.
func escape(s string, inQuotes bool) string {
	if !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r > '~' || r == '\\' || r == '"' }) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '\\' || c == '"' && inQuotes:
			b.WriteByte('\\')
			b.WriteByte(c)
		case c < ' ' || c > '~':
			fmt.Fprintf(&b, `\%03d`, c)
		default:
			b.WriteByte(c)
		}
	}
	return b.String()
}

func quote(s string) string { return `"` + escape(s, true) + `"` }

// unescape is the inverse, and also takes a backslash before any character.
func unescape(s string) (string, error) {
	if !strings.Contains(s, `\`) {
		return s, nil
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' {
			b.WriteByte(s[i])
			continue
		}
		if i++; i == len(s) {
			return "", errors.New("the text ends with a backslash")
		}
		if i+2 < len(s) && strings.Trim(s[i:i+3], "0123456789") == "" {
			if code, err := strconv.ParseUint(s[i:i+3], 10, 8); err == nil {
				b.WriteByte(byte(code))
				i += 2
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String(), nil
}

// data is the canonical text of a record from the wire.
func data(rr dns.RR) (string, error) {
	name := func(s string) string { return strings.ToLower(dns.Fqdn(s)) }
	switch rr := rr.(type) {
	case *dns.A:
		return ip(rr.A)
	case *dns.AAAA:
		return ip(rr.AAAA)
	case *dns.TXT:
		return joined(rr.Txt)
	case *dns.SPF:
		return joined(rr.Txt)
	case *dns.CNAME:
		return name(rr.Target), nil
	case *dns.DNAME:
		return name(rr.Target), nil
	case *dns.NS:
		return name(rr.Ns), nil
	case *dns.PTR:
		return name(rr.Ptr), nil
	case *dns.MX:
		return fmt.Sprintf("%d %s", rr.Preference, name(rr.Mx)), nil
	case *dns.SRV:
		return fmt.Sprintf("%d %d %d %s", rr.Priority, rr.Weight, rr.Port, name(rr.Target)), nil
	case *dns.CAA: // its value is the one text that the library does not escape
		tag, err := unescape(strings.ToLower(rr.Tag))
		tag = strings.ReplaceAll(escape(tag, true), " ", `\032`)
		return fmt.Sprintf("%d %s %s", rr.Flag, tag, quote(rr.Value)), err
	case *dns.NAPTR:
		texts, err := requoted(rr.Flags, rr.Service, rr.Regexp)
		return fmt.Sprintf("%d %d %s %s", rr.Order, rr.Preference, texts, name(rr.Replacement)), err
	case *dns.DS:
		return fmt.Sprintf("%d %d %d %s", rr.KeyTag, rr.Algorithm, rr.DigestType, strings.ToLower(rr.Digest)), nil
	case *dns.SSHFP:
		return fmt.Sprintf("%d %d %s", rr.Algorithm, rr.Type, strings.ToLower(rr.FingerPrint)), nil
	case *dns.TLSA:
		return fmt.Sprintf("%d %d %d %s", rr.Usage, rr.Selector, rr.MatchingType, strings.ToLower(rr.Certificate)), nil
	case *dns.RFC3597: // a type that the library does not know
		return fmt.Sprintf(`\# %d %s`, len(rr.Rdata)/2, strings.ToLower(rr.Rdata)), nil
	}
	return printable(strings.TrimPrefix(rr.String(), rr.Header().String())), nil
}

// ip shows an address; none stands where the data were empty.
func ip(b []byte) (string, error) {
	addr, ok := netip.AddrFromSlice(b)
	if !ok {
		return "", errors.New("no address")
	}
	return addr.String(), nil
}

// joined is the content of a TXT; the library gives its strings escaped.
func joined(chunks []string) (string, error) {
	content, err := unescape(strings.Join(chunks, ""))
	return escape(content, false), err
}

func requoted(texts ...string) (string, error) {
	for i, t := range texts {
		raw, err := unescape(t)
		if err != nil {
			return "", err
		}
		texts[i] = quote(raw)
	}
	return strings.Join(texts, " "), nil
}

// printable keeps a text of the library to one line of ASCII.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, s)
}

// FromWire brings records into canonical form, sorted by name and type. Where the TTLs
// of a set differ, which RFC 2181 5.2 forbids, the lowest counts. Records of another
// class than IN and OPT pseudo records are left out.
func FromWire(rrs []dns.RR) ([]RRset, error) {
	at := map[Key]int{}
	var sets []RRset
	for _, rr := range rrs {
		h := rr.Header()
		if h.Class != dns.ClassINET || h.Rrtype == dns.TypeOPT {
			continue
		}
		value, err := data(rr)
		if err != nil {
			return nil, fmt.Errorf("record %s: %w", printable(h.String()), err)
		}
		key := Key{printable(strings.ToLower(dns.Fqdn(h.Name))), dns.Type(h.Rrtype).String()}
		i, ok := at[key]
		if !ok {
			i = len(sets)
			at[key] = i
			sets = append(sets, RRset{key.Name, key.Type, h.Ttl, nil})
		}
		sets[i].TTL = min(sets[i].TTL, h.Ttl)
		sets[i].Values = append(sets[i].Values, value)
	}
	for i := range sets {
		slices.Sort(sets[i].Values)
		sets[i].Values = slices.Compact(sets[i].Values)
	}
	slices.SortFunc(sets, func(a, b RRset) int { return compareKeys(a.Key(), b.Key()) })
	return sets, nil
}

// Wire is the inverse of FromWire. An ALIAS has no form on the wire and is an error.
func (r RRset) Wire() ([]dns.RR, error) {
	kind, ok := dns.StringToType[r.Type]
	if !ok {
		return nil, fmt.Errorf("type %s has no form on the wire", r.Type)
	}
	var rrs []dns.RR
	for _, value := range r.Values {
		rr, err := wire(dns.RR_Header{Name: r.Name, Rrtype: kind, Class: dns.ClassINET, Ttl: r.TTL}, value)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", r.Key(), err)
		}
		rrs = append(rrs, rr)
	}
	return rrs, nil
}

func wire(h dns.RR_Header, value string) (dns.RR, error) {
	switch h.Rrtype {
	case dns.TypeTXT, dns.TypeSPF:
		content, err := unescape(value)
		if err != nil {
			return nil, err
		}
		txt := dns.TXT{Hdr: h, Txt: chunks(content)}
		if h.Rrtype == dns.TypeSPF {
			return &dns.SPF{Hdr: h, Txt: txt.Txt}, nil
		}
		return &txt, nil
	case dns.TypeCAA: // its parser leaves escapes in the text, and its packer takes them out
		parts := strings.SplitN(value, " ", 3)
		if len(parts) != 3 || len(parts[2]) < 2 {
			return nil, errors.New("CAA needs flags, a tag and a text in quotes")
		}
		flags, err := strconv.ParseUint(parts[0], 10, 8)
		if err != nil {
			return nil, fmt.Errorf("flags: %w", err)
		}
		raw := parts[2][1 : len(parts[2])-1]
		return &dns.CAA{Hdr: h, Flag: uint8(flags), Tag: parts[1], Value: raw}, nil
	}
	rr, err := dns.NewRR(h.String() + value)
	if err == nil && rr == nil {
		err = errors.New("no record data")
	}
	return rr, err
}

// chunks cuts a text into strings of at most 255 bytes, escaped as the library wants.
func chunks(content string) []string {
	out := []string{}
	for len(content) > 255 {
		out, content = append(out, escape(content[:255], true)), content[255:]
	}
	return append(out, escape(content, true))
}
