//go:build e2e

package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"ringback/consent"
	"ringback/keys"
)

var races = flag.Int("races", 2000, "how many requests each race test has fought over, half of them by two processes")

// contenders is how many calls fight over one request.
const contenders = 64

// deployment is one or two processes over one store.
type deployment struct {
	listen  []string
	admin   []adminAPI
	handles *keys.Handles
}

// requestID is the house's name for an auth_req_id.
func (d *deployment) requestID(handle string) string {
	id, _ := d.handles.ParseAuthReqID(handle)
	return consent.ID(id).String()
}

// deploy starts one process over an embedded store, or two over one NATS server.
func deploy(t *testing.T, processes int) *deployment {
	t.Helper()
	dir := t.TempDir()
	config, rootKey := filepath.Join(dir, "ringback.yaml"), filepath.Join(dir, "root.key")
	file := "policy: {limits: off, dedupe: false}\nclients:\n- {client_id: stranger, client_secret: {env: STRANGER}, backchannel_token_delivery_mode: poll, people: any, default_resource: 'https://api.example'}\npeople:\n"
	for i := range 100 {
		file += fmt.Sprintf("- {id: p%d}\n", i)
	}
	if processes > 1 {
		file += natsServer(t)
	}
	if err := os.WriteFile(config, []byte(file), 0o600); err != nil {
		t.Fatal(err)
	}
	root := keys.NewRoot()
	if err := root.WriteFile(rootKey); err != nil {
		t.Fatal(err)
	}
	d := &deployment{handles: keys.NewHandles(root)}
	for i := range processes {
		listen, manage, data := freeAddr(t), freeAddr(t), filepath.Join(dir, fmt.Sprint("data", i))
		p := startProcess(t, []string{"STRANGER=stranger-secret-0000"}, "serve", "--dev", "--config", config, "--data", data, "--root-key", rootKey, "--listen", listen, "--manage", manage)
		p.untilServing(t, listen)
		d.listen, d.admin = append(d.listen, listen), append(d.admin, adminOf(t, manage, data))
	}
	return d
}

// natsServer starts a NATS server that syncs every write and returns the
// section of the configuration that names it.
func natsServer(t *testing.T) string {
	t.Helper()
	s, err := server.NewServer(&server.Options{
		Host: "127.0.0.1", Port: -1, HTTPHost: "127.0.0.1", HTTPPort: -1, JetStream: true, StoreDir: t.TempDir(), SyncAlways: true, NoSigs: true, NoLog: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	if !s.ReadyForConnections(10 * time.Second) {
		t.Fatal("the NATS server does not start")
	}
	return fmt.Sprintf("nats: {url: '%s', monitor: 'http://%s'}\n", s.ClientURL(), s.MonitorAddr())
}

// agents talk to a deployment over connections that they keep.
var agents = &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 2 * contenders, DialContext: (&net.Dialer{}).DialContext}, Timeout: 30 * time.Second}

// call posts as a client to process n; a secret of "" sends no credentials.
func (d *deployment) call(t *testing.T, n int, client, path string, form url.Values) (int, map[string]any) {
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+d.listen[n%len(d.listen)]+path, strings.NewReader(form.Encode()))
	if err != nil {
		t.Error(err)
		return 0, nil
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.SetBasicAuth(client, map[string]string{"demo-agent": "demo-secret-0000", "stranger": "stranger-secret-0000"}[client])
	resp, err := agents.Do(r)
	if err != nil {
		t.Error(err)
		return 0, nil
	}
	defer resp.Body.Close()
	var body map[string]any
	if resp.StatusCode != http.StatusNoContent {
		if err := json.NewDecoder(resp.Body).Decode(&body); err != nil {
			t.Errorf("%s answers %d without JSON: %v", path, resp.StatusCode, err)
		}
	}
	return resp.StatusCode, body
}

func (d *deployment) ask(t *testing.T, n int, expiry string) string {
	t.Helper()
	status, body := d.call(t, n, "demo-agent", "/bc-authorize", url.Values{"scope": {"openid"}, "login_hint": {fmt.Sprintf("p%d", n%100)}, "requested_expiry": {expiry}})
	id, _ := body["auth_req_id"].(string)
	if status != http.StatusOK || id == "" {
		t.Fatalf("asking: %d %v", status, body)
	}
	return id
}

func (d *deployment) poll(t *testing.T, n int, client, id string) (int, string) {
	status, body := d.call(t, n, client, "/token", url.Values{"grant_type": {"urn:openid:params:grant-type:ciba"}, "auth_req_id": {id}})
	if token, _ := body["access_token"].(string); status == http.StatusOK {
		return status, token
	}
	code, _ := body["error"].(string)
	return status, code
}

// eventually polls until process n has heard of what was decided.
func (d *deployment) eventually(t *testing.T, n int, id, want string) {
	t.Helper()
	var code string
	for range 500 {
		if _, code = d.poll(t, n, "demo-agent", id); code != "authorization_pending" && code != "slow_down" {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	if code != want {
		t.Errorf("process %d answers %s, want %s", n, code, want)
	}
}

func eachDeployment(t *testing.T, f func(t *testing.T, d *deployment, races int)) {
	for n := 1; n <= 2; n++ {
		t.Run(fmt.Sprintf("processes=%d", n), func(t *testing.T) { f(t, deploy(t, n), *races/2) })
	}
}

// TestRaceForTheToken: 64 polls of one approved request get one token, and a
// stranger's poll gets nothing and changes nothing.
func TestRaceForTheToken(t *testing.T) {
	eachDeployment(t, func(t *testing.T, d *deployment, races int) {
		for i := range races {
			id := d.ask(t, i, "300")
			if status, _ := d.call(t, i+1, "demo-agent", "/dev/decide?action=allow&auth_req_id="+id, nil); status != http.StatusNoContent {
				t.Fatalf("deciding: %d", status)
			}
			var tokens atomic.Int32
			var wg sync.WaitGroup
			for k := range contenders {
				wg.Go(func() {
					if k == 7 {
						if status, code := d.poll(t, k, "stranger", id); status != http.StatusBadRequest || code != "invalid_grant" {
							t.Errorf("a stranger's poll: %d %s", status, code)
						}
					}
					switch status, code := d.poll(t, k, "demo-agent", id); {
					case status == http.StatusOK:
						tokens.Add(1)
					case code == "invalid_grant":
					case len(d.listen) > 1 && (code == "authorization_pending" || code == "slow_down"):
						// the other process may not have heard of the decision yet
					default:
						t.Errorf("a losing poll: %d %s", status, code)
					}
				})
			}
			wg.Wait()
			if got := tokens.Load(); got != 1 {
				t.Fatalf("race %d: %d tokens for one approval", i, got)
			}
			for n := range d.listen {
				d.eventually(t, n, id, "invalid_grant")
			}
		}
	})
}

// TestRaceOfDecisions: approve, deny, withdraw and the clock fight at the
// moment when the request ends. One wins, and every view agrees ever after.
func TestRaceOfDecisions(t *testing.T) {
	eachDeployment(t, func(t *testing.T, d *deployment, races int) {
		var mu sync.Mutex
		won := map[string]int{}
		var wg sync.WaitGroup
		slots := make(chan struct{}, 4) // requests that are fought over at once
		for i := range races {
			asked := time.Now()
			id := d.ask(t, i, "10")
			wg.Go(func() {
				time.Sleep(time.Until(asked.Add(10*time.Second - rand.N(300*time.Millisecond))))
				slots <- struct{}{}
				defer func() { <-slots }()
				status := d.fight(t, i, id)
				mu.Lock()
				won[status]++
				mu.Unlock()
			})
			time.Sleep(15 * time.Millisecond)
		}
		wg.Wait()
		t.Logf("won: %v", won)
	})
}

// fight has everybody decide at once and returns who won.
func (d *deployment) fight(t *testing.T, i int, id string) string {
	var acknowledged [3]atomic.Int32 // approve, deny, withdraw
	var wg sync.WaitGroup
	for k := range contenders {
		wg.Go(func() {
			switch k % 4 {
			case 0, 1:
				action := []string{"allow", "deny"}[k%4]
				if status, _ := d.call(t, k/4, "demo-agent", "/dev/decide?action="+action+"&auth_req_id="+id, nil); status == http.StatusNoContent {
					acknowledged[k%4].Add(1)
				}
			case 2:
				if d.admin[k/4%len(d.admin)].withdraw(t, d.requestID(id)) {
					acknowledged[2].Add(1)
				}
			case 3:
				d.poll(t, k/4, "demo-agent", id)
			}
		})
	}
	wg.Wait()
	var status string
	for n, a := range d.admin {
		f, ok := a.request(t, d.requestID(id))
		if !ok {
			t.Errorf("race %d: process %d does not know the request", i, n)
		}
		if status == "" {
			status = f.Status
		}
		if f.Status != status {
			t.Errorf("race %d: process 0 says %s, process %d says %s", i, status, n, f.Status)
		}
	}
	// An operator may also take back what was approved, or revoke what was
	// redeemed: acknowledged withdrawals follow an approval then.
	approved, denied, withdrawn := acknowledged[0].Load(), acknowledged[1].Load(), acknowledged[2].Load()
	if approved+denied > 1 {
		t.Errorf("race %d: %d decisions were acknowledged", i, approved+denied)
	}
	fits := map[string]bool{
		"approved": approved == 1 && withdrawn == 0, "redeemed": approved == 1 && withdrawn == 0,
		"cancelled": approved == 1 && withdrawn > 0, "revoked": approved == 1 && withdrawn > 0,
		"denied": denied == 1 && withdrawn == 0, "withdrawn": approved+denied == 0 && withdrawn > 0, "expired": approved+denied+withdrawn == 0,
	}
	if !fits[status] {
		t.Errorf("race %d: it is %s, but %d approvals, %d denials and %d withdrawals were acknowledged", i, status, approved, denied, withdrawn)
	}
	want := map[string]string{"denied": "access_denied", "withdrawn": "access_denied", "expired": "expired_token", "cancelled": "access_denied", "redeemed": "invalid_grant", "revoked": "invalid_grant"}[status]
	for n := range d.listen {
		if status == "approved" { // the first poll gets its token
			d.poll(t, 0, "demo-agent", id)
			d.poll(t, 1, "demo-agent", id)
			status, want = "redeemed", "invalid_grant"
		}
		d.eventually(t, n, id, want)
	}
	return status
}
