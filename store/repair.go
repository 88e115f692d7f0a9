package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"ringback/consent"
)

// RepairConfig is what a repair may do.
type RepairConfig struct {
	Write   bool // otherwise it looks alone
	NewKeys bool // signing keys that are gone are made anew, and people whose data key is gone count as erased
}

// Repair is a store that is not served because something is lost, on its way to
// be: [OpenRepair] finds what is lost, and if it may mends files, makes streams
// that are missing and fills the end of the facts, so that no sequence is given out
// twice. Then the chain declares the losses, Forfeit ends what they may have
// allowed, and Finish begins a new epoch. Until Finish has returned nobody but
// another repair opens the store; it takes up what this one has left.
//
// Its methods are called one after the other. The store in it does not follow the
// facts.
type Repair struct {
	*Store
	Mended  string              // where the originals of mended files are kept; empty: there are none
	Made    []string            // streams that were missing and were made
	Lacking []consent.Pseudonym // people whose data key is missing, see FindKeyless
	Opened  bool                // the store could be opened to look into it, so that the losses are complete

	may RepairConfig
	in  *instance
	kv  jetstream.KeyValue // of in; nil when embedded
	rev uint64             // of in
}

// OpenRepair looks for what is lost.
func OpenRepair(ctx context.Context, cfg Config, may RepairConfig) (*Repair, error) {
	n, err := newNames(cfg.Prefix)
	if err == nil {
		err = cfg.check()
	}
	if err != nil {
		return nil, err
	}
	r := &Repair{may: may}
	if cfg.URL == "" {
		err = r.openEmbedded(ctx, cfg, n)
	} else {
		err = r.openExternal(ctx, cfg, n)
	}
	if err != nil {
		if r.Store != nil {
			err = errors.Join(err, r.Store.Close(context.WithoutCancel(ctx)))
		}
		return nil, err
	}
	return r, nil
}

// begin makes the store of an instance, and goes on with what an earlier repair of
// it has left.
func (r *Repair) begin(s *Store, in *instance) {
	s.is(in)
	s.losing = &losing{epoch: in.Epoch, keyless: map[string]bool{}}
	if in.Repair != nil {
		s.losing.add(in.Repair.Losses...)
	}
	r.Store, r.in = s, in
}

// Losses is what is lost.
func (r *Repair) Losses() []consent.Loss { return r.losing.losses() }

// Epoch is the one that the repair begins.
func (r *Repair) Epoch() int {
	if r.in.Repair != nil {
		return r.in.Repair.Epoch
	}
	return max(r.in.Epoch, r.losing.epoch) + 1
}

// Filled is up to where facts are lost if they are not there; 0: none is.
func (r *Repair) Filled() uint64 {
	if r.in.Repair == nil {
		return 0
	}
	return r.in.Repair.Filled
}

// Keyless are people whose data key is lost, see NewKeys.
func (r *Repair) Keyless() []consent.Pseudonym {
	if r.in.Repair == nil {
		return nil
	}
	return r.in.Repair.Keyless
}

// Named says of which requests facts are lost, as far as the chain tells.
func (r *Repair) Named(ctx context.Context) *consent.LostError {
	err := r.namedOffline
	if r.js != nil {
		err = r.lostError
	}
	var lost *consent.LostError
	errors.As(err(ctx, r.Losses()), &lost)
	return lost
}

// note writes down that a repair is under way, and what it has found.
func (r *Repair) note(ctx context.Context, change func(*repairing)) error {
	if !r.may.Write {
		return nil
	}
	was := r.in.Repair
	is := repairing{Epoch: r.Epoch()}
	if was != nil {
		is = *was
	}
	is.Losses = r.losing.losses()
	change(&is)
	if was != nil && was.same(&is) {
		return nil
	}
	r.in.V, r.in.Repair = repairedVersion, &is
	return r.save(ctx)
}

// save writes the instance record.
func (r *Repair) save(ctx context.Context) (err error) {
	if r.in.MAC, err = r.in.mac(r.cfg.Vault); err != nil {
		return err
	}
	if r.kv == nil {
		return r.in.save(r.cfg.Dir)
	}
	r.rev, err = r.keepInstance(ctx, r.kv, r.in, r.rev)
	return err
}

// look compares everything with what was acknowledged and sealed, once a server
// runs.
func (r *Repair) look(ctx context.Context, expected expectations) error {
	missing, err := r.names.missing(ctx, r.js)
	if err != nil {
		return err
	}
	for _, stream := range missing {
		label := r.names.label(stream)
		l := consent.Loss{Stream: label, Why: "the stream is missing"}
		if seq := furthest(expected[label]); seq > 0 {
			l.From, l.To = 1, seq
		}
		r.losing.add(l)
	}
	if len(missing) > 0 {
		if err := r.note(ctx, func(*repairing) {}); err != nil || !r.may.Write {
			return err
		}
		if err := r.makeStreams(ctx, missing, expected); err != nil {
			return err
		}
	}
	if err := r.compareStreams(ctx, expected); err != nil {
		return err
	}
	if err := r.lookAtEnds(ctx, expected); err != nil {
		return err
	}
	background, err := r.prepareWriters(ctx)
	if err == nil {
		err = r.fill(ctx)
	}
	if err == nil {
		err = r.openDirectory(ctx)
	}
	if err == nil {
		err = r.scrubAll(background, time.Now().Add(24*time.Hour))
	}
	if err == nil {
		err = r.readable(ctx)
	}
	if err == nil {
		err = r.compareChain(ctx)
	}
	if err == nil {
		err = r.lookForRing(ctx)
	}
	if err == nil && len(r.losing.losses()) > 0 {
		err = r.note(ctx, func(*repairing) {})
	}
	r.Opened = err == nil
	return err
}

// lookAtEnds finds where the facts should end, and that the chain can grow.
func (r *Repair) lookAtEnds(ctx context.Context, expected expectations) error {
	ends := map[string]uint64{}
	for _, label := range []string{streamConsent, streamAudit} {
		stream, err := r.js.Stream(ctx, r.names.stream(label))
		if err != nil {
			return fmt.Errorf("looking for what is lost: %w", err)
		}
		ends[label] = stream.CachedInfo().State.LastSeq
	}
	last, _, err := r.LastRecord(ctx)
	if err != nil {
		return err
	}
	if last.Seq != ends[streamAudit] {
		return fmt.Errorf("repairing %s: the server counts %d records of the chain and cannot read the last one: restart it, so that it drops what it cannot read, then run ringback repair again", r.cfg.where(), ends[streamAudit])
	}
	target := furthest(expected[streamConsent])
	var record sealedRecord
	if last.Seq > 0 && json.Unmarshal(last.Data, &record) == nil {
		target = max(target, record.Sealed)
	}
	target = max(target, r.Filled())
	if end := ends[streamConsent]; target > end {
		r.losing.add(consent.Loss{Stream: streamConsent, From: end + 1, To: target, Why: "they were acknowledged and are not there"})
	}
	if len(r.losing.losses()) == 0 {
		return nil
	}
	return r.note(ctx, func(n *repairing) { n.Filled = max(n.Filled, target) })
}

// lookForRing finds signing keys that are gone.
func (r *Repair) lookForRing(ctx context.Context) error {
	ring, _, err := r.LoadKeys(ctx) // and what it loses
	if err != nil || ring != nil || !r.may.Write || r.may.NewKeys || !slices.ContainsFunc(r.Losses(), func(l consent.Loss) bool { return l == ringGone }) {
		return err
	}
	return fmt.Errorf("repairing %s: %w: %s. With others, tokens of before verify no longer, and exports only with a copy of the evidence keys: restore the store from a backup that has them, or accept that with --new-keys",
		r.cfg.where(), consent.ErrLost, ringGone.Why)
}

// Close ends it.
func (r *Repair) Close(ctx context.Context) error { return r.Store.Close(ctx) }

// keptFrom is where a repair keeps what it changes of an embedded server's files.
func keptFrom(dir string, epoch int) string {
	return filepath.Join(dir, fmt.Sprintf("before-repair-%d", epoch))
}
