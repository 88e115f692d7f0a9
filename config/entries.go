package config

import (
	"errors"
	"io"
	"regexp"
	"strings"

	"ringback/admin"
	"ringback/consent"
	"ringback/templates"
)

// readPeople reads approvers. A telephone number and an address belong to one.
func (c *Config) readPeople(r *reader, top *section) {
	owner := map[string]string{}
	for _, e := range top.list("people") {
		s := r.section(e.path, e.node, "id", "name", "locale", "zoneinfo", "phone", "email", "clients")
		if !s.need("id", "alice") {
			continue
		}
		p := consent.Person{
			ID: s.text("id"), Name: s.text("name"), Locale: s.text("locale"), Zoneinfo: s.text("zoneinfo"),
			Phone: consent.Phone(s.text("phone")), Email: s.text("email"), Clients: s.texts("clients"), FromFile: true,
		}
		for _, problem := range admin.CheckPerson(&p) {
			s.wrong(problem.Member, "%s", problem.What)
		}
		if other := c.Where("person", p.ID); other != "" {
			s.wrong("id", "%s stands twice, first in %s: remove one", p.ID, other)
		}
		for key, value := range map[string]string{"phone": string(p.Phone), "email": strings.ToLower(p.Email)} {
			if value == "" {
				continue
			}
			if other, taken := owner[value]; taken {
				s.wrong(key, "this belongs to %s already: a person is found by it, so it has one owner", other)
			}
			owner[value] = p.ID
		}
		c.lines["person/"+p.ID] = s.line
		c.Approvers = append(c.Approvers, p)
	}
}

// readLast checks what needs everything else.
func (c *Config) readLast(r *reader, top *section) {
	if c.SMS != nil && c.PublicURL() != "" {
		if _, err := c.openChannels(io.Discard); err != nil {
			for _, err := range flatten(errors.Unwrap(flatten(err)[0])) {
				r.wrong(c.channelsAt, "channels.sms", "%v", err)
			}
		}
	}
	if c.Registry == nil {
		return
	}
	set, err := templates.New(templates.Config{Details: c.Registry, Scopes: c.ScopeWords()})
	if err != nil {
		for _, err := range flatten(err) {
			r.wrong(0, "", "%v", err)
		}
		return
	}
	for _, err := range set.Check(c.languages()) {
		line := 0
		if strings.HasPrefix(err.Error(), "language ") {
			c.Notes = append(c.Notes, err.Error())
			continue
		}
		if m := wordless.FindStringSubmatch(err.Error()); m != nil {
			line = c.lines[strings.TrimPrefix(m[1], "details ")+"/"+m[2]]
		}
		r.wrong(line, "", "%v", err)
	}
	c.reachable()
}

// wordless is how a report of missing words begins.
var wordless = regexp.MustCompile(`^(scope|details type) (\S+?):`)

func isLanguage(tag string) bool { return admin.IsLocale(tag) }
