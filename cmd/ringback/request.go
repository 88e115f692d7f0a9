package main

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

const requestUsage = `Usage: ringback request list [--stuck] [--client ID] [--status STATUS]
       ringback request show ID
       ringback request withdraw ID

--stuck lists requests with a delivery whose outcome is unknown: a process ended
between claim and outcome, or a provider never answered. Such a delivery is not
repeated; the next channel covers it.
STATUS is pending, approved, denied, withdrawn, expired, redeemed, cancelled or
revoked. withdraw takes back what there is: an open request ends, an approval
not yet fetched is cancelled, a token that was issued is revoked.
` + operatorUsage

// request looks at requests.
func (a *app) request(ctx context.Context, args []string) error {
	return a.turn(ctx, args, map[string]func(context.Context, []string) error{
		"list": a.requestList, "show": a.requestShow, "withdraw": a.requestWithdraw,
	}, "list", "show", "withdraw")
}

// asked is one line of the list of requests.
type asked struct {
	ID        string    `json:"id"`
	Status    string    `json:"status"`
	Client    string    `json:"client_id"`
	Approver  string    `json:"approver"`
	AskedAt   time.Time `json:"asked_at"`
	ExpiresAt time.Time `json:"expires_at"`
	Attempts  int       `json:"attempts"`
	Unknown   int       `json:"attempts_without_outcome"`
	Waits     string    `json:"waits"`
}

func (a *app) requestList(ctx context.Context, args []string) error {
	fs := flags("list")
	stuck := fs.Bool("stuck", false, "")
	client := fs.String("client", "", "")
	status := fs.String("status", "", "")
	if err := alone(fs, args); err != nil {
		return err
	}
	o, err := a.operator()
	if err != nil {
		return err
	}
	list, err := all[asked](ctx, o, "/requests", url.Values{
		"limit": {"1000"}, "client": {*client}, "status": {*status}, "stuck": {strconv.FormatBool(*stuck)},
	})
	if err != nil {
		return err
	}
	rows := [][]string{{"ID", "STATUS", "CLIENT", "APPROVER", "ASKED", "ENDS", "ATTEMPTS", "WITHOUT OUTCOME", "WAITS"}}
	for _, r := range list {
		rows = append(rows, []string{r.ID, r.Status, r.Client, r.Approver, r.AskedAt.UTC().Format(time.RFC3339),
			r.ExpiresAt.UTC().Format(time.RFC3339), strconv.Itoa(r.Attempts), strconv.Itoa(r.Unknown), r.Waits})
	}
	return o.table(rows)
}

func (a *app) requestShow(ctx context.Context, args []string) error {
	o, id, err := a.named("show", args)
	if err != nil {
		return err
	}
	return o.show(ctx, "/requests/"+url.PathEscape(id))
}

func (a *app) requestWithdraw(ctx context.Context, args []string) error {
	o, id, err := a.named("withdraw", args)
	if err != nil {
		return err
	}
	var out asked
	if err := o.call(ctx, http.MethodPost, "/requests/"+url.PathEscape(id)+"/withdraw", nil, &out); err != nil {
		return err
	}
	fmt.Fprintf(a.stdout, "%s is %s\n", out.ID, out.Status)
	return nil
}
