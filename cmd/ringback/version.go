package main

import (
	"context"
	"fmt"
	"runtime"
	"runtime/debug"
	"text/tabwriter"
)

const versionUsage = `Usage: ringback version
`

// specifications that this version implements.
var specifications = [][2]string{
	{"CIBA", "OpenID Connect Client-Initiated Backchannel Authentication Core 1.0: poll, ping and push, signed requests, user codes"},
	{"FAPI-CIBA", "Implementer's Draft 1, per client"},
	{"OpenID Connect", "Core 1.0: ID token; Discovery 1.0"},
	{"RFC 6749", "OAuth 2.0: client authentication, client credentials, refresh tokens, errors"},
	{"RFC 7009", "revocation"},
	{"RFC 7523", "private_key_jwt; audience by RFC 7523bis, or as CIBA Core has it per client"},
	{"RFC 7591", "dynamic registration with initial access tokens; RFC 7592: managing it"},
	{"RFC 7662", "introspection"},
	{"RFC 8414", "authorization server metadata"},
	{"RFC 8705", "client certificates: authentication and bound tokens"},
	{"RFC 8707", "resource indicators"},
	{"RFC 9068", "JWT access tokens"},
	{"RFC 9396", "rich authorization requests"},
	{"RFC 9449", "DPoP"},
	{"RFC 9493", "subject identifiers in hints"},
	{"CIMD", "draft-ietf-oauth-client-id-metadata-document: an https URL as client_id"},
	{"RAR metadata", "draft-ietf-oauth-rar-metadata-remediation-00: what types there are"},
	{"DTR", "draft-ietf-oauth-deferred-token-response-01: deferred token response"},
}

// version prints what this program is.
func (a *app) version(_ context.Context, args []string) error {
	if err := alone(flags("version"), args); err != nil {
		return err
	}
	version, commit := build()
	w := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "ringback\t%s\ncommit\t%s\ngo\t%s %s/%s\n", version, commit, runtime.Version(), runtime.GOOS, runtime.GOARCH)
	for _, s := range specifications {
		fmt.Fprintf(w, "%s\t%s\n", s[0], s[1])
	}
	return w.Flush()
}

// build returns the version of this program, and the commit that it is made of.
func build() (version, commit string) {
	version, commit = "unknown", "unknown"
	if info, ok := debug.ReadBuildInfo(); ok {
		version = info.Main.Version
		dirty := ""
		for _, s := range info.Settings {
			switch {
			case s.Key == "vcs.revision":
				commit = s.Value
			case s.Key == "vcs.modified" && s.Value == "true":
				dirty = " with changes"
			}
		}
		commit += dirty
	}
	return version, commit
}
