package config

import (
	"fmt"
	"slices"
	"time"

	"go.yaml.in/yaml/v3"

	"ringback/admin"
	"ringback/channels"
	"ringback/consent"
)

// longest is the longest lifetime of a request: facts are kept for 96 hours,
// and a request must have ended 48 hours before its first fact is forgotten.
const longest = 48 * time.Hour

// longestRenew is how long after the decision a refresh token may work: with the
// longest lifetime of a request it ends before the facts are forgotten.
const longestRenew = 36 * time.Hour

// readPolicy reads routes, limits and lifetimes.
func (c *Config) readPolicy(r *reader, top *section) {
	s := r.section("policy", top.fields["policy"], "routes", "limits", "dedupe", "lifetime", "match_code", "dpop_nonce")
	p := &c.Policy
	p.Dedupe = s.yes("dedupe", !c.Dev)
	p.MatchCode = s.yes("match_code", false)
	p.DPoPNonce = s.yes("dpop_nonce", false)
	p.Reach = c.reach()
	c.readLifetime(r, s)
	c.readLimits(r, s)
	for _, e := range s.list("routes") {
		c.readRoute(r, e)
	}
	switch {
	case s.has("routes") && !slices.ContainsFunc(p.Routes, always):
		s.wrong("routes", "no route without `when`: requests that fit none would reach nobody, so add `- {channels: [sms]}` as the last")
	case !s.has("routes") && c.Dev:
		p.Routes = []consent.Route{{Steps: []consent.RouteStep{{Channel: "sms", Reply: true}}, EscalateAfter: escalateAfter}}
	case !s.has("routes") && c.SMS != nil:
		p.Routes = []consent.Route{{Steps: []consent.RouteStep{{Channel: "sms"}}, EscalateAfter: escalateAfter}}
	case !s.has("routes"):
		r.wrong(s.line, "policy.routes", "missing: add how people are reached, such as `routes: [{channels: [sms]}]`, and the channel under `channels`")
	}
}

// escalateAfter is how long an attempt has before the next one.
const escalateAfter = 30 * time.Second

// readLifetime reads how long requests and tokens live.
func (c *Config) readLifetime(r *reader, policy *section) {
	s := r.section("policy.lifetime", policy.fields["lifetime"], "default", "min", "max", "token", "renew")
	l := &c.Policy.Lifetime
	l.Max = s.span("max", time.Hour, 10*time.Second, longest)
	l.Min = s.span("min", 10*time.Second, time.Second, longest)
	l.Default = s.span("default", 5*time.Minute, time.Second, longest)
	l.Token = s.span("token", 5*time.Minute, 10*time.Second, time.Hour)
	l.Renew = s.span("renew", 0, 0, longestRenew)
	if l.Min > l.Default || l.Default > l.Max {
		s.wrong("default", "%s does not lie between min (%s) and max (%s)", brief(l.Default), brief(l.Min), brief(l.Max))
	}
}

// readLimits reads the budgets; `off` turns them off.
func (c *Config) readLimits(r *reader, policy *section) {
	n := policy.fields["limits"]
	if !policy.has("limits") && c.Dev {
		return
	}
	if n != nil && n.Kind == yaml.ScalarNode && n.Value == "off" {
		if !c.Dev {
			c.Notes = append(c.Notes, "policy.limits is off: one agent can wear a person down")
		}
		return
	}
	if n != nil && n.Kind != yaml.MappingNode && policy.has("limits") {
		policy.wrong("limits", "expected `off` or a mapping such as {pair_prompts: 5}")
		return
	}
	s := r.section("policy.limits", n, "pair_prompts", "person_prompts", "window", "notifications", "denials", "freeze")
	l := consent.DefaultLimits()
	l.PairPrompts = s.count("pair_prompts", l.PairPrompts, 1, 1000)
	l.PersonPrompts = s.count("person_prompts", l.PersonPrompts, 1, 1000)
	l.Window = s.span("window", l.Window, time.Minute, 24*time.Hour)
	l.Notifications = s.count("notifications", l.Notifications, 1, 20)
	l.Denials = s.count("denials", l.Denials, 1, 100)
	l.Freeze = s.span("freeze", l.Freeze, time.Minute, 24*time.Hour)
	c.Policy.Limits = l
}

// readRoute reads one route and adds it.
func (c *Config) readRoute(r *reader, e item) {
	s := r.section(e.path, e.node, "when", "channels", "escalate_after")
	route := consent.Route{EscalateAfter: s.span("escalate_after", escalateAfter, time.Second, 24*time.Hour)}
	w := r.section(e.path+".when", s.fields["when"], "acr", "client", "type")
	if route.ACR = w.text("acr"); route.ACR != "" {
		route.ACR = c.acr(w, "acr")
	}
	route.Client = w.text("client")
	if route.Type = w.text("type"); route.Type != "" && c.Registry != nil && !slices.Contains(c.Registry.Names(), route.Type) {
		w.wrong("type", "unknown type %q%s", route.Type, Suggest(route.Type, c.Registry.Names()))
	}
	if s.need("channels", "[sms]") {
		for _, step := range s.list("channels") {
			c.readStep(r, step, &route)
		}
		if len(route.Steps) == 0 && len(s.fields["channels"].Content) == 0 {
			s.wrong("channels", "empty: name at least one channel")
		}
	}
	for i := range c.Policy.Routes {
		if always(c.Policy.Routes[i]) {
			r.wrong(e.node.Line, e.path, "never reached, since policy.routes[%d] has no `when`: move it before that one", i)
			break
		}
	}
	c.Policy.Routes = append(c.Policy.Routes, route)
}

// readStep reads one channel of a route: its name, or {name: {reply: true}}.
func (c *Config) readStep(r *reader, e item, route *consent.Route) {
	step := consent.RouteStep{Channel: e.node.Value}
	line := e.node.Line
	switch {
	case e.node.Kind == yaml.MappingNode && len(e.node.Content) == 2:
		step.Channel = e.node.Content[0].Value
		step.Reply = r.section(join(e.path, step.Channel), e.node.Content[1], "reply").yes("reply", false)
	case e.node.Kind != yaml.ScalarNode:
		r.wrong(line, e.path, "expected a channel: write sms or {sms: {reply: true}}")
		return
	}
	switch {
	case !slices.Contains(channels.Names(), step.Channel):
		r.wrong(line, e.path, "unknown channel %q%s", step.Channel, Suggest(step.Channel, channels.Names()))
		return
	case !c.hasChannel(step.Channel):
		r.wrong(line, e.path, "the channel %s is not configured: add channels.%s, see %s", step.Channel, step.Channel, exampleConfig)
		return
	}
	if step.Reply && step.Channel != "sms" {
		r.wrong(line, e.path, "nobody can reply by %s: remove `reply: true`", step.Channel)
	}
	if step.Reply && step.Channel == "sms" && c.SMS != nil && c.SMS.MessagingServiceSID == "" && !canReceive.MatchString(c.SMS.From) {
		r.wrong(line, e.path, "the sender in channels.sms.from cannot receive answers: use a telephone number there, or remove `reply: true`")
	}
	if slices.ContainsFunc(route.Steps, func(o consent.RouteStep) bool { return o.Channel == step.Channel && o.Reply == step.Reply }) {
		c.Notes = append(c.Notes, fmt.Sprintf("%s: %s stands twice in this route, so it is tried twice", e.path, step.Channel))
	}
	route.Steps = append(route.Steps, step)
}

// always reports whether a route fits every request.
func always(r consent.Route) bool { return r.ACR == "" && r.Client == "" && r.Type == "" }

// acr reads an assurance level.
func (c *Config) acr(s *section, key string) string {
	v := s.text(key)
	if v != "" && consent.Rank(v) == 0 {
		s.wrong(key, "unknown assurance %q%s", v, Suggest(v, consent.ACRs))
		return ""
	}
	return v
}

// readScopes reads the scopes beside openid.
func (c *Config) readScopes(r *reader, top *section) {
	c.Policy.Scopes = map[string]consent.Scope{}
	for _, e := range top.list("scopes") {
		s := r.section(e.path, e.node, "name", "words", "min_acr", "unattended")
		if !s.need("name", "calendar.read") || !s.need("words", `{en: "read your calendar"}`) {
			continue
		}
		name := s.text("name")
		switch _, twice := c.Policy.Scopes[name]; {
		case !admin.IsScope(name):
			s.wrong("name", "%q is not a scope: printable ASCII without space, quotation mark and backslash", name)
		case name == "openid":
			s.wrong("name", "openid is always there: remove it")
		case twice:
			s.wrong("name", "the scope %s stands twice: remove one", name)
		}
		c.Policy.Scopes[name] = consent.Scope{Words: s.words("words"), MinACR: c.acr(s, "min_acr"), Unattended: s.yes("unattended", false)}
		c.lines["scope/"+name] = s.line
	}
}

// readResources reads the APIs that tokens may be for.
func (c *Config) readResources(r *reader, top *section) {
	c.Policy.Resources = map[string]consent.Resource{}
	for _, e := range top.list("resources") {
		s := r.section(e.path, e.node, "uri", "introspect_by")
		if !s.need("uri", "https://api.example") {
			continue
		}
		uri := s.text("uri")
		if !admin.IsResource(uri) {
			s.wrong("uri", "%q is not an absolute URI without fragment: write https://api.example (RFC 8707)", uri)
		}
		if _, twice := c.Policy.Resources[uri]; twice {
			s.wrong("uri", "this resource stands twice: remove one")
		}
		c.Policy.Resources[uri] = consent.Resource{IntrospectBy: s.texts("introspect_by")}
	}
	if c.Dev && len(c.Policy.Resources) == 0 {
		c.Policy.Resources[demoResource] = consent.Resource{}
	}
}
