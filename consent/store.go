package consent

import (
	"context"
	"errors"
	"time"
)

// What callers of a [Store] and a [Directory] branch on.
var (
	ErrNotFound    = errors.New("not found")                    // confirmed at the leader
	ErrClaimed     = errors.New("already claimed")              // somebody else wrote this numbered fact
	ErrDecided     = errors.New("already decided")              // the winner is returned beside it
	ErrSettled     = errors.New("already settled")              // the winner is returned beside it
	ErrGuesses     = errors.New("no guesses left")              // MaxMisses are used up
	ErrUnavailable = errors.New("the store cannot take writes") // full, frozen, draining or not caught up: answer 503
)

// Store keeps facts. Every method that writes returns only after the write is
// durable; it may be called again after any error.
type Store interface {
	// Ask writes the asked fact. ErrUnavailable when the store is four fifths
	// full or sealing lags.
	Ask(ctx context.Context, req *Request) error
	// AskIf is Ask, if admit returns nil for the person's history. It has every
	// request that was asked before by whatever process, and nobody else asks
	// the person meanwhile. admit may set ID and match code of req; it may be
	// called again.
	AskIf(ctx context.Context, req *Request, admit func(History) error) error
	// Get reads every fact of one request. ErrNotFound is confirmed.
	Get(ctx context.Context, id ID) (*State, error)
	// Peek answers from memory, without I/O. False says nothing: use Get.
	Peek(id ID) (Brief, bool)
	// Wait returns nil as soon as the request is known to be decided or
	// settled, at once if it is already, else ctx's error.
	Wait(ctx context.Context, id ID) error

	// Try claims attempt a.N; ErrClaimed if it exists, ErrDecided if the
	// request has been decided (checked at the leader before the claim).
	Try(ctx context.Context, id ID, a Attempt) error
	// Conclude writes what became of attempt o.N; a second one is ignored.
	Conclude(ctx context.Context, id ID, o Outcome) error
	// Report writes the provider's later word on attempt r.N; the first stays.
	Report(ctx context.Context, id ID, r Receipt) error
	// Miss uses up the next guess (m.N is filled in) and returns its number.
	// A miss with the same nonce is the same guess: it returns the number that
	// it has. ErrGuesses when MaxMisses are gone.
	Miss(ctx context.Context, id ID, m Miss) (n int, err error)
	// Decide writes d unless the request is decided; then it returns the
	// stored decision with ErrDecided. Our own retry (same nonce) succeeds.
	Decide(ctx context.Context, id ID, d Decision) (Decision, error)
	// End writes, for each of these requests whose time is over, that it has
	// ended (see [End]): together, and behind everything that somebody waits
	// for. It returns those that it has ended. Losing against another writer is
	// no error.
	End(ctx context.Context, ids []ID, now time.Time) (ended []ID, err error)
	// Settle writes s unless the request is settled; then it returns the
	// stored settlement with ErrSettled.
	Settle(ctx context.Context, id ID, s Settlement) (Settlement, error)
	// Renew writes r.N of a redeemed request; ErrClaimed if it exists and is
	// not our own retry (same nonce).
	Renew(ctx context.Context, id ID, r Renewal) error
	// Revoke writes r; a second one is ignored.
	Revoke(ctx context.Context, id ID, r Revocation) error
	// Claim writes notice n.N; ErrClaimed if it exists.
	Claim(ctx context.Context, id ID, n Notice) error
	// Notified writes the answer to notice n.N; a second one is ignored.
	Notified(ctx context.Context, id ID, n Notified) error

	// Once reports whether key is seen for the first time, in any process. It
	// is remembered until the time given, which is at most an hour and a
	// minute ahead, and counts against the share of whose it is (a client or
	// group): nobody may have more remembered than there is room left for
	// others. ErrUnavailable when there is no room. Keys are hashed before
	// they are stored.
	Once(ctx context.Context, whose, key string, until time.Time) (bool, error)
	// First is Once for a year and across restarts, for what stays genuine
	// whenever it is sent again.
	First(ctx context.Context, key string) (bool, error)
	// Seen reports whether First was asked about key.
	Seen(ctx context.Context, key string) (bool, error)

	// Same is the tag that is equal for requests that ask the same of the same
	// person, see [Brief.Same] and [Policy.Admit].
	Same(req *Request) [8]byte
	// Freeze stops client from asking the person until the time given.
	Freeze(ctx context.Context, p Pseudonym, client string, until time.Time) error
	// History is what limits and the inbox look at, from memory.
	History(p Pseudonym) History
	// Glance is History with at most the given number of newest open requests
	// and without Recent: cheap also for a person who is asked a lot.
	Glance(p Pseudonym, newest int) History
	// Slot takes the person's one visible prompt for id, for at most ttl. It
	// returns true if id has it (already), else false and when to look again.
	Slot(ctx context.Context, p Pseudonym, id ID, ttl time.Duration) (bool, time.Time, error)
	// Release gives the slot back if id has it.
	Release(ctx context.Context, p Pseudonym, id ID) error
}

// Brief is what memory knows of a request.
type Brief struct {
	ID        ID
	Client    string
	Binding   [8]byte // tag of the key that asked; zero: none
	Pseudonym Pseudonym
	AskedAt   time.Time
	ExpiresAt time.Time
	Same      [8]byte // equal for requests that ask the same of the same person
	Tried     int     // highest attempt seen
	TriedAt   time.Time
	Decided   Verb       // empty while pending
	Settled   SettleVerb // empty until settled
	EndedAt   time.Time  // of the decision, or the settlement
	Interval  int
	Mode      DeliveryMode // empty: memory does not know
}

// History is a person's recent past as the facts tell it.
type History struct {
	Open   []Brief              // pending requests, oldest first
	Recent []Past               // requests of the last 24 hours that limits count
	Frozen map[string]time.Time // client id or group :: until when
}

// Past is one recent request in a person's history.
type Past struct {
	ID      ID
	Client  string // client id, or the group that counts instead
	AskedAt time.Time
	Verb    Verb // empty while pending
	At      time.Time
}

// Event is the arrival of a fact. Every process sees every fact, in order.
type Event struct {
	ID        ID
	Kind      FactKind
	N         int
	Seq       uint64
	At        time.Time // when it was stored
	Pseudonym Pseudonym
	ExpiresAt time.Time // of the request
	Local     bool      // written by this process, which acts on it first
}
