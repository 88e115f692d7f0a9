package store

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestMigrate: streams of an earlier release that are written once are protected,
// once and for good; those from which something is removed stay as they are.
func TestMigrate(t *testing.T) {
	t.Parallel()
	for name, made := range map[string]func(testing.TB) *ground{"embedded": newAlone, "external": newGround} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := made(t)
			s, ctx := g.open(t), t.Context()
			want := []string{"ringback_CONSENT", "ringback_EVIDENCE", "ringback_SEEN"}
			streams, _ := s.names.configs((&Config{}).maxBytes())
			for _, c := range streams { // as the earlier release made them
				if !slices.Contains(want, c.Name) {
					continue
				}
				if err := s.js.DeleteStream(ctx, c.Name); err != nil {
					t.Fatal(err)
				}
				c.DenyDelete, c.DenyPurge = false, false
				if _, err := s.js.CreateStream(ctx, c); err != nil {
					t.Fatal(err)
				}
			}
			dir := s.cfg.Dir
			if name == "embedded" {
				if err := os.Remove(filepath.Join(dir, protectedFile)); err != nil || !Unmigrated(dir) {
					t.Errorf("an old store: %v, it needs nothing", err)
				}
			}
			for round, want := range [][]string{want, nil} {
				got, err := s.Migrate(ctx)
				slices.Sort(got)
				if err != nil || !slices.Equal(got, want) {
					t.Errorf("Migrate %d = %v, %v, want %v", round, got, err, want)
				}
			}
			if name == "embedded" && Unmigrated(dir) {
				t.Error("it is still to be migrated")
			}
			all, err := s.Protections(ctx)
			if err != nil || len(all) != len(s.names.kept()) {
				t.Fatalf("Protections = %v, %v", all, err)
			}
			for _, p := range all {
				once := writtenOnce[s.names.label(p.Stream)] > 0
				if !p.Done() || once != (p.Why == "") || once && !(p.Delete && p.Purge) {
					t.Errorf("%+v", p)
				}
			}
			for _, name := range []string{"ringback_CONSENT", "ringback_EVIDENCE", "ringback_SEEN", "ringback_AUDIT"} {
				stream, err := s.js.Stream(ctx, name)
				if err != nil {
					t.Fatal(err)
				}
				subject := strings.NewReplacer("*", "x", ">", "x").Replace(stream.CachedInfo().Config.Subjects[0])
				ack, err := s.js.Publish(ctx, subject, []byte(fmt.Sprint(time.Now())))
				if err != nil {
					t.Fatal(err)
				}
				if err := stream.DeleteMsg(ctx, ack.Sequence); err == nil {
					t.Errorf("a message of %s can be deleted", name)
				}
				if err := stream.Purge(ctx); err == nil {
					t.Errorf("%s can be purged", name)
				}
				c := stream.CachedInfo().Config
				c.DenyDelete, c.DenyPurge = false, false
				if _, err := s.js.UpdateStream(ctx, c); err == nil {
					t.Errorf("%s can be made unprotected", name)
				}
			}
		})
	}
}
