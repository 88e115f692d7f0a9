package approve_test

import (
	"maps"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"

	"ringback/channels"
	"ringback/channels/channeltest"
	"ringback/channels/fakes"
	"ringback/consent"
)

// kinds are the attacks. Whatever the attacker signs here, somebody who does
// not hold the token could have had signed: under another token, for another
// URL, or by the provider for what a stranger wrote to our number.
func (f *forger) kinds() map[string]func(*rand.Rand) try {
	return map[string]func(*rand.Rand) try{
		"replayed":                   f.replayed,
		"spelled otherwise":          f.spelledOtherwise,
		"out of order":               f.outOfOrder,
		"changed":                    f.changed,
		"signature forged":           f.signatureForged,
		"signature not given once":   f.signatureTwice,
		"divided otherwise":          f.divided,
		"name grown":                 f.nameGrown,
		"parameter repeated":         f.repeated,
		"parameter more":             f.more,
		"signed for another URL":     f.otherURL,
		"posted to another URL":      f.otherTarget,
		"signed with another token":  f.otherToken,
		"of another account":         f.otherAccount,
		"of another message":         f.otherMessage,
		"a message as a status":      f.otherForm,
		"from a stranger":            f.stranger,
		"not a form or not a POST":   f.noForm,
		"a parameter less":           f.less,
		"with characters that hide":  f.hidden,
		"larger than a webhook":      f.large,
		"a recorded one with a wish": f.wishUnderRecord,
	}
}

func (f *forger) replayed(rnd *rand.Rand) try {
	target, form, signature := f.record(rnd)
	return post(target, signature, form)
}

// spelledOtherwise has the same parameters in another order and with other
// escapes, so that no comparison of bodies would know it again.
func (f *forger) spelledOtherwise(rnd *rand.Rand) try {
	p := f.replayed(rnd)
	pairs := strings.Split(p.body, "&")
	rnd.Shuffle(len(pairs), func(i, j int) { pairs[i], pairs[j] = pairs[j], pairs[i] })
	p.body = strings.Join(pairs, "&")
	if rnd.IntN(2) == 0 {
		p.body = strings.ReplaceAll(p.body, "+", "%20")
	}
	if rnd.IntN(2) == 0 {
		p.body = strings.ReplaceAll(p.body, "o", "%6f")
	}
	return p
}

// outOfOrder is the provider's own word that comes late, or is not its last.
func (f *forger) outOfOrder(rnd *rand.Rand) try {
	m, word := f.told[rnd.IntN(len(f.told))], pick(rnd, "queued", "sending", "sent", "delivered", "undelivered", "failed", "canceled", "read")
	if rnd.IntN(2) == 0 {
		m, word = f.open[rnd.IntN(len(f.open))], pick(rnd, "accepted", "scheduled", "queued", "sending", "sent", "")
	}
	form := f.h.tw.StatusForm(f.h.state(m.req).Outcomes[1].ProviderID, m.to, fakes.Callback{Status: word, Code: pick(rnd, 0, 21610, 30003)})
	return post(f.status(m), f.h.tw.Sign(f.h.url+f.status(m), form), form)
}

func (f *forger) changed(rnd *rand.Rand) try {
	target, form, signature := f.record(rnd)
	m := f.open[rnd.IntN(len(f.open))]
	for name, value := range map[string]string{
		"Body": f.text(rnd, m), "From": m.to, "MessageSid": f.h.tw.Inbound(m.to, "").Get("MessageSid"),
		"MessageStatus": "failed", "ErrorCode": "21610", "To": m.to, "OptOutType": "STOP",
	} {
		if rnd.IntN(2) == 0 && form.Get(name) != value {
			form.Set(name, value)
		}
	}
	form.Set("NumSegments", "7") // changed for certain
	return post(target, signature, form)
}

func (f *forger) wishUnderRecord(rnd *rand.Rand) try {
	_, _, signature := f.record(rnd)
	target, form := f.wish(rnd)
	return post(target, signature, form)
}

func (f *forger) signatureForged(rnd *rand.Rand) try {
	target, form := f.wish(rnd)
	return post(target, fake(rnd, f.h.tw.Sign(f.h.url+target, form)), form)
}

func (f *forger) signatureTwice(rnd *rand.Rand) try {
	target, form := f.wish(rnd)
	p := post(target, "", form)
	good := f.h.tw.Sign(f.h.url+target, form)
	p.header["X-Twilio-Signature"] = pick(rnd, nil, []string{}, []string{good, good}, []string{"", good}, []string{good, "x"}, []string{good + "," + good})
	return p
}

// divided has a stranger's text become parameters: the characters that were
// signed are the same, their division is not.
func (f *forger) divided(rnd *rand.Rand) try {
	m := f.open[rnd.IntN(len(f.open))]
	said := f.text(rnd, m)
	tail := pick(rnd, "From"+m.to, "From"+m.to+"FromCity", "MessageSid", "NumMedia0From"+m.to, "FromCityX"+"From"+m.to)
	form := f.h.tw.Inbound(stranger, said+tail)
	signature := f.h.tw.Sign(f.h.url+f.sms, form)
	if rnd.IntN(2) == 0 {
		form.Set("Body", said)
		form.Set("From", m.to)
		form.Set(pick(rnd, "FromCity", "FromState", "FromZip", "FromCountry", "Forwarded", "FromAddress"), "From"+stranger)
		return post(f.sms, signature, form)
	}
	// The text moves piece by piece into the parameter that follows Body.
	form.Set("Body", said)
	if rest, ok := strings.CutPrefix(tail, "From"); ok {
		form.Set("From", rest+"From"+stranger)
	} else {
		form.Set("From"+tail, stranger)
	}
	return post(f.sms, signature, form)
}

// nameGrown moves the border between a name and its value (Digits=1234 and
// Digits1=234 are signed alike), or between a value and the name after it.
func (f *forger) nameGrown(rnd *rand.Rand) try {
	target, form, signature := f.record(rnd)
	names := slices.Sorted(maps.Keys(form))
	i := rnd.IntN(len(names))
	name, value := names[i], form.Get(names[i])
	form.Del(name)
	switch at := rnd.IntN(len(value) + 1); {
	case rnd.IntN(2) == 0 || i+1 == len(names):
		form.Set(name+value[:at], value[at:])
	default:
		next := names[i+1]
		rest := form.Get(next)
		form.Del(next)
		form.Set(name, value+next+rest)
	}
	return post(target, signature, form)
}

// repeated gives one name twice; a signature covers the first value only.
func (f *forger) repeated(rnd *rand.Rand) try {
	target, form, signature := f.record(rnd)
	_, want := f.wish(rnd)
	for _, name := range []string{"Body", "From", "MessageSid", "MessageStatus", "ErrorCode", "OptOutType"} {
		if form.Has(name) && want.Has(name) && rnd.IntN(2) == 0 {
			form[name] = append(form[name], want.Get(name))
		}
	}
	form["AccountSid"] = append(form["AccountSid"], form.Get("AccountSid"))
	p := post(target, signature, form)
	if rnd.IntN(2) == 0 {
		p.body = want.Encode() + "&" + form.Encode()
	}
	return p
}

// more is a wish with a parameter that the provider does not document, or a
// replay with one that is not signed.
func (f *forger) more(rnd *rand.Rand) try {
	name := pick(rnd, "Digits", "Digits1", "SpeechResult", "Body2", "from", "body", "FromX", "_", "Body[]", "Event", "bodySHA256", "CallSid")
	target, form, signature := f.record(rnd)
	if rnd.IntN(2) == 0 {
		target, form = f.wish(rnd)
		form.Set(name, "1")
		return post(target, f.h.tw.Sign(f.h.url+target, form), form)
	}
	form.Set(name, pick(rnd, "", "1", "YES"))
	return post(target, signature, form)
}

func (f *forger) otherURL(rnd *rand.Rand) try {
	target, form := f.wish(rnd)
	host := strings.TrimPrefix(f.h.url, "http://")
	m := f.told[rnd.IntN(len(f.told))]
	signed := pick(rnd,
		"https://"+host+target, "http://other.example"+target, f.h.url+target+"/", f.h.url+target+"?", f.h.url+target+"?x=1",
		f.h.url, target, "", f.h.url+f.status(m), f.h.url+"/callbacks/other/sms", strings.ToUpper(f.h.url+target), "http://user@"+host+target,
		f.h.url+"/"+target, f.h.url+target+"#x",
	)
	return post(target, f.h.tw.Sign(signed, form), form)
}

// otherTarget is signed for exactly the URL that it is posted to, which is
// none of ours.
func (f *forger) otherTarget(rnd *rand.Rand) try {
	target, form := f.wish(rnd)
	if target != f.sms {
		target = channels.TwilioStatus(f.h.handles.CallbackRef(consent.NewID(), 1))
	}
	m := f.open[rnd.IntN(len(f.open))]
	target = pick(rnd,
		target+"/", target+"?", target+"?x=1", target+"?"+form.Encode(), "/"+target, strings.Replace(target, "sms", "%73ms", 1)+"?",
		"/callbacks/TWILIO/sms", "/callbacks/other/sms", "/callbacks/sms", "/callbacks/twilio", "/callbacks/twilio/voice",
		"/callbacks/twilio/status/", "/callbacks/twilio/status/x", channels.TwilioStatus(f.h.handles.Ticket(m.req.ID, 1)),
		channels.TwilioStatus(f.h.handles.AuthReqID(m.req.ID)), channels.TwilioStatus(f.h.handles.CallbackRef(m.req.ID, 2)),
		"/a/"+f.h.handles.Ticket(m.req.ID, 1),
	)
	return post(target, f.h.tw.Sign(f.h.url+target, form), form)
}

// otherToken is signed by another account of the provider's, or with what is
// easily had.
func (f *forger) otherToken(rnd *rand.Rand) try {
	target, form := f.wish(rnd)
	acc := channeltest.TwilioConfig()
	token := pick(rnd,
		"", acc.AccountSID, strings.ToUpper(acc.AuthToken), acc.AuthToken[:31], acc.AuthToken+"0", acc.AuthToken+"\n", "fedcba9876543210fedcba9876543210",
	)
	acc.AuthToken = token
	return post(target, fakes.NewTwilio(acc).Sign(f.h.url+target, form), form)
}

func (f *forger) otherAccount(rnd *rand.Rand) try {
	target, form := f.wish(rnd)
	if target == f.sms && rnd.IntN(2) == 0 {
		form.Set("To", pick(rnd, "+12025550198", alice, "12025550199", "", "whatsapp:+12025550199"))
	} else {
		form.Set("AccountSid", pick(rnd, "AC00000000000000000000000000000002", "", "ac00000000000000000000000000000001"))
	}
	return post(target, f.h.tw.Sign(f.h.url+target, form), form)
}

// otherMessage is the provider's word on another message of ours.
func (f *forger) otherMessage(rnd *rand.Rand) try {
	m, other := f.open[rnd.IntN(len(f.open))], f.told[rnd.IntN(len(f.told))]
	sid := pick(rnd, f.h.state(other.req).Outcomes[1].ProviderID, f.h.tw.Inbound(m.to, "").Get("MessageSid"))
	form := f.h.tw.StatusForm(sid, m.to, pick(rnd, fakes.Callback{Status: "delivered"}, fakes.Callback{Status: "failed", Code: 21610}))
	return post(f.status(m), f.h.tw.Sign(f.h.url+f.status(m), form), form)
}

// otherForm is what people write where statuses arrive, and the other way.
func (f *forger) otherForm(rnd *rand.Rand) try {
	target, form := f.wish(rnd)
	if target == f.sms {
		target = f.status(f.open[rnd.IntN(len(f.open))])
	} else {
		target = f.sms
	}
	return post(target, f.h.tw.Sign(f.h.url+target, form), form)
}

// stranger's number belongs to nobody.
const stranger = "+12025550166"

func (f *forger) stranger(rnd *rand.Rand) try {
	m := f.open[rnd.IntN(len(f.open))]
	from := pick(rnd, stranger, m.to[1:], "00"+m.to[1:], " "+m.to, m.to+" ", m.to+"0", "whatsapp:"+m.to, "alice", "", "+1 202 555 0101", "+0"+m.to[1:])
	form := f.h.tw.Inbound(from, f.text(rnd, m))
	return post(f.sms, f.h.tw.Sign(f.h.url+f.sms, form), form)
}

// noForm is signed, but is not what the provider sends.
func (f *forger) noForm(rnd *rand.Rand) try {
	target, form := f.wish(rnd)
	p := post(target, f.h.tw.Sign(f.h.url+target, form), form)
	switch rnd.IntN(3) {
	case 0:
		p.method = pick(rnd, http.MethodGet, http.MethodPut, http.MethodHead, http.MethodPatch, http.MethodDelete)
	case 1:
		p.header.Set("Content-Type", pick(rnd, "application/json", "multipart/form-data; boundary=x", "text/plain", "", "application/x-www-form-urlencoded;;"))
	default:
		p.body = pick(rnd, "", "Body", `{"From":"`+alice+`","Body":"NO"}`, "Body=%zz", strings.ReplaceAll(p.body, "&", ";"), p.body+"&x")
	}
	return p
}

func (f *forger) less(rnd *rand.Rand) try {
	target, form := f.wish(rnd)
	form.Del("AccountSid")
	if target == f.sms {
		form.Del(pick(rnd, "MessageSid", "From", "To", "Body"))
	}
	return post(target, f.h.tw.Sign(f.h.url+target, form), form)
}

func (f *forger) hidden(rnd *rand.Rand) try {
	m := f.open[rnd.IntN(len(f.open))]
	form := f.h.tw.Inbound(m.to+pick(rnd, "\x00", "\n", "\u200b", "\u202e", "\xff", "%00"), f.text(rnd, m))
	return post(f.sms, f.h.tw.Sign(f.h.url+f.sms, form), form)
}

func (f *forger) large(rnd *rand.Rand) try {
	m := f.open[rnd.IntN(len(f.open))]
	form := f.h.tw.Inbound(m.to, f.text(rnd, m))
	switch rnd.IntN(8) { // the largest are the slowest
	case 0:
		form.Set("FromCity", strings.Repeat("A", 1<<16))
	case 1:
		for i := range 100 {
			form.Set("A"+strings.Repeat("a", i), "")
		}
	default:
		form.Set("Body", form.Get("Body")+strings.Repeat(" ", 4200))
	}
	return post(f.sms, f.h.tw.Sign(f.h.url+f.sms, form), form)
}
