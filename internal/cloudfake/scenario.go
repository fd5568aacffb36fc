// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package cloudfake

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing/fstest"
	"time"

	"github.com/rogpeppe/go-internal/txtar"
	"go.yaml.in/yaml/v3"
)

// Scenario is a world as a txtar file describes it; see the package comment.
type Scenario struct {
	settings map[string]yaml.Node
	files    map[string]fstest.MapFS // by part, without its name
	dir      string                  // of the file, for paths in settings
}

// ReadScenario reads a scenario file. Relative paths in its settings are seen from
// its directory.
func ReadScenario(path string) (*Scenario, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("scenario: %w", err)
	}
	sc, err := ParseScenario(data)
	if err != nil {
		return nil, fmt.Errorf("scenario %s: %w", path, err)
	}
	sc.dir = filepath.Dir(path)
	return sc, nil
}

// ParseScenario parses a txtar archive. All problems are reported at once.
func ParseScenario(data []byte) (*Scenario, error) {
	sc := &Scenario{settings: map[string]yaml.Node{}, files: map[string]fstest.MapFS{}}
	var problems []error
	for _, f := range txtar.Parse(data).Files {
		if err := sc.section(f.Name, f.Data); err != nil {
			problems = append(problems, fmt.Errorf("%s: %w", f.Name, err))
		}
	}
	return sc, errors.Join(problems...)
}

func (sc *Scenario) section(name string, data []byte) error {
	if name == "cloud.yaml" {
		return strictYAML(data, &sc.settings)
	}
	part, file, ok := strings.Cut(name, "/")
	if !ok || !fs.ValidPath(file) {
		return errors.New("unknown section (want cloud.yaml or PART/FILE)")
	}
	if sc.files[part] == nil {
		sc.files[part] = fstest.MapFS{}
	}
	sc.files[part][file] = &fstest.MapFile{Data: data, Mode: 0o644}
	return nil
}

// strictYAML refuses unknown keys. An empty text leaves into as it is.
func strictYAML(data []byte, into any) error {
	d := yaml.NewDecoder(bytes.NewReader(data))
	d.KnownFields(true)
	if err := d.Decode(into); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	return nil
}

// decode reads a part's settings strictly; a zero node leaves into as it is.
func decode(settings yaml.Node, into any) error {
	if settings.IsZero() {
		return nil
	}
	text, err := yaml.Marshal(&settings)
	if err != nil {
		return err
	}
	return strictYAML(text, into)
}

// Load replaces the worlds of the parts that the scenario speaks of. All problems are
// reported at once.
func (s *Server) Load(sc *Scenario) error {
	known := map[string]bool{"latency": true}
	var problems []error
	for _, p := range s.parts() {
		known[p.name()] = true
		settings, set := sc.settings[p.name()]
		files, has := sc.files[p.name()]
		if !set && !has {
			continue
		}
		if err := p.load(sc.absolute(settings), files); err != nil {
			problems = append(problems, fmt.Errorf("%s: %w", p.name(), err))
		}
	}
	for name := range sc.settings {
		if !known[name] {
			problems = append(problems, fmt.Errorf("cloud.yaml: no part is called %s", name))
		}
	}
	for name := range sc.files {
		if !known[name] || name == "latency" {
			problems = append(problems, fmt.Errorf("%s/: no part is called so", name))
		}
	}
	return errors.Join(append(problems, s.loadLatency(sc.settings["latency"]))...)
}

func (s *Server) loadLatency(node yaml.Node) error {
	if node.IsZero() {
		return nil
	}
	var text string
	if err := node.Decode(&text); err != nil {
		return fmt.Errorf("latency: %w", err)
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		return fmt.Errorf("latency: %w", err)
	}
	s.SetLatency(d)
	return nil
}

// absolute makes the paths below the keys dir and dirs of a part's settings absolute.
func (sc *Scenario) absolute(settings yaml.Node) yaml.Node {
	for i := 0; i+1 < len(settings.Content); i += 2 {
		key, value := settings.Content[i].Value, settings.Content[i+1]
		switch key {
		case "dir":
			sc.rebase(value)
		case "dirs":
			for _, dir := range value.Content {
				sc.rebase(dir)
			}
		}
	}
	return settings
}

func (sc *Scenario) rebase(node *yaml.Node) {
	if sc.dir != "" && node.Kind == yaml.ScalarNode && !filepath.IsAbs(node.Value) {
		node.Value = filepath.Join(sc.dir, node.Value)
	}
}
