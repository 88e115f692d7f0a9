package config

import (
	"fmt"
	"reflect"
	"strings"
)

// Reloadable reports what has changed that only a restart can change: every field
// whose tag names a key of the file.
func (c *Config) Reloadable(next *Config) error {
	var changed []string
	note := func(key string, old, new any) {
		if last := len(changed) - 1; !reflect.DeepEqual(old, new) && (last < 0 || changed[last] != key) {
			changed = append(changed, key)
		}
	}
	was, is := reflect.ValueOf(*c), reflect.ValueOf(*next)
	for i := range was.NumField() {
		if key := was.Type().Field(i).Tag.Get("restart"); key != "" {
			note(key, was.Field(i).Interface(), is.Field(i).Interface())
		}
	}
	note("scopes", c.ScopeWords(), next.ScopeWords())
	if len(changed) > 0 {
		return fmt.Errorf("%s changed, which needs a restart; only clients, people and policy are read again while running", strings.Join(changed, ", "))
	}
	return nil
}
