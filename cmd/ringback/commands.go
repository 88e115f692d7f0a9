package main

import (
	"context"
	"fmt"
	"strings"

	"ringback/config"
)

// command is one word after `ringback`.
type command struct {
	name  string
	does  string // one line
	usage string // what `--help` shows
	run   func(a *app, ctx context.Context, args []string) error
}

// help is the whole text of one command.
func (c *command) help() string { return c.does + "\n\n" + c.usage }

// commands is the table of all of them, in the order of `ringback help`.
func commands() []command {
	return []command{
		{"init", "Makes root key, store and signing keys, once.", initUsage, (*app).init},
		{"serve", "Runs the service.", serveUsage, (*app).serve},
		{"demo", "Shows the whole thing on this machine, with a phone on a page.", demoUsage, (*app).demo},
		{"check", "Reports every mistake of a configuration at once.", checkUsage, (*app).check},
		{"repair", "Makes a store usable again of which facts are lost.", repairUsage, (*app).repair},
		{"migrate", "Brings the store of an earlier release up to date.", migrateUsage, (*app).migrate},
		{"ask", "Asks a person as an agent, and waits for the answer.", askUsage, (*app).ask},
		{"client", "Adds, lists, shows and removes agents.", clientUsage, (*app).client},
		{"person", "Adds, links, lists, shows and removes approvers.", personUsage, (*app).person},
		{"request", "Lists, shows and withdraws requests.", requestUsage, (*app).request},
		{"key", "Lists and rotates signing keys.", keyUsage, (*app).key},
		{"export", "Writes evidence and audit records to a file.", exportUsage, (*app).export},
		{"verify", "Checks an export offline.", verifyUsage, (*app).verify},
		{"fakes", "Runs the fake providers alone.", fakesUsage, (*app).fakes},
		{"version", "Prints versions.", versionUsage, (*app).version},
	}
}

func find(name string) *command {
	for _, c := range commands() {
		if c.name == name {
			return &c
		}
	}
	return nil
}

func names() []string {
	var out []string
	for _, c := range commands() {
		out = append(out, c.name)
	}
	return out
}

// usage is the text of `ringback help`.
func usage() string {
	var b strings.Builder
	b.WriteString("ringback: an agent asks, a person's phone rings, the answer comes back as one token.\n\nUsage: ringback COMMAND [FLAGS]\n\n")
	for _, c := range commands() {
		fmt.Fprintf(&b, "  %-9s %s\n", c.name, c.does)
	}
	b.WriteString("\n`ringback COMMAND --help` tells more. Flags win over environment, environment over file.\n")
	return b.String()
}

// turn runs the sub-command that args name.
func (a *app) turn(ctx context.Context, args []string, turns map[string]func(context.Context, []string) error, order ...string) error {
	if len(args) == 0 {
		return misused("say what to do: %s", config.Quoted(order))
	}
	switch args[0] {
	case "-h", "-help", "--help":
		_, err := parse(flags(""), []string{"-h"})
		return err
	}
	do := turns[args[0]]
	if do == nil {
		return misused("unknown word %q%s", args[0], config.Suggest(args[0], order))
	}
	return do(ctx, args[1:])
}
