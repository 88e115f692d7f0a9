package blocks

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"path/filepath"
	"strconv"

	"github.com/klauspost/compress/s2"
	"github.com/minio/highwayhash"
)

const (
	headSize    = 22
	sumSize     = 8
	hasHeaders  = 1 << 31
	erasedBit   = 1 << 63
	tombBit     = 1 << 62
	leastRecord = headSize + sumSize
	mostRecord  = 32 << 20
	account     = "$G" // the one that an embedded server has
)

// Headers begin and end like this.
var headStart, headEnd = []byte("NATS/1.0"), []byte("\r\n\r\n")

// block is one file of a stream.
type block struct {
	stream string
	index  int
	path   string
	key    string // file
	seed   []byte
	nonce  []byte
	valid  func([]byte) bool
}

// errKey is returned for a block whose key is missing or damaged.
var errKey = errors.New("its key is missing or damaged")

// Config names a stream.
type Config struct {
	Dir    string // its directory
	Stream string // its name on the server
	Root   string // the server's encryption key
	// Valid reports whether the stream can have a message on a subject: no
	// checksum tells where a subject ends.
	Valid func(subject []byte) bool
}

// open reads a block's key.
func (c *Config) open(index int) (*block, error) {
	msgs := filepath.Join(c.Dir, "msgs")
	b := &block{
		stream: c.Stream, index: index, valid: c.Valid,
		path: filepath.Join(msgs, strconv.Itoa(index)+".blk"), key: filepath.Join(msgs, strconv.Itoa(index)+".key"),
	}
	sealed, err := os.ReadFile(b.key)
	if err != nil {
		return b, fmt.Errorf("%w: %w", errKey, err)
	}
	mac := hmac.New(sha256.New, []byte(c.Root))
	fmt.Fprintf(mac, "%s%s:%d", account, c.Stream, index)
	outer, err := aes.NewCipher(mac.Sum(nil))
	if err != nil {
		return b, err
	}
	kek, err := cipher.NewGCMWithNonceSize(outer, outer.BlockSize())
	if err != nil {
		return b, err
	}
	if len(sealed) < kek.NonceSize() {
		return b, errKey
	}
	b.nonce = sealed[:kek.NonceSize()]
	if b.seed, err = kek.Open(nil, b.nonce, sealed[kek.NonceSize():], nil); err != nil {
		return b, errKey
	}
	return b, nil
}

// crypt encrypts or decrypts a whole block in place.
func (b *block) crypt(buf []byte) error {
	c, err := aes.NewCipher(b.seed)
	if err != nil {
		return err
	}
	cipher.NewCTR(c, b.nonce).XORKeyStream(buf, buf)
	return nil
}

// errCompressed is returned for a block that cannot be decompressed.
var errCompressed = errors.New("it cannot be decompressed")

// plain reads a block's records.
func (b *block) plain() ([]byte, error) {
	buf, err := os.ReadFile(b.path)
	if err != nil {
		return nil, err
	}
	if err := b.crypt(buf); err != nil {
		return nil, err
	}
	if len(buf) < 5 || string(buf[:3]) != "cmp" || buf[3] != 1 {
		return buf, nil
	}
	_, n := binary.Uvarint(buf[4:])
	if n <= 0 || len(buf) < 4+n+sumSize {
		return nil, errCompressed
	}
	body, sum := buf[4+n:len(buf)-sumSize], buf[len(buf)-sumSize:]
	out, err := io.ReadAll(s2.NewReader(bytes.NewReader(body)))
	if err != nil {
		return nil, errCompressed
	}
	return append(out, sum...), nil
}

// record is one record of a block as it stands there.
type record struct {
	raw     []byte
	seq     uint64
	erased  bool
	tomb    bool
	subject []byte
	data    []byte
}

// checker reads the records of one block.
type checker struct {
	sum   hash.Hash64
	valid func([]byte) bool
}

func (b *block) checker() (*checker, error) {
	key := sha256.Sum256(fmt.Appendf(nil, "%s-%d", b.stream, b.index))
	sum, err := highwayhash.New64(key[:])
	if err != nil {
		return nil, err
	}
	return &checker{sum, b.valid}, nil
}

// read returns the record at the beginning of buf; ok is false where none is
// whole and right.
func (c *checker) read(buf []byte) (r record, ok bool) {
	if len(buf) < leastRecord {
		return r, false
	}
	length := binary.LittleEndian.Uint32(buf)
	subject := int(binary.LittleEndian.Uint16(buf[20:]))
	body, headers := headSize+subject, 0
	if length&hasHeaders != 0 {
		length &^= hasHeaders
		if body += 4; body > len(buf) {
			return r, false
		}
		headers = int(binary.LittleEndian.Uint32(buf[body-4:]))
	}
	if length < leastRecord || length > mostRecord || int(length) > len(buf) || headers > int(length) || body+headers+sumSize > int(length) {
		return r, false
	}
	raw := buf[:length:length]
	c.sum.Reset()
	c.sum.Write(raw[4:20])
	c.sum.Write(raw[headSize : headSize+subject])
	c.sum.Write(raw[body : len(raw)-sumSize])
	if !bytes.Equal(c.sum.Sum(nil), raw[len(raw)-sumSize:]) {
		return r, false
	}
	// The lengths are in no sum.
	seq := binary.LittleEndian.Uint64(raw[4:])
	if h := raw[body : body+headers]; headers > 0 && !(bytes.HasPrefix(h, headStart) && bytes.HasSuffix(h, headEnd)) {
		return r, false
	}
	if seq&(erasedBit|tombBit) == 0 && !c.valid(raw[headSize:headSize+subject]) {
		return r, false
	}
	return record{
		raw: raw, seq: seq &^ (erasedBit | tombBit), erased: seq&erasedBit != 0, tomb: seq&tombBit != 0,
		subject: raw[headSize : headSize+subject], data: raw[body+headers : len(raw)-sumSize],
	}, true
}
