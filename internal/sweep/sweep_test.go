// Copyright The Steward Authors.
// SPDX-License-Identifier: Apache-2.0

package sweep

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// account is a cloud of which a test knows everything. Objects hold others: who is held cannot go.
type account struct {
	mu      sync.Mutex
	objects map[string]map[string]*thing // by kind and id
	deletes []string                     // "kind id", as they began
	dice    *rand.Rand

	listFault, deleteFault func(kind string) error // nil: none
	again                  map[string]int          // kinds whose objects come back so often when they are deleted
}

type thing struct {
	Object
	holds []string // "kind id"
}

func (a *account) put(kind string, t thing) {
	if a.objects[kind] == nil {
		a.objects[kind] = map[string]*thing{}
	}
	a.objects[kind][t.ID] = &t
}

func (a *account) kind(name string, after ...string) Kind {
	return Kind{
		Name: name, After: after,
		Protect: func(o Object) string {
			if o.Tags["protected"] != "" {
				return "is protected"
			}
			return ""
		},
		List: func(ctx context.Context) ([]Object, error) {
			a.mu.Lock()
			defer a.mu.Unlock()
			if a.listFault != nil {
				if err := a.listFault(name); err != nil {
					return nil, err
				}
			}
			var all []Object
			for _, t := range a.objects[name] {
				all = append(all, t.Object)
			}
			return all, ctx.Err()
		},
		Delete: func(ctx context.Context, o Object) error { return a.delete(ctx, name, o) },
	}
}

func (a *account) delete(ctx context.Context, kind string, o Object) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	key := kind + " " + o.ID
	a.deletes = append(a.deletes, key)
	if a.deleteFault != nil {
		if err := a.deleteFault(kind); err != nil {
			return err
		}
	}
	for other, objects := range a.objects {
		for id, t := range objects {
			if slices.Contains(t.holds, key) {
				return fmt.Errorf("%s is held by %s %s: %w", key, other, id, ErrInUse)
			}
		}
	}
	old := a.objects[kind][o.ID]
	delete(a.objects[kind], o.ID)
	if old != nil && a.again[kind] > 0 {
		a.again[kind]--
		fresh := *old
		fresh.ID += "'"
		a.put(kind, fresh)
	}
	return ctx.Err()
}

func newAccount(seed uint64) *account {
	return &account{objects: map[string]map[string]*thing{}, again: map[string]int{}, dice: rand.New(rand.NewPCG(seed, 7))}
}

func TestTableFaults(t *testing.T) {
	a := newAccount(1)
	without := a.kind("b")
	without.Delete = nil
	ring := a.kind("ring")
	ring.Within = []string{"gnir"}
	gnir := a.kind("gnir")
	gnir.Within = []string{"ring"}
	for name, c := range map[string]struct {
		kinds []Kind
		want  string
	}{
		"twice":       {[]Kind{a.kind("b"), a.kind("b")}, `kind "b" has no name or stands twice`},
		"no name":     {[]Kind{a.kind("")}, `kind "" has no name`},
		"no delete":   {[]Kind{without}, "kind b cannot be listed or not deleted"},
		"unknown":     {[]Kind{a.kind("b", "c")}, `kind b depends on "c", which is none`},
		"itself":      {[]Kind{a.kind("b", "b")}, "kinds wait for each other: b after b"},
		"circle":      {[]Kind{a.kind("b", "c"), a.kind("c", "d"), a.kind("d", "b")}, "kinds wait for each other: b after c after d after b"},
		"within ring": {[]Kind{ring, gnir}, "kinds wait for each other: ring after gnir after ring"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := NewTable(c.kinds); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
	table, err := NewTable([]Kind{a.kind("network", "subnet"), a.kind("subnet", "vm"), a.kind("vm")})
	if err != nil || !slices.Equal(table.Names(), []string{"vm", "subnet", "network"}) {
		t.Errorf("order %v, %v", table.Names(), err)
	}
}

var epoch = time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)

func TestRules(t *testing.T) {
	old := Object{ID: "x", Created: epoch.Add(-2 * time.Hour), Tags: map[string]string{"team": "a", "keep": ""}}
	for name, c := range map[string]struct {
		rules Rules
		o     Object
		marks Marks
		want  string // why it stays; "" lets it go
	}{
		"everything":          {o: old},
		"old enough":          {rules: Rules{Age: time.Hour}, o: old},
		"exactly old enough":  {rules: Rules{Age: 2 * time.Hour}, o: old},
		"too young":           {rules: Rules{Age: 3 * time.Hour}, o: old, want: "younger than 3h0m0s"},
		"from the future":     {rules: Rules{Age: time.Hour}, o: Object{ID: "x", Created: epoch.Add(time.Hour)}, want: "younger than 1h0m0s"},
		"never seen":          {rules: Rules{Age: time.Hour}, o: Object{ID: "x"}, want: "younger than 1h0m0s"},
		"never seen, no age":  {o: Object{ID: "x"}},
		"seen long ago":       {rules: Rules{Age: time.Hour}, o: Object{ID: "x"}, marks: Marks{"k x": epoch.Add(-time.Hour)}},
		"mark of another":     {rules: Rules{Age: time.Hour}, o: Object{ID: "x"}, marks: Marks{"k xx": epoch.Add(-time.Hour)}, want: "younger than 1h0m0s"},
		"created beats mark":  {rules: Rules{Age: 3 * time.Hour}, o: old, marks: Marks{"k x": epoch.Add(-9 * time.Hour)}, want: "younger than 3h0m0s"},
		"excluded key":        {rules: Rules{Exclude: []Tag{{Key: "keep", Any: true}}}, o: old, want: "has the tag keep"},
		"excluded value":      {rules: Rules{Exclude: []Tag{{Key: "team", Value: "a"}}}, o: old, want: "has the tag team=a"},
		"other value":         {rules: Rules{Exclude: []Tag{{Key: "team", Value: "b"}}}, o: old},
		"included":            {rules: Rules{Include: []Tag{{Key: "team", Value: "a"}, {Key: "keep", Any: true}}}, o: old},
		"one is missing":      {rules: Rules{Include: []Tag{{Key: "team", Value: "a"}, {Key: "no", Any: true}}}, o: old, want: "does not have the tag no"},
		"exclude beats":       {rules: Rules{Include: []Tag{{Key: "team", Any: true}}, Exclude: []Tag{{Key: "keep", Any: true}}}, o: old, want: "has the tag keep"},
		"no tags, included":   {rules: Rules{Include: []Tag{{Key: "team", Any: true}}}, o: Object{ID: "x"}, want: "does not have the tag team"},
		"protected beats all": {rules: Rules{}, o: Object{ID: "x", Tags: map[string]string{"protected": "y"}}, want: "is protected"},
	} {
		t.Run(name, func(t *testing.T) {
			table, err := NewTable([]Kind{newAccount(1).kind("k")})
			if err != nil {
				t.Fatal(err)
			}
			v, err := table.Decide(Survey{[]Found{{Name: "k", Objects: []Object{c.o}}}}, c.rules, c.marks, epoch)
			if err != nil {
				t.Fatal(err)
			}
			got := ""
			if len(v.Kept) > 0 {
				got = v.Kept[0].Why
			}
			if got != c.want || v.Plan.Empty() != (c.want != "") {
				t.Errorf("stays because %q, want %q; plan %v", got, c.want, v.Plan.Steps)
			}
		})
	}
}

func TestWith(t *testing.T) {
	host, guest := Object{ID: "h", Created: epoch.Add(-time.Hour)}, Object{ID: "g", Created: epoch.Add(-time.Hour), With: "host h"}
	young, protected := host, host
	young.Created, protected.Protected = epoch, "is protected"
	for name, c := range map[string]struct {
		hosts     Found
		why       string
		protected bool
	}{
		"it goes":                {hosts: Found{Objects: []Object{host}}},
		"it is not there":        {},
		"another one stays":      {hosts: Found{Objects: []Object{{ID: "i", Created: epoch}}}},
		"it is too young":        {hosts: Found{Objects: []Object{young}}, why: "stays with host "},
		"it is protected":        {hosts: Found{Objects: []Object{protected}}, why: "stays with host ", protected: true},
		"it was not read":        {hosts: Found{Err: errors.New("down")}, why: "whether host h is there is not known"},
		"its service is off":     {hosts: Found{Disabled: true}, why: "whether host h is there is not known"},
		"nobody asked for hosts": {hosts: Found{Implied: true}, why: "whether host h is there is not known"},
	} {
		t.Run(name, func(t *testing.T) {
			a := newAccount(1)
			table, err := NewTable([]Kind{a.kind("host", "guest"), a.kind("guest")})
			if err != nil {
				t.Fatal(err)
			}
			c.hosts.Name = "host"
			v, err := table.Decide(Survey{[]Found{{Name: "guest", Objects: []Object{guest}}, c.hosts}}, Rules{Age: time.Minute}, nil, epoch)
			if err != nil {
				t.Fatal(err)
			}
			at := slices.IndexFunc(v.Kept, func(k Kept) bool { return k.Kind == "guest" })
			if at < 0 && c.why == "" {
				return
			}
			if at < 0 || v.Kept[at].Why != c.why || v.Kept[at].Protected != c.protected {
				t.Errorf("kept %+v", v.Kept)
			}
		})
	}
}

func TestMarks(t *testing.T) {
	m := Marks{"k a": epoch, "k gone": epoch, "u a": epoch, "k later": epoch.Add(48 * time.Hour)}
	now := epoch.Add(time.Hour)
	got := m.Update(Survey{[]Found{
		{Name: "k", Objects: []Object{{ID: "a"}, {ID: "new"}, {ID: "later"}, {ID: "dated", Created: epoch}}},
		{Name: "u", Err: errors.New("down")},
	}}, now)
	want := Marks{"k a": epoch, "k new": now, "k later": now, "u a": epoch}
	if !maps.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	raw, err := got.Encode()
	if err != nil {
		t.Fatal(err)
	}
	back, err := ParseMarks(raw)
	if err != nil || !maps.Equal(back, got) {
		t.Errorf("read back %v, %v", back, err)
	}
	if _, err := ParseMarks([]byte("[]")); err == nil {
		t.Error("a list is no marks")
	}
}

// run sweeps in a bubble: pauses take no time, and what hangs is found.
func run(t *testing.T, a *account, s *Sweep, kinds []Kind) (o Outcome) {
	t.Helper()
	table, err := NewTable(kinds)
	if err != nil {
		t.Fatal(err)
	}
	s.Table = table
	v, err := s.Look(t.Context())
	if err == nil {
		o, err = s.Clean(t.Context(), v)
	}
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func TestClean(t *testing.T) {
	chain := func(a *account) []Kind {
		a.put("vm", thing{Object: Object{ID: "v", Name: "v"}, holds: []string{"subnet s"}})
		a.put("subnet", thing{Object: Object{ID: "s", Name: "s"}, holds: []string{"network n"}})
		a.put("network", thing{Object: Object{ID: "n", Name: "n"}})
		return []Kind{a.kind("network", "subnet"), a.kind("subnet", "vm"), a.kind("vm")}
	}
	broken := errors.New("broken")
	for name, c := range map[string]struct {
		prepare func(a *account, kinds []Kind)
		want    string // of Reason; "" is clean
		deletes int
		rounds  int
	}{
		"in order, one delete each": {func(*account, []Kind) {}, "", 3, 1},
		"an empty one":              {func(a *account, _ []Kind) { clear(a.objects) }, "", 0, 0},
		"a list that fails": {func(a *account, _ []Kind) {
			a.listFault = func(kind string) error {
				if kind == "subnet" {
					return broken
				}
				return nil
			}
		}, "not read: subnet: broken; left: network n: ", 7, 3},
		"a list that fails, of an empty account": {func(a *account, _ []Kind) {
			clear(a.objects)
			a.listFault = func(string) error { return broken }
		}, "not read: vm, subnet, network: broken", 0, 0},
		"a delete that is refused": {func(a *account, _ []Kind) {
			a.deleteFault = func(kind string) error {
				if kind == "network" {
					return broken
				}
				return nil
			}
		}, "left: network n: broken", 5, 3},
		"one that comes back":        {func(a *account, _ []Kind) { a.again["vm"] = 2 }, "", 0, 3},
		"one that always comes back": {func(a *account, _ []Kind) { a.again["vm"] = 1000 }, "left: vm v", 0, 6},
		"a service that is disabled": {func(a *account, _ []Kind) {
			a.listFault = func(string) error { return fmt.Errorf("x: %w", ErrDisabled) }
		}, "", 0, 0},
		"a wrong order is made up for": {func(a *account, kinds []Kind) { kinds[0].After, kinds[1].After = nil, nil }, "", 0, 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a := newAccount(3)
				kinds := chain(a)
				c.prepare(a, kinds)
				o := run(t, a, &Sweep{}, kinds)
				if !strings.HasPrefix(o.Reason(), c.want) || c.want == "" && o.Reason() != "" || o.Clean() != (c.want == "") {
					t.Errorf("clean %v, reason %q, want %q", o.Clean(), o.Reason(), c.want)
				}
				if c.deletes > 0 && len(a.deletes) != c.deletes || o.Rounds != c.rounds {
					t.Errorf("%d deletes in %d rounds, want %d in %d: %v", len(a.deletes), o.Rounds, c.deletes, c.rounds, a.deletes)
				}
			})
		})
	}
}

// SW-18: what a list left out at first is not deleted beyond the limit, and what takes its time to go counts once.
func TestLimit(t *testing.T) {
	for name, c := range map[string]struct {
		hidden  int // rounds in which most is not listed
		again   int // times that something deleted is listed again
		limit   int
		deleted int
		stopped bool
	}{
		"all of it at once":  {0, 0, 20, 20, false},
		"most comes later":   {1, 0, 10, 1, true},
		"it is listed again": {0, 1, 20, 40, false},
		"no limit":           {1, 0, 0, 20, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a := newAccount(3)
				for i := range 20 {
					a.put("vm", thing{Object: Object{ID: fmt.Sprint(i), Name: fmt.Sprint(i)}})
				}
				kind := a.kind("vm")
				remove, asked := kind.Delete, map[string]int{}
				var mu sync.Mutex
				kind.Delete = func(ctx context.Context, o Object) error {
					mu.Lock()
					defer mu.Unlock()
					if asked[o.ID]++; asked[o.ID] <= c.again {
						return nil
					}
					return remove(ctx, o)
				}
				list, lists := kind.List, 0
				kind.List = func(ctx context.Context) ([]Object, error) {
					all, err := list(ctx)
					if lists++; lists <= c.hidden {
						all = all[:1]
					}
					return all, err
				}
				o := run(t, a, &Sweep{Limit: c.limit}, []Kind{kind})
				if errors.Is(o.Stopped, ErrLimit) != c.stopped || len(o.Deleted) != c.deleted {
					t.Errorf("%d deleted, stopped %v", len(o.Deleted), o.Stopped)
				}
			})
		})
	}
}

// Kinds that stand within others are asked only where there may be some.
func TestWithin(t *testing.T) {
	for name, c := range map[string]struct {
		fault error
		maps  int
		asked bool
	}{
		"no maps": {nil, 0, false}, "a map": {nil, 1, true}, "maps unknown": {errors.New("down"), 0, true}, "disabled": {ErrDisabled, 0, false},
	} {
		t.Run(name, func(t *testing.T) {
			a := newAccount(1)
			asked := false
			a.listFault = func(kind string) error {
				asked = asked || kind == "proxy"
				if kind == "map" {
					return c.fault
				}
				return nil
			}
			for i := range c.maps {
				a.put("map", thing{Object: Object{ID: fmt.Sprint(i)}})
			}
			proxy := a.kind("proxy")
			proxy.Within = []string{"map"}
			table, err := NewTable([]Kind{proxy, a.kind("map", "proxy")})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := (&Sweep{Table: table}).Look(t.Context()); err != nil || asked != c.asked {
				t.Errorf("asked %v, %v", asked, err)
			}
		})
	}
}

func TestGateAndContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAccount(1)
		for i := range 50 {
			a.put("k", thing{Object: Object{ID: fmt.Sprint(i)}})
		}
		opened := 0
		stop := errors.New("frozen")
		o := run(t, a, &Sweep{Parallel: 1, Gate: func(context.Context) error {
			if opened++; opened > 5 {
				return stop
			}
			return nil
		}}, []Kind{a.kind("k")})
		if len(a.deletes) != 5 || !errors.Is(o.Stopped, stop) || o.Clean() || o.Reason() != "stopped: frozen" {
			t.Errorf("%d deletes, %q", len(a.deletes), o.Reason())
		}
	})
	lost := errors.New("the lease is lost")
	ctx, cancel := context.WithCancelCause(t.Context())
	a := newAccount(1)
	for i := range 50 {
		a.put("k", thing{Object: Object{ID: fmt.Sprint(i)}})
	}
	a.deleteFault = func(string) error { cancel(lost); return nil }
	table, err := NewTable([]Kind{a.kind("k")})
	if err != nil {
		t.Fatal(err)
	}
	s := &Sweep{Table: table, Parallel: 1}
	v, err := s.Look(ctx)
	if err != nil {
		t.Fatal(err)
	}
	o, err := s.Clean(ctx, v)
	if err != nil || len(a.deletes) != 1 || !errors.Is(o.Stopped, lost) || o.Clean() {
		t.Errorf("%d deletes, stopped by %v, %v", len(a.deletes), o.Stopped, err)
	}
}

func TestHostileList(t *testing.T) {
	a := newAccount(1)
	for name, c := range map[string]struct {
		list   []Object
		unread int
		plan   int
	}{
		"no id": {[]Object{{ID: "a"}, {Name: "b"}}, 1, 0},
		"twice": {[]Object{{ID: "a"}, {ID: "a"}}, 0, 1},
	} {
		k := a.kind("k")
		k.List = func(context.Context) ([]Object, error) { return c.list, nil }
		table, err := NewTable([]Kind{k})
		if err != nil {
			t.Fatal(err)
		}
		v, err := (&Sweep{Table: table}).Look(t.Context())
		if err != nil || len(v.Unread) != c.unread || len(v.Plan.Steps) != c.plan {
			t.Errorf("%s: %v %v %v", name, v.Unread, v.Plan.Steps, err)
		}
	}
}

// chance is a random world: kinds in random order with random dependencies, objects with random ages, tags and holds,
// and faults.
type chance struct {
	*account
	kinds  []Kind
	rules  Rules
	lasts  map[string]bool // kinds that can never be listed
	missed map[string]bool // kinds of which a list has failed
}

func newChance(seed uint64) *chance {
	w := &chance{account: newAccount(seed), lasts: map[string]bool{}, missed: map[string]bool{}}
	d := w.dice
	n := 1 + d.IntN(7)
	for i := range n {
		var after []string
		for j := range i {
			if d.IntN(3) == 0 {
				after = append(after, fmt.Sprint("k", j))
			}
		}
		name := fmt.Sprint("k", i)
		w.kinds = append(w.kinds, w.kind(name, after...))
		for o := range d.IntN(6) {
			t := thing{Object: Object{ID: fmt.Sprint(name, "-", o), Created: epoch.Add(-time.Duration(d.IntN(100)) * time.Hour), Tags: map[string]string{}}}
			for _, tag := range []string{"protected", "keep", "want"} {
				if d.IntN(4) == 0 {
					t.Tags[tag] = "y"
				}
			}
			if d.IntN(5) == 0 {
				t.Created = time.Time{}
			}
			w.put(name, t)
		}
	}
	w.hold()
	d.Shuffle(n, func(i, j int) { w.kinds[i], w.kinds[j] = w.kinds[j], w.kinds[i] })
	w.rules.Age = time.Duration(d.IntN(3)) * 24 * time.Hour
	if d.IntN(3) == 0 {
		w.rules.Exclude = []Tag{{Key: "keep", Any: true}}
	}
	if d.IntN(4) == 0 {
		w.rules.Include = []Tag{{Key: "want", Any: true}}
	}
	w.faults()
	return w
}

// hold lets objects hold others whose kind comes after theirs.
func (w *chance) hold() {
	for _, k := range w.kinds {
		for _, name := range k.After {
			for _, holder := range w.objects[name] {
				for id := range w.objects[k.Name] {
					if w.dice.IntN(3) == 0 {
						holder.holds = append(holder.holds, k.Name+" "+id)
					}
				}
			}
		}
	}
}

func (w *chance) faults() {
	d := w.dice
	lists, deletes := d.IntN(3), d.IntN(3)
	if d.IntN(4) == 0 {
		w.lasts[w.kinds[d.IntN(len(w.kinds))].Name] = true
	}
	w.listFault = func(kind string) error {
		if w.lasts[kind] || lists > 0 && d.IntN(20) < lists {
			w.missed[kind] = true
			return errors.New("a fault of a list")
		}
		return nil
	}
	w.deleteFault = func(string) error {
		switch {
		case deletes > 0 && d.IntN(10) < deletes:
			return errors.New("a fault of a delete")
		case deletes > 1 && d.IntN(10) == 0:
			return fmt.Errorf("by chance: %w", ErrInUse)
		}
		return nil
	}
	if d.IntN(3) == 0 {
		w.again[w.kinds[d.IntN(len(w.kinds))].Name] = d.IntN(5)
	}
}

// may is a second implementation of the rules.
func (w *chance) may(o Object, now time.Time) bool {
	_, keep := o.Tags["keep"]
	_, want := o.Tags["want"]
	return o.Tags["protected"] == "" && (len(w.rules.Exclude) == 0 || !keep) && (len(w.rules.Include) == 0 || want) &&
		(w.rules.Age == 0 || !o.Created.IsZero() && now.Sub(o.Created) >= w.rules.Age)
}

// Whatever happens: nothing is deleted that the rules do not choose, no kind is begun before those it comes after have
// been tried, it ends, and "clean" is true.
func TestProperties(t *testing.T) {
	clean, dirty := 0, 0
	for seed := range uint64(600) {
		synctest.Test(t, func(t *testing.T) {
			w := newChance(seed)
			chosen := map[string]bool{}
			for kind, objects := range w.objects {
				for id, o := range objects {
					chosen[kind+" "+id] = w.may(o.Object, epoch)
				}
			}
			began := time.Now()
			o := run(t, w.account, &Sweep{Rules: w.rules, Now: func() time.Time { return epoch }, Parallel: 1 + int(seed%5)}, w.kinds)
			if took := time.Since(began); took > time.Hour {
				t.Errorf("seed %d: takes %v", seed, took)
			}
			for _, key := range w.deletes {
				if !chosen[strings.TrimRight(key, "'")] {
					t.Errorf("seed %d: %s was deleted against the rules", seed, key)
				}
			}
			w.firstInOrder(t, seed)
			left := w.left()
			if o.Clean() && (left > 0 || len(w.lasts) > 0) {
				t.Errorf("seed %d: clean with %d objects left and %v never read", seed, left, w.lasts)
			}
			if o.Clean() {
				clean++
			} else if dirty++; o.Reason() == "" {
				t.Errorf("seed %d: not clean without a reason", seed)
			}
		})
	}
	if clean < 100 || dirty < 100 {
		t.Errorf("%d clean and %d dirty worlds show little", clean, dirty)
	}
}

func (w *chance) left() int {
	n := 0
	for _, objects := range w.objects {
		for _, o := range objects {
			if w.may(o.Object, epoch) {
				n++
			}
		}
	}
	return n
}

// firstInOrder: the first delete of every object comes behind the first ones of all objects of the kinds before it, as
// far as the first listing had them.
func (w *chance) firstInOrder(t *testing.T, seed uint64) {
	t.Helper()
	first := map[string]int{}
	for i, key := range slices.Backward(w.deletes) {
		first[key] = i
	}
	for _, k := range w.kinds {
		for key, at := range first {
			if name, _, _ := strings.Cut(key, " "); name != k.Name || strings.HasSuffix(key, "'") {
				continue
			}
			for before, i := range first {
				name, _, _ := strings.Cut(before, " ")
				if slices.Contains(k.After, name) && !strings.HasSuffix(before, "'") && i > at && !w.missed[name] {
					t.Errorf("seed %d: %s was deleted before %s", seed, key, before)
				}
			}
		}
	}
}
