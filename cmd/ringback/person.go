package main

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"
)

const personUsage = `Usage: ringback person add ID [FLAGS]
       ringback person link ID CLIENT
       ringback person unlink ID CLIENT
       ringback person user-code ID
       ringback person list
       ringback person show ID
       ringback person remove ID

Flags of add:
  --name NAME         how others call this person
  --phone NUMBER      international form, +12025550101
  --email ADDRESS
  --locale TAG        language of messages and pages: en (default) or de
  --zone ZONE         time zone for times shown, Europe/Berlin; default UTC

link lets an agent name this person. user-code sends a message with which the
person chooses the code that agents with backchannel_user_code_parameter must
give; an earlier code counts until a new one is chosen. remove erases: open
requests are withdrawn and the key under which everything about the person is
kept is destroyed, so that no backup of the data can be read either.
` + operatorUsage

// person manages approvers.
func (a *app) person(ctx context.Context, args []string) error {
	return a.turn(ctx, args, map[string]func(context.Context, []string) error{
		"add": a.personAdd, "link": a.personLink, "unlink": a.personUnlink, "user-code": a.personUserCode,
		"list": a.personList, "show": a.personShow, "remove": a.personRemove,
	}, "add", "link", "unlink", "user-code", "list", "show", "remove")
}

// approver are the members of a person that we write and read.
type approver struct {
	ID       string   `json:"id"`
	Name     string   `json:"name,omitempty"`
	Locale   string   `json:"locale,omitempty"`
	Zoneinfo string   `json:"zoneinfo,omitempty"`
	Phone    string   `json:"phone,omitempty"`
	Email    string   `json:"email,omitempty"`
	Clients  []string `json:"clients,omitempty"`
	Where    string   `json:"read_only_in,omitempty"`
}

func (a *app) personAdd(ctx context.Context, args []string) error {
	fs := flags("add")
	var in approver
	fs.StringVar(&in.Name, "name", "", "")
	fs.StringVar(&in.Phone, "phone", "", "")
	fs.StringVar(&in.Email, "email", "", "")
	fs.StringVar(&in.Locale, "locale", "", "")
	fs.StringVar(&in.Zoneinfo, "zone", "", "")
	words, err := parse(fs, args)
	if err != nil {
		return err
	}
	if err := exactly(words, "ID"); err != nil {
		return err
	}
	in.ID = words[0]
	o, err := a.operator()
	if err != nil {
		return err
	}
	if err := o.call(ctx, http.MethodPost, "/people", in, nil); err != nil {
		return err
	}
	fmt.Fprintf(a.stdout, "added %s\n", in.ID)
	if in.Phone == "" {
		fmt.Fprintln(a.stdout, "without a phone number nothing reaches this person yet")
	}
	return nil
}

func (a *app) personLink(ctx context.Context, args []string) error {
	return a.links(ctx, args, http.MethodPut, "%s may now name %s\n")
}

func (a *app) personUnlink(ctx context.Context, args []string) error {
	return a.links(ctx, args, http.MethodDelete, "%s may no longer name %s\n")
}

func (a *app) links(ctx context.Context, args []string, method, done string) error {
	words, err := one("link", args, "ID", "CLIENT")
	if err != nil {
		return err
	}
	o, err := a.operator()
	if err != nil {
		return err
	}
	if err := o.call(ctx, method, "/people/"+url.PathEscape(words[0])+"/clients/"+url.PathEscape(words[1]), nil, nil); err != nil {
		return err
	}
	fmt.Fprintf(a.stdout, done, words[1], words[0])
	return nil
}

// personUserCode has the service send a message.
func (a *app) personUserCode(ctx context.Context, args []string) error {
	o, id, err := a.named("user-code", args)
	if err != nil {
		return err
	}
	var out struct{ Until time.Time }
	if err := o.call(ctx, http.MethodPost, "/people/"+url.PathEscape(id)+"/user-code", nil, &out); err != nil {
		return err
	}
	fmt.Fprintf(a.stdout, "%s was sent a message and can choose a code until %s\n", id, out.Until.Local().Format("15:04"))
	return nil
}

func (a *app) personList(ctx context.Context, args []string) error {
	if _, err := one("list", args); err != nil {
		return err
	}
	o, err := a.operator()
	if err != nil {
		return err
	}
	list, err := all[approver](ctx, o, "/people", url.Values{"limit": {"1000"}})
	if err != nil {
		return err
	}
	rows := [][]string{{"ID", "NAME", "PHONE", "LOCALE", "CLIENTS", "READ-ONLY IN"}}
	for _, p := range list {
		rows = append(rows, []string{p.ID, p.Name, p.Phone, p.Locale, strings.Join(p.Clients, ","), p.Where})
	}
	return o.table(rows)
}

func (a *app) personShow(ctx context.Context, args []string) error {
	o, id, err := a.named("show", args)
	if err != nil {
		return err
	}
	return o.show(ctx, "/people/"+url.PathEscape(id))
}

func (a *app) personRemove(ctx context.Context, args []string) error {
	return a.remove(ctx, "/people/", args)
}
