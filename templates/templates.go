// Package templates is what an approver reads: pages, messages and short
// answers, in the person's language.
//
// [New] makes a [Set]. [Set.View] puts one request in one person's words; from
// the View come the page ([Set.Page], with the fragment of [Set.Card] that
// evidence keeps) and the message ([Set.Message]). The same structure always:
// action, amount, payee, who asks, consequence, then the agent's own words,
// boxed and weaker. Everything that an agent sends is a value beside our
// words, never markup and never part of a sentence that could pass for ours.
//
// The package decides nothing and does no I/O.
package templates

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"html/template"
	"slices"

	_ "time/tzdata" // zones of people, on machines without a zone database

	"ringback/consent"
	"ringback/details"
)

// Config of a [Set].
type Config struct {
	// Details says authorization_details in words. Required.
	Details *details.Registry
	// Scopes :: scope :: language :: what it lets the agent do, to follow "Let
	// Travel Agent" ("read your calendar"; in German an infinitive, "Ihren
	// Kalender lesen"). Nil: no scope but openid has words.
	Scopes map[string]map[string]string
}

// Set renders everything. It never changes and may be used concurrently.
type Set struct {
	cfg     Config
	html    *template.Template
	digests map[string]consent.Digest // of what texts are made from, by language
}

// New returns a Set.
func New(cfg Config) (*Set, error) {
	if cfg.Details == nil {
		return nil, fmt.Errorf("making templates: Details is missing")
	}
	s := &Set{cfg: cfg, digests: map[string]consent.Digest{}}
	var err error
	if s.html, err = parseHTML(); err != nil {
		return nil, fmt.Errorf("parsing page templates: %w", err)
	}
	for _, lang := range languages {
		w := catalogue[lang]
		raw, err := json.Marshal(w)
		if err != nil {
			return nil, fmt.Errorf("encoding words: %w", err)
		}
		s.digests[lang] = sha256.Sum256(append(raw, cardSource...))
	}
	return s, nil
}

// Languages lists the languages of pages and messages.
func Languages() []string { return slices.Clone(languages) }

// Check reports scopes and types without words in any of the languages, each
// with what to do. The languages are those that people have (BCP 47); ones we
// do not speak ourselves are reported too.
func (s *Set) Check(langs []string) []error {
	var out []error
	seen := map[string]bool{}
	for _, tag := range langs {
		lang, _ := speak(tag)
		if tag != "" && !spoken(tag) {
			out = append(out, fmt.Errorf("language %s: there are no pages and messages in it; people with it get English", tag))
		}
		if seen[lang] {
			continue
		}
		seen[lang] = true
		for _, scope := range sorted(s.cfg.Scopes) {
			if s.cfg.Scopes[scope][lang] == "" && scope != openID {
				out = append(out, fmt.Errorf("scope %s: has no words in language %s; add words.%s", scope, lang, lang))
			}
		}
		for _, typ := range s.cfg.Details.Names() {
			if !slices.Contains(s.cfg.Details.Languages(typ), lang) {
				out = append(out, fmt.Errorf("details type %s: has no words in language %s; add words.%s", typ, lang, lang))
			}
		}
	}
	for _, scope := range sorted(s.cfg.Scopes) {
		for _, lang := range sorted(s.cfg.Scopes[scope]) {
			if err := details.CheckText(s.cfg.Scopes[scope][lang], false); err != nil {
				out = append(out, fmt.Errorf("scope %s: words.%s: %w", scope, lang, err))
			}
		}
	}
	return out
}
