package templates

import (
	_ "embed"
	"strconv"

	"ringback/details"
)

// Fields by which a person allows less than was asked. A position in
// [PageData.Smaller] follows each name.
const (
	FieldLower   = "lower."   // the amount to allow instead
	FieldWithout = "without." // position of a choice to leave out; may be repeated
)

// BadSmaller is a smaller yes that is none.
const BadSmaller Problem = "bad_smaller"

//go:embed smaller.html
var smallerSource string

// lessWords offer a smaller yes in one language.
type lessWords struct {
	Summary string // opens the fields
	Lower   string // {label}, {value}
	Without string // {label}
	Button  string
	Bad     string // BadSmaller
}

var less = map[string]lessWords{
	"en": {
		Summary: "Allow less",
		Lower:   "{label} to allow instead of {value}",
		Without: "{label}: leave out",
		Button:  "Allow less",
		Bad:     "Enter an amount above zero and not above what is asked, or leave it empty. Do not leave out everything.",
	},
	"de": {
		Summary: "Weniger erlauben",
		Lower:   "{label} statt {value}",
		Without: "{label}: weglassen",
		Button:  "Weniger erlauben",
		Bad:     "Geben Sie einen Betrag über null ein, höchstens den gefragten, oder lassen Sie ihn leer. Lassen Sie nicht alles weg.",
	},
}

// lessRow is one value that can be made smaller.
type lessRow struct {
	Label   details.Text
	Name    string // of the field
	Unit    string
	Choices []string
}

// Less are the words for a smaller yes, for page.html.
func (p page) Less() lessWords { return less[p.Lang] }

// LessRows are the fields for a smaller yes; none when it cannot be given.
func (p page) LessRows() []lessRow {
	if p.NeedPhr {
		return nil
	}
	var out []lessRow
	for i, s := range p.Smaller {
		n, values := strconv.Itoa(i), map[string]string{"label": s.Label, "value": s.Value}
		if s.Choices != nil {
			out = append(out, lessRow{Label: put(less[p.Lang].Without, values), Name: FieldWithout + n, Choices: s.Choices})
		} else {
			out = append(out, lessRow{Label: put(less[p.Lang].Lower, values), Name: FieldLower + n, Unit: s.Currency})
		}
	}
	return out
}
