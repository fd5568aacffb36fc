// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package nameserver

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"syscall"
	"time"

	"github.com/miekg/dns"

	"sigs.k8s.io/steward/internal/audit"
	"sigs.k8s.io/steward/internal/finding"
	"sigs.k8s.io/steward/internal/zone"
)

// Transfer reads a whole zone by AXFR. The sets do not include the SOA. A server that
// does not give the zone is Denied, also one that twice ends the connection without a
// word, as some refuse. A zone that does not end, or ends otherwise than it began, is an
// error, never half a zone.
func (c *Client) Transfer(ctx context.Context, s zone.Server, zoneName string) (serial uint32, sets []zone.RRset, err error) {
	var t *transfer
	for range 2 {
		t = &transfer{zone: zoneName, maxRecords: c.opts.MaxRecords, maxBytes: c.opts.MaxBytes}
		if err = c.transfer(ctx, s, t); err == nil || ctx.Err() != nil || t.refused {
			break
		}
	}
	switch {
	case ctx.Err() != nil:
		return 0, nil, ctx.Err()
	case err != nil:
		return 0, nil, fmt.Errorf("transfer %s: %w", zoneName, err)
	}
	sets, err = zone.FromWire(t.rrs)
	if err != nil {
		return 0, nil, audit.Fail(finding.Malformed, "transfer %s from %s: %w", zoneName, s, err)
	}
	return t.soa.Serial, sets, nil
}

// transfer is one attempt.
func (c *Client) transfer(ctx context.Context, s zone.Server, t *transfer) error {
	p := c.pace(s.Addr)
	if err := p.Acquire(ctx); err != nil {
		return err
	}
	defer p.Release()
	ctx, cancel := context.WithTimeout(ctx, c.opts.TransferTimeout)
	defer cancel()
	conn, err := c.dialTransfer(ctx, s)
	if err != nil {
		return err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	query := new(dns.Msg)
	query.SetAxfr(t.zone)
	query.RecursionDesired = false
	t.id = query.Id
	err = conn.SetDeadline(time.Now().Add(c.opts.Timeout))
	if err == nil {
		err = conn.WriteMsg(query)
	}
	for err == nil && !t.done {
		// Each message has the time of one query, all of them that of a transfer.
		if err = conn.SetDeadline(time.Now().Add(c.opts.Timeout)); err == nil {
			err = t.next(conn)
		}
	}
	var unread *audit.Unread
	switch {
	case err == nil:
		return nil
	case errors.As(err, &unread):
		return audit.Fail(unread.Reason, "%s: %w", s, unread.Err)
	case ended(err) && t.messages == 0:
		return audit.Fail(finding.Denied, "%s ends the connection when it is asked for a zone", s)
	case ended(err):
		return audit.Fail(finding.Unavailable, "%s ends the connection after %d records", s, t.records)
	}
	return networkError(ctx, s, err)
}

// ended tells that the other side closed or reset the connection.
func ended(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET)
}

// dialTransfer connects within the time of one attempt, so that a server without TCP
// does not cost that of a whole transfer.
func (c *Client) dialTransfer(ctx context.Context, s zone.Server) (*dns.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, c.opts.Timeout)
	defer cancel()
	return dial(ctx, "tcp", s)
}

// transfer is the state of one AXFR (RFC 5936): an SOA, everything else, the SOA again.
type transfer struct {
	id                   uint16
	zone                 string
	maxRecords, maxBytes int

	messages, bytes, records int
	soa                      *dns.SOA
	rrs                      []dns.RR
	done                     bool
	refused                  bool // in words
}

// next reads one message.
func (t *transfer) next(conn *dns.Conn) error {
	raw, err := conn.ReadMsgHeader(nil)
	if err != nil {
		return err
	}
	if t.bytes += len(raw); t.bytes > t.maxBytes {
		return audit.Fail(finding.TooLarge, "the zone has more than %d bytes", t.maxBytes)
	}
	m := new(dns.Msg)
	if err := m.Unpack(raw); err != nil {
		return audit.Fail(finding.Malformed, "message %d: %w", t.messages+1, err)
	}
	t.messages++
	switch {
	case m.Id != t.id || !m.Response || m.Opcode != dns.OpcodeQuery || m.Truncated:
		return audit.Fail(finding.Malformed, "message %d does not belong to the transfer", t.messages)
	case m.Rcode == dns.RcodeRefused || m.Rcode == dns.RcodeNotAuth || m.Rcode == dns.RcodeNotImplemented || m.Rcode == dns.RcodeFormatError:
		t.refused = true
		return audit.Fail(finding.Denied, "the answer is %s", rcode(m))
	case m.Rcode != dns.RcodeSuccess:
		return audit.Fail(finding.Unavailable, "the answer is %s", rcode(m))
	case len(m.Question) > 1 || len(m.Question) == 1 && !echoes(m, dns.Question{Name: t.zone, Qtype: dns.TypeAXFR, Qclass: dns.ClassINET}):
		return audit.Fail(finding.Malformed, "message %d answers another question", t.messages)
	case len(m.Answer) == 0 && t.messages == 1:
		t.refused = true
		return audit.Fail(finding.Denied, "the answer holds no records") // as some refuse
	case len(m.Answer) == 0:
		return audit.Fail(finding.Malformed, "message %d holds nothing", t.messages) // could go on for ever
	}
	for _, rr := range m.Answer {
		if err := t.record(rr); err != nil {
			return err
		}
	}
	return nil
}

// record takes one record.
func (t *transfer) record(rr dns.RR) error {
	owner := strings.ToLower(rr.Header().Name)
	soa, isSOA := rr.(*dns.SOA)
	switch {
	case t.done:
		return audit.Fail(finding.Malformed, "records follow the end of the zone")
	case isSOA && owner != t.zone:
		return audit.Fail(finding.Malformed, "an SOA of another zone is in it")
	case t.soa == nil && !isSOA:
		return audit.Fail(finding.Malformed, "the zone does not begin with its SOA")
	case t.soa == nil:
		t.soa = soa
		return nil
	case isSOA && soa.Serial != t.soa.Serial:
		return audit.Fail(finding.Malformed, "the zone changed from serial %d to %d under the transfer", t.soa.Serial, soa.Serial)
	case isSOA:
		t.done = true
		return nil
	case !dns.IsSubDomain(t.zone, owner):
		return audit.Fail(finding.Malformed, "a record of another zone is in it")
	}
	if t.records++; t.records > t.maxRecords {
		return audit.Fail(finding.TooLarge, "the zone has more than %d records", t.maxRecords)
	}
	t.rrs = append(t.rrs, rr)
	return nil
}
