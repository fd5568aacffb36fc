// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package zone

import (
	"bytes"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"sigs.k8s.io/steward/internal/finding"
)

// builder makes the records of one zone.
type builder struct {
	*loader
	zone    *Zone
	shapes  map[string]shape
	unclear map[string]bool
}

func newBuilder(l *loader, z *Zone) *builder {
	return &builder{loader: l, zone: z, shapes: shapes(), unclear: map[string]bool{}}
}

// read joins the files of one provider and reads the names that win.
func (b *builder) read(p *Provider, docs []*document) {
	type named struct {
		entry
		file string
	}
	at := map[string]int{}
	var winners []named
	for i, d := range docs {
		b.join(docs, i)
		if d.root == nil {
			continue
		}
		if d.root.Kind != yaml.MappingNode {
			b.zone.Faulty = true
			b.errorf(ruleFile, place{d.file, d.root.Line, ""}, "a zone file has to be a mapping of names to records")
			continue
		}
		for _, e := range b.entries(d.file, d.file, d.root) {
			n, known := at[e.key.Value]
			if !known {
				n = len(winners)
				at[e.key.Value] = n
				winners = append(winners, named{})
			}
			winners[n] = named{e, d.file} // a later file replaces the whole name
		}
	}
	for _, w := range winners {
		b.name(p, w.file, w.entry)
	}
}

// join finds what breaks the text that k8s.io makes of several files with cat. Read one
// by one they would be fine.
func (b *builder) join(docs []*document, i int) {
	d := docs[i]
	if i < len(docs)-1 && len(d.content) > 0 && !bytes.HasSuffix(d.content, []byte("\n")) {
		b.add(ruleJoin, finding.Error, place{d.file, 0, ""}, "end the file with a line break", "the file ends within a line, so that the next file begins there")
	}
	for n, line := range bytes.Split(d.content, []byte("\n")) {
		marker := string(bytes.TrimRight(line, " \r"))
		if i > 0 && (marker == "---" || bytes.HasPrefix(line, []byte("--- "))) {
			b.add(ruleJoin, finding.Error, place{d.file, n + 1, ""}, "remove the line", "--- begins a second document where files are joined: only the first file may have it")
		}
		if i < len(docs)-1 && marker == "..." {
			b.add(ruleJoin, finding.Error, place{d.file, n + 1, ""}, "remove the line", "... ends the document before the next file")
		}
	}
	if len(docs) > 1 && d.root != nil && (d.root.Style&yaml.FlowStyle != 0 || d.root.Column != 1) {
		b.errorf(ruleJoin, place{d.file, d.root.Line, ""}, "names have to begin at the start of a line: files are joined into one mapping")
	}
}

// name reads all records of one name.
func (b *builder) name(p *Provider, file string, e entry) {
	object := file + " " + b.named(e.key.Value)
	at := place{file, e.key.Line, object}
	// Python makes a text of a number again, which is the same for decimal ones only.
	if kind := b.misread(e.key); kind != "" && !decimal(e.key.Value) {
		b.add(ruleQuote, finding.Error, at, "quote this name", "%s is %s in YAML 1.1, which octoDNS reads", b.shown(e.key.Value), kind)
	}
	fqdn, err := b.fqdn(e.key.Value)
	if err != nil {
		b.errorf(ruleName, at, "invalid name %s: %v", b.shown(e.key.Value), err)
		return
	}
	value := follow(e.value)
	items := []*yaml.Node{value}
	if value.Kind == yaml.SequenceNode {
		items = value.Content
	}
	if len(items) == 0 || null(value) {
		b.unclear[fqdn] = true
		b.errorf(ruleRecord, at, "the name has no records: remove it, or say what it is")
		return
	}
	for _, item := range items {
		item = follow(item)
		line := item.Line
		if item == value {
			line = e.key.Line
		}
		if b.values++; b.values > maxValues {
			b.zone.Faulty = true
			b.errorf(ruleFile, place{file, 0, ""}, "more than %d records and values", maxValues)
			return
		}
		if !b.record(p, fqdn, place{file, line, object}, item) {
			b.unclear[fqdn] = true
		}
	}
}

// body is a record as it is written.
type body struct {
	kind      string
	ttl       *yaml.Node
	value     *yaml.Node // of value or values
	ignored   bool
	supported bool
}

// record reads one record; false where it is not clear what it says.
func (b *builder) record(p *Provider, fqdn string, at place, n *yaml.Node) bool {
	if n.Kind != yaml.MappingNode {
		b.errorf(ruleRecord, at, "a record has to be a mapping with a type")
		return false
	}
	body := b.body(at, n)
	if !body.supported {
		return false
	}
	shape, known := b.shapes[body.kind]
	if !known {
		b.errorf(ruleRecord, at, "type %s is not supported; %s are", b.shown(body.kind), strings.Join(typeNames(b.shapes), " "))
		return false
	}
	ttl, ok := b.ttl(p, at, body.ttl)
	values, valuesOK := b.readValues(p, at, shape, body)
	if !ok || !valuesOK {
		return false
	}
	if body.ignored {
		b.zone.Ignored = append(b.zone.Ignored, Key{fqdn, body.kind})
		return true
	}
	slices.Sort(values)
	b.zone.Records = append(b.zone.Records, Record{
		RRset: RRset{fqdn, body.kind, ttl, slices.Compact(values)}, File: at.file, Line: at.line,
	})
	return true
}

// body reads the keys of a record. octoDNS takes no notice of keys that it does not
// know; here they are errors, because a misspelt ttl would be the default one.
func (b *builder) body(at place, n *yaml.Node) body {
	r := body{supported: true}
	var both int
	for _, e := range b.entries(at.file, at.object, n) {
		value := follow(e.value)
		switch e.key.Value {
		case "type":
			r.kind = value.Value
		case "ttl":
			r.ttl = value
		case "values":
			r.value = value
			both++
		case "value":
			if both++; both == 1 {
				r.value = value
			}
		case "octodns":
			r.ignored = b.ignored(at, value)
		case "geo", "dynamic":
			r.supported = false
			b.errorf(ruleRecord, place{at.file, e.key.Line, at.object}, "%s is not supported: what such a record answers depends on who asks", e.key.Value)
		default:
			b.add(ruleRecord, finding.Error, place{at.file, e.key.Line, at.object},
				b.meant(e.key.Value, "type", "ttl", "value", "values", "octodns"), "unknown key %s", b.shown(e.key.Value))
		}
	}
	if both > 1 {
		b.errorf(ruleRecord, at, "the record has value and values: octoDNS reads only values")
	}
	if r.kind == "" && r.supported {
		r.supported = false
		b.errorf(ruleRecord, at, "missing type")
	}
	return r
}

// ignored reads a record's octodns: true where none of the zone's targets gets it.
func (b *builder) ignored(at place, n *yaml.Node) bool {
	var ignored bool
	for _, e := range b.entries(at.file, at.object, n) {
		value := follow(e.value)
		has := func(target string) bool {
			return slices.ContainsFunc(value.Content, func(n *yaml.Node) bool { return follow(n).Value == target })
		}
		switch e.key.Value {
		case "ignored":
			ignored = ignored || strings.EqualFold(value.Value, "true")
		case "excluded":
			ignored = ignored || !slices.ContainsFunc(b.zone.Targets, func(t string) bool { return !has(t) })
		case "included":
			ignored = ignored || len(value.Content) > 0 && !slices.ContainsFunc(b.zone.Targets, has)
		}
	}
	return ignored
}

func (b *builder) ttl(p *Provider, at place, n *yaml.Node) (uint32, bool) {
	if n == nil {
		return p.DefaultTTL, true
	}
	ttl, err := strconv.ParseUint(n.Value, 10, 31)
	if n.Kind != yaml.ScalarNode || err != nil || !decimal(n.Value) {
		b.errorf(ruleRecord, place{at.file, n.Line, at.object}, "invalid ttl %s: a number of seconds up to %d", b.shown(n.Value), maxTTL)
		return 0, false
	}
	return uint32(ttl), true //nolint:gosec // 31 bits
}

// decimal tells a number that every YAML reads alike.
func decimal(text string) bool {
	return text != "" && strings.Trim(text, "0123456789") == "" && (text == "0" || text[0] != '0')
}

// readValues reads value or values, each of which may be one or a list.
func (b *builder) readValues(p *Provider, at place, s shape, r body) ([]string, bool) {
	if r.value == nil || null(r.value) {
		b.errorf(ruleRecord, at, "missing value")
		return nil, false
	}
	nodes := []*yaml.Node{r.value}
	if r.value.Kind == yaml.SequenceNode {
		nodes = r.value.Content
	}
	if len(nodes) == 0 {
		b.errorf(ruleRecord, at, "missing value")
		return nil, false
	}
	if s.single && len(nodes) > 1 {
		b.errorf(ruleRecord, at, "%s can have one value, not %d", r.kind, len(nodes))
		return nil, false
	}
	if b.values += len(nodes); b.values > maxValues {
		b.zone.Faulty = true
		b.errorf(ruleFile, place{at.file, 0, ""}, "more than %d records and values", maxValues)
		return nil, false
	}
	ok := true
	values := make([]string, 0, len(nodes))
	v := &valueReader{b, p, at}
	for _, n := range nodes {
		n = follow(n)
		text, err := s.read(v, n)
		if err != nil {
			ok = false
			b.errorf(ruleRecord, place{at.file, n.Line, at.object}, "%s: %v", r.kind, err)
		}
		values = append(values, text)
	}
	return values, ok
}

// fqdn is a key's name in the zone.
func (b *builder) fqdn(key string) (string, error) {
	if key == "" {
		return b.zone.Name, nil
	}
	return relative(key, b.zone.Name)
}

// finish checks what records of one zone can be together, and sorts them. octoDNS would
// refuse the zone; here the names of a conflict are unclear, and all others are read.
func (b *builder) finish() {
	z := b.zone
	if z.File = b.config.File; len(z.parts) > 0 {
		z.File = z.parts[0]
	}
	slices.SortStableFunc(z.Records, func(a, b Record) int { return compareKeys(a.Key(), b.Key()) })
	for i := range z.Records {
		b.alone(z.Records[i])
		if i > 0 {
			b.together(z.Records[i-1], z.Records[i])
		}
	}
	b.settle()
}

// alone checks where a record may stand.
func (b *builder) alone(r Record) {
	apex := r.Name == b.zone.Name
	wrong := func(format string, args ...any) {
		b.unclear[r.Name] = true
		b.errorf(ruleState, b.place(r), format, args...)
	}
	switch {
	case apex && r.Type == "CNAME":
		wrong("a CNAME cannot stand at the top of a zone, where SOA and NS are: use ALIAS, or the addresses")
	case !apex && r.Type == "ALIAS":
		wrong("ALIAS is for the top of a zone: use CNAME")
	case r.Type == "SRV" && !service(strings.TrimSuffix(r.Name, "."+b.zone.Name)):
		wrong("invalid name for SRV record: it begins with _service._protocol")
	}
}

// service tells the name of an SRV record, as octoDNS does.
func service(name string) bool {
	first, rest, _ := strings.Cut(name, ".")
	return (first == "*" || len(first) > 1 && first[0] == '_') && rest != ""
}

// together checks two records that follow each other in the order of names and types.
func (b *builder) together(before, r Record) {
	if before.Name != r.Name {
		return
	}
	if before.Type == r.Type {
		b.unclear[r.Name] = true
		b.errorf(ruleState, b.place(r), "duplicate record of type %s: the other is at %s:%d", r.Type, before.File, before.Line)
		return
	}
	// CNAME follows only A, AAAA and CAA in the order, so look at both.
	for _, pair := range [][2]Record{{before, r}, {r, before}} {
		if pair[0].Type == "CNAME" {
			b.unclear[r.Name] = true
			b.errorf(ruleState, b.place(pair[0]), "a CNAME cannot coexist with other records of its name (%s at %s:%d)", pair[1].Type, pair[1].File, pair[1].Line)
		}
	}
}

// place is where a record is declared, as problems name it.
func (b *builder) place(r Record) place { return placeOf(r) }

func placeOf(r Record) place { return place{r.File, r.Line, r.File + " " + r.Key().String()} }

// settle takes unclear names out of the records.
func (b *builder) settle() {
	z := b.zone
	z.Records = slices.DeleteFunc(z.Records, func(r Record) bool { return b.unclear[r.Name] })
	z.Unclear = z.Unclear[:0]
	for name := range b.unclear {
		z.Unclear = append(z.Unclear, name)
	}
	slices.Sort(z.Unclear)
}
