package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"ringback/consent"
)

// EraseAgain erases the people who the chain says were erased, and when: an older
// copy brings them and their keys back. Who was added anew since then stays. It
// returns those of whom there was something.
func (r *Repair) EraseAgain(ctx context.Context, erased map[consent.Pseudonym]time.Time) (again []consent.Pseudonym, err error) {
	for p, at := range erased {
		key, err := r.keyMessage(ctx, p)
		switch {
		case errors.Is(err, consent.ErrNotFound): // the mark is lost
		case err != nil:
			return again, fmt.Errorf("erasing again: %w", err)
		case len(key.data) == 0 || key.at.After(at):
			continue
		}
		if err := r.expel(ctx, p); err != nil {
			return again, fmt.Errorf("erasing again: %w", err)
		}
		if len(key.data) > 0 {
			again = append(again, p)
		}
	}
	slices.Sort(again)
	return again, nil
}

// expel removes what there is of a person, whose entry need not be readable.
func (r *Repair) expel(ctx context.Context, p consent.Pseudonym) error {
	entry, err := r.dir.people.last(ctx, string(p))
	if err != nil {
		return err
	}
	if entry.data != nil {
		if person, _, err := r.openKept(ctx, p, entry); err == nil {
			return r.RemovePerson(ctx, person.ID)
		}
	}
	if _, err := r.dir.people.remove(ctx, string(p), func(message) error {
		_, err := r.eraseKey(ctx, p)
		return err
	}); err != nil {
		return err
	}
	if _, err := r.eraseKey(ctx, p); err != nil {
		return err
	}
	return r.removeDevices(ctx, p)
}

// FindKeyless finds people of whom there is something, but no data key, and who
// were not erased. It fails where there are some, unless they may count as erased
// from now on.
func (r *Repair) FindKeyless(ctx context.Context) error {
	known := map[consent.Pseudonym]bool{}
	for _, p := range r.dir.stored() {
		known[p] = true
	}
	for key := range r.losing.keyless {
		known[consent.Pseudonym(key)] = true
	}
	if err := r.eachFact(ctx, func(_ place, l *label, _ uint64) { known[l.Pseudonym] = true }); err != nil {
		return err
	}
	var lost []consent.Pseudonym
	for p := range known {
		if !isPseudonym(p) {
			continue
		}
		if _, err := r.keyMessage(ctx, p); errors.Is(err, consent.ErrNotFound) {
			lost = append(lost, p)
		} else if err != nil {
			return fmt.Errorf("looking for data keys: %w", err)
		}
	}
	if len(lost) == 0 {
		return nil
	}
	slices.Sort(lost)
	r.losing.add(consent.Loss{Stream: streamDEK, Why: fmt.Sprintf("%d people have no data key any more", len(lost))})
	if r.Lacking = lost; !r.may.Write {
		return nil
	}
	if !r.may.NewKeys {
		return fmt.Errorf("repairing %s: %w: the data keys of %d people, so that nothing about them can be read: %s. Restore the store from a backup that has them; or accept with --new-keys that they count as erased and are added anew",
			r.cfg.where(), consent.ErrLost, len(lost), some(lost))
	}
	if err := r.note(ctx, func(n *repairing) {
		for _, p := range lost {
			if !slices.Contains(n.Keyless, p) {
				n.Keyless = append(n.Keyless, p)
			}
		}
	}); err != nil {
		return err
	}
	for _, p := range lost {
		if err := r.expel(ctx, p); err != nil {
			return fmt.Errorf("marking people whose data key is lost: %w", err)
		}
	}
	return nil
}

// some names the first of a list.
func some[T ~string](list []T) string {
	var out []string
	for _, v := range list[:min(len(list), namedMost)] {
		out = append(out, string(v))
	}
	if len(list) > namedMost {
		out = append(out, fmt.Sprintf("and %d more", len(list)-namedMost))
	}
	return strings.Join(out, ", ")
}

// Doubtful lists the entries of buckets that have lost something: each may be of an
// earlier day, or have been removed since.
func (r *Repair) Doubtful() (out []string) {
	losses := r.Losses()
	r.dir.mu.RLock()
	defer r.dir.mu.RUnlock()
	if consent.Concerns(losses, "KV_"+bucketPeople, "KV_"+bucketDevices) {
		for id := range r.dir.kept.byID {
			out = append(out, "person "+id)
		}
	}
	if consent.Concerns(losses, "KV_"+bucketClients) {
		for id := range r.dir.kept.clients {
			out = append(out, "client "+id)
		}
	}
	slices.Sort(out)
	return out
}
