package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"time"

	"ringback/audit"
	"ringback/consent"
	"ringback/keys"
	"ringback/store"
)

const repairUsage = `Usage: ringback repair [--config FILE] [--yes] [--new-keys]

  --config FILE   the configuration; default: the environment's RINGBACK_CONFIG
  --yes           do it; without it, it says what is lost and changes nothing
  --new-keys      signing keys that are lost are made anew, and people whose data
                  key is lost count as erased

For a store that "serve" refuses because facts are lost, or that is an older copy.
Restoring a newer backup is better. Stop every process that serves the store first.
What is readable is sealed, and a signed record in the chain says what is lost;
every request that may have been answered, redeemed or revoked is ended. It may be
interrupted, and is run again then. Exit code 0 when nothing is lost or all is done.
`

// repair makes a store that has lost facts usable again.
func (a *app) repair(ctx context.Context, args []string) error {
	fs := flags("repair")
	file := fs.String("config", a.getenv("RINGBACK_CONFIG"), "")
	var may store.RepairConfig
	fs.BoolVar(&may.Write, "yes", false, "")
	fs.BoolVar(&may.NewKeys, "new-keys", false, "")
	if err := alone(fs, args); err != nil {
		return err
	}
	cfg, root, err := a.storage(*file)
	if err != nil {
		return err
	}
	log := slog.New(slog.NewJSONHandler(a.stderr, &slog.HandlerOptions{Level: slog.LevelError}))
	r := &repairer{out: a.stdout, now: a.now, log: log, root: root}
	done, err := r.run(ctx, storeConfig(cfg, root, a.now, log), may)
	if err == nil && !done {
		return &exit{1, errors.New("nothing was changed; with --yes it is")}
	}
	return err
}

// repairer goes through a repair, and prints what it finds and does.
type repairer struct {
	out  io.Writer
	now  func() time.Time
	log  *slog.Logger
	root *keys.Root

	step func(name string) error // called between the steps; nil: never
}

func (r *repairer) say(format string, args ...any) { fmt.Fprintf(r.out, format+"\n", args...) }

// run reports whether all is well at its end.
func (r *repairer) run(ctx context.Context, sc store.Config, may store.RepairConfig) (done bool, err error) {
	st, err := store.OpenRepair(ctx, sc, may)
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, st.Close(context.WithoutCancel(ctx))) }()
	if st.Opened {
		if err := r.people(ctx, st, may); err != nil {
			return false, err
		}
	}
	if len(st.Losses()) == 0 {
		r.say("nothing is lost")
		return true, nil
	}
	r.describe(ctx, st)
	if !may.Write {
		r.foretell(st)
		return false, nil
	}
	return true, r.mend(ctx, st)
}

// people finds people without a data key; if it may write, those who were erased
// are erased again before.
func (r *repairer) people(ctx context.Context, st *store.Repair, may store.RepairConfig) error {
	if may.Write && len(st.Losses()) > 0 {
		auditor, err := r.auditor(ctx, st)
		if err != nil {
			return err
		}
		erased, err := auditor.Erasures(ctx)
		if err != nil {
			return err
		}
		again, err := st.EraseAgain(ctx, erased)
		if err != nil {
			return err
		}
		if len(again) > 0 {
			r.say("erased again, as the chain says: %s", list(again))
		}
	}
	return st.FindKeyless(ctx)
}

// auditor is one over the store. Its signing keys are made where there are none:
// OpenRepair has looked whether they may be.
func (r *repairer) auditor(ctx context.Context, st *store.Repair) (*audit.Auditor, error) {
	ring, err := keys.OpenRing(ctx, keys.RingConfig{Root: r.root, Store: st.Store, RSA: true, Now: r.now, Log: r.log})
	if err != nil {
		return nil, err
	}
	return audit.New(audit.Config{Source: st.Store, Ring: ring, Now: r.now, Log: r.log}), nil
}

// describe says what is lost.
func (r *repairer) describe(ctx context.Context, st *store.Repair) {
	r.say("lost:")
	for _, l := range st.Losses() {
		r.say("  %s", l)
	}
	if named := st.Named(ctx); named != nil && len(named.Requests) > 0 {
		more := ""
		if named.More > 0 {
			more = fmt.Sprintf(" and %d more", named.More)
		}
		r.say("of requests %s%s, as far as the chain tells", strings.Join(named.Requests, ", "), more)
	}
	if !st.Opened {
		r.say("more may turn out once its files are mended: a server that started over them now would throw away what does not fit")
		return
	}
	if doubtful := st.Doubtful(); len(doubtful) > 0 {
		r.say("entries that may be of an earlier day, or have been removed since; confirm each: %s", list(doubtful))
	}
}

// foretell says what a repair would do.
func (r *repairer) foretell(st *store.Repair) {
	r.say("with --yes:")
	r.say("  damaged files are mended, with the originals kept beside the store; streams that are missing are made")
	if consent.Concerns(st.Losses(), consent.LostFacts) {
		r.say("  no sequence that a fact had is used again; requests that are undecided are withdrawn, approvals that are not redeemed lapse, grants that can be renewed are revoked")
	}
	if len(st.Lacking) > 0 {
		r.say("  only with --new-keys: people without a data key count as erased: %s", list(st.Lacking))
	}
	r.say("  what is readable is sealed, a signed record says what is lost, and epoch %d begins", st.Epoch())
	r.say("  people whom the chain says were erased are erased again")
}

// mend declares what is lost, ends what it may have allowed, and begins anew.
func (r *repairer) mend(ctx context.Context, st *store.Repair) error {
	auditor, err := r.auditor(ctx, st)
	if err != nil {
		return err
	}
	if st.Mended != "" {
		r.say("the originals of mended files are in %s", st.Mended)
	}
	if len(st.Made) > 0 {
		r.say("made anew: %s", strings.Join(st.Made, ", "))
	}
	epoch := st.Epoch()
	lost := audit.Loss{Epoch: epoch, Losses: st.Losses(), Filled: st.Filled(), People: st.Keyless()}
	if err := r.pass("declare"); err != nil {
		return err
	}
	out, err := auditor.Lost(ctx, lost)
	if err != nil {
		return err
	}
	if err := r.pass("forfeit"); err != nil {
		return err
	}
	ended, err := st.Forfeit(ctx, r.now().UTC())
	if err != nil {
		return err
	}
	if err := r.pass("seal"); err != nil {
		return err
	}
	if err := auditor.SealAll(ctx); err != nil {
		return err
	}
	again, err := auditor.Lost(ctx, lost) // what turned out only now
	if err != nil {
		return err
	}
	if err := r.pass("finish"); err != nil {
		return err
	}
	if err := st.Finish(ctx); err != nil {
		return err
	}
	r.say("withdrawn %d requests, let %d approvals lapse, revoked %d grants", ended.Withdrawn, ended.Lapsed, ended.Revoked)
	if ended.Stuck > 0 {
		r.say("%d requests cannot be read, so that nothing comes of them", ended.Stuck)
	}
	if out.Rebuilt > 0 {
		r.say("made the evidence of %d requests again", out.Rebuilt)
	}
	if n := len(again.Unproven); n > 0 {
		r.say("there is no evidence any more of %d finished requests; the record in the chain lists them", n)
	}
	if people := st.Keyless(); len(people) > 0 {
		r.say("people whose data key is lost, to be added anew: %s", list(people))
	}
	r.say("repaired: epoch %d begins; export now, and run ringback verify on it with --since and the last export of before", epoch)
	return nil
}

func (r *repairer) pass(name string) error {
	if r.step == nil {
		return nil
	}
	return r.step(name)
}

// list names the first hundred.
func list[T ~string](all []T) string {
	const most = 100
	var out []string
	for _, v := range all[:min(len(all), most)] {
		out = append(out, string(v))
	}
	if len(all) > most {
		out = append(out, fmt.Sprintf("and %d more", len(all)-most))
	}
	return strings.Join(out, ", ")
}
