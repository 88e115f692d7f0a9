package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
)

const clientUsage = `Usage: ringback client add NAME [FLAGS]
       ringback client list
       ringback client show ID
       ringback client renew ID
       ringback client remove ID

NAME is what people read when this agent asks. Flags of add:
  --id ID            client_id; default: made from the name
  --mode MODE        poll (default) or ping
  --endpoint URL     where to ping, https
  --people WHO       whom it may name: linked (default), any, or ID,ID,…
  --scope "A B"      scopes that it may ask for; default: all
  --resource URI     the API its tokens are for when it names none; default: the
                     configured resource, if there is one only
  --host NAME        host that you have verified to be the agent's, shown beside the name

add prints the secret once, and a first request. renew makes a further secret;
the one before works until the next renewal. remove withdraws what is open.
` + operatorUsage

// client manages agents.
func (a *app) client(ctx context.Context, args []string) error {
	return a.turn(ctx, args, map[string]func(context.Context, []string) error{
		"add": a.clientAdd, "list": a.clientList, "show": a.clientShow, "renew": a.clientRenew, "remove": a.clientRemove,
	}, "add", "list", "show", "renew", "remove")
}

// registration are the members of a client that we write and read.
type registration struct {
	ID       string          `json:"client_id,omitempty"`
	Secret   string          `json:"client_secret,omitempty"`
	Name     string          `json:"client_name,omitempty"`
	Host     string          `json:"verified_host,omitempty"`
	Mode     string          `json:"backchannel_token_delivery_mode,omitempty"`
	Endpoint string          `json:"backchannel_client_notification_endpoint,omitempty"`
	Scope    string          `json:"scope,omitempty"`
	People   json.RawMessage `json:"people,omitempty"`
	Resource string          `json:"default_resource,omitempty"`
	Where    string          `json:"read_only_in,omitempty"`
	Issuer   string          `json:"issuer,omitempty"`
}

func (a *app) clientAdd(ctx context.Context, args []string) error {
	fs := flags("add")
	var in registration
	fs.StringVar(&in.ID, "id", "", "")
	fs.StringVar(&in.Mode, "mode", "poll", "")
	fs.StringVar(&in.Endpoint, "endpoint", "", "")
	people := fs.String("people", "linked", "")
	fs.StringVar(&in.Scope, "scope", "", "")
	fs.StringVar(&in.Resource, "resource", "", "")
	fs.StringVar(&in.Host, "host", "", "")
	words, err := parse(fs, args)
	if err != nil {
		return err
	}
	if err := exactly(words, "NAME"); err != nil {
		return err
	}
	in.Name = words[0]
	var named any = *people
	if *people != "linked" && *people != "any" {
		named = strings.Split(*people, ",")
	}
	if in.People, err = json.Marshal(named); err != nil {
		return err
	}
	o, err := a.operator()
	if err != nil {
		return err
	}
	var out registration
	if err := o.call(ctx, http.MethodPost, "/clients", in, &out); err != nil {
		return err
	}
	a.tellSecret(out)
	fmt.Fprintf(a.stdout, "\nA first request:\n%s", firstRequest(out, o.somebody(ctx, *people)))
	if *people == "linked" {
		fmt.Fprintf(a.stdout, "\nIt may name nobody yet: ringback person link PERSON %s\n", out.ID)
	}
	return nil
}

func (a *app) tellSecret(r registration) {
	fmt.Fprintf(a.stdout, "client_id      %s\nclient_secret  %s   (shown once)\n", r.ID, r.Secret)
}

// somebody is a person whom a new client may name, PERSON if none is known.
func (o *operator) somebody(ctx context.Context, people string) string {
	switch people {
	case "linked":
		return "PERSON"
	case "any":
		var page struct{ Items []approver }
		if o.call(ctx, http.MethodGet, "/people?limit=1", nil, &page) == nil && len(page.Items) > 0 {
			return page.Items[0].ID
		}
		return "PERSON"
	}
	first, _, _ := strings.Cut(people, ",")
	return first
}

// firstRequest is a line that a shell runs as it stands.
func firstRequest(r registration, person string) string {
	extra := ""
	if r.Mode == "ping" {
		extra = ` \
     --data-urlencode client_notification_token="$(openssl rand -base64 24)"`
	}
	if r.Resource == "" {
		extra += ` \
     --data-urlencode resource=API`
	}
	return fmt.Sprintf(`curl -u '%s:%s' %s/bc-authorize \
     --data-urlencode scope=openid --data-urlencode login_hint=%s%s
`, url.QueryEscape(r.ID), url.QueryEscape(r.Secret), r.Issuer, person, extra)
}

func (a *app) clientList(ctx context.Context, args []string) error {
	if _, err := one("list", args); err != nil {
		return err
	}
	o, err := a.operator()
	if err != nil {
		return err
	}
	list, err := all[registration](ctx, o, "/clients", url.Values{"limit": {"1000"}})
	if err != nil {
		return err
	}
	rows := [][]string{{"CLIENT_ID", "NAME", "MODE", "PEOPLE", "READ-ONLY IN"}}
	for _, c := range list {
		rows = append(rows, []string{c.ID, c.Name, c.Mode, strings.Trim(string(c.People), `"`), c.Where})
	}
	return o.table(rows)
}

func (a *app) clientShow(ctx context.Context, args []string) error {
	o, id, err := a.named("show", args)
	if err != nil {
		return err
	}
	return o.show(ctx, "/clients/"+url.PathEscape(id))
}

func (a *app) clientRenew(ctx context.Context, args []string) error {
	o, id, err := a.named("renew", args)
	if err != nil {
		return err
	}
	var out registration
	if err := o.call(ctx, http.MethodPost, "/clients/"+url.PathEscape(id)+"/secret", nil, &out); err != nil {
		return err
	}
	a.tellSecret(out)
	return nil
}

func (a *app) clientRemove(ctx context.Context, args []string) error {
	return a.remove(ctx, "/clients/", args)
}

// remove deletes an entry and tells what ended with it.
func (a *app) remove(ctx context.Context, path string, args []string) error {
	o, id, err := a.named("remove", args)
	if err != nil {
		return err
	}
	var out struct{ Withdrawn int }
	if err := o.call(ctx, http.MethodDelete, path+url.PathEscape(id), nil, &out); err != nil {
		return err
	}
	fmt.Fprintf(a.stdout, "removed %s, withdrew %d open requests\n", id, out.Withdrawn)
	return nil
}
