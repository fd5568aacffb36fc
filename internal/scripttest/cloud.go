// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package scripttest

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"

	"sigs.k8s.io/steward/internal/cloudfake"
)

// Cloud gives scripts a fake cloud of their own:
//
//	cloud FILE...               start it with the scenario in the files, which are one txtar
//	                            each; $CLOUD is its URL and $CLOUD_PART the address of a part
//	cloudctl METHOD PATH [JSON] ask its controls: cloudctl POST /_fake/faults '{"action":"reset"}'
//
// JSON may be @FILE. A request that the fake does not know fails the script.
func Cloud() map[string]func(*testscript.TestScript, bool, []string) {
	return map[string]func(*testscript.TestScript, bool, []string){"cloud": startCloud, "cloudctl": askCloud}
}

func startCloud(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: cloud FILE...")
	}
	fake := cloudfake.New(cloudfake.Options{})
	for _, name := range args {
		// A txtar file inside a txtar file is quoted with > (testscript's unquote).
		text := strings.ReplaceAll("\n"+ts.ReadFile(name), "\n>", "\n")
		sc, err := cloudfake.ParseScenario([]byte(text[1:]))
		if err == nil {
			err = fake.Load(sc)
		}
		ts.Check(wrap(name, err))
	}
	serveCloud(ts, fake)
}

// serveCloud lets a fake serve until the script ends, and tells the script where.
func serveCloud(ts *testscript.TestScript, fake *cloudfake.Server) cloudfake.Addresses {
	at, stop, err := fake.Listen("127.0.0.1:0")
	ts.Check(err)
	ts.Setenv("CLOUD", at.URL)
	ts.Setenv("CLOUD_HOST", strings.TrimPrefix(at.URL, "http://"))
	for _, part := range slices.Sorted(maps.Keys(at.Parts)) {
		ts.Setenv("CLOUD_"+strings.ToUpper(part), at.Parts[part])
	}
	ts.Defer(func() {
		err := stop()
		if unknown := fake.Unknown(); len(unknown) > 0 {
			err = errors.Join(err, fmt.Errorf("cloudfake has no route for %s", strings.Join(unknown, ", ")))
		}
		ts.Check(err)
	})
	return at
}

func wrap(name string, err error) error {
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

func askCloud(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) < 2 || len(args) > 3 {
		ts.Fatalf("usage: cloudctl METHOD PATH [JSON]")
	}
	var body []byte
	if len(args) == 3 {
		body = []byte(args[2])
		if file, ok := strings.CutPrefix(args[2], "@"); ok {
			body = []byte(ts.ReadFile(file))
		}
	}
	answer, err := ask(args[0], ts.Getenv("CLOUD")+args[1], body)
	if neg {
		if err == nil {
			ts.Fatalf("cloudctl succeeded")
		}
		err = nil
	}
	ts.Check(err)
	fmt.Fprintln(ts.Stdout(), string(answer))
}
