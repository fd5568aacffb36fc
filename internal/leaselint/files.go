// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package leaselint

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"sigs.k8s.io/steward/internal/policy"
	"sigs.k8s.io/steward/internal/settings"
)

// Files is what a repository says about its pool.
type Files struct {
	settings     *settings.Settings
	settingsName string
	pools        []file // Boskos's configurations
	cleaners     []file // of Kubernetes or Prow, in which janitors are started
	prow         string // the name of Prow's config.yaml
	queues       []policy.Queue
	unread       bool // Prow's file is not there
}

type file struct {
	name    string
	content []byte
}

// ErrNoPool says that the settings name no pool.
var ErrNoPool = errors.New("no pool is named: set pool.config to the file of its resources")

// Lends tells whether the settings name a pool.
func Lends(s *settings.Settings) bool { return len(pools(s)) > 0 }

// pools are the files of resources. A community whose janitor knows them need not say it twice.
func pools(s *settings.Settings) []string {
	if len(s.Pool.Config) > 0 {
		return s.Pool.Config
	}
	return s.Janitor.Pool
}

// Read reads all files that the settings name. prow is the name of Prow's config.yaml; where it is not there and need not be,
// the queues stay unread. The error names every file that cannot be read.
func Read(settingsName string, content []byte, prow string, needed bool, read func(name string) ([]byte, error)) (*Files, error) {
	s, err := settings.Parse(content)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", settingsName, err)
	}
	if !Lends(s) {
		return nil, fmt.Errorf("%s: %w", settingsName, ErrNoPool)
	}
	f := &Files{settings: s, settingsName: settingsName, prow: prow}
	var errs []error
	take := func(names []string) (all []file) {
		for _, name := range names {
			content, err := read(name)
			errs = append(errs, err)
			all = append(all, file{name, content})
		}
		return all
	}
	f.pools, f.cleaners = take(pools(s)), take(s.Pool.Cleaners)
	if len(s.Pool.Queues) > 0 {
		errs = append(errs, f.readQueues(needed, read))
	}
	return f, errors.Join(errs...)
}

func (f *Files) readQueues(needed bool, read func(name string) ([]byte, error)) error {
	content, err := read(f.prow)
	if errors.Is(err, fs.ErrNotExist) && !needed {
		f.unread = true
		return nil
	}
	if err == nil {
		f.queues, err = policy.ParseQueues(f.prow, content)
	}
	return err
}

// maxCleaners bounds a file in which janitors are started.
const maxCleaners = 16 << 20

// janitors finds the types that janitors of a file take, and where each is named. A janitor is a container with that word in
// its name, image, command or arguments: Boskos's names its types in --resource-type, steward's in --type.
func (f file) janitors() (map[string]int, error) {
	if len(f.content) > maxCleaners {
		return nil, fmt.Errorf("%s: larger than %d MiB", f.name, maxCleaners>>20)
	}
	types := map[string]int{}
	dec := yaml.NewDecoder(strings.NewReader(string(f.content)))
	for {
		var doc yaml.Node
		err := dec.Decode(&doc)
		if errors.Is(err, io.EOF) {
			return types, nil
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %s", f.name, strings.TrimPrefix(err.Error(), "yaml: "))
		}
		containers(&doc, types)
	}
}

// containers walks through a document. Aliases are left aside: what they stand for is walked through where it stands.
func containers(n *yaml.Node, types map[string]int) {
	if n.Kind == yaml.MappingNode {
		words := append(sequence(n, "command"), sequence(n, "args")...)
		about := slices.Clone(words)
		for _, key := range []string{"name", "image"} {
			if v := value(n, key); v != nil {
				about = append(about, v)
			}
		}
		if len(words) > 0 && slices.ContainsFunc(about, func(v *yaml.Node) bool { return strings.Contains(v.Value, "janitor") }) {
			typesOf(words, types)
		}
	}
	for _, child := range n.Content {
		containers(child, types)
	}
}

// typesOf reads the flags that name types.
func typesOf(words []*yaml.Node, types map[string]int) {
	for i, w := range words {
		flag, list, joined := strings.Cut(strings.TrimLeft(w.Value, "-"), "=")
		if !strings.HasPrefix(w.Value, "-") || flag != "resource-type" && flag != "type" {
			continue
		}
		if !joined && i+1 < len(words) {
			list = words[i+1].Value
		}
		for typ := range strings.SplitSeq(list, ",") {
			if typ = strings.TrimSpace(typ); typ != "" {
				types[typ] = w.Line
			}
		}
	}
}

func value(n *yaml.Node, key string) *yaml.Node {
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == key {
			return n.Content[i+1]
		}
	}
	return nil
}

func sequence(n *yaml.Node, key string) []*yaml.Node {
	v := value(n, key)
	if v == nil || v.Kind != yaml.SequenceNode {
		return nil
	}
	return v.Content
}
