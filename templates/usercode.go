package templates

import (
	_ "embed"
	"fmt"
	"io"
	"time"

	"ringback/channels/content"
	"ringback/consent"
	"ringback/details"
)

// Choosing is the card on which a person chooses a user_code.
const Choosing State = "choosing"

// Problems of its form.
const (
	BadUserCode Problem = "bad_user_code" // nobody may choose this one
	Unequal     Problem = "unequal"       // the two differ
)

// Names of its fields, beside FieldCSRF and FieldCode.
const (
	FieldUserCode      = "user_code"
	FieldUserCodeAgain = "user_code_again"
)

// UserCodePage is a page on which a person chooses a user_code.
type UserCodePage struct {
	State     State   // Choosing, Allowed (it is chosen) or TooMany
	Lang      string  // of the person, a BCP 47 tag
	CSRF      string  // token of the form
	Nonce     string  // as in PageData
	Problem   Problem // of the form just sent, empty if none
	TriesLeft int     // beside WrongCode
}

//go:embed usercode.html
var userCodeSource string

// userCodeWords are about user codes, in one language. People are not told the
// specification's name for them.
type userCodeWords struct {
	Kicker   string
	Headline string
	Why      string
	New      string // label
	Again    string // label
	Rule     string // what consent.IsUserCode wants
	Button   string
	Bad      string // BadUserCode
	Unequal  string
	Stale    string
	Chosen   [2]string
	TooMany  string
	Offer    string // message: {link}, {code}, {time}
	Changed  string // message
}

var userCodeCatalogue = map[string]userCodeWords{
	"en": {
		Kicker:   "Your code for agents",
		Headline: "Choose your code",
		Why:      "Some agents can ask you only with this code. You enter it where you start the agent. It allows nothing by itself: it keeps others from making your phone ring.",
		New:      "New code",
		Again:    "New code, once more",
		Rule:     "4 to 32 letters, digits and signs, no spaces and no accents. At least 4 different ones; digits alone: at least 6, and no row such as 123456 or 111111. Agents see it, so take no password or PIN that you have elsewhere.",
		Button:   "Set this code",
		Bad:      "This code will not do. Choose one as it says below the field.",
		Unequal:  "The two new codes differ. Enter the same one twice.",
		Stale:    "This page was open too long. Nothing was changed. Please fill it in again.",
		Chosen:   [2]string{"Your code is set", "Use it from now on. A code that you had before no longer works. We send you a message about the change."},
		TooMany:  "To protect you, this link no longer works. Nothing was changed. Ask your administrator for a new message.",
		Offer:    "Choose your code for agents? Not expected? Do nothing. Otherwise open {link} and enter {code} there within {time}. Tell nobody this number.",
		Changed:  "Your code for agents was changed. If that was not you, tell your administrator at once. Until then, allow nothing that you did not start.",
	},
	"de": {
		Kicker:   "Ihr Code für Agenten",
		Headline: "Wählen Sie Ihren Code",
		Why:      "Manche Agenten können Sie nur mit diesem Code fragen. Sie geben ihn dort ein, wo Sie den Agenten starten. Er erlaubt selbst nichts: Er verhindert, dass andere Ihr Telefon klingeln lassen.",
		New:      "Neuer Code",
		Again:    "Neuer Code, noch einmal",
		Rule:     "4 bis 32 Buchstaben, Ziffern und Zeichen, ohne Leerzeichen und Umlaute. Mindestens 4 verschiedene; nur Ziffern: mindestens 6, und keine Reihe wie 123456 oder 111111. Agenten sehen ihn: Nehmen Sie kein Passwort und keine PIN, die Sie anderswo haben.",
		Button:   "Diesen Code setzen",
		Bad:      "Dieser Code geht nicht. Wählen Sie einen, wie es unter dem Feld steht.",
		Unequal:  "Die beiden neuen Codes sind verschieden. Geben Sie zweimal denselben ein.",
		Stale:    "Diese Seite war zu lange offen. Nichts wurde geändert. Bitte füllen Sie sie noch einmal aus.",
		Chosen:   [2]string{"Ihr Code ist gesetzt", "Nutzen Sie ihn ab jetzt. Ein früherer Code gilt nicht mehr. Wir senden Ihnen eine Nachricht über die Änderung."},
		TooMany:  "Zu Ihrem Schutz geht dieser Link nicht mehr. Nichts wurde geändert. Bitten Sie Ihren Administrator um eine neue Nachricht.",
		Offer:    "Ihren Code für Agenten wählen? Nicht erwartet? Nichts tun. Sonst {link} öffnen und dort {code} eingeben, in den nächsten {time}. Sagen Sie die Zahl niemandem.",
		Changed:  "Ihr Code für Agenten wurde geändert. Waren Sie das nicht, sagen Sie es sofort Ihrem Administrator. Erlauben Sie bis dahin nichts, was Sie nicht begonnen haben.",
	},
}

// userCodePage is what the page is made from.
type userCodePage struct {
	UserCodePage
	Lang, Title, Stylesheet, Icon, Ends                     string
	Words                                                   *words
	Choosing                                                userCodeWords
	Problem                                                 details.Text
	BadCode, BadNew, BadAgain                               bool
	Headline, Text, Close                                   string
	Min, Max                                                int
	FieldCSRF, FieldCode, FieldUserCode, FieldUserCodeAgain string
}

// UserCodePage writes the whole page, text/html in UTF-8. Bad links and faults
// have the pages of [Set.Page].
func (s *Set) UserCodePage(w io.Writer, d UserCodePage) error {
	lang, ws := speak(d.Lang)
	cw := userCodeCatalogue[lang]
	ws.KickerDone = cw.Kicker // ours is a copy
	p := userCodePage{
		UserCodePage: d, Lang: lang, Words: ws, Choosing: cw,
		Stylesheet: versioned(StylesheetPath, stylesheet), Icon: versioned(MarkPath, mark),
		Min: consent.MinUserCode, Max: consent.MaxUserCode,
		FieldCSRF: FieldCSRF, FieldCode: FieldCode, FieldUserCode: FieldUserCode, FieldUserCodeAgain: FieldUserCodeAgain,
	}
	switch d.State {
	case Choosing:
		p.Headline = cw.Headline
	case Allowed:
		p.Headline, p.Text, p.Close = cw.Chosen[0], cw.Chosen[1], ws.CloseLine
	case TooMany:
		p.Headline, p.Text = ws.TooMany[0], cw.TooMany
	default:
		return fmt.Errorf("rendering a page: no state %s", d.State)
	}
	p.Title = p.Headline
	phrase := map[Problem]string{
		WrongCode: ws.WrongCode, MissingCode: ws.MissingCode, BadUserCode: cw.Bad, Unequal: cw.Unequal, Stale: cw.Stale,
	}[d.Problem]
	if p.Problem = put(phrase, map[string]string{"tries": ws.tries(d.TriesLeft)}); phrase != "" {
		p.Title = ws.TitleError + p.Title
	}
	switch d.Problem {
	case WrongCode, MissingCode:
		p.BadCode = true
	case BadUserCode:
		p.BadNew = true
	case Unequal:
		p.BadNew, p.BadAgain = true, true
	}
	if err := s.html.ExecuteTemplate(w, "usercode", p); err != nil {
		return fmt.Errorf("rendering a page: %w", err)
	}
	return nil
}

// OfferUserCode is the message with which a person can choose a user_code, in
// the language of a BCP 47 tag. The link works for so long.
func (s *Set) OfferUserCode(lang, code, link string, life time.Duration) content.Text {
	lang, w := speak(lang)
	return content.Text{Body: say(userCodeCatalogue[lang].Offer, map[string]string{"code": code, "link": link, "time": w.lasting(life)}), Link: link}
}

// UserCodeChanged is the message that tells a person about a new user_code.
func (s *Set) UserCodeChanged(lang string) content.Text {
	lang, _ = speak(lang)
	return content.Text{Body: userCodeCatalogue[lang].Changed}
}
