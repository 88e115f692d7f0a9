package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
)

// tinyCurl is as much of curl as the README uses: -s -u -X -H -d
// --data-urlencode --fail-with-body -o, and a URL.
func tinyCurl(args []string) int {
	form := url.Values{}
	var raw []string
	method, user, out := "", "", ""
	header := http.Header{}
	var target string
	fail := false
	for i := 0; i < len(args); i++ {
		next := func() string {
			if i++; i < len(args) {
				return args[i]
			}
			return ""
		}
		switch a := args[i]; a {
		case "-s", "-S", "-sS":
		case "--fail-with-body":
			fail = true
		case "-o":
			out = next()
		case "-u":
			user = next()
		case "-X":
			method = next()
		case "-H":
			k, v, _ := strings.Cut(next(), ":")
			header.Add(k, strings.TrimSpace(v))
		case "-d":
			raw = append(raw, next())
		case "--data-urlencode":
			k, v, _ := strings.Cut(next(), "=")
			form.Add(k, v)
		default:
			if strings.HasPrefix(a, "-") {
				fmt.Fprintf(os.Stderr, "tiny curl: unknown option %s\n", a)
				return 2
			}
			target = a
		}
	}
	body := strings.Join(append(raw, form.Encode()), "&")
	if len(form) == 0 {
		body = strings.Join(raw, "&")
	}
	if method == "" {
		method = http.MethodGet
		if body != "" {
			method = http.MethodPost
		}
	}
	req, err := http.NewRequest(method, target, strings.NewReader(body))
	if err != nil {
		fmt.Fprintln(os.Stderr, "tiny curl:", err)
		return 3
	}
	req.Header = header
	if body != "" && header.Get("Content-Type") == "" {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	if name, secret, ok := strings.Cut(user, ":"); ok {
		req.SetBasicAuth(name, secret)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		fmt.Fprintln(os.Stderr, "tiny curl:", err)
		return 7
	}
	defer resp.Body.Close()
	w := io.Writer(os.Stdout)
	if out != "" {
		f, err := os.Create(out)
		if err != nil {
			fmt.Fprintln(os.Stderr, "tiny curl:", err)
			return 23
		}
		defer f.Close()
		w = f
	}
	if _, err := io.Copy(w, resp.Body); err != nil {
		return 56
	}
	if fail && resp.StatusCode >= 400 {
		return 22
	}
	return 0
}

// tinyJQ is as much of jq as the README uses: jq [-r] .member [FILE], and jq .
func tinyJQ(args []string) int {
	fs := flag.NewFlagSet("jq", flag.ContinueOnError)
	raw := fs.Bool("r", false, "")
	if fs.Parse(args) != nil || fs.NArg() < 1 || fs.NArg() > 2 {
		return 2
	}
	in := io.Reader(os.Stdin)
	if fs.NArg() == 2 {
		f, err := os.Open(fs.Arg(1))
		if err != nil {
			fmt.Fprintln(os.Stderr, "tiny jq:", err)
			return 2
		}
		defer f.Close()
		in = f
	}
	var v any
	if err := json.NewDecoder(in).Decode(&v); err != nil {
		fmt.Fprintln(os.Stderr, "tiny jq:", err)
		return 5
	}
	if name := strings.TrimPrefix(fs.Arg(0), "."); name != "" {
		m, _ := v.(map[string]any)
		v = m[name]
	}
	if s, ok := v.(string); ok && *raw {
		fmt.Println(s)
		return 0
	}
	enc := json.NewEncoder(os.Stdout)
	enc.SetIndent("", "  ")
	if enc.Encode(v) != nil {
		return 5
	}
	return 0
}

// coded runs a program and prints its exit code as the last line. It succeeds,
// so that scripts can wait for it and look.
func coded(args []string) int {
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	sig := make(chan os.Signal, 1)
	signal.Notify(sig, os.Interrupt)
	if err := cmd.Start(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	go func() {
		for s := range sig {
			cmd.Process.Signal(s)
		}
	}()
	cmd.Wait() // its result is the exit code
	fmt.Println("exit", cmd.ProcessState.ExitCode())
	return 0
}

// send sends a signal by its name.
func send(pid int, name string) error {
	sig, ok := map[string]syscall.Signal{"HUP": syscall.SIGHUP, "TERM": syscall.SIGTERM, "KILL": syscall.SIGKILL}[name]
	if !ok {
		return fmt.Errorf("unknown signal %q", name)
	}
	return syscall.Kill(pid, sig)
}
