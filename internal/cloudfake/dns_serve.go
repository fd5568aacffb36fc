// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package cloudfake

import (
	"encoding/binary"
	"net/http"
	"strings"

	"github.com/miekg/dns"

	"sigs.k8s.io/steward/internal/fault"
)

// serve answers one message. The fault engine knows it as QUERY or AXFR and the path
// /SERVER/ZONE/NAME/TYPE.
func (n *NameServer) serve(c *client, raw []byte) {
	query := new(dns.Msg)
	if err := query.Unpack(raw); err != nil || len(query.Question) != 1 || query.Response {
		if len(raw) >= 2 { // enough of it to say that it was not understood
			m := &dns.Msg{MsgHdr: dns.MsgHdr{Id: binary.BigEndian.Uint16(raw), Response: true, Rcode: dns.RcodeFormatError}}
			n.pack(c, m)
		}
		return
	}
	q := query.Question[0]
	method := "QUERY"
	if q.Qtype == dns.TypeAXFR {
		method = "AXFR"
	}
	rule := n.dns.owner.Faults.Meet(method, n.path(q))
	n.mu.Lock()
	hostile := n.hostile
	n.mu.Unlock()
	if n.faulty(c, query, rule) || n.attack(c, query, hostile) {
		return
	}
	if q.Qtype == dns.TypeAXFR {
		n.sendZone(c, query, rule)
		return
	}
	n.mu.Lock()
	r := n.answer(q)
	n.mu.Unlock()
	n.finish(c, query, r, rule)
}

func (n *NameServer) path(q dns.Question) string {
	n.mu.Lock()
	defer n.mu.Unlock()
	at := "-"
	if z := n.zoneOf(strings.ToLower(q.Name), q.Qtype); z != nil {
		at = z.name
	}
	return "/" + n.name + "/" + at + "/" + strings.ToLower(q.Name) + "/" + dns.Type(q.Qtype).String()
}

// faulty does what a rule says before there is an answer; true means that is all.
func (n *NameServer) faulty(c *client, query *dns.Msg, rule *fault.Rule) bool {
	if rule == nil {
		return false
	}
	switch rule.Action {
	case "delay":
		c.wait(rule.Millis)
		return false
	case "truncate":
		return false // it is the answer that is cut
	case "hang":
	case "reset":
		c.reset(query.Id)
	default: // status, rate-limit, secondary
		n.mu.Lock()
		r := n.refusal(query.Question[0], rule)
		n.mu.Unlock()
		n.finish(c, query, r, nil)
	}
	return true
}

// refusal is an HTTP status in the words of DNS. 404 is the lie that a name does not
// exist.
func (n *NameServer) refusal(q dns.Question, rule *fault.Rule) reply {
	switch status := rule.Status; {
	case status == http.StatusNotFound:
		r := reply{rcode: dns.RcodeNameError, aa: true}
		if z := n.zoneOf(strings.ToLower(q.Name), q.Qtype); z != nil {
			r.authority = []dns.RR{n.soa(z)}
		}
		return r
	case status == http.StatusNotImplemented:
		return reply{rcode: dns.RcodeNotImplemented}
	case status == http.StatusBadRequest:
		return reply{rcode: dns.RcodeFormatError}
	case status >= 500:
		return reply{rcode: dns.RcodeServerFailure}
	}
	return reply{rcode: dns.RcodeRefused}
}

// finish sends an answer as large as the client takes it.
func (n *NameServer) finish(c *client, query *dns.Msg, r reply, rule *fault.Rule) {
	m := new(dns.Msg)
	m.SetRcode(query, r.rcode)
	m.Authoritative, m.Answer, m.Ns = r.aa, r.answer, r.authority
	m.Compress = true
	size := dns.MaxMsgSize
	if !c.tcp() {
		size = dns.MinMsgSize
	}
	if opt := query.IsEdns0(); opt != nil {
		m.SetEdns0(opt.UDPSize(), false)
		if !c.tcp() {
			size = int(max(opt.UDPSize(), dns.MinMsgSize))
		}
	}
	cut := rule != nil && rule.Action == "truncate"
	switch {
	case cut && c.tcp():
		if raw, err := m.Pack(); err == nil {
			c.cut(raw)
		}
		return
	case cut:
		m.Answer, m.Ns, m.Truncated = nil, nil, true
	default:
		m.Truncate(size)
	}
	n.pack(c, m)
}

func (n *NameServer) pack(c *client, m *dns.Msg) {
	raw, err := m.Pack()
	if err != nil {
		raw, err = (&dns.Msg{MsgHdr: dns.MsgHdr{Id: m.Id, Response: true, Rcode: dns.RcodeServerFailure}}).Pack()
	}
	if err == nil {
		c.send(raw)
	}
}

// perMessage is how many records of a zone go into one message.
const perMessage = 50

// sendZone answers AXFR, cut in its middle where the rule says so.
func (n *NameServer) sendZone(c *client, query *dns.Msg, rule *fault.Rule) {
	n.mu.Lock()
	z := n.zones[strings.ToLower(query.Question[0].Name)]
	if z == nil || !n.transfer || !c.tcp() {
		n.mu.Unlock()
		n.finish(c, query, reply{rcode: dns.RcodeRefused}, nil)
		return
	}
	soa := n.soa(z)
	rrs := append([]dns.RR{soa}, n.whole(z)...)
	n.mu.Unlock()
	rrs = append(rrs, soa)
	if rule != nil && rule.Action == "truncate" {
		rrs = rrs[:(len(rrs)+1)/2]
		defer func() { _ = c.conn.Close(); c.gone = true }()
	}
	for first := true; len(rrs) > 0 && !c.gone; first = false {
		m := new(dns.Msg)
		m.SetReply(query)
		m.Authoritative, m.Compress = true, true
		if !first {
			m.Question = nil
		}
		count := min(perMessage, len(rrs))
		m.Answer, rrs = rrs[:count], rrs[count:]
		n.pack(c, m)
	}
}

// attack answers as a hostile server does.
func (n *NameServer) attack(c *client, query *dns.Msg, how string) bool {
	q := query.Question[0]
	m := new(dns.Msg)
	m.SetReply(query)
	m.Authoritative = true
	h := dns.RR_Header{Name: q.Name, Rrtype: dns.TypeTXT, Class: dns.ClassINET, Ttl: 300}
	switch how {
	case WrongID:
		m.Id++
		m.Answer = []dns.RR{&dns.TXT{Hdr: h, Txt: []string{"lie"}}}
	case WrongQuestion:
		m.Question[0].Name = "other." + q.Name
		m.Answer = []dns.RR{&dns.TXT{Hdr: h, Txt: []string{"lie"}}}
	case Loop:
		raw := binary.BigEndian.AppendUint16(nil, query.Id)
		raw = append(raw, 0x84, 0, 0, 1, 0, 1, 0, 0, 0, 0, 0xc0, 12, 0, 16, 0, 1) // its question's name is at itself
		c.send(append(raw, 0xc0, 12, 0, 16, 0, 1, 0, 0, 1, 44, 0, 2, 1, 'x'))
		return true
	case Giant:
		return n.giant(c, query, m, h)
	case EndlessTransfer, ForeignTransfer:
		if q.Qtype == dns.TypeAXFR && c.tcp() {
			n.attackTransfer(c, query, how)
			return true
		}
		return false
	default:
		return false
	}
	n.pack(c, m)
	return true
}

// giant says the largest thing that fits into a message.
func (n *NameServer) giant(c *client, query, m *dns.Msg, h dns.RR_Header) bool {
	if query.Question[0].Qtype != dns.TypeTXT {
		return false
	}
	if !c.tcp() {
		m.Truncated = true
		n.pack(c, m)
		return true
	}
	txt := &dns.TXT{Hdr: h}
	for range 240 {
		txt.Txt = append(txt.Txt, strings.Repeat("x", 255))
	}
	m.Answer = []dns.RR{txt}
	n.pack(c, m)
	return true
}

// attackTransfer sends a zone that has no end, or what is in no zone of the kind.
func (n *NameServer) attackTransfer(c *client, query *dns.Msg, how string) {
	zoneName := query.Question[0].Name
	name := "a." + zoneName
	if how == ForeignTransfer {
		name = "victim.example."
	}
	soa := n.soa(&served{name: zoneName, serial: 1})
	rr := &dns.A{Hdr: dns.RR_Header{Name: name, Rrtype: dns.TypeA, Class: dns.ClassINET, Ttl: 300}, A: []byte{192, 0, 2, 1}}
	m := new(dns.Msg)
	m.SetReply(query)
	m.Authoritative, m.Compress = true, true
	m.Answer = []dns.RR{soa}
	for range perMessage {
		m.Answer = append(m.Answer, rr)
	}
	for !c.gone && c.sockets.ctx.Err() == nil {
		n.pack(c, m)
		m.Answer[0] = rr
	}
}
