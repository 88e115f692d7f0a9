package store

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"ringback/consent"
)

// Vault is the cryptography that the store needs but does not own. keys.Vault
// implements it.
type Vault interface {
	Fingerprint() string           // of the root key, for the instance record
	JetStreamKey() string          // encryption at rest of the embedded server
	MAC(label, data string) []byte // 32 bytes, keyed from the root; label "pseudonym" never rotates
	Wrap(key []byte, pseudonym string) ([]byte, error)
	Unwrap(wrapped []byte, pseudonym string) ([]byte, error)
}

// Config is what a Store needs.
type Config struct {
	Dir          string                          // data directory of the embedded server; unused when URL is set
	URL          string                          // external NATS server; empty: embedded
	Creds        string                          // credentials file for URL; empty: none
	Monitor      string                          // monitoring address of the external server ("http://host:8222"), where varz is read
	AssumeSynced bool                            // the operator vouches that the external server syncs every write
	Prefix       string                          // of streams, buckets, durables and subjects; default "ringback"
	MaxBytes     int64                           // size at which the stream of facts is full; fixed by Init; default 8 GiB
	Uses         int                             // single uses that the embedded store remembers at a time; default 4 Mi
	Witness      string                          // file outside the store that keeps its head; empty: none
	Release      string                          // names this program where formats are concerned
	Dev          bool                            // a store made by --dev is only opened with it, and the other way round
	Paused       bool                            // Open does not follow facts yet: call Start when OnEvent may be called
	Vault        Vault                           // required
	OnEvent      func(consent.Event)             // called in order for every fact, see Start; must not block; may be nil
	OnCommit     func(n int, took time.Duration) // called after each durable write of n facts; must not block; may be nil
	Sealing      func() error                    // an error refuses Ask (the audit chain lags); may be nil
	Now          func() time.Time                // required
	Log          *slog.Logger                    // required
}

// maxBytes is Config.MaxBytes with its default.
func (c *Config) maxBytes() int64 {
	if c.MaxBytes > 0 {
		return c.MaxBytes
	}
	return 8 << 30
}

// where names the store in errors, without credentials.
func (c *Config) where() string {
	if c.URL == "" {
		return c.Dir
	}
	if u, err := url.Parse(c.URL); err == nil {
		u.User = nil
		return u.String()
	}
	return "nats.url"
}

// check reports a configuration that cannot work.
func (c *Config) check() error {
	switch {
	case c.Dir == "" && c.URL == "":
		return errors.New("opening the store: set data (a directory) or nats.url")
	case c.Vault == nil:
		return errors.New("opening the store: there is no root key; set root_key, or make one with ringback init")
	case c.Now == nil || c.Log == nil:
		return errors.New("opening the store: Now and Log are required")
	}
	return nil
}

// uses is Config.Uses with its default.
func (c *Config) uses() int {
	if c.Uses > 0 {
		return c.Uses
	}
	return usesMost
}

// Store implements consent.Store and consent.Directory. Its methods may be
// called from many goroutines.
type Store struct {
	cfg   Config
	log   *slog.Logger
	names names

	lock     *dirLock            // of the data directory; nil when external
	instance string              // id of the instance
	created  time.Time           // when it was initialised
	epoch    int                 // counts repairs
	release  string              // of the latest program that opened the instance
	declared declared            // what repairs have declared lost
	losing   *losing             // nil unless this is a repair
	readTo   map[string]uint64   // of an embedded server's streams: up to where they were not read before it started
	expected map[string]mark     // what the heads say, of streams
	places   places              // of the embedded server's files
	srv      *server.Server      // nil when external
	monitor  *http.Client        // reads the monitoring address, which the operator chose; nil when embedded
	nc       *nats.Conn          // requests
	wc       *nats.Conn          // writes of facts: a read that waits for a disk must not hold them up
	fc       *nats.Conn          // what the follower is sent
	js       jetstream.JetStream // on nc

	// exclusive is true when no other process can write facts, so that what
	// this one remembers of a request is all there is.
	exclusive bool
	writer    uint32     // marks the facts that this process writes
	commit    *committer // of facts
	seen      *committer // of what counts once
	evidence  *committer // of evidence
	reader    *reader
	uses      *uses                   // nil unless exclusive
	turns     [turnStripes]sync.Mutex // by person, see AskIf
	slots     slots                   // empty unless exclusive
	shares    *shares                 // nil when exclusive
	index     *index
	recent    *cache
	followed  atomic.Uint64 // every fact up to this sequence is in the index
	feed      feed          // empty unless exclusive
	tail      tail          // empty unless exclusive
	health    health
	head      *head

	startOnce sync.Once
	begin     func()             // starts the follower
	stop      context.CancelFunc // of everything that runs in the background
	running   sync.WaitGroup
	closing   atomic.Bool
	ready     chan struct{} // closed when memory is complete

	dir *directory
}

var _ consent.Store = (*Store)(nil)

// Init makes streams, buckets and the instance record. It refuses with
// ErrInitialised where that has been done, and with other errors, which say
// what to do next, where it could touch somebody's data. It may be called
// again after it was interrupted.
func Init(ctx context.Context, cfg Config) error {
	n, err := newNames(cfg.Prefix)
	if err == nil {
		err = cfg.check()
	}
	if err != nil {
		return err
	}
	if cfg.URL != "" {
		return initExternal(ctx, cfg, n)
	}
	return initEmbedded(ctx, cfg, n)
}

// Open opens what Init made and, unless cfg.Paused, starts it. It creates no
// stream in the place of one that is gone, and a *consent.LostError says what
// else was acknowledged and is not there. The store is usable for reading at
// once; Ready says when its memory is complete.
func Open(ctx context.Context, cfg Config) (*Store, error) {
	n, err := newNames(cfg.Prefix)
	if err == nil {
		err = cfg.check()
	}
	if err != nil {
		return nil, err
	}
	open := openEmbedded
	if cfg.URL != "" {
		open = openExternal
	}
	s, err := open(ctx, cfg, n)
	if err != nil {
		return nil, err
	}
	if err := s.prepare(ctx); err != nil {
		s.Close(ctx)
		return nil, err
	}
	if !cfg.Paused {
		s.Start()
	}
	return s, nil
}

// newStore is a store that is not connected yet.
func newStore(cfg Config, n names, in *instance) *Store {
	s := &Store{cfg: cfg, log: cfg.Log, names: n, readTo: map[string]uint64{}}
	if in != nil {
		s.is(in)
	}
	return s
}

// is says which instance the store is.
func (s *Store) is(in *instance) {
	s.instance, s.created, s.epoch, s.release, s.declared = in.ID, in.CreatedAt, in.Epoch, in.Release, in.Lost
}

// prepare builds what lives in this process on top of a connection.
func (s *Store) prepare(ctx context.Context) error {
	background, err := s.prepareWriters(ctx)
	if err != nil {
		return err
	}
	s.running.Go(func() { s.watchHealth(background) })
	if err := s.openDirectory(ctx); err != nil {
		return err
	}
	if err := s.scrub(ctx, background); err != nil {
		return err
	}
	if err := s.readable(ctx); err != nil {
		return err
	}
	if err := s.compareChain(ctx); err != nil {
		return err
	}
	s.running.Go(func() { s.keepHead(background) })
	return nil
}

// prepareWriters builds what reads and writes facts; background ends with the
// store.
func (s *Store) prepareWriters(ctx context.Context) (background context.Context, err error) {
	var mark [4]byte
	rand.Read(mark[:]) // never fails
	s.writer = binary.BigEndian.Uint32(mark[:])
	s.ready = make(chan struct{})
	s.index = newIndex(s.cfg.Now)
	s.recent = newCache(cacheSize, s.cfg.Now)
	background, s.stop = context.WithCancel(context.Background())
	if s.exclusive {
		if err := s.openUses(background); err != nil {
			return nil, err
		}
	} else {
		s.shares = newShares(s.cfg.Now())
	}
	s.feed.wake = make(chan struct{}, 1)
	if err := s.openHead(); err != nil {
		return nil, err
	}
	s.begin = func() { s.running.Go(func() { s.follow(background) }) }
	if err := s.names.createVolatile(ctx, s.js); err != nil {
		return nil, err
	}
	if s.reader, err = newReader(s.nc, s.names.stream(streamConsent)); err != nil {
		return nil, err
	}
	if s.commit, err = newCommitter(s.wc, streamConsent, s.head, s.reader, s.cfg.OnCommit); err != nil {
		return nil, err
	}
	s.commit.onFact = s.remember
	for stream, c := range map[string]**committer{streamSeen: &s.seen, streamEvidence: &s.evidence} {
		r, err := newReader(s.nc, s.names.stream(stream))
		if err != nil {
			return nil, err
		}
		if *c, err = newCommitter(s.wc, stream, s.head, r, nil); err != nil {
			return nil, err
		}
	}
	if s.srv != nil && s.stageInMemory() {
		s.commit.from, s.evidence.from = batchFromStaged, batchFromStaged
	}
	for _, c := range s.committers() {
		s.running.Go(func() { c.run(background) })
	}
	return background, s.openHealth(ctx)
}

// committers are those that were opened.
func (s *Store) committers() []*committer {
	all := []*committer{s.commit, s.seen, s.evidence}
	return slices.DeleteFunc(all, func(c *committer) bool { return c == nil })
}

// Start begins to follow the facts, for Peek, History, Wait, Requests and
// Config.OnEvent. Facts stored before are summed up: OnEvent gets one
// FactAsked for each request that is open or ended within the last hour, then
// every fact as it arrives. Calling it again does nothing.
func (s *Store) Start() {
	s.startOnce.Do(s.begin)
}

// dialFor is how long a server may take to greet. Whoever uses the connection
// meanwhile waits as long.
const dialFor = 2 * time.Second

// connect opens the connections.
func (s *Store) connect(address string, opts ...nats.Option) error {
	opts = append(opts,
		nats.Name(s.names.prefix), nats.MaxReconnects(-1), nats.ReconnectWait(250*time.Millisecond),
		nats.Timeout(dialFor), nats.ErrorHandler(s.asyncError))
	for _, c := range []**nats.Conn{&s.nc, &s.wc, &s.fc} {
		conn, err := nats.Connect(address, opts...)
		if err != nil {
			return fmt.Errorf("connecting to %s: %w", s.cfg.where(), err)
		}
		*c = conn
	}
	s.nc.SetReconnectHandler(func(*nats.Conn) { s.health.suspect.Store(true) })
	var err error
	if s.js, err = jetstream.New(s.nc); err != nil {
		return fmt.Errorf("using JetStream: %w", err)
	}
	return nil
}

// asyncError logs what a connection reports outside of any call.
func (s *Store) asyncError(_ *nats.Conn, _ *nats.Subscription, err error) {
	s.log.LogAttrs(context.Background(), slog.LevelWarn, "connection to the store reports an error", slog.Any("err", err))
}

// Close refuses new work, lets writes that have begun finish until ctx ends,
// and stops. It returns ctx's error when some did not finish.
func (s *Store) Close(ctx context.Context) error {
	if s.closing.Swap(true) {
		return nil
	}
	var err error
	for _, c := range s.committers() {
		err = errors.Join(err, c.drain(ctx))
	}
	if s.stop != nil {
		s.stop()
	}
	ended := make(chan struct{})
	go func() {
		s.closeDirectory()
		s.running.Wait()
		close(ended)
	}()
	select {
	case <-ended:
	case <-ctx.Done(): // some wait for a server that does not answer
		err = errors.Join(err, ctx.Err())
	}
	s.disconnect()
	<-ended // without a connection nobody waits for an answer
	return err
}

// disconnect closes connections, server and lock, in this order.
func (s *Store) disconnect() {
	for _, c := range []*nats.Conn{s.nc, s.wc, s.fc} {
		if c != nil {
			c.Close()
		}
	}
	if s.srv != nil {
		s.srv.Shutdown()
		s.srv.WaitForShutdown()
		s.unstage()
	}
	s.closeHead()
	if s.lock != nil {
		s.lock.release()
	}
}
