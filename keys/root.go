package keys

import (
	"bytes"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
)

// rootSize is the length of the root key in bytes.
const rootSize = 32

// ErrRoot is wrapped by every refusal of a root key file that exists.
var ErrRoot = errors.New("unusable root key")

// encoding is base64url without padding that refuses stray bits. The decoder
// skips line ends, so its callers check lengths as well.
var encoding = base64.RawURLEncoding.Strict()

// Root is the one secret from which every other is derived or by which it is
// wrapped. It never prints itself.
type Root struct {
	key [rootSize]byte
}

// NewRoot returns a random root key.
func NewRoot() *Root {
	r := new(Root)
	rand.Read(r.key[:]) // never fails
	return r
}

// ParseRoot reads the file form: one line of standard base64 of 32 bytes. The
// error wraps ErrRoot and repeats nothing of the input.
func ParseRoot(text []byte) (*Root, error) {
	text = bytes.TrimSuffix(bytes.TrimSuffix(text, []byte("\n")), []byte("\r"))
	if want := base64.StdEncoding.EncodedLen(rootSize); len(text) != want {
		return nil, fmt.Errorf("%w: %d characters instead of one line of %d (base64 of %d bytes)", ErrRoot, len(text), want, rootSize)
	}
	r, raw := new(Root), make([]byte, base64.StdEncoding.DecodedLen(len(text)))
	n, err := base64.StdEncoding.Strict().Decode(raw, text)
	if err != nil || n != rootSize {
		return nil, fmt.Errorf("%w: not base64 of %d bytes", ErrRoot, rootSize)
	}
	copy(r.key[:], raw)
	if r.key == [rootSize]byte{} {
		return nil, fmt.Errorf("%w: all bytes are zero", ErrRoot)
	}
	return r, nil
}

// ReadRoot reads a root key file. The error wraps fs.ErrNotExist when there is
// none, and ErrRoot when its content or its permissions will not do; the text
// says what to do next.
func ReadRoot(path string) (*Root, error) {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("reading the root key: %w (make one with \"ringback init\", or restore it from your backup: without it the data cannot be read)", err)
	}
	if err != nil {
		return nil, fmt.Errorf("reading the root key: %w", err)
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("reading the root key: %w: %s is not a file", ErrRoot, path)
	}
	// Group read is how orchestrators hand out secrets; anything wider is a leak.
	if perm := info.Mode().Perm(); perm&0o027 != 0 {
		return nil, fmt.Errorf("reading the root key: %w: %s has mode %04o, others could read or change it (chmod 600 %[2]s)", ErrRoot, path, perm)
	}
	if info.Size() > 1024 {
		return nil, fmt.Errorf("reading the root key: %w: %s is too long", ErrRoot, path)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("reading the root key: %w", err)
	}
	r, err := ParseRoot(text)
	if err != nil {
		return nil, fmt.Errorf("reading the root key from %s: %w", path, err)
	}
	return r, nil
}

// WriteFile writes the key durably, for its owner alone, and refuses to
// overwrite anything: the error then wraps fs.ErrExist.
func (r *Root) WriteFile(path string) (err error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("writing the root key: %w", err)
	}
	defer func() {
		if err != nil {
			f.Close()
			os.Remove(path)
			err = fmt.Errorf("writing the root key: %w", err)
		}
	}()
	if _, err = f.WriteString(base64.StdEncoding.EncodeToString(r.key[:]) + "\n"); err != nil {
		return err
	}
	if err = f.Sync(); err != nil {
		return err
	}
	if err = f.Close(); err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer dir.Close()
	return dir.Sync()
}

// Fingerprint is 32 hexadecimal digits that tell root keys apart and reveal
// nothing of them.
func (r *Root) Fingerprint() string { return hex.EncodeToString(r.derive("fingerprint", 16)) }

// derive returns n bytes for label (HKDF-SHA256, RFC 5869). Labels are never
// reused for another purpose.
func (r *Root) derive(label string, n int) []byte {
	key, err := hkdf.Key(sha256.New, r.key[:], nil, "ringback/"+label, n)
	if err != nil {
		panic("keys: deriving " + label + ": " + err.Error()) // only for n beyond 8160
	}
	return key
}

// Format keeps every verb of fmt from printing the key.
func (*Root) Format(f fmt.State, _ rune) { fmt.Fprint(f, "[root key]") }

// LogValue implements [slog.LogValuer].
func (*Root) LogValue() slog.Value { return slog.StringValue("[root key]") }
