package consent

// Assurance levels: the values of acr that this service knows, weakest first.
// They are computed from what happened, never claimed.
const (
	// ACRTap: something received on an enrolled device or number was given back.
	ACRTap = "urn:ringback:acr:tap"
	// ACRMatch: the person keyed the match_code that only the agent's screen shows.
	ACRMatch = "urn:ringback:acr:match"
	// ACRPhr: phishing-resistant (OpenID EAP), a passkey or attested device key over the decision.
	ACRPhr = "phr"
)

// ACRs lists the known values, weakest first.
var ACRs = []string{ACRTap, ACRMatch, ACRPhr}

// Rank orders known acr values from 1 up; 0 is an unknown or empty value.
func Rank(acr string) int {
	for i, a := range ACRs {
		if a == acr {
			return i + 1
		}
	}
	return 0
}

// Stronger returns the higher of two acr values.
func Stronger(a, b string) string {
	if Rank(b) > Rank(a) {
		return b
	}
	return a
}

// Wanted returns the acr values that satisfy a request: those asked for that
// are known and at least minimum, or every known value from minimum up when
// the client named none. Nil means that policy excludes what was asked.
func Wanted(asked []string, minimum string) []string {
	var out []string
	known := false
	for _, a := range asked {
		if Rank(a) == 0 {
			continue
		}
		known = true
		if Rank(a) >= Rank(minimum) {
			out = append(out, a)
		}
	}
	if known {
		return out
	}
	for _, a := range ACRs {
		if Rank(a) >= max(Rank(minimum), 1) {
			out = append(out, a)
		}
	}
	return out
}

// Satisfied reports whether an answer reached at acr is enough: it is one of
// the wanted values, or stronger than one of them.
func (r *Request) Satisfied(acr string) bool {
	for _, w := range r.ACR {
		if Rank(acr) >= Rank(w) {
			return true
		}
	}
	return false
}

// Weakest returns the lowest acr that satisfies the request.
func (r *Request) Weakest() string {
	low := ""
	for _, w := range r.ACR {
		if low == "" || Rank(w) < Rank(low) {
			low = w
		}
	}
	return low
}
