package fakes

import (
	"encoding/json"
	"mime"
	"net/http"
	"net/url"
)

// control adds the routes by which `ringback fakes` is told what to do. They
// ask for no credentials; the program listens on loopback unless told otherwise.
// Bodies are JSON and need its content type, so that no web page can post them.
//
//	GET    /fakes/messages[?to=+1…]  [{"channel","from","to","text","links","at","id","in"}], newest last
//	POST   /fakes/reply              {"from":"+1…","text":"YES 482913"} → {"answers":["…"]}
//	POST   /fakes/plan               [{"failure":"429","retry_after":3}, …]: see Step; for the next messages
//	PUT    /fakes/plan               {"failure":"hang"}: for every message from now on
//	DELETE /fakes/plan               takes every message again
//	PUT    /fakes/webhook            {"url":"http://…/callbacks/twilio/sms"}: where what people write is posted
//	GET    /fakes/webhooks           [{"url","form","status"}], what was posted, newest last
func (t *Twilio) control() {
	t.mux.HandleFunc("GET /fakes/messages", func(w http.ResponseWriter, r *http.Request) {
		out := t.Inbox.All()
		if to := r.URL.Query().Get("to"); to != "" {
			out = t.Inbox.Thread(to)
		}
		writeJSON(w, http.StatusOK, append([]Entry{}, out...))
	})
	t.mux.HandleFunc("GET /fakes/webhooks", func(w http.ResponseWriter, r *http.Request) {
		writeJSON(w, http.StatusOK, append([]Webhook{}, t.Webhooks()...))
	})
	t.mux.HandleFunc("POST /fakes/reply", func(w http.ResponseWriter, r *http.Request) {
		var in struct{ From, Text string }
		if !readJSON(w, r, &in) {
			return
		}
		if !number.MatchString(in.From) {
			http.Error(w, `from is a number in E.164 form ("+12025550101")`, http.StatusBadRequest)
			return
		}
		said, err := t.Reply(r.Context(), in.From, in.Text)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		writeJSON(w, http.StatusOK, map[string]any{"answers": append([]string{}, said...)})
	})
	t.mux.HandleFunc("POST /fakes/plan", func(w http.ResponseWriter, r *http.Request) {
		var steps []Step
		if readJSON(w, r, &steps) {
			t.Plan(steps...)
			w.WriteHeader(http.StatusNoContent)
		}
	})
	t.mux.HandleFunc("PUT /fakes/plan", func(w http.ResponseWriter, r *http.Request) {
		var step Step
		if readJSON(w, r, &step) {
			t.Always(step)
			w.WriteHeader(http.StatusNoContent)
		}
	})
	t.mux.HandleFunc("DELETE /fakes/plan", func(w http.ResponseWriter, r *http.Request) {
		t.Always(Step{})
		w.WriteHeader(http.StatusNoContent)
	})
	t.mux.HandleFunc("PUT /fakes/webhook", func(w http.ResponseWriter, r *http.Request) {
		var in struct{ URL string }
		if !readJSON(w, r, &in) {
			return
		}
		if u, err := url.Parse(in.URL); err != nil || u.Host == "" {
			http.Error(w, "url is an absolute URL", http.StatusBadRequest)
			return
		}
		t.SetWebhook(in.URL)
		w.WriteHeader(http.StatusNoContent)
	})
}

// readJSON reads a small JSON body, or answers 400 or 415 and returns false.
func readJSON(w http.ResponseWriter, r *http.Request, v any) bool {
	if ct, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || ct != "application/json" {
		http.Error(w, "send Content-Type: application/json", http.StatusUnsupportedMediaType)
		return false
	}
	dec := json.NewDecoder(http.MaxBytesReader(w, r.Body, 64<<10))
	dec.DisallowUnknownFields()
	if err := dec.Decode(v); err != nil {
		http.Error(w, "not the JSON that this route takes: "+err.Error(), http.StatusBadRequest)
		return false
	}
	return true
}
