package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"sync/atomic"
	"time"

	"ringback/admin"
	"ringback/approve"
	"ringback/audit"
	"ringback/channels"
	"ringback/channels/fakes"
	"ringback/ciba"
	"ringback/clients"
	"ringback/config"
	"ringback/consent"
	"ringback/demo"
	"ringback/details"
	"ringback/keys"
	"ringback/outbound"
	"ringback/store"
	"ringback/templates"
	"ringback/workers"
)

// maxLag is how far sealing may be behind before new requests are refused.
const maxLag = time.Minute

// house is every room of a running service, wired.
type house struct {
	cfg    *config.Config
	log    *slog.Logger
	token  string // bearer of the management API
	policy atomic.Pointer[consent.Policy]
	file   atomic.Pointer[config.Config] // the file as last read, for its entries' places

	metrics *metrics
	store   *store.Store
	ring    *keys.Ring
	auditor *audit.Auditor
	engine  *workers.Engine
	gate    *workers.Gate
	ciba    *ciba.Server
	approve *approve.Server
	admin   *admin.Server
	demo    *demo.Server // nil unless --dev with the fake provider
}

// openHouse opens the store and wires the rooms. phones is the fake provider
// of a development run, nil otherwise; flows count at the listeners. Close the
// house when done.
func openHouse(ctx context.Context, cfg *config.Config, root *keys.Root, phones *fakes.Twilio, flows map[listenerName]*flow, log *slog.Logger) (*house, error) {
	h := &house{cfg: cfg, log: log, token: cfg.ManagementToken(root)}
	h.metrics = newMetrics(metricsConfig{
		Lag:  func() time.Duration { return h.auditor.Lag() },
		Fill: func() float64 { return h.store.Fill() },
		Held: func() int { return h.ciba.Held() }, Engine: func() workers.Stats { return h.engine.Stats() }, Flows: flows,
	})
	sc := storeConfig(cfg, root, time.Now, log)
	sc.Paused, sc.OnEvent, sc.OnCommit, sc.Sealing = true, h.event, h.metrics.OnCommit, h.sealing
	var err error
	if h.store, err = store.Open(ctx, sc); err != nil {
		return nil, err
	}
	noteProtection(ctx, h.store, log)
	if err := h.wire(ctx, root, phones); err != nil {
		h.close(ctx)
		return nil, err
	}
	return h, nil
}

// wire builds the rooms above the store.
func (h *house) wire(ctx context.Context, root *keys.Root, phones *fakes.Twilio) error {
	cfg, facts, handles := h.cfg, h.metrics.Store(h.store), keys.NewHandles(root)
	if err := h.adopt(ctx, cfg); err != nil {
		return err
	}
	var err error
	if h.ring, err = keys.OpenRing(ctx, keys.RingConfig{Root: root, Store: h.store, RSA: true, Now: time.Now, Log: h.log}); err != nil {
		return err
	}
	words, err := templates.New(templates.Config{Details: cfg.Registry, Scopes: cfg.ScopeWords()})
	if err != nil {
		return err
	}
	cc := channels.Config{SMS: cfg.SMS, PublicURL: cfg.PublicURL()}
	if cfg.Console {
		cc.Console = os.Stderr
	}
	open, err := channels.Open(cc)
	if err != nil {
		return err
	}
	out, err := outbound.New(outbound.Config{Allow: cfg.Outbound.Allow, AllowHTTP: cfg.Dev, Timeout: cfg.Outbound.Timeout})
	if err != nil {
		return err
	}
	var certificates *clients.MTLS
	if cfg.MTLS != nil {
		certificates = &clients.MTLS{URL: cfg.MTLS.PublicURL, ClientCAs: cfg.ClientCAs}
	}
	h.gate = workers.NewGate(h.behind, time.Now)
	h.auditor = audit.New(audit.Config{Source: h.store, Ring: h.ring, Now: time.Now, Log: h.log})
	if h.approve, err = approve.New(approve.Config{
		Store: facts, Directory: h.store, Devices: h.store, UserCodes: h.store, Handles: handles, Templates: words, Details: cfg.Registry,
		Channels: open, Policy: h.policy.Load, PublicURL: cfg.PublicURL(), Now: time.Now, Log: h.log,
	}); err != nil {
		return err
	}
	if h.admin, err = admin.New(admin.Config{
		Token: keys.TokenDigest(h.token), Directory: h.store, Store: facts, Ring: h.ring, Auditor: h.auditor, Details: cfg.Registry,
		Policy: h.policy.Load, Issuer: cfg.Issuer, Dev: cfg.Dev, MTLS: cfg.MTLS != nil, ClientCA: cfg.ClientCAs != nil, Now: time.Now, Log: h.log,
		OfferUserCode: h.approve.OfferUserCode,
		Waits:         func(b consent.Brief) string { return h.engine.Waits(b) },
		Stuck:         func(id consent.ID) bool { return h.engine.Stuck(id) },
		Where:         func(kind, id string) string { return h.file.Load().Where(kind, id) },
	}); err != nil {
		return err
	}
	who := clients.New(clients.Config{
		Issuer: cfg.Issuer, Endpoints: ciba.Audiences, MTLS: certificates, Find: h.store.Client, Once: facts.Once, Handles: handles,
		Policy: h.policy.Load, Outbound: out, Dev: cfg.Dev, Now: time.Now, Log: h.log,
	})
	if h.ciba, err = ciba.NewServer(ciba.Config{
		Issuer: cfg.Issuer, Store: facts, Directory: h.store, Handles: handles, Ring: h.ring, Details: cfg.Registry,
		Policy: h.policy.Load, Clients: who, Outbound: out, Ready: h.ready, Enter: h.gate.Enter, Dev: cfg.Dev, Now: time.Now, Log: h.log,
		Registration: cfg.Registration, Registrar: h.admin.Registrar(),
	}); err != nil {
		return err
	}
	if phones != nil {
		h.demo = demo.New(demo.Config{
			Phones: phones, Store: facts, Directory: h.store, Handles: handles, Ring: h.ring, Issuer: cfg.Issuer, Details: cfg.Registry, Hosts: cfg.DevHosts(), Now: time.Now,
		})
	}
	h.engine = workers.New(workers.Config{
		Store: facts, Directory: h.store, Devices: h.store, Handles: handles, Templates: words, Channels: open,
		Notifiers: map[consent.Door]workers.Notifier{consent.DoorCIBA: h.ciba},
		Policy:    h.policy.Load, Types: typesOf(cfg.Registry), PublicURL: cfg.PublicURL(), Now: time.Now, Log: h.log,
	})
	h.store.Start()
	return nil
}

// adopt lets clients, people and policy of cfg be those that stand, all or
// nothing.
func (h *house) adopt(ctx context.Context, cfg *config.Config) error {
	if err := h.store.SetFile(cfg.Clients, cfg.Approvers, cfg.Where); err != nil {
		return err
	}
	policy := cfg.Policy
	policy.FAPI = cfg.Registration != nil && cfg.Registration.Profile == consent.ProfileFAPI
	for after, more := "", true; more && !policy.FAPI; more = after != "" {
		list, next, err := h.store.Clients(ctx, after, 1000)
		if err != nil {
			return err
		}
		policy.FAPI, after = slices.ContainsFunc(list, func(c consent.Client) bool { return c.Strict() }), next
	}
	h.file.Store(cfg)
	h.policy.Store(&policy)
	return nil
}

// event passes on the arrival of a fact.
func (h *house) event(ev consent.Event) {
	h.engine.OnEvent(ev)
	h.auditor.Wake()
}

// ready says why requests cannot be served now, nil if they can.
func (h *house) ready() error {
	if !h.store.Ready() {
		return fmt.Errorf("%w: not every fact has been read yet", consent.ErrUnavailable)
	}
	if err := h.store.Healthy(); err != nil {
		return err
	}
	return h.sealing()
}

// behind is how far the house is behind with what it owes for earlier requests.
func (h *house) behind() time.Duration { return max(h.auditor.Lag(), h.engine.Behind()) }

// sealing refuses new requests when the audit chain is too far behind.
func (h *house) sealing() error {
	if lag := h.auditor.Lag(); lag > maxLag {
		return fmt.Errorf("%w: sealing is %s behind", consent.ErrUnavailable, lag.Round(time.Second))
	}
	return nil
}

// close drains and closes the store.
func (h *house) close(ctx context.Context) {
	if err := h.store.Close(ctx); err != nil {
		h.log.ErrorContext(ctx, "closing the store", slog.Any("err", err))
	}
}

// typesOf reads the types of stored authorization_details.
func typesOf(reg *details.Registry) func([]byte) []string {
	return func(stored []byte) []string {
		list, err := reg.Read(stored)
		if err != nil {
			return nil
		}
		return list.Types()
	}
}
