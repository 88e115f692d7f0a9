package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"ringback/audit"
	"ringback/consent"
	"ringback/store"
)

// contents are the files below a directory that hold what is stored.
func contents(t *testing.T, dir string) map[string][32]byte {
	t.Helper()
	out := map[string][32]byte{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() || filepath.Ext(path) == ".db" {
			return err
		}
		name, _ := filepath.Rel(dir, path)
		if ext := filepath.Ext(path); ext != ".blk" && ext != ".key" && name != "instance.json" && name != "head" {
			return nil
		}
		data, err := os.ReadFile(path)
		out[name] = sha256.Sum256(data)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func sameContents(t *testing.T, before, after map[string][32]byte) {
	t.Helper()
	for name, sum := range before {
		if after[name] != sum {
			t.Errorf("%s has changed", name)
		}
	}
	for name := range after {
		if _, there := before[name]; !there {
			t.Errorf("%s is new", name)
		}
	}
}

// TestRepairOfNothing: of an undamaged store nothing is lost, and nothing changes;
// a dry run changes nothing of a damaged one, and a served one is left alone.
func TestRepairOfNothing(t *testing.T) {
	t.Parallel()
	r, earlier, killed := toldRuin(t)
	for name, dir := range map[string]string{"stopped": r.h.Config.Dir, "killed": killed} {
		r := r.at(t, dir)
		before := contents(t, dir)
		for _, may := range []store.RepairConfig{{}, {Write: true}, {Write: true, NewKeys: true}} {
			done, err := r.repair(may, nil)
			if !done || err != nil || r.printed.String() != "nothing is lost\n" {
				t.Errorf("%s, %+v: %v, %v\n%s", name, may, done, err, r.printed.String())
			}
			sameContents(t, before, contents(t, dir))
		}
	}
	rnd := rand.New(rand.NewPCG(1, 2))
	for _, tt := range damages {
		dir := copyDir(t, killed)
		tt.damage(t, dir, earlier, rnd)
		before := contents(t, dir)
		r := r.at(t, dir)
		if done, err := r.repair(store.RepairConfig{}, nil); err != nil || done && tt.times == 1 {
			t.Errorf("%s: %v, %v\n%s", tt.name, done, err, r.printed.String())
		}
		sameContents(t, before, contents(t, dir))
	}
	r.h.Reopen()
	if _, err := r.repair(store.RepairConfig{Write: true}, nil); !errors.Is(err, store.ErrInUse) {
		t.Errorf("repair of a store in use = %v", err)
	}
}

// TestRepairKilled: a repair that is killed between any two of its steps is taken
// up, and nobody opens the store meanwhile.
func TestRepairKilled(t *testing.T) {
	t.Parallel()
	r, earlier, killed := toldRuin(t)
	rnd := rand.New(rand.NewPCG(3, 4))
	stop := errors.New("killed")
	for _, damage := range damages {
		switch damage.name {
		case "the end of the facts", "all facts", "facts, chain and evidence", "the chain", "some data keys":
		default:
			continue
		}
		t.Run(damage.name, func(t *testing.T) {
			dir := copyDir(t, killed)
			damage.damage(t, dir, earlier, rnd)
			r := r.at(t, dir)
			may := store.RepairConfig{Write: true, NewKeys: damage.newKeys}
			for _, at := range []string{"declare", "forfeit", "seal", "finish"} {
				_, err := r.repair(may, func(name string) error {
					if name != at {
						return nil
					}
					left := copyDir(t, dir) // what a kill leaves
					r.h.Config.Dir = left
					return stop
				})
				if !errors.Is(err, stop) {
					t.Fatalf("killed at %s: %v\n%s", at, err, r.printed.String())
				}
				dir = r.h.Config.Dir
				if s, err := store.Open(t.Context(), r.h.Config); err == nil {
					s.Close(context.Background())
					t.Fatalf("killed at %s: the store opens", at)
				} else if !errors.Is(err, consent.ErrLost) || !strings.Contains(err.Error(), "a repair began") {
					t.Fatalf("killed at %s: %v", at, err)
				}
			}
			if done, err := r.repair(may, nil); !done || err != nil {
				t.Fatalf("%v, %v\n%s", done, err, r.printed.String())
			}
			r.ends = strings.Contains(r.printed.String(), "CONSENT")
			r.repaired()
		})
	}
}

// TestRepairSetBack: a store that is an older copy as a whole is noticed by its
// witness, and repaired with the same command. Who was erased since stays erased.
func TestRepairSetBack(t *testing.T) {
	t.Parallel()
	witness := filepath.Join(t.TempDir(), "witness")
	r := newRuin(t, func(c *store.Config) { c.Witness = witness })
	r.tell(3, true)
	r.h.Close()
	earlier := copyDir(t, r.h.Config.Dir)
	before := copyDir(t, r.h.Config.Dir)
	r.h.Reopen()
	auditor, _ := r.auditor()
	r.must(auditor.Erased(t.Context(), r.h.Pseudonym("person-1")))
	r.must(r.h.RemovePerson(t.Context(), "person-1"))
	r.tell(1, true)
	r.before = r.export()
	r.h.Close()
	r.h.Config.Dir = earlier
	if _, err := store.Open(t.Context(), r.h.Config); !errors.Is(err, consent.ErrLost) {
		t.Fatalf("Open of an older copy = %v", err)
	}
	if done, err := r.repair(store.RepairConfig{Write: true}, nil); !done || err != nil {
		t.Fatalf("%v, %v\n%s", done, err, r.printed.String())
	}
	if data, err := os.ReadFile(witness); err != nil || !strings.Contains(string(data), `"epoch":1,`) {
		t.Errorf("the witness says %s, %v", data, err)
	}
	old := r.h.Config
	old.Dir = before
	if _, err := store.Open(t.Context(), old); !errors.Is(err, consent.ErrLost) || !strings.Contains(err.Error(), "before repair 1") {
		t.Errorf("Open of a copy from before the repair = %v", err)
	}
	for _, want := range []string{"person person-2", "client client-3", "confirm each"} {
		if !strings.Contains(r.printed.String(), want) {
			t.Errorf("it does not list %q:\n%s", want, r.printed.String())
		}
	}
	r.h.Reopen()
	_, c, err := audit.VerifySince(bytes.NewReader(r.export()), bytes.NewReader(r.before), r.jwks)
	if err != nil || c.OK() || !slices.ContainsFunc(c.Differences, func(d audit.Difference) bool { return d.Declared == 0 && strings.Contains(d.What, "can be read again") }) {
		t.Errorf("who was erased is back, and nobody says so: %v, %+v", err, c.Differences)
	}
	auditor, _ = r.auditor()
	r.must(auditor.Erased(t.Context(), r.h.Pseudonym("person-1")))
	r.must(r.h.RemovePerson(t.Context(), "person-1"))
	r.ends = true
	r.repaired()
	if r.h.Healthy() != nil {
		t.Error(r.h.Healthy())
	}
}

// TestRepairErasesAgain: where the chain says that somebody was erased, and an older
// copy of the directory and of the data keys has them, they are erased again.
func TestRepairErasesAgain(t *testing.T) {
	t.Parallel()
	r, earlier, _ := toldRuin(t)
	r.h.Reopen()
	auditor, _ := r.auditor()
	r.must(auditor.Erased(t.Context(), r.h.Pseudonym("person-1")))
	r.must(r.h.RemovePerson(t.Context(), "person-1"))
	r.before = r.export()
	r.h.Close()
	for _, stream := range []string{"ringback_DEK", "KV_ringback_PEOPLE"} {
		setBackTo(t, r.h.Config.Dir, earlier, stream)
	}
	// Who was added since has lost their keys.
	if done, err := r.repair(store.RepairConfig{Write: true, NewKeys: true}, nil); !done || err != nil {
		t.Fatalf("%v, %v\n%s", done, err, r.printed.String())
	}
	if !strings.Contains(r.printed.String(), "erased again") {
		t.Errorf("it does not say who was erased again:\n%s", r.printed.String())
	}
	r.h.Reopen()
	if p, err := r.h.Person(t.Context(), "person-1"); err == nil {
		t.Errorf("person %s is back", p.ID)
	}
	if _, err := r.h.Person(t.Context(), "person-2"); err != nil {
		t.Error(err)
	}
	r.repaired()
}

// TestRepairTwice: what is lost after a repair, at once or later, is noticed like the
// first time, and repaired again.
func TestRepairTwice(t *testing.T) {
	t.Parallel()
	r, earlier, killed := toldRuin(t)
	r = r.at(t, killed)
	removeAll(t, streamFiles(killed, "ringback_CONSENT"))
	if done, err := r.repair(store.RepairConfig{Write: true}, nil); !done || err != nil {
		t.Fatalf("%v, %v\n%s", done, err, r.printed.String())
	}
	again := r.at(t, copyDir(t, killed))
	setBackTo(t, again.h.Config.Dir, earlier, "ringback_SEEN") // which nothing but the head knows of
	if s, err := store.Open(t.Context(), again.h.Config); err == nil {
		s.Close(t.Context())
		t.Error("a loss right after a repair is not noticed")
	}
	r.ends = true
	r.repaired()
	r.h.Close()
	rnd := rand.New(rand.NewPCG(5, 6))
	changeFile(t, blockOf(t, killed, "ringback_CONSENT"), func(b []byte) []byte { b[rnd.IntN(len(b))] ^= 1; return b })
	if done, err := r.repair(store.RepairConfig{Write: true}, nil); !done || err != nil || !strings.Contains(r.printed.String(), "epoch 2 begins") {
		t.Fatalf("%v, %v\n%s", done, err, r.printed.String())
	}
	r.repaired()
}

// blockOf is the oldest file of a stream that holds something.
func blockOf(t *testing.T, dir, stream string) string {
	t.Helper()
	list, err := filepath.Glob(filepath.Join(streamFiles(dir, stream), "msgs", "*.blk"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range list {
		if info, err := os.Stat(path); err == nil && info.Size() > 0 {
			return path
		}
	}
	t.Fatalf("%s has no block", stream)
	return ""
}

// TestRepairedStoreIsOfItsOwnVersion: a program that knows nothing of repairs does
// not open a store that one has touched.
func TestRepairedStoreIsOfItsOwnVersion(t *testing.T) {
	t.Parallel()
	r, _, killed := toldRuin(t)
	r = r.at(t, killed)
	removeAll(t, streamFiles(killed, "ringback_CONSENT"))
	version := func() string {
		data, err := os.ReadFile(filepath.Join(killed, "instance.json"))
		r.must(err)
		return strings.Fields(string(data))[2]
	}
	if v := version(); v != "1," {
		t.Errorf("version %s before", v)
	}
	_, err := r.repair(store.RepairConfig{Write: true}, func(string) error { return errors.New("stop") })
	if v := version(); v != "2," || err == nil {
		t.Errorf("version %s in between, %v", v, err)
	}
	if done, err := r.repair(store.RepairConfig{Write: true}, nil); !done || err != nil || version() != "2," {
		t.Errorf("version %s, %v, %v", version(), done, err)
	}
}
