// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package nameserver

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/miekg/dns"

	"sigs.k8s.io/steward/internal/cloudfake"
	"sigs.k8s.io/steward/internal/fault"
	"sigs.k8s.io/steward/internal/finding"
	"sigs.k8s.io/steward/internal/zone"
)

const zoneFile = `
'':
- {type: A, value: 192.0.2.1}
- {type: TXT, values: [hello, "v=spf1 -all"]}
www: {type: CNAME, value: x.docs.a.io.}
'*.docs': {type: CNAME, value: b.io.}
x.docs: {type: A, value: 192.0.2.2}
child: {type: NS, values: [ns1.b.io., ns2.b.io.]}
ns1: {type: A, values: [127.0.0.1, 127.0.0.2]}
big: {type: TXT, values: [LONG1, LONG2, LONG3, LONG4, LONG5, LONG6, LONG7, LONG8]}
`

func zones(t testing.TB) *zone.Config {
	t.Helper()
	text := zoneFile
	for i := range 9 {
		text = strings.ReplaceAll(text, fmt.Sprintf("LONG%d", i), fmt.Sprintf("%d%s", i, strings.Repeat("x", 220)))
	}
	c, problems, err := zone.Load(fstest.MapFS{
		"c.yaml": {Data: []byte("providers: {config: {class: octodns.provider.yaml.YamlProvider, directory: .}}\n" +
			"zones: {a.io.: {sources: [config]}, child.a.io.: {sources: [config]}}\n")},
		"a.io.yaml":       {Data: []byte(text)},
		"child.a.io.yaml": {Data: []byte("x: {type: A, value: 192.0.2.3}\n")},
	}, "c.yaml")
	if err != nil || len(problems) > 0 {
		t.Fatal(err, problems)
	}
	return c
}

// world is one fake server with the zone a.io.
type world struct {
	*cloudfake.NameServer
	faults *fault.Engine
	server zone.Server
	config *zone.Config
}

func start(t testing.TB) world {
	t.Helper()
	cloud := cloudfake.New(cloudfake.Options{})
	n, err := cloud.DNS.Add("s1")
	if err != nil {
		t.Fatal(err)
	}
	w := world{NameServer: n, faults: &cloud.Faults, config: zones(t)}
	n.Load(w.config.Zone("a.io."))
	_, stop, err := cloud.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
	w.server = zone.Server{Name: "s1.fake.", Addr: n.Addr()}
	return w
}

// quick gives up soon enough for a test of silence.
func quick() *Client {
	return New(Options{Timeout: 250 * time.Millisecond, Attempts: 2, Backoff: time.Millisecond, Rate: 1e6, TransferTimeout: time.Second})
}

func patient() *Client {
	return New(Options{Timeout: 10 * time.Second, Backoff: time.Millisecond, Rate: 1e6})
}

func TestQuery(t *testing.T) {
	w := start(t)
	c := patient()
	for question, want := range map[string]string{
		"a.io. A":           "data A 192.0.2.1",
		"a.io. SOA":         "data SOA serial 1",
		"a.io. NS":          "data NS s1.fake.",
		"a.io. MX":          "no data",
		"A.IO. A":           "data A 192.0.2.1",
		"www.a.io. CNAME":   "data CNAME x.docs.a.io.",
		"www.a.io. A":       "data CNAME x.docs.a.io.", // not followed
		"docs.a.io. A":      "no data",                 // it exists because a name below it does
		"y.docs.a.io. TXT":  "data CNAME b.io.",        // the wildcard
		"*.docs.a.io. A":    "data CNAME b.io.",
		"no.a.io. A":        "no name",
		"child.a.io. NS":    "referral child.a.io. NS ns1.b.io.,ns2.b.io.",
		"child.a.io. DS":    "no data",
		"x.child.a.io. A":   "referral child.a.io. NS ns1.b.io.,ns2.b.io.",
		"other.example. A":  "denied",
		"a.io. NONSENSE":    "unknown type",
		"big.a.io. TXT":     "data TXT of 8", // over TCP
		"_a.docs.a.io. SRV": "data CNAME b.io.",
	} {
		name, kind, _ := strings.Cut(question, " ")
		a, err := c.Query(t.Context(), w.server, "a.io.", name, kind)
		var got string
		switch {
		case err != nil && strings.Contains(err.Error(), want):
			got = want
		case err != nil:
			got = err.Error()
		case a.Kind == zone.Data && kind == "SOA":
			got = fmt.Sprintf("data SOA serial %d", a.Serial)
		case a.Kind == zone.Data && len(a.Set.Values) > 4:
			got = fmt.Sprintf("data %s of %d", a.Set.Type, len(a.Set.Values))
		case a.Kind == zone.Data:
			got = "data " + a.Set.Type + " " + strings.Join(a.Set.Values, ",")
		case a.Kind == zone.Referral:
			got = "referral " + a.Set.Key().String() + " " + strings.Join(a.Set.Values, ",")
		default:
			got = map[zone.Kind]string{zone.NoData: "no data", zone.NoName: "no name", zone.Lame: "lame"}[a.Kind]
		}
		if got != want {
			t.Errorf("%s: %s, want %s", question, got, want)
		}
	}
	methods := map[string]int{}
	for _, r := range w.faults.Requests() {
		methods[r.Path]++
	}
	if methods["/s1/a.io./big.a.io./TXT"] != 2 {
		t.Errorf("a cut answer is not asked again over TCP: %v", methods)
	}
}

// A server that serves parent and child answers for the child's top from the child, and
// has its DS in the parent.
func TestQueryOfBoth(t *testing.T) {
	w := start(t)
	w.Load(w.config.Zone("child.a.io."))
	a, err := patient().Query(t.Context(), w.server, "a.io.", "child.a.io.", "NS")
	if err != nil || a.Kind != zone.Data || !slices.Equal(a.Set.Values, []string{"ns1.b.io.", "ns2.b.io."}) {
		t.Errorf("%+v, %v", a, err)
	}
	if a, err := patient().Query(t.Context(), w.server, "a.io.", "child.a.io.", "DS"); err != nil || a.Kind != zone.NoData {
		t.Errorf("%+v, %v", a, err)
	}
}

// What is said without authority, or by the server of a zone above, is no answer.
func TestJudge(t *testing.T) {
	rr := func(line string) dns.RR {
		r, err := dns.NewRR(line)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	q := dns.Question{Name: "x.a.io.", Qtype: dns.TypeA, Qclass: dns.ClassINET}
	for name, c := range map[string]struct {
		msg  dns.Msg
		want zone.Kind
		err  finding.Reason
	}{
		"recursive answer":   {msg: dns.Msg{Answer: []dns.RR{rr("x.a.io. 1 A 192.0.2.1")}}, want: zone.Lame},
		"upward referral":    {msg: dns.Msg{Ns: []dns.RR{rr(". 1 NS a.root-servers.net.")}}, want: zone.Lame},
		"referral to itself": {msg: dns.Msg{Ns: []dns.RR{rr("a.io. 1 NS ns1.b.io.")}}, want: zone.Lame},
		"referral aside":     {msg: dns.Msg{Ns: []dns.RR{rr("y.a.io. 1 NS ns1.b.io.")}}, want: zone.Lame},
		"nothing":            {msg: dns.Msg{}, want: zone.Lame},
		"NXDOMAIN of above": {msg: dns.Msg{MsgHdr: dns.MsgHdr{Authoritative: true, Rcode: dns.RcodeNameError}, Ns: []dns.RR{rr("io. 1 SOA a. b. 1 1 1 1 1")}},
			want: zone.Lame},
		"NXDOMAIN without SOA": {msg: dns.Msg{MsgHdr: dns.MsgHdr{Authoritative: true, Rcode: dns.RcodeNameError}}, want: zone.NoName},
		"other names":          {msg: dns.Msg{MsgHdr: dns.MsgHdr{Authoritative: true}, Answer: []dns.RR{rr("y.a.io. 1 A 192.0.2.1")}}, err: finding.Malformed},
		"other class":          {msg: dns.Msg{MsgHdr: dns.MsgHdr{Authoritative: true}, Answer: []dns.RR{rr("x.a.io. 1 CH A 192.0.2.1")}}, err: finding.Malformed},
		"CNAME, then NXDOMAIN": {msg: dns.Msg{MsgHdr: dns.MsgHdr{Authoritative: true, Rcode: dns.RcodeNameError}, Answer: []dns.RR{rr("X.a.io. 1 CNAME gone.a.io.")}},
			want: zone.Data},
	} {
		if a, err := judge(&c.msg, "a.io.", q); a.Kind != c.want || reasonOf(err) != c.err {
			t.Errorf("%s: %+v, %v", name, a, err)
		}
	}
}

// What a server does wrong has a name, and nothing of it is taken for an answer.
func TestFaults(t *testing.T) {
	for name, c := range map[string]struct {
		rule    fault.Rule
		query   finding.Reason // "": answered, over the repetitions
		asking  int            // requests
		whole   finding.Reason
		calling int
	}{
		"refused":        {fault.Rule{Action: "status", Status: 403}, finding.Denied, 1, finding.Denied, 1},
		"rate limit":     {fault.Rule{Action: "rate-limit"}, finding.Denied, 1, finding.Denied, 1},
		"servfail":       {fault.Rule{Action: "status", Status: 500}, finding.Unavailable, 2, finding.Unavailable, 2},
		"servfail once":  {fault.Rule{Action: "status", Status: 503, Nth: 1}, "", 2, "", 2},
		"notimp":         {fault.Rule{Action: "status", Status: 501}, finding.Unavailable, 2, finding.Denied, 1},
		"formerr":        {fault.Rule{Action: "status", Status: 400}, finding.Unavailable, 3, finding.Denied, 1}, // from the first on without EDNS
		"formerr once":   {fault.Rule{Action: "status", Status: 400, Nth: 1}, "", 2, finding.Denied, 1},
		"silence":        {fault.Rule{Action: "hang"}, finding.TimedOut, 2, finding.TimedOut, 2},
		"silence once":   {fault.Rule{Action: "hang", Nth: 1}, "", 2, "", 2},
		"garbage, reset": {fault.Rule{Action: "reset"}, finding.Malformed, 2, finding.Denied, 2},
		"reset once":     {fault.Rule{Action: "reset", Nth: 1}, "", 2, "", 2},
		"cut":            {fault.Rule{Action: "truncate"}, finding.Unavailable, 4, finding.Unavailable, 2}, // UDP, TCP, UDP, TCP
		"cut once":       {fault.Rule{Action: "truncate", Nth: 1}, "", 2, "", 2},
		"slow":           {fault.Rule{Action: "delay", Millis: 5}, "", 1, "", 1},
	} {
		t.Run(name, func(t *testing.T) {
			w := start(t)
			w.AllowTransfer(true)
			for _, ask := range []bool{true, false} {
				w.faults.Heal()
				if err := w.faults.Inject(c.rule); err != nil {
					t.Fatal(err)
				}
				var err error
				want, requests := c.whole, c.calling
				if ask {
					want, requests = c.query, c.asking
					_, err = quick().Query(t.Context(), w.server, "a.io.", "a.io.", "A")
				} else {
					_, _, err = quick().Transfer(t.Context(), w.server, "a.io.")
				}
				if got := reasonOf(err); got != want || (err == nil) != (want == "") {
					t.Errorf("query %v: %v, want %q", ask, err, want)
				}
				if got := len(w.faults.Requests()); got != requests {
					t.Errorf("query %v: %d requests, want %d: %v", ask, got, requests, w.faults.Requests())
				}
			}
		})
	}
}

func TestNobodyThere(t *testing.T) {
	s := zone.Server{Addr: "127.0.0.1:1"}
	if _, err := quick().Query(t.Context(), s, "a.io.", "a.io.", "A"); reasonOf(err) != finding.Unavailable {
		t.Error(err)
	}
	if _, _, err := quick().Transfer(t.Context(), s, "a.io."); reasonOf(err) != finding.Unavailable {
		t.Error(err)
	}
}

// A hostile server costs what the bounds say.
func TestHostile(t *testing.T) {
	for how, c := range map[string]struct{ query, whole finding.Reason }{
		cloudfake.WrongID:         {finding.TimedOut, finding.Malformed}, // over UDP another's answer is waited out
		cloudfake.WrongQuestion:   {finding.Malformed, finding.Malformed},
		cloudfake.Loop:            {finding.Malformed, finding.Malformed},
		cloudfake.Giant:           {"", ""},
		cloudfake.EndlessTransfer: {"", finding.TooLarge},
		cloudfake.ForeignTransfer: {"", finding.Malformed},
	} {
		t.Run(how, func(t *testing.T) {
			w := start(t)
			w.AllowTransfer(true)
			if err := w.Hostile(how); err != nil {
				t.Fatal(err)
			}
			c2 := New(Options{Timeout: 500 * time.Millisecond, Attempts: 2, Backoff: time.Millisecond, Rate: 1e6, MaxRecords: 5000})
			a, err := c2.Query(t.Context(), w.server, "a.io.", "a.io.", "TXT")
			if reasonOf(err) != c.query || (err == nil) != (c.query == "") {
				t.Errorf("query: %v, want %q", err, c.query)
			}
			if how == cloudfake.Giant && (len(a.Set.Values) != 1 || len(a.Set.Values[0]) != 240*255) {
				t.Errorf("giant: %d values", len(a.Set.Values))
			}
			_, _, err = c2.Transfer(t.Context(), w.server, "a.io.")
			if reasonOf(err) != c.whole || (err == nil) != (c.whole == "") {
				t.Errorf("transfer: %v, want %q", err, c.whole)
			}
			if how == cloudfake.EndlessTransfer && !strings.Contains(err.Error(), "5000 records") {
				t.Errorf("ended otherwise: %v", err)
			}
		})
	}
	w := start(t)
	if err := w.Hostile(cloudfake.EndlessTransfer); err != nil {
		t.Fatal(err)
	}
	if _, _, err := New(Options{MaxBytes: 100_000}).Transfer(t.Context(), w.server, "a.io."); reasonOf(err) != finding.TooLarge {
		t.Errorf("bytes: %v", err)
	}
	if _, _, err := New(Options{TransferTimeout: 100 * time.Millisecond, MaxRecords: 1 << 40, MaxBytes: 1 << 40}).Transfer(t.Context(), w.server, "a.io."); reasonOf(err) != finding.TimedOut {
		t.Errorf("time: %v", err)
	}
}

func TestTransfer(t *testing.T) {
	w := start(t)
	if _, _, err := patient().Transfer(t.Context(), w.server, "a.io."); reasonOf(err) != finding.Denied {
		t.Errorf("not allowed: %v", err)
	}
	w.AllowTransfer(true)
	serial, sets, err := patient().Transfer(t.Context(), w.server, "a.io.")
	if err != nil || serial != 1 {
		t.Fatal(serial, err)
	}
	want := []zone.RRset{{Name: "a.io.", Type: "NS", TTL: 3600, Values: []string{"s1.fake."}}}
	for _, r := range w.config.Zone("a.io.").Records {
		want = append(want, r.RRset)
	}
	slices.SortFunc(want, func(a, b zone.RRset) int { return strings.Compare(a.Key().String(), b.Key().String()) })
	slices.SortFunc(sets, func(a, b zone.RRset) int { return strings.Compare(a.Key().String(), b.Key().String()) })
	if fmt.Sprint(sets) != fmt.Sprint(want) {
		t.Errorf("%v, want %v", sets, want)
	}
	if _, _, err := patient().Transfer(t.Context(), w.server, "other.io."); reasonOf(err) != finding.Denied {
		t.Errorf("another zone: %v", err)
	}
}

// The end of the caller's context is not the fault of the server.
func TestCancelled(t *testing.T) {
	w := start(t)
	if err := w.faults.Inject(fault.Rule{Action: "hang"}); err != nil {
		t.Fatal(err)
	}
	for _, call := range []func(context.Context) error{
		func(ctx context.Context) error {
			_, err := patient().Query(ctx, w.server, "a.io.", "a.io.", "A")
			return err
		},
		func(ctx context.Context) error {
			_, _, err := patient().Transfer(ctx, w.server, "a.io.")
			return err
		},
	} {
		ctx, cancel := context.WithCancel(t.Context())
		go func() {
			for len(w.faults.Requests()) == 0 {
				select {
				case <-ctx.Done():
					return
				case <-time.After(time.Millisecond):
				}
			}
			cancel()
		}()
		begun := time.Now()
		if err := call(ctx); !errors.Is(err, context.Canceled) || time.Since(begun) > 5*time.Second {
			t.Errorf("%v after %v", err, time.Since(begun))
		}
		w.faults.Heal()
		if err := w.faults.Inject(fault.Rule{Action: "hang"}); err != nil {
			t.Fatal(err)
		}
	}
}

// stream is a connection from which a fixed text can be read.
type stream struct {
	io.Reader
	net.Conn
}

func (s stream) Read(b []byte) (int, error)       { return s.Reader.Read(b) }
func (s stream) Write(b []byte) (int, error)      { return len(b), nil }
func (s stream) Close() error                     { return nil }
func (s stream) SetDeadline(time.Time) error      { return nil }
func (s stream) SetReadDeadline(time.Time) error  { return nil }
func (s stream) SetWriteDeadline(time.Time) error { return nil }

// readAll reads a transfer from bytes.
func readAll(raw []byte, id uint16) (*transfer, error) {
	tr := &transfer{id: id, zone: "a.io.", maxRecords: 1000, maxBytes: 1 << 20}
	conn := &dns.Conn{Conn: stream{Reader: bytes.NewReader(raw)}}
	for !tr.done {
		if err := tr.next(conn); err != nil {
			return tr, err
		}
	}
	return tr, nil
}

func framed(t testing.TB, messages ...*dns.Msg) []byte {
	t.Helper()
	var all []byte
	for _, m := range messages {
		raw, err := m.Pack()
		if err != nil {
			t.Fatal(err)
		}
		all = append(append(all, byte(len(raw)>>8), byte(len(raw))), raw...)
	}
	return all
}

func message(t testing.TB, lines ...string) *dns.Msg {
	t.Helper()
	m := &dns.Msg{MsgHdr: dns.MsgHdr{Id: 7, Response: true, Authoritative: true}}
	for _, line := range lines {
		rr, err := dns.NewRR(line)
		if err != nil {
			t.Fatal(err)
		}
		m.Answer = append(m.Answer, rr)
	}
	return m
}

// Every way in which a transfer can be none.
func TestTransferRefuses(t *testing.T) {
	const soa, a = "a.io. 1 SOA n. h. 1 1 1 1 1", "x.a.io. 1 A 192.0.2.1"
	other := message(t, soa, a, soa)
	other.Id = 8
	wrongQuestion := message(t, soa, a, soa)
	wrongQuestion.SetQuestion("b.io.", dns.TypeAXFR)
	wrongQuestion.Id, wrongQuestion.Response = 7, true
	for name, c := range map[string]struct {
		messages []*dns.Msg
		want     finding.Reason // "" good, "end" the bytes end
	}{
		"good":           {[]*dns.Msg{message(t, soa, a, soa)}, ""},
		"in pieces":      {[]*dns.Msg{message(t, soa), message(t, a), message(t, soa)}, ""},
		"in capitals":    {[]*dns.Msg{message(t, "A.io. 1 SOA n. h. 1 1 1 1 1", "X.A.IO. 1 A 192.0.2.1", soa)}, ""},
		"half":           {[]*dns.Msg{message(t, soa, a)}, "end"},
		"only an SOA":    {[]*dns.Msg{message(t, soa)}, "end"},
		"no SOA":         {[]*dns.Msg{message(t, a, soa)}, finding.Malformed},
		"SOA of another": {[]*dns.Msg{message(t, soa, "b.io. 1 SOA n. h. 1 1 1 1 1")}, finding.Malformed},
		"changed under":  {[]*dns.Msg{message(t, soa, a, "a.io. 1 SOA n. h. 2 1 1 1 1")}, finding.Malformed},
		"more behind":    {[]*dns.Msg{message(t, soa, a, soa, a)}, finding.Malformed},
		"foreign record": {[]*dns.Msg{message(t, soa, "x.b.io. 1 A 192.0.2.1", soa)}, finding.Malformed},
		"another id":     {[]*dns.Msg{other}, finding.Malformed},
		"other question": {[]*dns.Msg{wrongQuestion}, finding.Malformed},
		"nothing":        {[]*dns.Msg{message(t)}, finding.Denied},
		"nothing, later": {[]*dns.Msg{message(t, soa), message(t)}, finding.Malformed},
	} {
		tr, err := readAll(framed(t, c.messages...), 7)
		got := reasonOf(err)
		if errors.Is(err, io.EOF) {
			got = "end"
		}
		if got != c.want || (err == nil) != (c.want == "") {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
		if err == nil && len(tr.rrs) != 1 {
			t.Errorf("%s: %v", name, tr.rrs)
		}
	}
}

// Whatever a server sends, reading ends, and what is taken for a zone is one.
func FuzzTransfer(f *testing.F) {
	const soa, a = "a.io. 1 SOA n. h. 1 1 1 1 1", "x.a.io. 1 A 192.0.2.1"
	f.Add(framed(f, message(f, soa, a, soa)))
	f.Add(framed(f, message(f, soa), message(f, a), message(f, soa)))
	f.Add([]byte{0, 20, 0, 7, 0x84, 0, 0, 1, 0, 1, 0, 0, 0, 0, 0xc0, 12, 0, 16, 0, 1, 0xc0, 12})
	f.Fuzz(func(t *testing.T, raw []byte) {
		tr, err := readAll(raw, 7)
		if err != nil {
			return
		}
		if tr.soa == nil || tr.records > tr.maxRecords {
			t.Errorf("%+v", tr)
		}
		for _, rr := range tr.rrs {
			if !dns.IsSubDomain("a.io.", rr.Header().Name) {
				t.Errorf("foreign: %s", rr)
			}
		}
		_, _ = zone.FromWire(tr.rrs) // it may refuse, and must not panic
	})
}

// Whatever answers, the answer is about what was asked.
func FuzzJudge(f *testing.F) {
	m := message(f, "x.a.io. 1 A 192.0.2.1")
	raw, err := m.Pack()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(raw)
	f.Fuzz(func(t *testing.T, raw []byte) {
		m := new(dns.Msg)
		if m.Unpack(raw) != nil {
			return
		}
		a, err := judge(m, "a.io.", dns.Question{Name: "x.a.io.", Qtype: dns.TypeA, Qclass: dns.ClassINET})
		if err == nil && a.Kind == zone.Data && (a.Set.Name != "x.a.io." || a.Set.Type != "A" && a.Set.Type != "CNAME" || !m.Authoritative) {
			t.Errorf("%+v", a)
		}
	})
}
