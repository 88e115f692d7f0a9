package store

import (
	"bytes"
	"errors"
	"slices"
	"testing"
	"time"

	"ringback/consent"
)

// pagers lists the devices of a person that have entries of their own.
func pagers(t *testing.T, s *Store, person string) []consent.Device {
	t.Helper()
	all, err := s.Devices(t.Context(), person)
	if err != nil {
		t.Fatalf("Devices: %v", err)
	}
	return slices.DeleteFunc(all, func(d consent.Device) bool { return d.Channel != "pager" })
}

func pager(address string) *consent.Device {
	return &consent.Device{Channel: "pager", Address: address, Name: "Kitchen " + address, By: "operator"}
}

// TestEnrolledDevices: a device has an entry of its own, which every process
// knows, of which nothing can be read on the server, and which a stop does not
// change otherwise.
func TestEnrolledDevices(t *testing.T) {
	t.Parallel()
	g := newGround(t)
	s, other, ctx := g.open(t), g.open(t), t.Context()
	for _, on := range []*Store{s, other} {
		if err := on.SetFile(nil, []consent.Person{{ID: "carol"}}, nil); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.AddPerson(ctx, alice()); err != nil {
		t.Fatal(err)
	}
	for _, person := range []string{alice().ID, "carol"} {
		first, second := pager("address-one"), pager("address-two")
		if err := s.AddDevice(ctx, person, first); err != nil {
			t.Fatalf("AddDevice: %v", err)
		}
		g.clock.forward(time.Second)
		if err := s.AddDevice(ctx, person, second); err != nil {
			t.Fatalf("AddDevice: %v", err)
		}
		want := []consent.Device{*first, *second}
		if got := pagers(t, s, person); !slices.Equal(got, want) || want[0].ID == want[1].ID || want[0].Enrolled.IsZero() {
			t.Errorf("%s: Devices = %+v, want %+v", person, got, want)
		}
		eventually(t, "them elsewhere", func() bool { return slices.Equal(pagers(t, other, person), want) })
		for _, stopped := range []bool{true, false, true} {
			if err := other.StopDevice(ctx, person, first.ID, stopped); err != nil {
				t.Fatalf("StopDevice: %v", err)
			}
			want[0].Stopped = stopped
			if got := pagers(t, other, person); !slices.Equal(got, want) {
				t.Errorf("%s: after StopDevice(%v): %+v, want %+v", person, stopped, got, want)
			}
		}
		eventually(t, "the stop elsewhere", func() bool { return slices.Equal(pagers(t, s, person), want) })
		held := heldBy(t, s, bucketDevices, string(s.pseudonym(person))+"."+first.ID)
		for _, clear := range []string{"address-one", "Kitchen", "pager"} {
			if len(held) == 0 || bytes.Contains(held, []byte(clear)) {
				t.Errorf("%s: the server holds %q, which tells %q", person, held, clear)
			}
		}
		again := g.open(t)
		if err := again.SetFile(nil, []consent.Person{{ID: "carol"}}, nil); err != nil {
			t.Fatal(err)
		}
		if got := pagers(t, again, person); !slices.Equal(got, want) {
			t.Errorf("%s: Devices of a new process = %+v, want %+v", person, got, want)
		}
		if err := s.RemoveDevice(ctx, person, second.ID); err != nil {
			t.Fatalf("RemoveDevice: %v", err)
		}
		if got := pagers(t, s, person); !slices.Equal(got, want[:1]) {
			t.Errorf("%s: after RemoveDevice: %+v, want %+v", person, got, want[:1])
		}
		for _, device := range []string{second.ID, "console", "none"} {
			if err := s.RemoveDevice(ctx, person, device); !errors.Is(err, consent.ErrNotFound) {
				t.Errorf("%s: RemoveDevice(%s) = %v, want ErrNotFound", person, device, err)
			}
		}
	}
	if err := s.AddDevice(ctx, "nobody", pager("x")); !errors.Is(err, consent.ErrNotFound) {
		t.Errorf("AddDevice(nobody) = %v, want ErrNotFound", err)
	}
}

// TestEnrolledDevicesErased: devices go with their person, whoever changes one
// meanwhile, and cannot be read under the key of a successor.
func TestEnrolledDevicesErased(t *testing.T) {
	t.Parallel()
	g := newGround(t)
	s, other, ctx := g.open(t), g.open(t), t.Context()
	person, p := alice().ID, s.pseudonym(alice().ID)
	for range 20 {
		if err := s.AddPerson(ctx, alice()); err != nil {
			t.Fatal(err)
		}
		kept := pager("kept")
		if err := s.AddDevice(ctx, person, kept); err != nil {
			t.Fatal(err)
		}
		eventually(t, "it elsewhere", func() bool {
			_, err := other.Person(ctx, person)
			return err == nil && len(pagers(t, other, person)) == 1
		})
		key := string(p) + "." + kept.ID
		before, late := heldBy(t, s, bucketDevices, key), pager("late")
		together(
			func() {
				if err := s.RemovePerson(ctx, person); err != nil {
					t.Errorf("RemovePerson: %v", err)
				}
			},
			func() {
				if err := other.AddDevice(ctx, person, late); err != nil && !errors.Is(err, consent.ErrNotFound) && !errors.Is(err, ErrErased) {
					t.Errorf("AddDevice = %v", err)
				}
			},
			func() {
				if err := other.StopDevice(ctx, person, kept.ID, true); err != nil && !errors.Is(err, consent.ErrNotFound) && !errors.Is(err, ErrErased) && !errors.Is(err, errDamaged) {
					t.Errorf("StopDevice = %v", err)
				}
			},
		)
		for _, id := range []string{kept.ID, late.ID} {
			if data := heldBy(t, s, bucketDevices, string(p)+"."+id); len(data) > 0 {
				t.Fatalf("the server still holds a device of an erased person: %q", data)
			}
		}
		if err := s.AddPerson(ctx, alice()); err != nil {
			t.Fatal(err)
		}
		if got := pagers(t, s, person); len(got) != 0 {
			t.Fatalf("a successor has the devices %+v", got)
		}
		if _, err := s.openDevice(ctx, p, kept.ID, before); !errors.Is(err, errDamaged) {
			t.Fatalf("an erased entry opens: %v", err)
		}
		if err := s.RemovePerson(ctx, person); err != nil {
			t.Fatal(err)
		}
	}
}

// TestEnrolledDeviceMoved: an entry counts under its own person and name alone.
func TestEnrolledDeviceMoved(t *testing.T) {
	t.Parallel()
	g := newGround(t)
	s, ctx := g.open(t), t.Context()
	if err := s.AddPerson(ctx, alice()); err != nil {
		t.Fatal(err)
	}
	dev, p := pager("mine"), string(s.pseudonym(alice().ID))
	if err := s.AddDevice(ctx, alice().ID, dev); err != nil {
		t.Fatal(err)
	}
	seq, err := s.dir.devices.write(ctx, p+".another", heldBy(t, s, bucketDevices, p+"."+dev.ID))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.dir.devices.wait(ctx, seq); err != nil {
		t.Fatal(err)
	}
	if got := pagers(t, s, alice().ID); len(got) != 1 || got[0].ID != dev.ID {
		t.Errorf("Devices = %+v, want the one that was enrolled", got)
	}
}
