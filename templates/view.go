package templates

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"ringback/consent"
	"ringback/details"
)

// openID is the scope that every request has (CIBA Core §7.1): it has words
// only where nothing else is asked.
const openID = "openid"

// offline is the scope of a request that can be renewed (OpenID Connect Core
// §11): there its words are [View.Renews].
const offline = "offline_access"

// View is one request in the words of one person. Make it with [Set.View].
type View struct {
	Lang    string         // of the words: "en" or "de"
	Asked   consent.Digest // asked_digest
	Agent   string         // display name of who asks
	Host    string         // its verified host, "" if none is known
	EndsAt  time.Time      // in the person's zone
	Ends    string         // the same in words: "14:35"
	Waiting int            // further requests that wait

	Headline details.Text
	Own      details.Text // that the agent acts for itself; empty where it acts for the person
	Sections []Section
	Facts    []details.Fact // about the whole request
	Words    []details.Fact // the agent's own; Label may be empty
	Renews   details.Text   // for how long the agent need not ask again; empty: it must
	Allow    details.Text   // on the button that allows

	sms   []details.Text // what is asked, to follow "asks to"
	done  []details.Text // the same, to follow "Allowed:"
	again string         // Renews in a message
	long  bool           // cannot be shown in a message
}

// Section is one thing that is asked.
type Section struct {
	Headline    details.Text // empty where the whole request's says it
	Facts       []details.Fact
	Consequence details.Text
	Unexplained string // the type's name, when it has no words
}

// View puts a request in words for person; waiting is how many other
// requests wait for them.
func (s *Set) View(req *consent.Request, person *consent.Person, waiting int) (View, error) {
	lang, w := speak(person.Locale)
	v := View{Lang: lang, Agent: req.Client.Name, Host: req.Client.Host, Waiting: waiting}
	if v.Agent == "" {
		v.Agent = req.Client.ID
	}
	var err error
	if v.Asked, err = req.AskedDigest(); err != nil {
		return View{}, fmt.Errorf("viewing a request: %w", err)
	}
	list, err := s.cfg.Details.Read(req.Details)
	if err != nil {
		return View{}, fmt.Errorf("viewing a request: %w", err)
	}
	v.setEnd(w, req, person)
	for _, it := range list.Explain(lang).Items {
		v.addItem(it, lang)
	}
	v.addScopes(s, w, v.renewed(w, req))
	v.setHeadline(w)
	if req.Grant == consent.GrantClientCredentials {
		v.Own = put(w.OwnName, map[string]string{"agent": v.Agent})
	}
	if req.BindingMessage != "" {
		v.Words = append(v.Words, details.Fact{Value: req.BindingMessage})
	}
	if req.Resource != "" {
		v.Facts = append(v.Facts, details.Fact{Label: w.Resource, Value: req.Resource})
	}
	if len(req.Actors) > 0 {
		v.Facts = append(v.Facts, details.Fact{Label: w.Through, Value: chain(req.Actors)})
	}
	lasts := put(w.Lasts, map[string]string{"time": w.lasting(time.Duration(req.GrantLifetime) * time.Second)})
	for i := range v.Sections {
		if sec := &v.Sections[i]; len(sec.Consequence) == 0 && i == len(v.Sections)-1 && req.GrantLifetime > 0 && len(v.Renews) == 0 {
			sec.Consequence = lasts
		}
	}
	return v, nil
}

// setEnd says when the request ends, with the day when it is not the one on
// which it was asked and with the zone when the person's is not known.
func (v *View) setEnd(w *words, req *consent.Request, person *consent.Person) {
	zone, err := time.LoadLocation(person.Zoneinfo)
	known := err == nil && person.Zoneinfo != ""
	if !known {
		zone = time.UTC
	}
	v.EndsAt = req.ExpiresAt.In(zone)
	layout := "15:04"
	if v.EndsAt.YearDay() != req.AskedAt.In(zone).YearDay() {
		layout = w.Date + layout
	}
	v.Ends = v.EndsAt.Format(layout)
	if !known {
		v.Ends += " UTC"
	}
}

// renewed says for how long what is asked can be renewed, and returns the
// scopes of which that says nothing.
func (v *View) renewed(w *words, req *consent.Request) []string {
	if req.Renewable == 0 {
		return req.Scope
	}
	values := map[string]string{"agent": v.Agent, "time": w.lasting(time.Duration(req.Renewable) * time.Second)}
	v.Renews, v.again = put(w.Renews, values), say(w.RenewsSMS, values)
	return slices.DeleteFunc(slices.Clone(req.Scope), func(scope string) bool { return scope == offline })
}

// addItem adds one element of authorization_details.
func (v *View) addItem(it details.Item, lang string) {
	sec := Section{Headline: it.Headline, Consequence: it.Consequence, Facts: it.Facts}
	if !it.Explained {
		sec.Unexplained = it.Type
		sec.Facts = []details.Fact{{Leaves: []details.Leaf{{Path: "type", Value: it.Type}}}}
		for _, f := range it.Facts {
			sec.Facts[0].Leaves = append(sec.Facts[0].Leaves, f.Leaves...)
		}
		v.long = true
		v.done = append(v.done, details.Text{{Text: it.Type, Path: "type"}})
	} else {
		v.sms = append(v.sms, it.SMS)
		v.done = append(v.done, it.Done)
	}
	// What the headline says need not be said twice.
	sec.Facts = slices.DeleteFunc(slices.Clone(sec.Facts), func(f details.Fact) bool {
		return f.Path != "" && slices.ContainsFunc(it.Headline, func(s details.Span) bool { return s.Path == f.Path })
	})
	v.Sections = append(v.Sections, sec)
	v.Words = append(v.Words, it.Free...)
	if len(v.Sections) == 1 {
		v.Allow = it.Allow
	}
}

// addScopes adds a section for scopes, each with its words.
func (v *View) addScopes(s *Set, w *words, scopes []string) {
	var said []details.Text
	add := func(text details.Text) {
		said = append(said, text)
		v.sms = append(v.sms, text)
		v.done = append(v.done, text)
	}
	for _, scope := range scopes {
		known := s.cfg.Scopes[scope]
		text := known[v.Lang]
		if text == "" {
			text = known[languages[0]]
		}
		switch {
		case text != "":
			add(details.Text{{Text: text}})
		case scope != openID:
			add(put(w.BareScope, map[string]string{"scope": scope}))
		}
	}
	if len(said) == 0 && len(v.Sections) == 0 {
		add(details.Text{{Text: w.OpenID}})
	}
	switch len(said) {
	case 0:
		return
	case 1:
		v.Sections = append(v.Sections, Section{Headline: v.around(w.Scope, said[0])})
		return
	}
	sec := Section{Headline: v.around(w.Scopes, nil)}
	for _, text := range said {
		sec.Facts = append(sec.Facts, details.Fact{Value: capital(text.String())})
	}
	v.Sections = append(v.Sections, sec)
}

// around puts the agent's name and a text into a phrase.
func (v *View) around(phrase string, scope details.Text) details.Text {
	var out details.Text
	for _, s := range put(phrase, map[string]string{"agent": v.Agent}) {
		if s.Path == "scope" {
			out = append(out, scope...)
		} else {
			out = append(out, s)
		}
	}
	return out
}

// setHeadline says the whole request in one line.
func (v *View) setHeadline(w *words) {
	n := map[string]string{"agent": v.Agent, "n": strconv.Itoa(len(v.Sections))}
	if len(v.Sections) == 1 {
		sec := &v.Sections[0]
		v.Headline, sec.Headline = sec.Headline, nil
		if sec.Unexplained != "" {
			v.Headline = details.Text{{Text: w.Unexplained}}
		}
	} else {
		v.Headline = put(w.Many, n)
		v.Allow = put(w.AllowMany, n)
	}
	if len(v.Allow) == 0 {
		v.Allow = details.Text{{Text: w.Allow}}
	}
}

// chain names those through whom the agent acts.
func chain(actors []consent.Party) string {
	var out []string
	for _, a := range actors {
		name := a.Name
		if name == "" {
			name = a.ID
		}
		if a.Host != "" {
			name += " (" + a.Host + ")"
		}
		out = append(out, name)
	}
	return strings.Join(out, " → ")
}

// capital makes the first letter of a list's entry large.
func capital(s string) string {
	for i, r := range s {
		return strings.ToUpper(string(r)) + s[i+len(string(r)):]
	}
	return s
}

// spoken reports whether a tag's language is one of ours.
func spoken(tag string) bool {
	base, _, _ := strings.Cut(strings.ToLower(strings.ReplaceAll(tag, "_", "-")), "-")
	return slices.Contains(languages, base)
}

func sorted[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
