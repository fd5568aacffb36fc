// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package manifest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"sigs.k8s.io/steward/internal/finding"
)

// document is one file as YAML nodes, which keep what a decoder would lose: the text
// of a tag, a key that stands twice, and every line.
type document struct {
	*loader
	m    *Manifest
	file string
	root *yaml.Node // nil for an empty file
	// shapes and keys are the rules of what is not understood, and of keys that stand twice.
	shapes, keys string
}

// parse returns the document of a file; nil says that a finding tells why not.
func (l *loader) parse(m *Manifest, file string, raw []byte) *document {
	d := &document{loader: l, m: m, file: file, shapes: ruleShape, keys: ruleDuplicate}
	dec := yaml.NewDecoder(bytes.NewReader(raw))
	var doc yaml.Node
	switch err := dec.Decode(&doc); {
	case errors.Is(err, io.EOF):
		return d
	case err != nil:
		line, text := yamlError(err)
		d.shape(line, "syntax", "mend the YAML", "no YAML: %s", text)
		return nil
	}
	if err := dec.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		d.shape(0, "second document", "keep one document a file", "there is a second YAML document, which the promoter ignores")
	}
	if root := doc.Content[0]; !isNull(root) {
		d.root = root
	}
	return d
}

// yamlError takes the line out of an error of the parser.
func yamlError(err error) (int, string) {
	text := strings.TrimPrefix(err.Error(), "yaml: ")
	rest, ok := strings.CutPrefix(text, "line ")
	number, message, cut := strings.Cut(rest, ": ")
	if line, err := strconv.Atoi(number); ok && cut && err == nil {
		return line, message
	}
	return 0, text
}

// shape reports something that is not understood, and that the manifest is therefore
// not whole. field tells problems of one file apart.
func (d *document) shape(line int, field, fix, format string, args ...any) {
	d.m.Whole = false
	d.report(d.shapes, finding.Error, line, d.file, field, fix, format, args...)
}

func (d *document) report(rule string, s finding.Severity, line int, object, field, fix, format string, args ...any) {
	d.found(finding.Finding{
		Rule: rule, Severity: s, Object: object, Field: field, File: d.file, Line: line, Fix: fix,
	}, format, args...)
}

// mapping visits the pairs of a mapping. where is its name in messages.
func (d *document) mapping(n *yaml.Node, where string, visit func(key, value *yaml.Node)) {
	if n.Kind != yaml.MappingNode || odd(n) {
		d.shape(n.Line, where, "write it as a mapping, without anchors and tags", "%s is not a plain mapping", where)
		return
	}
	seen := make(map[string]bool, len(n.Content)/2)
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		if key.Kind != yaml.ScalarNode || odd(key) || key.Tag == "!!merge" {
			d.shape(key.Line, where, "write the key as a plain text", "a key of %s is not a plain text", where)
			continue
		}
		if seen[key.Value] {
			d.report(d.keys, finding.Error, key.Line, d.file, where+" "+clip(key.Value),
				"join both", "%s has the key %s twice, which the promoter refuses", where, quote(key.Value))
		}
		seen[key.Value] = true
		visit(key, value)
	}
}

// list visits the elements of a list. of is a text of the file that tells which list
// is meant; "" where there is one.
func (d *document) list(n *yaml.Node, where, of string, visit func(*yaml.Node)) {
	if n.Kind != yaml.SequenceNode || odd(n) {
		where = about(where, of)
		d.shape(n.Line, where, "write it as a list, without anchors and tags", "%s is not a plain list", where)
		return
	}
	for _, e := range n.Content {
		visit(e)
	}
}

// text is the source text of a scalar; ok is false, and reported, for anything else.
func (d *document) text(n *yaml.Node, where, of string) (string, bool) {
	if n.Kind != yaml.ScalarNode || odd(n) || isNull(n) {
		where = about(where, of)
		d.shape(n.Line, where, "write it as a plain text", "%s is not a plain text", where)
		return "", false
	}
	return n.Value, true
}

// about is called for problems only: quoting every digest of a tree takes as long as
// parsing it.
func about(where, of string) string {
	if of == "" {
		return where
	}
	return where + " " + quote(of)
}

// odd tells nodes whose value does not stand where it is read, or is not what it
// looks like.
func odd(n *yaml.Node) bool {
	return n.Kind == yaml.AliasNode || n.Anchor != "" || n.Style&yaml.TaggedStyle != 0
}

func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.Tag == "!!null" }

// unknown reports a key that means nothing, here or to the promoter.
func (d *document) unknown(key *yaml.Node, where string, known ...string) {
	d.shape(key.Line, where+" "+clip(key.Value), "use one of "+strings.Join(known, ", "),
		"%s has the unknown key %s", where, quote(key.Value))
}

// registries reads a promoter-manifest.yaml, or a thick manifest with its images. A
// destination that is the source is nothing to the promoter, and nothing here.
func (d *document) registries(m *Manifest) {
	if d.root == nil {
		d.shape(0, "empty", "declare registries", "the manifest is empty")
		return
	}
	var images *yaml.Node
	d.mapping(d.root, "the manifest", func(key, value *yaml.Node) {
		switch key.Value {
		case "registries":
			d.list(value, "registries", "", func(n *yaml.Node) { d.registry(m, n) })
		case "imagesPath":
			// The promoter reads it and makes nothing of it.
			d.text(value, "imagesPath", "")
		case "images":
			images = value
		default:
			d.unknown(key, "the manifest", "registries")
		}
	})
	switch {
	case images != nil && !m.thick():
		d.shape(images.Line, "images", "put them into "+m.Images, "the images of a thin manifest stand in a file of their own, and these are not promoted")
	case images != nil:
		d.images(m, images)
	case m.thick():
		d.shape(0, "images", "declare images", "the manifest has no images")
	}
	m.Destinations = slices.DeleteFunc(m.Destinations, func(o Destination) bool { return o.Name == m.Source })
	wrong := func(message, fix string) {
		d.report(ruleRegistry, finding.Error, 0, d.file, message, fix, "%s", message)
	}
	switch {
	case m.Source == "":
		wrong("no registry is the source", "add src: true to the staging registry")
	case len(m.Destinations) == 0:
		wrong("no registry is a destination", "add the registries to promote to")
	}
}

// registry reads one element of registries.
func (d *document) registry(m *Manifest, n *yaml.Node) {
	dest, source, named := Destination{Line: n.Line}, false, false
	before := len(d.problems)
	d.mapping(n, "registry", func(key, value *yaml.Node) {
		switch key.Value {
		case "name":
			dest.Name, named = d.text(value, "the name of a registry", "")
		case "service-account":
			dest.ServiceAccount, _ = d.text(value, "service-account", "")
		case "src":
			source = d.boolean(value, "src")
		default:
			d.unknown(key, "registry", "name", "service-account", "src")
		}
	})
	wrong := func(format, fix string, args ...any) {
		d.report(ruleRegistry, finding.Error, n.Line, d.file, clip(dest.Name), fix, format, args...)
	}
	switch {
	case !named && len(d.problems) == before:
		d.shape(n.Line, "registry", "name it HOST/PATH", "a registry has no name")
	case !named: // reported
	case !IsRegistry(dest.Name):
		m.Whole = false
		wrong("%s is not a registry", "name it HOST/PATH, in lower case", quote(dest.Name))
	case !source && artifactRegistry(dest.Name) && strings.Count(dest.Name, "/") < 2:
		m.Whole = false
		wrong("%s is no repository of Artifact Registry", "name it HOST/PROJECT/REPOSITORY, and what follows", quote(dest.Name))
	case !source && len(m.Destinations) == maxDestinations:
		if m.Whole {
			m.Whole = false
			wrong("there are more than %d destinations", "name fewer", maxDestinations)
		}
	case source && m.Source != "":
		wrong("a second registry is the source; the promoter takes the first", "keep one src: true")
	case source:
		m.Source = dest.Name
	case slices.ContainsFunc(m.Destinations, func(o Destination) bool { return o.Name == dest.Name }):
		wrong("%s stands twice", "remove one", dest.Name)
	default:
		m.Destinations = append(m.Destinations, dest)
	}
}

// boolean knows the words of YAML 1.1, which the promoter's parser speaks.
func (d *document) boolean(n *yaml.Node, where string) bool {
	if n.Kind == yaml.ScalarNode && n.Style == 0 && !odd(n) {
		switch strings.ToLower(n.Value) {
		case "true", "yes", "on", "y":
			return true
		case "false", "no", "off", "n":
			return false
		}
	}
	d.shape(n.Line, where, "write true or false", "%s is neither true nor false", where)
	return false
}

// images reads the list of an images.yaml; nil or null is an empty one. Entries of one name are joined.
func (d *document) images(m *Manifest, list *yaml.Node) {
	if list == nil || isNull(list) {
		return
	}
	builders := map[string]*builder{}
	d.list(list, "the list of images", "", func(n *yaml.Node) {
		name, dmap, ok := d.image(n)
		if !ok {
			return
		}
		b := builders[name]
		if b == nil {
			b = newBuilder(d, &Entry{Name: name, Line: n.Line})
			builders[name], m.Entries = b, append(m.Entries, b.entry)
		}
		b.add(n, dmap)
	})
}

// image reads the two keys of an element; ok is false, and reported, where it has no
// name that could be one.
func (d *document) image(n *yaml.Node) (name string, dmap *yaml.Node, ok bool) {
	before := len(d.problems)
	d.mapping(n, "image", func(key, value *yaml.Node) {
		switch key.Value {
		case "name":
			name, ok = d.text(value, "the name of an image", "")
		case "dmap":
			dmap = value
		default:
			d.unknown(key, "image", "name", "dmap")
		}
	})
	switch {
	case !ok && len(d.problems) == before:
		d.shape(n.Line, "image", "name it", "an image has no name")
	case ok && !IsPath(name):
		ok = false
		d.report(ruleName, finding.Error, n.Line, d.m.Name, clip(name), "use lower case letters, digits, and . _ - / between them",
			"%s is not a name of an image", quote(name))
	}
	return name, dmap, ok
}

// builder joins the digests of one image.
type builder struct {
	*document
	entry *Entry
	index map[string]int // of a digest in entry.Digests
	first map[string]taken
}

// taken is the digest that a tag stands for, where it was declared first.
type taken struct {
	digest string
	line   int
}

func newBuilder(d *document, e *Entry) *builder {
	return &builder{document: d, entry: e, index: map[string]int{}, first: map[string]taken{}}
}

func (b *builder) object() string { return b.m.Name + "/" + b.entry.Name }

func (b *builder) add(n, dmap *yaml.Node) {
	if dmap == nil || isNull(dmap) || len(dmap.Content) == 0 && dmap.Kind == yaml.MappingNode {
		b.report(ruleShape, finding.Warning, n.Line, b.object(), "dmap", "add digests or remove the image", "image %s has no digests", b.entry.Name)
		return
	}
	b.mapping(dmap, "dmap", func(key, value *yaml.Node) {
		digest := Digest{Digest: key.Value, Line: key.Line}
		if !isNull(value) {
			b.list(value, "the tags of", key.Value, func(n *yaml.Node) { b.tag(&digest, n) })
		}
		if !IsDigest(digest.Digest) {
			b.report(ruleDigest, finding.Error, key.Line, b.object(), clip(key.Value), "copy the digest anew: sha256: and 64 of 0-9a-f",
				"%s of image %s is not a digest%s, so it is never promoted", quote(key.Value), b.entry.Name, miscount(key.Value))
			b.entry.Lost = append(b.entry.Lost, digest)
			return
		}
		b.join(digest)
	})
}

// miscount says how many digits there are instead of 64.
func miscount(text string) string {
	if hex, ok := strings.CutPrefix(text, "sha256:"); ok && len(hex) != 64 {
		return fmt.Sprintf(" (%d digits instead of 64)", len(hex))
	}
	return ""
}

func (b *builder) join(digest Digest) {
	i, known := b.index[digest.Digest]
	if !known {
		i = len(b.entry.Digests)
		b.index[digest.Digest] = i
		b.entry.Digests = append(b.entry.Digests, Digest{Digest: digest.Digest, Line: digest.Line})
	}
	for _, tag := range digest.Tags {
		switch was, again := b.first[tag.Name]; {
		case !again:
			b.first[tag.Name] = taken{digest.Digest, tag.Line}
			b.entry.Digests[i].Tags = append(b.entry.Digests[i].Tags, tag)
		case was.digest == digest.Digest:
			b.redundant(b.object()+":"+tag.Name, b.file, tag.Line, b.file, was.line)
		default:
			b.conflict(b.object()+":"+tag.Name, b.file, tag.Line, b.file, was.line)
			b.entry.Digests[i].Tags = append(b.entry.Digests[i].Tags, tag)
		}
	}
}

func (b *builder) tag(digest *Digest, n *yaml.Node) {
	name, ok := b.text(n, "a tag of", digest.Digest)
	switch {
	case !ok:
	case !IsTag(name):
		b.report(ruleTag, finding.Error, n.Line, b.object(), clip(name), "use up to 128 letters, digits, and . _ -",
			"%s of image %s is not a tag", quote(name), b.entry.Name)
	case IsAttachedTag(name):
		b.report(ruleTag, finding.Error, n.Line, b.object(), clip(name), "give it another name: what is attached to an image comes along by itself",
			"%s of image %s is where signatures of an image are kept", quote(name), b.entry.Name)
	default:
		if name == "latest" {
			b.report(ruleTag, finding.Warning, n.Line, b.object(), name, "use a version: a tag that was promoted never moves",
				"latest of image %s would mean this image for ever", b.entry.Name)
		}
		digest.Tags = append(digest.Tags, Tag{name, n.Line})
	}
}

func (l *loader) conflict(object, file string, line int, otherFile string, otherLine int) {
	l.found(finding.Finding{
		Rule: ruleConflict, Severity: finding.Error, Object: object, File: file, Line: line, Fix: "keep the digest that was promoted",
	}, "the tag stands for another digest at %s:%d; the promoter refuses the whole run", otherFile, otherLine)
}

func (l *loader) redundant(object, file string, line int, otherFile string, otherLine int) {
	l.found(finding.Finding{
		Rule: ruleRedundant, Severity: finding.Warning, Object: object, File: file, Line: line, Fix: "remove one of both",
	}, "the same tag of the same digest is declared at %s:%d", otherFile, otherLine)
}

// shown bounds what a file can put into a message.
const shown = 80

func clip(s string) string {
	if len(s) <= shown {
		return s
	}
	return strings.ToValidUTF8(s[:shown], "") + "…"
}

func quote(s string) string { return strconv.Quote(clip(s)) }
