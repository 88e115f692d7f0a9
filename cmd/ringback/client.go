package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strings"
)

const clientUsage = `Usage: ringback client add NAME [FLAGS]
       ringback client list
       ringback client show ID
       ringback client renew ID
       ringback client remove ID

NAME is what people read when this agent asks. Flags of add:
  --id ID            client_id; default: made from the name
  --mode MODE        poll (default), ping or push
  --endpoint URL     where to ping or push, https
  --method METHOD    how it authenticates: client_secret_basic (default),
                     private_key_jwt, self_signed_tls_client_auth, …
  --jwks FILE        its public keys, a JWK set; or
  --jwks-uri URL     where they are, https
  --people WHO       whom it may name: linked (default), any, or ID,ID,…
  --scope "A B"      scopes that it may ask for; default: all
  --resource URI     the API its tokens are for when it names none; default: the
                     configured resource, if there is one only
  --host NAME        host that you have verified to be the agent's, shown beside the name
  --metadata FILE    a JSON object with any further members; flags win

add prints the secret of a client that has one, once, and a first request. renew
makes a further secret; the one before works until the next renewal. remove
withdraws what is open.
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
	Method   string          `json:"token_endpoint_auth_method,omitempty"`
	JWKS     json.RawMessage `json:"jwks,omitempty"`
	JWKSURI  string          `json:"jwks_uri,omitempty"`
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
	fs.StringVar(&in.Mode, "mode", "", "")
	fs.StringVar(&in.Endpoint, "endpoint", "", "")
	fs.StringVar(&in.Method, "method", "", "")
	jwks, metadata := fs.String("jwks", "", ""), fs.String("metadata", "", "")
	fs.StringVar(&in.JWKSURI, "jwks-uri", "", "")
	people := fs.String("people", "", "")
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
	switch *people {
	case "":
	case "linked", "any":
		in.People, err = json.Marshal(*people)
	default:
		in.People, err = json.Marshal(strings.Split(*people, ","))
	}
	if err == nil && *jwks != "" {
		in.JWKS, err = readJSON(*jwks, "the client's keys")
	}
	if err != nil {
		return err
	}
	body, err := in.with(*metadata)
	if err != nil {
		return err
	}
	o, err := a.operator()
	if err != nil {
		return err
	}
	var out registration
	if err := o.call(ctx, http.MethodPost, "/clients", body, &out); err != nil {
		return err
	}
	a.tellSecret(out)
	named := out.named()
	if out.Secret != "" {
		fmt.Fprintf(a.stdout, "\nA first request:\n%s", firstRequest(out, o.somebody(ctx, named)))
	} else {
		fmt.Fprintf(a.stdout, "\nIt authenticates with a key of its own. Its endpoints stand in %s/.well-known/openid-configuration\n", out.Issuer)
	}
	if named == "linked" {
		fmt.Fprintf(a.stdout, "\nIt may name nobody yet: ringback person link PERSON %s\n", out.ID)
	}
	return nil
}

// readJSON reads a file of JSON.
func readJSON(file, what string) (json.RawMessage, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", what, err)
	}
	if !json.Valid(data) {
		return nil, fmt.Errorf("reading %s: %s is not JSON", what, file)
	}
	return data, nil
}

// with returns the members of a file, "" for none, and over them those of r.
func (r registration) with(file string) (map[string]json.RawMessage, error) {
	members := map[string]json.RawMessage{}
	if file != "" {
		data, err := readJSON(file, "the metadata")
		if err != nil {
			return nil, err
		}
		if err := json.Unmarshal(data, &members); err != nil || members == nil {
			return nil, fmt.Errorf("reading the metadata: %s must hold one JSON object", file)
		}
	}
	own, err := json.Marshal(r)
	if err != nil {
		return nil, err
	}
	return members, json.Unmarshal(own, &members)
}

// named is whom the client may name: linked, any, or ids with commas.
func (r registration) named() string {
	var word string
	var list []string
	if json.Unmarshal(r.People, &word) == nil {
		return word
	}
	if json.Unmarshal(r.People, &list) == nil {
		return strings.Join(list, ",")
	}
	return ""
}

func (a *app) tellSecret(r registration) {
	fmt.Fprintf(a.stdout, "client_id      %s\n", r.ID)
	if r.Secret != "" {
		fmt.Fprintf(a.stdout, "client_secret  %s   (shown once)\n", r.Secret)
	}
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
