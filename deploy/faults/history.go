package main

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"

	"ringback/deploy/faults/check"
	"ringback/deploy/faults/journal"
	"ringback/deploy/faults/natsd"
	"ringback/deploy/faults/program"
	"ringback/deploy/faults/result"
	"ringback/deploy/faults/stage"
)

const (
	// chapter is how many persons are asked from one scene of a history to the
	// next.
	chapter = 48
	// unhurried are those of them of whom nobody answers late.
	unhurried = 5
	// headKept is how long what was acknowledged of a NATS server has not been
	// written down elsewhere, at most.
	headKept = 2 * time.Second
	// agedAfter is when no fact is kept any more.
	agedAfter = 5 * 24 * time.Hour
)

// history is a service that has served, with copies of what it kept at several
// times. It does not run any more; each trial lets it go on with one of them.
type history struct {
	*stage.Stage
	place   string
	nats    *natsd.Server    // nil: the embedded store
	stepped *program.Program // nil: there is none
	clock   *program.Clock   // of that, and five days ahead
	witness string           // file; empty: none
	rand    *rand.Rand
	dir     string

	earlier, killed, stopped *scene
}

// scene is what was kept at one time, and what had been acknowledged by then.
type scene struct {
	dir    string // data, and what a server had in nats
	at     time.Time
	book   journal.Book
	sealed *check.Export // an export of shortly before
	added  []string      // persons and clients that were added
}

// history lets a service serve, and keeps copies of its data: some while ago, as a
// kill leaves it, and as an end in peace does.
func (d *driver) history(ctx context.Context, p program.Program, stepped *program.Program, place string, witness bool) (h *history, err error) {
	name := "damage-" + place
	h = &history{place: place, rand: d.rand}
	if h.dir, err = d.room(name + "-scenes"); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			h.close()
		}
	}()
	cfg := stage.Config{Program: p, People: 5 * chapter}
	if place == "external" {
		if h.nats, err = d.nats(ctx, name+"-nats"); err != nil {
			return h, err
		}
		cfg.Sections = h.nats.Section(h.nats.Addr())
	}
	if h.stepped = stepped; stepped != nil {
		if h.clock, err = program.NewClock(filepath.Join(h.dir, "clock")); err != nil {
			return h, err
		}
		h.clock.Step(agedAfter)
	}
	if witness {
		h.witness = filepath.Join(h.dir, "witness")
		cfg.Sections += "witness: " + h.witness + "\n"
	}
	if h.Stage, err = d.stage(name, cfg); err != nil {
		return h, err
	}
	var added []string
	var sealed *check.Export
	serve := func(n, persons int) error {
		if err := h.Start(ctx); err != nil {
			return err
		}
		entry := fmt.Sprint("added", n)
		for to, text := range map[string]string{"people": `{"id":%q}`, "clients": `{"client_id":%q,"backchannel_token_delivery_mode":"poll"}`} {
			if err := h.Add(ctx, to, fmt.Sprintf(text, entry)); err != nil {
				return err
			}
		}
		if n == 1 { // they cannot follow each other at once
			if err := h.Rotate(ctx); err != nil {
				return err
			}
		}
		added = append(added, entry)
		h.Load(ctx, n*chapter+unhurried, persons, atOnce)()
		return nil
	}
	through := func(n int) error {
		if err := serve(n, 0); err != nil {
			return err
		}
		stop := h.Load(ctx, n*chapter+unhurried, chapter-unhurried, atOnce)
		time.Sleep(2 * time.Second)
		stop()
		if err := h.Finish(ctx, check.Rules{}); err != nil {
			return err
		}
		sealed, err = h.Export(ctx)
		return err
	}
	keep := func(name string) (*scene, error) {
		c := &scene{dir: filepath.Join(h.dir, name), at: time.Now(), book: h.Journal.Copy(), sealed: sealed, added: added[:len(added):len(added)]}
		return c, h.copyTo(c.dir)
	}

	if err = through(0); err != nil {
		return h, err
	}
	if err = h.Stop(); err != nil {
		return h, err
	}
	if h.earlier, err = keep("earlier"); err != nil {
		return h, err
	}
	if err = through(1); err != nil {
		return h, err
	}
	stop := h.Load(ctx, 2*chapter+unhurried, chapter-unhurried, atOnce)
	time.Sleep(300*time.Millisecond + d.upTo(600*time.Millisecond))
	if h.nats != nil {
		stop()
		time.Sleep(headKept)
	}
	h.Process.Kill()
	stop()
	if h.killed, err = keep("killed"); err != nil {
		return h, err
	}
	if err = through(3); err != nil {
		return h, err
	}
	if err = h.Stop(); err != nil {
		return h, err
	}
	h.stopped, err = keep("stopped")
	return h, err
}

// copyTo keeps what is stored. A NATS server is stopped for that.
func (h *history) copyTo(dir string) error {
	if h.nats != nil {
		if err := h.nats.Stop(); err != nil {
			return err
		}
		if err := copyTree(filepath.Join(dir, "nats"), h.nats.Data()); err != nil {
			return err
		}
		defer h.nats.Start(context.Background()) // whoever needs it says that it does not run
	}
	if err := copyTree(filepath.Join(dir, "data"), h.DataDir()); err != nil || h.witness == "" {
		return err
	}
	return copyFile(filepath.Join(dir, "witness"), h.witness)
}

// restore puts a scene where the service looks for it. A NATS server does not run
// then.
func (h *history) restore(c *scene) error {
	h.halt()
	to := map[string]string{h.DataDir(): "data"}
	if h.nats != nil {
		to[h.nats.Data()] = "nats"
	}
	for dir, name := range to {
		if err := os.RemoveAll(dir); err != nil {
			return err
		}
		if err := copyTree(dir, filepath.Join(c.dir, name)); err != nil {
			return err
		}
	}
	h.Journal.Begin(c.book)
	if h.witness != "" {
		return copyFile(h.witness, filepath.Join(c.dir, "witness"))
	}
	return nil
}

// halt ends whatever runs.
func (h *history) halt() {
	if h.Running() {
		h.Process.Kill()
	}
	if h.nats != nil {
		h.nats.Close()
	}
}

func (h *history) close() {
	if h.Stage != nil {
		h.Stage.Close()
	}
	if h.clock != nil {
		h.clock.Close()
	}
	if h.nats != nil {
		h.nats.Close()
	}
}

// trials tries so many damages, from the given one on in the order of the place.
func (h *history) trials(ctx context.Context, rows map[string]*result.Row, from, count int) error {
	var possible []way
	for _, w := range ways {
		if (w.place == "" || w.place == h.place) && (!w.witness || h.witness != "") && (!w.aged || h.stepped != nil) {
			possible = append(possible, w)
		}
	}
	for i := 0; i < count && ctx.Err() == nil; i++ {
		w := possible[(from+i)%len(possible)]
		form := h.place + ": " + w.name
		if rows[form] == nil {
			rows[form] = &result.Row{Form: form, Refused: map[string]int{}}
		}
		if err := h.trial(context.WithoutCancel(ctx), rows[form], w); err != nil {
			return fmt.Errorf("%s: %w", form, err)
		}
	}
	return nil
}

// copyTree copies a directory, without what leads elsewhere.
func copyTree(to, from string) error {
	return filepath.WalkDir(from, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		switch at := filepath.Join(to, rel); {
		case e.IsDir():
			return os.MkdirAll(at, 0o700)
		case e.Type().IsRegular():
			return copyFile(at, path)
		}
		return nil
	})
}

func copyFile(to, from string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	if _, err := io.Copy(out, in); err != nil {
		out.Close()
		return err
	}
	return out.Close()
}
