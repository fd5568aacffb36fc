// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

// Package nameserver asks authoritative name servers, which may be slow, broken or
// hostile.
//
// A Client sends queries without recursion, over UDP and, where an answer is cut, over
// TCP, and transfers whole zones. It believes only what answers the question that was
// asked, with the authoritative bit; each server is asked at a pace of its own. What
// could not be read is an *audit.Unread error; that a name does not exist is an answer.
package nameserver

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/miekg/dns"

	"sigs.k8s.io/steward/internal/audit"
	"sigs.k8s.io/steward/internal/finding"
	"sigs.k8s.io/steward/internal/pace"
	"sigs.k8s.io/steward/internal/zone"
)

// Options of a Client. Zero values mean the defaults.
type Options struct {
	Timeout  time.Duration // of one attempt; 3s
	Attempts int           // of one query; 3
	Backoff  time.Duration // before the second attempt, doubled before each further one; 200ms
	Rate     float64       // queries a second to one server at the most; 200
	Parallel int           // queries at once to one server at the most; 32

	// Bounds of one transfer: records, bytes and time; 1,000,000, 128 MiB and 2m.
	MaxRecords      int
	MaxBytes        int
	TransferTimeout time.Duration
}

const (
	defaultTimeout  = 3 * time.Second
	defaultAttempts = 3
	defaultBackoff  = 200 * time.Millisecond
	defaultRate     = 200
	defaultParallel = 32
	maxRecords      = 1_000_000
	maxBytes        = 128 << 20
	transferTime    = 2 * time.Minute

	// payload is the EDNS size that fits into one packet nearly everywhere (DNS flag day 2020).
	payload = 1232
)

// Client is safe for concurrent use.
type Client struct {
	opts Options

	mu    sync.Mutex
	paces map[string]*pace.Limiter // by address
}

// New returns a client.
func New(opts Options) *Client {
	def := func(n *int, value int) {
		if *n <= 0 {
			*n = value
		}
	}
	def(&opts.Attempts, defaultAttempts)
	def(&opts.Parallel, defaultParallel)
	def(&opts.MaxRecords, maxRecords)
	def(&opts.MaxBytes, maxBytes)
	if opts.Timeout <= 0 {
		opts.Timeout = defaultTimeout
	}
	if opts.Backoff <= 0 {
		opts.Backoff = defaultBackoff
	}
	if opts.TransferTimeout <= 0 {
		opts.TransferTimeout = transferTime
	}
	if opts.Rate <= 0 {
		opts.Rate = defaultRate
	}
	return &Client{opts: opts, paces: map[string]*pace.Limiter{}}
}

func (c *Client) pace(addr string) *pace.Limiter {
	c.mu.Lock()
	defer c.mu.Unlock()
	l := c.paces[addr]
	if l == nil {
		l = pace.New(pace.Options{Rate: c.opts.Rate, Parallel: c.opts.Parallel})
		c.paces[addr] = l
	}
	return l
}

// Query asks a server of a zone about one name and type. CNAMEs are not followed.
func (c *Client) Query(ctx context.Context, s zone.Server, zoneName, name, kind string) (zone.Answer, error) {
	code, ok := dns.StringToType[kind]
	if !ok {
		return zone.Answer{}, fmt.Errorf("query %s: unknown type %q", name, kind)
	}
	query := new(dns.Msg)
	query.SetQuestion(name, code)
	query.RecursionDesired = false
	query.SetEdns0(payload, false)
	var last error
	for attempt := range c.opts.Attempts {
		if attempt > 0 {
			query.Id = dns.Id()
			if err := pace.Sleep(ctx, c.opts.Backoff<<min(attempt-1, 8)); err != nil {
				return zone.Answer{}, err
			}
		}
		answer, err := c.attempt(ctx, s, query)
		if err == nil {
			return judge(answer, zoneName, query.Question[0])
		}
		if ctx.Err() != nil {
			return zone.Answer{}, ctx.Err()
		}
		last = err
		if reasonOf(err) == finding.Denied { // another attempt would only repeat it
			break
		}
	}
	return zone.Answer{}, last
}

// reasonOf is why something could not be read; "" where the error does not say.
func reasonOf(err error) finding.Reason {
	var unread *audit.Unread
	if errors.As(err, &unread) {
		return unread.Reason
	}
	return ""
}

// attempt sends a query once: over UDP, then over TCP if the answer is cut, and without
// EDNS if the server does not know it (RFC 6891 6.2.2).
func (c *Client) attempt(ctx context.Context, s zone.Server, query *dns.Msg) (*dns.Msg, error) {
	answer, err := c.exchange(ctx, "udp", s, query)
	if err == nil && answer.Rcode == dns.RcodeFormatError && query.IsEdns0() != nil {
		query.Extra = nil
		answer, err = c.exchange(ctx, "udp", s, query)
	}
	if err == nil && answer.Truncated {
		answer, err = c.exchange(ctx, "tcp", s, query)
		if err == nil && answer.Truncated {
			return nil, audit.Fail(finding.Malformed, "%s cuts its answer over TCP too", s)
		}
	}
	if err != nil {
		return nil, err
	}
	switch answer.Rcode {
	case dns.RcodeSuccess, dns.RcodeNameError:
		return answer, nil
	case dns.RcodeRefused, dns.RcodeNotAuth:
		return nil, audit.Fail(finding.Denied, "%s answers %s", s, rcode(answer))
	}
	return nil, audit.Fail(finding.Unavailable, "%s answers %s", s, rcode(answer))
}

func rcode(m *dns.Msg) string {
	if text, ok := dns.RcodeToString[m.Rcode]; ok {
		return text
	}
	return fmt.Sprintf("code %d", m.Rcode)
}

// exchange sends one message and receives the answer to it.
func (c *Client) exchange(ctx context.Context, network string, s zone.Server, query *dns.Msg) (*dns.Msg, error) {
	p := c.pace(s.Addr)
	if err := p.Acquire(ctx); err != nil {
		return nil, err
	}
	defer p.Release()
	ctx, cancel := context.WithTimeout(ctx, c.opts.Timeout)
	defer cancel()
	conn, err := dial(ctx, network, s)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	// The deadline of the context covers writing and reading; its end closes the socket.
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	client := dns.Client{Net: network, Timeout: c.opts.Timeout}
	answer, _, err := client.ExchangeWithConnContext(ctx, query, conn)
	if err != nil {
		err = networkError(ctx, s, err)
		if reasonOf(err) == finding.TimedOut {
			p.PushedBack(0) // silence is how servers limit a rate
		}
		return nil, err
	}
	if !answer.Response || answer.Opcode != dns.OpcodeQuery {
		return nil, audit.Fail(finding.Malformed, "%s answers with what is no answer", s)
	}
	// Errors may leave the question out.
	errorOnly := len(answer.Question) == 0 && answer.Rcode != dns.RcodeSuccess && answer.Rcode != dns.RcodeNameError
	if !errorOnly && !echoes(answer, query.Question[0]) {
		return nil, audit.Fail(finding.Malformed, "%s answers another question than was asked", s)
	}
	p.OK()
	return answer, nil
}

func dial(ctx context.Context, network string, s zone.Server) (*dns.Conn, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, network, s.Addr)
	if err != nil {
		return nil, networkError(ctx, s, err)
	}
	return &dns.Conn{Conn: conn, UDPSize: payload}, nil
}

func echoes(answer *dns.Msg, q dns.Question) bool {
	return len(answer.Question) == 1 && answer.Question[0].Qtype == q.Qtype && answer.Question[0].Qclass == q.Qclass &&
		strings.EqualFold(answer.Question[0].Name, q.Name)
}

// networkError says why there was no answer.
func networkError(ctx context.Context, s zone.Server, err error) error {
	var network net.Error
	var malformed *dns.Error
	switch {
	case ctx.Err() != nil, errors.As(err, &network) && network.Timeout():
		return audit.Fail(finding.TimedOut, "%s does not answer in time", s)
	case errors.As(err, &malformed):
		return audit.Fail(finding.Malformed, "%s: %w", s, err)
	}
	return audit.Fail(finding.Unavailable, "%s: %w", s, err)
}

// judge makes an Answer of a message that answers the question.
func judge(m *dns.Msg, zoneName string, q dns.Question) (zone.Answer, error) {
	name := strings.ToLower(q.Name)
	at := slices.DeleteFunc(slices.Clone(m.Answer), func(rr dns.RR) bool {
		return !strings.EqualFold(rr.Header().Name, name) || rr.Header().Class != dns.ClassINET ||
			rr.Header().Rrtype != q.Qtype && rr.Header().Rrtype != dns.TypeCNAME
	})
	if !m.Authoritative {
		return referral(m, zoneName, name)
	}
	if len(at) > 0 {
		return found(at, q.Qtype)
	}
	switch {
	case len(m.Answer) > 0:
		return zone.Answer{}, audit.Fail(finding.Malformed, "the answer speaks of other names than %s", name)
	case !ofZone(m, zoneName):
		return zone.Answer{Kind: zone.Lame}, nil // it serves a zone above
	case m.Rcode == dns.RcodeNameError:
		return zone.Answer{Kind: zone.NoName}, nil
	}
	return zone.Answer{Kind: zone.NoData}, nil
}

func found(rrs []dns.RR, kind uint16) (zone.Answer, error) {
	// A CNAME stands alone; a server that shows both is taken by what was asked.
	if slices.ContainsFunc(rrs, func(rr dns.RR) bool { return rr.Header().Rrtype == kind }) {
		rrs = slices.DeleteFunc(rrs, func(rr dns.RR) bool { return rr.Header().Rrtype != kind })
	}
	sets, err := zone.FromWire(rrs)
	if err != nil {
		return zone.Answer{}, audit.Fail(finding.Malformed, "%w", err)
	}
	answer := zone.Answer{Kind: zone.Data, Set: sets[0]}
	if soa, ok := rrs[0].(*dns.SOA); ok {
		answer.Serial = soa.Serial
	}
	return answer, nil
}

// referral reads an answer without the authoritative bit: either the zone delegates the
// name or one above it, or the server has nothing to say about the zone.
func referral(m *dns.Msg, zoneName, name string) (zone.Answer, error) {
	var cut []dns.RR
	for _, rr := range m.Ns {
		owner := strings.ToLower(rr.Header().Name)
		if rr.Header().Rrtype == dns.TypeNS && owner != zoneName && dns.IsSubDomain(zoneName, owner) && dns.IsSubDomain(owner, name) {
			cut = append(cut, rr)
		}
	}
	if len(cut) == 0 || m.Rcode != dns.RcodeSuccess || len(m.Answer) > 0 {
		return zone.Answer{Kind: zone.Lame}, nil
	}
	answer, err := found(cut, dns.TypeNS)
	answer.Kind = zone.Referral
	return answer, err
}

// ofZone tells whether an empty answer comes from the zone or one below it, by the SOA
// that RFC 2308 puts there. An answer without any is believed.
func ofZone(m *dns.Msg, zoneName string) bool {
	for _, rr := range m.Ns {
		if rr.Header().Rrtype == dns.TypeSOA {
			return dns.IsSubDomain(zoneName, strings.ToLower(rr.Header().Name))
		}
	}
	return true
}
