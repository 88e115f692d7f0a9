package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// TestMain makes the test binary all the programs that scripts and the README
// call: ringback itself, and small stand-ins for tools that a machine with
// nothing but Go lacks.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"ringback": main,
		"curl":     func() { os.Exit(tinyCurl(os.Args[1:])) },
		"jq":       func() { os.Exit(tinyJQ(os.Args[1:])) },
		"coded":    func() { os.Exit(coded(os.Args[1:])) },
	})
}

// TestScripts runs the command line as people do. See `go doc testscript`; the
// commands that it lacks are below.
func TestScripts(t *testing.T) {
	t.Parallel()
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(env *testscript.Env) error {
			env.Setenv("HOME", env.WorkDir)
			return nil
		},
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"ports":  ports,
			"ready":  ready,
			"answer": answer,
			"reply":  reply,
			"signal": signalTo,
			"within": within,
			"damage": damage,
		},
	})
}

// ports NAME…: sets each variable to a free address on loopback.
func ports(ts *testscript.TestScript, _ bool, args []string) {
	for _, name := range args {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		ts.Check(err)
		defer ln.Close()
		ts.Setenv(name, ln.Addr().String())
	}
}

// ready ADDR: waits until the management listener there says so.
func ready(ts *testscript.TestScript, _ bool, args []string) {
	eventually(ts, "ready at "+args[0], func() bool {
		resp, err := http.Get("http://" + args[0] + "/readyz")
		if err != nil {
			return false
		}
		defer resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	})
}

var replyCode = regexp.MustCompile(`(?:YES|JA) (\d{6})`)

// answer ADDR PERSON WORD: waits for the next message that asks PERSON and
// replies to it with WORD and its code, as the demo phone does.
func answer(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 3 {
		ts.Fatalf("usage: answer ADDR PERSON WORD")
	}
	base, person, word := "http://"+args[0], args[1], args[2]
	code := ""
	eventually(ts, "a message to "+person, func() bool {
		resp, err := http.Get(base + "/dev/outbox?person=" + url.QueryEscape(person))
		if err != nil {
			return false
		}
		defer resp.Body.Close()
		var box []struct{ Text string }
		if json.NewDecoder(resp.Body).Decode(&box) != nil || len(box) == 0 {
			return false
		}
		m := replyCode.FindStringSubmatch(box[len(box)-1].Text)
		if m == nil || m[1] == ts.Getenv("ANSWERED") {
			return false
		}
		code = m[1]
		return true
	})
	ts.Setenv("ANSWERED", code)
	req, err := http.NewRequest(http.MethodPost, base+"/dev/phone/reply?person="+url.QueryEscape(person),
		strings.NewReader(url.Values{"text": {word + " " + code}}.Encode()))
	ts.Check(err)
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Origin", base)
	resp, err := http.DefaultClient.Do(req)
	ts.Check(err)
	defer resp.Body.Close()
	if resp.StatusCode >= 300 {
		body, _ := io.ReadAll(resp.Body) // only for the message
		ts.Fatalf("replying: %s %s", resp.Status, body)
	}
}

// reply ADDR NUMBER WORD: does the same at `ringback fakes`.
func reply(ts *testscript.TestScript, _ bool, args []string) {
	base, number, word := "http://"+args[0], args[1], args[2]
	code := ""
	eventually(ts, "a message to "+number, func() bool {
		resp, err := http.Get(base + "/fakes/messages?to=" + url.QueryEscape(number))
		if err != nil {
			return false
		}
		defer resp.Body.Close()
		var box []struct{ Text string }
		if json.NewDecoder(resp.Body).Decode(&box) != nil || len(box) == 0 {
			return false
		}
		m := replyCode.FindStringSubmatch(box[len(box)-1].Text)
		if m != nil {
			code = m[1]
		}
		return m != nil
	})
	body, err := json.Marshal(map[string]string{"from": number, "text": word + " " + code})
	ts.Check(err)
	resp, err := http.Post(base+"/fakes/reply", "application/json", bytes.NewReader(body))
	ts.Check(err)
	defer resp.Body.Close()
	if resp.StatusCode >= 300 {
		body, _ := io.ReadAll(resp.Body) // only for the message
		ts.Fatalf("replying: %s %s", resp.Status, body)
	}
}

// signal NAME FILE: sends HUP or TERM to the process whose id is in FILE.
func signalTo(ts *testscript.TestScript, _ bool, args []string) {
	var pid int
	eventually(ts, "a process id in "+args[1], func() bool {
		data, err := os.ReadFile(ts.MkAbs(args[1]))
		if err != nil {
			return false
		}
		n, err := fmt.Sscan(string(data), &pid)
		return n == 1 && err == nil
	})
	ts.Check(send(pid, args[0]))
}

// damage FILE: takes its second half away.
func damage(ts *testscript.TestScript, _ bool, args []string) {
	file := ts.MkAbs(args[0])
	info, err := os.Stat(file)
	ts.Check(err)
	ts.Check(os.Truncate(file, info.Size()/2))
}

// within FILE TEXT: waits until the file contains the text.
func within(ts *testscript.TestScript, _ bool, args []string) {
	eventually(ts, fmt.Sprintf("%q in %s", args[1], args[0]), func() bool {
		data, err := os.ReadFile(ts.MkAbs(args[0]))
		return err == nil && strings.Contains(string(data), args[1])
	})
}

// eventually waits for a condition that another process brings about.
func eventually(ts *testscript.TestScript, what string, is func() bool) {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !is() {
		select {
		case <-ctx.Done():
			ts.Fatalf("still no %s", what)
		case <-tick.C:
		}
	}
}
