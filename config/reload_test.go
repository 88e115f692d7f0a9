package config

import (
	"reflect"
	"strings"
	"testing"
)

// again are the fields that are read again while running, and those that others
// are made from.
var again = []string{"File", "Dev", "ClientCAs", "Registry", "Policy", "Clients", "Approvers", "Notes", "lines", "channelsAt"}

// TestReloadable: every field is read again, or noticed when it changes.
func TestReloadable(t *testing.T) {
	t.Parallel()
	typ := reflect.TypeFor[Config]()
	for i := range typ.NumField() {
		f := typ.Field(i)
		key, isAgain := f.Tag.Get("restart"), false
		for _, name := range again {
			isAgain = isAgain || name == f.Name
		}
		if isAgain == (key != "") {
			t.Errorf("%s: is it read again, or does it need a restart? tag %q", f.Name, key)
		}
		if key == "" {
			continue
		}
		var old, next Config
		if err := old.Reloadable(&next); err != nil {
			t.Fatalf("nothing has changed: %v", err)
		}
		change(reflect.ValueOf(&next).Elem().Field(i))
		if err := old.Reloadable(&next); err == nil || !strings.HasPrefix(err.Error(), key+" changed") {
			t.Errorf("%s changed: %v, want an error that names %s", f.Name, err, key)
		}
	}
}

// change makes another value of the zero value.
func change(v reflect.Value) {
	switch v.Kind() {
	case reflect.String:
		v.SetString("other")
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
	case reflect.Struct:
		change(v.Field(0))
	}
}
