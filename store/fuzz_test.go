package store

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"ringback/consent"
	"ringback/keys"
)

// bare is a store without a server.
func bare() *Store {
	return &Store{
		cfg:      Config{Vault: keys.NewVault(keys.NewRoot()), Now: time.Now},
		log:      slog.New(slog.NewTextHandler(io.Discard, nil)),
		names:    names{"ringback"},
		instance: "instance",
		index:    newIndex(time.Now),
		dir: &directory{
			file: newLayer(), kept: newLayer(),
			devised: map[consent.Pseudonym]map[string]deviceState{}, frozen: map[consent.Pseudonym]map[string]time.Time{},
		},
	}
}

// FuzzReadSnapshotFile is a copy of the index: any bytes, and any content
// under our seal.
func FuzzReadSnapshotFile(f *testing.F) {
	s := bare()
	aead, err := s.snapshotAEAD()
	if err != nil {
		f.Fatal(err)
	}
	head := []byte(`{"v":3,"instance":"instance","seq":1,"askers":[["a","host a.example"]]}`)
	e := entry{id: consent.NewID(), asked: 1, expires: 2, seq: 1}
	f.Add(head, e.append(nil, 0), []byte{})
	f.Add(head, append(e.append(nil, 0), e.append(nil, 0)...), (past{asked: 1}).append(nil, who{}, 0))
	f.Add([]byte(`{"v":3,"instance":"instance","seq":2}`), []byte{}, []byte("x"))
	f.Add([]byte(`{"v":1,"instance":"instance","seq":1,"clients":["a"]}`), []byte{}, []byte{})
	f.Add([]byte(`{"v":3,"instance":"instance","seq":1,"askers":[["a","b"],["a","b"]]}`), append(e.append(nil, 0), e.append(nil, 1)...), (past{asked: 1}).append(nil, who{}, 1))
	f.Add([]byte{0xff, 0xff, 0xff, 0xff}, []byte{0}, []byte{})
	f.Fuzz(func(t *testing.T, head, entries, past []byte) {
		if seq, err := s.readSnapshot(bytes.NewReader(head)); err == nil {
			t.Errorf("readSnapshot(%x) = %d, without a seal", head, seq)
		}
		var file bytes.Buffer
		w := &chunkWriter{w: bufio.NewWriter(&file), aead: aead}
		for _, plain := range [][]byte{head, entries, nil, past, nil} {
			w.chunk(plain)
		}
		w.w.Flush()
		s.index.reset()
		_, _ = s.readSnapshot(&file) // must not panic
		s.index.summary()
		s.index.sweep(0)
	})
}

// FuzzApply is what the directory's buckets and streams hold, under our seal
// where there is one.
func FuzzApply(f *testing.F) {
	s := bare()
	f.Add("client", `{"v":1,"client_id":"a","client_name":"A"}`)
	f.Add("qdvb3zhingwmysyk.kvvuq7ggyuxiurr5", `{"v":1,"stopped":true}`)
	f.Add("qdvb3zhingwmysyk."+token("agent"), "2126-11-22T07:21:24Z")
	f.Add(numberClaims+".x", "")
	f.Add("..", "null")
	f.Fuzz(func(t *testing.T, key, data string) {
		ctx := t.Context()
		if err := s.applyDevice(ctx, key, []byte(data)); err != nil {
			t.Errorf("applyDevice(%q, %q) = %v", key, data, err)
		}
		if err := s.applyFreeze(ctx, key, []byte(data)); err != nil {
			t.Errorf("applyFreeze(%q, %q) = %v", key, data, err)
		}
		for _, list := range s.dir.frozen {
			if len(list) == 0 {
				t.Errorf("applyFreeze(%q, %q) leaves an empty list", key, data)
			}
		}
		if err := s.applyClient(ctx, token(key), []byte(data)); err != nil {
			t.Errorf("applyClient(%q, %q) = %v", key, data, err)
		}
		if _, err := s.openClient(key, []byte(data)); err == nil {
			t.Errorf("openClient(%q, %q) takes what we have not sealed", key, data)
		}
		sealed, err := s.cfg.Vault.Wrap([]byte(data), s.clientPlace(key))
		if err != nil {
			t.Fatal(err)
		}
		if c, err := s.openClient(key, sealed); err == nil && c.ID != key {
			t.Errorf("openClient(%q, %q) = client %q", key, data, c.ID)
		}
		if _, err := s.openClient(key+"x", sealed); err == nil {
			t.Errorf("the entry of client %q opens as another's", key)
		}
	})
}

// FuzzDirect is a server's answer to a read.
func FuzzDirect(f *testing.F) {
	f.Add("", "", "S", "1", "2026-11-22T07:21:24Z")
	f.Add("404", "", "", "", "")
	f.Add("204", "EOB", "S", "x", "")
	f.Fuzz(func(t *testing.T, status, description, stream, seq, at string) {
		m := nats.NewMsg("x")
		for name, value := range map[string]string{
			"Status": status, "Description": description, jetstream.StreamHeader: stream, jetstream.SequenceHeader: seq, jetstream.TimeStampHeaer: at,
		} {
			if value != "" {
				m.Header.Set(name, value)
			}
		}
		if got, err := direct(m); err == nil && (got.seq == 0 && strings.Trim(seq, "0+") != "" || status == "404" && stream == "") {
			t.Errorf("direct(%q) = %+v", m.Header, got)
		}
	})
}

// FuzzCursor is a cursor out of an operator's URL.
func FuzzCursor(f *testing.F) {
	s := bare()
	f.Add("zz", 1)
	f.Add("-1", 0)
	f.Fuzz(func(t *testing.T, after string, limit int) {
		list, next, err := s.Requests(t.Context(), consent.Filter{}, after, limit)
		if len(list) != 0 || next != "" && err != nil {
			t.Errorf("Requests(%q, %d) = %v, %q, %v", after, limit, list, next, err)
		}
		s.People(t.Context(), after, limit)
		s.Clients(t.Context(), after, limit)
	})
}

// FuzzAtLeast is the version that an external server gives itself.
func FuzzAtLeast(f *testing.F) {
	for _, s := range []string{"2.14.3", "2.15.0-beta.1", "2.14", "v2.14.3", "2..3", "99999999999999999999.0.0", "-1.0.0"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, version string) {
		if atLeast(version, versionFloor) && !strings.HasPrefix(version, "+") && (version == "" || version[0] < '0' || version[0] > '9') {
			t.Errorf("atLeast(%q) = true", version)
		}
	})
}

// FuzzDecode is a fact's JSON that our key has sealed.
func FuzzDecode(f *testing.F) {
	f.Add(`{"v":1,"n":1}`)
	f.Add(`{"v":1,"presentation":null,"misses":[]}`)
	f.Add("null")
	f.Fuzz(func(t *testing.T, fact string) {
		for _, v := range []any{
			new(consent.Request), new(consent.Attempt), new(consent.Outcome), new(consent.Receipt), new(consent.Miss), new(consent.Decision),
			new(consent.Settlement), new(consent.Renewal), new(consent.Revocation), new(consent.Notice), new(consent.Notified),
		} {
			if json.Unmarshal([]byte(fact), v) != nil {
				continue
			}
			again, err := encodeFact(v)
			if err == nil {
				err = json.Unmarshal(again, v)
			}
			if err != nil {
				t.Errorf("%T from %q cannot be written and read again: %v", v, fact, err)
			}
		}
	})
}
