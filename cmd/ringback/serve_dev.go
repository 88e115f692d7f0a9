package main

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"ringback/channels"
	"ringback/channels/fakes"
	"ringback/keys"
	"ringback/store"
)

// prepareDev gives a development run what its file does not: a directory, a
// root key, a store, a public address and a fake provider. undo removes what
// was made for this run alone; it is never nil.
func (s *service) prepareDev(ctx context.Context) (undo func(), err error) {
	cfg := s.cfg
	undo = func() {}
	if cfg.Data == "" && cfg.NATS == nil {
		if cfg.Data, err = os.MkdirTemp("", "ringback-dev-"); err != nil {
			return undo, err
		}
		dir := cfg.Data
		undo = func() { os.RemoveAll(dir) }
	}
	if err := s.devRoot(); err != nil {
		return undo, err
	}
	if err := s.writeToken(); err != nil {
		return undo, err
	}
	if err := store.Init(ctx, storeConfig(cfg, s.root, time.Now, s.log)); err != nil && !errors.Is(err, store.ErrInitialised) {
		return undo, err
	}
	if strings.HasSuffix(cfg.Listen, ":0") { // the issuer's name needs the port
		if s.public, err = s.listen(listenPublic, cfg.Listen, cfg.TLS, tls.NoClientCert); err != nil {
			return undo, err
		}
		cfg.Listen = s.public.ln.Addr().String()
	}
	if cfg.MTLS != nil {
		m := *cfg.MTLS // as it was read stays as it was
		if cfg.MTLS = &m; strings.HasSuffix(m.Listen, ":0") {
			if s.mtls, err = s.listen(listenMTLS, m.Listen, m.TLS, tls.RequestClientCert); err != nil {
				return undo, err
			}
			m.Listen = s.mtls.ln.Addr().String()
		}
		if m.PublicURL == "" {
			m.PublicURL = "https://" + m.Listen
		}
	}
	if cfg.Issuer == "" {
		cfg.Issuer = "http://" + cfg.Listen
		if cfg.TLS != nil {
			cfg.Issuer = "https://" + cfg.Listen
		}
	}
	if cfg.SMS == nil {
		return undo, s.fakeProvider(ctx)
	}
	return undo, nil
}

// devRoot reads the root key of a development run, or makes it.
func (s *service) devRoot() (err error) {
	if s.cfg.RootFile == "" && s.cfg.RootText == "" && s.cfg.Data != "" {
		s.cfg.RootFile = filepath.Join(s.cfg.Data, "root.key")
		if _, err := os.Stat(s.cfg.RootFile); errors.Is(err, fs.ErrNotExist) {
			if err := os.MkdirAll(s.cfg.Data, 0o700); err != nil {
				return err
			}
			if err := keys.NewRoot().WriteFile(s.cfg.RootFile); err != nil {
				return err
			}
		}
	}
	s.root, err = s.cfg.Root()
	return err
}

// writeToken leaves the management token where the commands look for it.
func (s *service) writeToken() error {
	if s.cfg.Data == "" {
		return nil
	}
	if err := os.MkdirAll(s.cfg.Data, 0o700); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(s.cfg.Data, adminTokenFile), []byte(s.cfg.ManagementToken(s.root)+"\n"), 0o600)
}

// fakeProvider starts a fake SMS provider on loopback and points us at it.
func (s *service) fakeProvider(ctx context.Context) error {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	sid := make([]byte, 16)
	rand.Read(sid)
	s.cfg.SMS = &channels.SMSConfig{
		Provider: "twilio", AccountSID: "AC" + hex.EncodeToString(sid), AuthToken: rand.Text(), From: "+12025550100",
		BaseURL: "http://" + ln.Addr().String(),
	}
	s.phones = fakes.NewTwilio(fakes.TwilioConfig{
		AccountSID: s.cfg.SMS.AccountSID, AuthToken: s.cfg.SMS.AuthToken, From: s.cfg.SMS.From,
		Webhook: s.cfg.PublicURL() + channels.TwilioInbound, Now: time.Now,
	})
	go func() {
		if err := s.phones.Serve(ctx, ln); err != nil {
			s.failed <- err
		}
	}()
	return nil
}

// announce prints what an operator wants to know now.
func (s *service) announce() {
	for _, n := range s.cfg.Notes {
		s.say("note: %s", n)
	}
	if s.cfg.Dev {
		s.say(devBanner, s.cfg.Issuer, s.house.token, s.manage.ln.Addr())
	} else {
		s.say("ringback serves %s", s.cfg.Issuer)
	}
	if s.cfg.MTLS != nil {
		s.say("clients with certificates come to %s", s.cfg.MTLS.PublicURL)
	}
}

const devBanner = `
  DEVELOPMENT RUN: unsafe on purpose.
  Anybody who reaches this address may decide requests (/dev/decide), secrets
  are published in the documentation, and messages go to a fake provider.

  An agent asks:

    curl -u demo-agent:demo-secret-0000 %[1]s/bc-authorize -d scope=openid -d login_hint=alice

  The phone:       %[1]s/dev/phone?person=alice
  Management API:  RINGBACK_ADMIN_URL=http://%[3]s RINGBACK_ADMIN_TOKEN=%[2]s
`
