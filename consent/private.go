package consent

import "log/slog"

// Phone is a telephone number in E.164 form ("+12025550101"). It prints and
// logs as its country digits and last two digits; convert to string to use it.
type Phone string

// String returns the redacted form, for logs and error texts.
func (p Phone) String() string {
	if len(p) < 6 {
		return "…"
	}
	return string(p[:3]) + "…" + string(p[len(p)-2:])
}

// GoString keeps %#v from printing the number.
func (p Phone) GoString() string { return p.String() }

// LogValue implements [slog.LogValuer].
func (p Phone) LogValue() slog.Value { return slog.StringValue(p.String()) }

// Secret is a bearer value (a notification token, a code). It never prints;
// convert to string to use it.
type Secret string

// String returns a constant.
func (Secret) String() string { return "[secret]" }

// GoString keeps %#v from printing the value.
func (Secret) GoString() string { return "[secret]" }

// LogValue implements [slog.LogValuer].
func (Secret) LogValue() slog.Value { return slog.StringValue("[secret]") }
