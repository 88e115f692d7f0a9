package config

import (
	"fmt"
	"strings"
)

// Mistake is one thing that is wrong with the configuration.
type Mistake struct {
	Line  int    // in the file; 0: not in the file
	Where string // path of the entry ("policy.routes[0].channels") or name of a flag or variable
	What  string // what is wrong, and what to do about it
}

// Mistakes is every mistake of one configuration, in order of line. As an
// error it prints one line each.
type Mistakes struct {
	File string
	List []Mistake
}

// Error implements error.
func (m *Mistakes) Error() string {
	var b strings.Builder
	for i, k := range m.List {
		if i > 0 {
			b.WriteByte('\n')
		}
		if k.Line > 0 {
			fmt.Fprintf(&b, "%s:%d: ", m.File, k.Line)
		} else if m.File != "" {
			fmt.Fprintf(&b, "%s: ", m.File)
		}
		if k.Where != "" {
			b.WriteString(k.Where + ": ")
		}
		b.WriteString(k.What)
	}
	return b.String()
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

func Quoted(words []string) string { return "`" + strings.Join(words, "`, `") + "`" }

// Suggest names the nearest of the words, or all of them.
func Suggest(got string, words []string) string {
	best, dist := "", 1+len(got)/3
	for _, w := range words {
		if d := distance(strings.ToLower(got), w); d <= dist {
			best, dist = w, d-1
		}
	}
	for _, w := range words { // half of a name
		if best == "" && len(got) > 3 && strings.Contains(w, strings.ToLower(got)) {
			best = w
		}
	}
	if best != "" {
		return fmt.Sprintf(": did you mean `%s`?", best)
	}
	if len(words) == 0 {
		return ": remove it"
	}
	return ": known are " + Quoted(words)
}

// distance is the number of letters to insert, delete, change or swap.
func distance(a, b string) int {
	if len(a) > 64 || len(b) > 64 {
		return 64
	}
	var before []int
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		next := make([]int, len(b)+1)
		next[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			next[j] = min(row[j]+1, next[j-1]+1, row[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				next[j] = min(next[j], before[j-2]+1)
			}
		}
		before, row = row, next
	}
	return row[len(b)]
}
