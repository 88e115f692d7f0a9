package store

import (
	"crypto/hmac"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"ringback/consent"
)

// Why [Init] and [Open] refuse. The text of the returned error says what to
// do next; nothing was changed.
var (
	ErrInUse         = errors.New("in use by another process")
	ErrUninitialised = errors.New("not initialised")
	ErrInitialised   = errors.New("already initialised")
	ErrRootKey       = errors.New("made with another root key")
	ErrDev           = errors.New("development and production stores do not mix")
	ErrIncomplete    = errors.New("incomplete")
	ErrNotSynced     = errors.New("the NATS server does not sync every write")
	ErrNewer         = errors.New("written by a later release")
)

// instance describes what Init made. It is a file in the data directory or,
// for an external server, a value in a bucket.
type instance struct {
	V           int       `json:"v"`
	ID          string    `json:"id"`
	Prefix      string    `json:"prefix"`
	Fingerprint string    `json:"root_key"` // fingerprint, not the key
	Dev         bool      `json:"dev"`
	CreatedAt   time.Time `json:"created_at"`
	Streams     []string  `json:"streams"`
	Unfinished  bool      `json:"unfinished,omitempty"` // Init began and did not end
	Epoch       int       `json:"epoch,omitempty"`      // counts repairs
	Format      int       `json:"format,omitempty"`     // highest consent.Version of a program that opened it
	Release     string    `json:"release,omitempty"`    // that program's

	Repair *repairing `json:"repair,omitempty"` // one that began and did not end
	Lost   declared   `json:"lost,omitempty"`   // what repairs have declared lost
	MAC    string     `json:"mac,omitempty"`    // over both: who could change them would have losses passed over
}

// mac is over what is not missed any more.
func (in *instance) mac(v Vault) (string, error) {
	if in.Repair == nil && len(in.Lost) == 0 {
		return "", nil
	}
	data, err := json.Marshal([]any{in.ID, in.Epoch, in.Repair, in.Lost})
	if err != nil {
		return "", fmt.Errorf("encoding the instance record: %w", err)
	}
	return hex.EncodeToString(v.MAC("lost", string(data))), nil
}

// instanceVersion is that of a record that no repair has touched; a repaired one's
// is repairedVersion: programs that know nothing of repairs must not open it, for
// what was declared lost they would miss, and take what stands for it for facts.
const (
	instanceVersion = 1
	repairedVersion = 2
)

func newInstance(cfg *Config, n names) *instance {
	var id [16]byte
	rand.Read(id[:]) // never fails
	return &instance{
		V: instanceVersion, ID: hex.EncodeToString(id[:]), Prefix: n.prefix, Fingerprint: cfg.Vault.Fingerprint(),
		Dev: cfg.Dev, CreatedAt: cfg.Now().UTC(), Streams: n.kept(), Unfinished: true,
	}
}

// readInstance decodes what Init wrote.
func readInstance(data []byte) (*instance, error) {
	var in instance
	if err := json.Unmarshal(data, &in); err != nil {
		return nil, fmt.Errorf("reading the instance record: %w: restore it from a backup", err)
	}
	if in.V != instanceVersion && in.V != repairedVersion {
		return nil, fmt.Errorf("reading the instance record: version %d: use the release that wrote it", in.V)
	}
	return &in, nil
}

// belongs refuses an instance that this configuration must not touch.
func (in *instance) belongs(cfg *Config, n names, where string) error {
	switch fp := cfg.Vault.Fingerprint(); {
	case in.Dev && !cfg.Dev:
		return fmt.Errorf("opening %s: %w: it was made by --dev; use --dev, or initialise another place with: ringback init", where, ErrDev)
	case !in.Dev && cfg.Dev:
		return fmt.Errorf("opening %s: %w: it was made without --dev; leave out --dev, or name another place with --data", where, ErrDev)
	case in.Fingerprint != fp:
		return fmt.Errorf("opening %s: %w: it wants the root key with fingerprint %s and was given %s; set root_key to the original key file",
			where, ErrRootKey, in.Fingerprint, fp)
	case in.Prefix != n.prefix:
		return fmt.Errorf("opening %s: made with prefix %q, not %q; set nats.prefix to %q", where, in.Prefix, n.prefix, in.Prefix)
	}
	if mac, err := in.mac(cfg.Vault); err != nil || !hmac.Equal([]byte(mac), []byte(in.MAC)) {
		return errors.Join(err, fmt.Errorf("opening %s: the instance record was changed: what it says is lost is not what a repair wrote; restore it from a backup", where))
	}
	return nil
}

// usable refuses what belongs to us but cannot be opened yet.
func (in *instance) usable(where string) error {
	if in.Unfinished {
		return fmt.Errorf("opening %s: %w: an initialisation did not end; run ringback init again", where, ErrUninitialised)
	}
	if in.Repair != nil {
		return fmt.Errorf("opening %s: %w: a repair began and did not end; run ringback repair --yes again", where, consent.ErrLost)
	}
	return nil
}

// opened notes who opens it, for those whose facts others cannot read. It reports
// whether the record changed.
func (in *instance) opened(cfg *Config) bool {
	if in.Format >= consent.Version {
		return false
	}
	in.Format, in.Release = consent.Version, cfg.Release
	return true
}

// incomplete is the error for streams that the instance lists and the server
// does not have.
func incomplete(where string, missing []string) error {
	return fmt.Errorf("opening %s: %w: missing %s; restore the whole store from a backup, nothing is created in its place",
		where, ErrIncomplete, strings.Join(missing, ", "))
}

// instanceFile is the instance record of an embedded store.
const instanceFile = "instance.json"

// loadInstance reads the instance file of dir; nil when there is none.
func loadInstance(dir string) (*instance, error) {
	data, err := os.ReadFile(filepath.Join(dir, instanceFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading the instance record: %w", err)
	}
	return readInstance(data)
}

// save writes the instance file so that a crash leaves the old or the new one.
func (in *instance) save(dir string) error {
	data, err := json.MarshalIndent(in, "", "  ")
	if err != nil {
		return fmt.Errorf("encoding the instance record: %w", err)
	}
	if err := writeWhole(filepath.Join(dir, instanceFile), data); err != nil {
		return fmt.Errorf("writing the instance record: %w", err)
	}
	return nil
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

// dirLock holds a data directory.
type dirLock struct{ file *os.File }

// release gives the directory back. It unlocks before it closes: a child that
// is being started at this moment holds a copy of the open file.
func (l *dirLock) release() {
	syscall.Flock(int(l.file.Fd()), syscall.LOCK_UN)
	l.file.Close()
}

// lockDir takes the data directory for this process: the embedded server has
// no lock of its own, and two of them destroy each other's files.
func lockDir(dir string) (*dirLock, error) {
	f, err := os.OpenFile(filepath.Join(dir, "LOCK"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("locking %s: %w", dir, err)
	}
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if err == nil {
		return &dirLock{f}, nil
	}
	f.Close()
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return nil, fmt.Errorf("opening %s: %w: stop it, or name another place with --data", dir, ErrInUse)
	}
	return nil, fmt.Errorf("locking %s: %w", dir, err)
}
