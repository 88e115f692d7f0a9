// Package result is what faults yield: rows that are kept as JSON, and put
// together from several runs into tables of Markdown.
package result

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"ringback/deploy/faults/check"
)

// Row is what came of one fault, or of one form of it.
type Row struct {
	Fault        string             `json:"fault"`
	Form         string             `json:"form"` // which form of it
	Times        int                `json:"times"`
	Acknowledged int                `json:"acknowledged"`
	Counts       map[check.Kind]int `json:"counts"`
	Violations   []check.Violation  `json:"violations,omitempty"` // the first of them
	Refused      map[string]int     `json:"refused,omitempty"`    // what the service refused to go on with, and how often
	Figures      []Figure           `json:"figures,omitempty"`    // in the order of their table
	Seed         uint64             `json:"seed,omitempty"`
	Began        time.Time          `json:"began"`
	Took         time.Duration      `json:"took"`
}

// Figure is something measured, as it is printed.
type Figure struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// violationsMost bounds the violations that a row keeps.
const violationsMost = 200

// Broke adds violations to a row.
func (r *Row) Broke(all ...check.Violation) {
	if r.Counts == nil {
		r.Counts = map[check.Kind]int{}
	}
	for _, v := range all {
		r.Counts[v.Kind]++
		if len(r.Violations) < violationsMost {
			r.Violations = append(r.Violations, v)
		}
	}
}

// Otherwise adds a violation of a promise that has no column of its own.
func (r *Row) Otherwise(format string, args ...any) {
	r.Broke(check.Violation{Kind: check.Other, What: fmt.Sprintf(format, args...)})
}

// Measured adds a figure.
func (r *Row) Measured(name, format string, args ...any) {
	r.Figures = append(r.Figures, Figure{name, fmt.Sprintf(format, args...)})
}

// Held reports whether every promise was kept.
func (r *Row) Held() bool { return len(r.Counts) == 0 }

// Save keeps the rows of one run of a fault in a directory of results.
func Save(dir, fault string, rows []Row) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	data, err := json.MarshalIndent(rows, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, fmt.Sprintf("%s-%d.json", fault, time.Now().UnixMilli())), append(data, '\n'), 0o644)
}

// Load reads every result in a directory, the oldest first.
func Load(dir string) ([]Row, error) {
	files, err := filepath.Glob(filepath.Join(dir, "*.json"))
	if err != nil {
		return nil, err
	}
	var all []Row
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		var rows []Row
		if err := json.Unmarshal(data, &rows); err != nil {
			return nil, fmt.Errorf("reading %s: %w: remove it, or name another directory with -out", file, err)
		}
		all = append(all, rows...)
	}
	slices.SortStableFunc(all, func(a, b Row) int { return a.Began.Compare(b.Began) })
	return all, nil
}
