// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package cloudfake

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/miekg/dns"
	"go.yaml.in/yaml/v3"

	"sigs.k8s.io/steward/internal/zone"
)

// DNS is a set of authoritative name servers, each with its own address and its own view
// of the zones, so that one can lag, lie or be silent while the others are right.
type DNS struct {
	owner *Server

	mu      sync.Mutex
	host    string // where sockets are opened; "" before listen
	servers []*NameServer
}

func newDNS(owner *Server) *DNS { return &DNS{owner: owner} }

// NameServer is one server. Its methods may be called while it serves.
type NameServer struct {
	dns  *DNS
	name string

	mu       sync.Mutex
	zones    map[string]*served
	transfer bool
	hostile  string

	sockets *sockets
}

// Ways in which a server can be hostile to its clients.
const (
	WrongID         = "wrong-id"         // answers with another id
	WrongQuestion   = "wrong-question"   // answers another question
	Loop            = "loop"             // sends a name that points at itself
	Giant           = "giant"            // answers everything with a TXT of 60 KiB
	EndlessTransfer = "endless-transfer" // sends a zone that does not end
	ForeignTransfer = "foreign-transfer" // sends records of another zone in a transfer
)

func hostilities() []string {
	return []string{"", WrongID, WrongQuestion, Loop, Giant, EndlessTransfer, ForeignTransfer}
}

// Add makes a server. It listens at once if the others do.
func (d *DNS) Add(name string) (*NameServer, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if slices.ContainsFunc(d.servers, func(n *NameServer) bool { return n.name == name }) {
		return nil, fmt.Errorf("name server %s exists", name)
	}
	n := &NameServer{dns: d, name: name, zones: map[string]*served{}}
	if d.host != "" {
		if err := n.open(d.host); err != nil {
			return nil, err
		}
	}
	d.servers = append(d.servers, n)
	return n, nil
}

// Server returns a server by its name.
func (d *DNS) Server(name string) (*NameServer, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	i := slices.IndexFunc(d.servers, func(n *NameServer) bool { return n.name == name })
	if i < 0 {
		return nil, fmt.Errorf("there is no name server %s", name)
	}
	return d.servers[i], nil
}

// named is one server, or all of them for "".
func (d *DNS) named(name string) ([]*NameServer, error) {
	if name != "" {
		n, err := d.Server(name)
		return []*NameServer{n}, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.servers), nil
}

// Addresses are where the servers are, by name.
func (d *DNS) Addresses() map[string]string {
	d.mu.Lock()
	defer d.mu.Unlock()
	all := map[string]string{}
	for _, n := range d.servers {
		all[n.name] = n.Addr()
	}
	return all
}

// hosts are the names by which zones call the servers.
func (d *DNS) hosts() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	var all []string
	for _, n := range d.servers {
		all = append(all, n.name+".fake.")
	}
	slices.Sort(all)
	return all
}

// dnsSettings is the key dns of cloud.yaml.
type dnsSettings struct {
	Dir     string // a checkout with dns/octodns-config.yaml; without it the part's files
	Config  string // the octoDNS configuration, where it is another
	Servers map[string]dnsServerSettings
}

type dnsServerSettings struct {
	Transfer bool     // gives its zones whole
	Zones    []string // all of the configuration where none are named
	Hostile  string
}

func (d *DNS) name() string { return "dns" }

// load replaces the zones of the servers it names; servers keep their addresses.
func (d *DNS) load(settings yaml.Node, files fs.FS) error {
	var in dnsSettings
	if err := decode(settings, &in); err != nil {
		return err
	}
	config := "octodns-config.yaml"
	if in.Dir != "" {
		files, config = os.DirFS(in.Dir), "dns/octodns-config.yaml"
	}
	if in.Config != "" {
		config = in.Config
	}
	declared, problems, err := zone.Load(files, config)
	if err != nil {
		return err
	}
	for _, z := range declared.Zones {
		if z.Faulty || len(z.Unclear) > 0 {
			return fmt.Errorf("zone %s cannot be read whole: %v", z.Name, problems)
		}
	}
	var all []error
	for _, name := range slices.Sorted(maps.Keys(in.Servers)) {
		all = append(all, d.loadServer(name, in.Servers[name], declared))
	}
	return errors.Join(all...)
}

func (d *DNS) loadServer(name string, s dnsServerSettings, declared *zone.Config) error {
	n, err := d.Server(name)
	if err != nil {
		if n, err = d.Add(name); err != nil {
			return err
		}
	}
	n.Clear()
	n.AllowTransfer(s.Transfer)
	for _, z := range declared.Zones {
		if len(s.Zones) == 0 || slices.Contains(s.Zones, z.Name) {
			n.Load(z)
		}
	}
	return n.Hostile(s.Hostile)
}

func (d *DNS) routes() map[string]http.HandlerFunc { return nil }

func (d *DNS) wrong(_ int, message string) (string, []byte) { return "text/plain", []byte(message) }

// listen opens the sockets of all servers; the address is NAME=HOST:PORT,…
func (d *DNS) listen(host string) (string, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.host = host
	var all []string
	for _, n := range d.servers {
		if err := n.open(host); err != nil {
			return "", err
		}
		all = append(all, n.name+"="+n.sockets.addr)
	}
	return strings.Join(all, ","), nil
}

func (d *DNS) close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.host = ""
	var all []error
	for _, n := range d.servers {
		if n.sockets != nil {
			all = append(all, n.sockets.close())
			n.sockets = nil
		}
	}
	return errors.Join(all...)
}

// controls change one server, or all where none is named, the way an operator, a lagging
// transfer or an attacker would:
//
//	GET  servers    addresses by name
//	POST set        {"server":…,"zone":…,"name":…,"type":…,"ttl":60,"values":[…]}, values in canonical form
//	POST remove     {"server":…,"zone":…,"name":…,"type":…}
//	POST serial     {"server":…,"zone":…,"serial":7}
//	POST transfer   {"server":…,"allow":true}
//	POST hostile    {"server":…,"hostile":"wrong-id"}; "" makes it a good one again
func (d *DNS) controls() map[string]command {
	type change struct {
		Server, Zone, Name, Type string
		TTL                      uint32
		Values                   []string
		Allow                    bool
		Hostile                  string
		Serial                   uint32
	}
	on := func(do func(*NameServer, change) error) command {
		return func(_ *http.Request, body []byte) (any, error) {
			var in change
			if err := strictJSON(body, &in); err != nil {
				return nil, err
			}
			targets, err := d.named(in.Server)
			if err != nil {
				return nil, err
			}
			for _, n := range targets {
				err = errors.Join(err, do(n, in))
			}
			return struct{}{}, err
		}
	}
	return map[string]command{
		"GET servers":   func(*http.Request, []byte) (any, error) { return d.Addresses(), nil },
		"POST transfer": on(func(n *NameServer, c change) error { n.AllowTransfer(c.Allow); return nil }),
		"POST hostile":  on(func(n *NameServer, c change) error { return n.Hostile(c.Hostile) }),
		"POST serial":   on(func(n *NameServer, c change) error { return n.SetSerial(c.Zone, c.Serial) }),
		"POST set": on(func(n *NameServer, c change) error {
			return n.Set(c.Zone, zone.RRset{Name: c.Name, Type: c.Type, TTL: c.TTL, Values: c.Values})
		}),
		"POST remove": on(func(n *NameServer, c change) error { return n.Remove(c.Zone, zone.Key{Name: c.Name, Type: c.Type}) }),
	}
}

// Addr is where a server listens, host:port; "" where it does not.
func (n *NameServer) Addr() string {
	if n.sockets == nil {
		return ""
	}
	return n.sockets.addr
}

// sockets are a TCP and a UDP port of the same number, and what runs on them.
type sockets struct {
	addr    string
	tcp     net.Listener
	udp     net.PacketConn
	ctx     context.Context //nolint:containedctx // ends what hangs
	stop    context.CancelFunc
	running sync.WaitGroup

	mu    sync.Mutex
	conns map[net.Conn]bool
}

// maxPorts is how many free TCP ports are tried for one whose UDP port is free too.
const maxPorts = 20

func (n *NameServer) open(host string) error {
	var last error
	for range maxPorts {
		tcp, err := net.Listen("tcp", net.JoinHostPort(host, "0"))
		if err != nil {
			return fmt.Errorf("name server %s: %w", n.name, err)
		}
		udp, err := net.ListenPacket("udp", tcp.Addr().String())
		if err != nil {
			last = errors.Join(err, tcp.Close())
			continue
		}
		s := &sockets{addr: tcp.Addr().String(), tcp: tcp, udp: udp, conns: map[net.Conn]bool{}}
		s.ctx, s.stop = context.WithCancel(context.Background())
		n.sockets = s
		s.running.Go(func() { n.packets(s) })
		s.running.Go(func() { n.connections(s) })
		return nil
	}
	return fmt.Errorf("name server %s: no port: %w", n.name, last)
}

func (s *sockets) close() error {
	s.stop()
	err := errors.Join(s.tcp.Close(), s.udp.Close())
	s.mu.Lock()
	for conn := range s.conns {
		_ = conn.Close() // it may have ended by itself
	}
	s.mu.Unlock()
	s.running.Wait()
	return err
}

// packets serves UDP until the socket is closed.
func (n *NameServer) packets(s *sockets) {
	buf := make([]byte, dns.MaxMsgSize)
	for {
		size, from, err := s.udp.ReadFrom(buf)
		if err != nil {
			return
		}
		raw := slices.Clone(buf[:size])
		s.running.Go(func() { n.serve(&client{sockets: s, from: from}, raw) })
	}
}

// connections serves TCP until the socket is closed.
func (n *NameServer) connections(s *sockets) {
	for {
		conn, err := s.tcp.Accept()
		if err != nil {
			return
		}
		s.mu.Lock()
		s.conns[conn] = true
		s.mu.Unlock()
		s.running.Go(func() {
			n.connection(s, conn)
			s.mu.Lock()
			delete(s.conns, conn)
			s.mu.Unlock()
			_ = conn.Close() // a fault may have closed it
		})
	}
}

func (n *NameServer) connection(s *sockets, conn net.Conn) {
	for s.ctx.Err() == nil {
		var size uint16
		if err := binary.Read(conn, binary.BigEndian, &size); err != nil {
			return
		}
		raw := make([]byte, size)
		if _, err := io.ReadFull(conn, raw); err != nil {
			return
		}
		c := &client{sockets: s, conn: conn}
		n.serve(c, raw)
		if c.gone {
			return
		}
	}
}

// client is who sent a message: a connection, or an address for packets.
type client struct {
	sockets *sockets
	conn    net.Conn // nil for UDP
	from    net.Addr
	gone    bool
}

func (c *client) tcp() bool { return c.conn != nil }

// send sends a message as it is.
func (c *client) send(raw []byte) {
	if !c.tcp() {
		_, _ = c.sockets.udp.WriteTo(raw, c.from) // the client is gone
		return
	}
	framed := binary.BigEndian.AppendUint16(nil, uint16(len(raw))) //nolint:gosec // messages are below 64 KiB
	if _, err := c.conn.Write(append(framed, raw...)); err != nil {
		c.gone = true
	}
}

// cut sends half of a message and ends the connection.
func (c *client) cut(raw []byte) {
	framed := binary.BigEndian.AppendUint16(nil, uint16(len(raw))) //nolint:gosec // messages are below 64 KiB
	_, _ = c.conn.Write(append(framed, raw[:len(raw)/2]...))       // the client is meant to see an error
	_ = c.conn.Close()
	c.gone = true
}

// reset ends the connection so that the client sees a reset; over UDP it sends what no
// client can read.
func (c *client) reset(id uint16) {
	if !c.tcp() {
		c.send(append(binary.BigEndian.AppendUint16(nil, id), 0x84, 0, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0xc0))
		return
	}
	if tcp, ok := c.conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = c.conn.Close()
	c.gone = true
}

// wait lets time pass, but not beyond the end of the server.
func (c *client) wait(millis int) {
	t := time.NewTimer(time.Duration(millis) * time.Millisecond)
	defer t.Stop()
	select {
	case <-t.C:
	case <-c.sockets.ctx.Done():
	}
}
