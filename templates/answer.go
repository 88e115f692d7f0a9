package templates

// Answer is what we say to a person's message.
type Answer string

const (
	AnswerAllowed   Answer = "allowed"   // needs a View
	AnswerRefused   Answer = "refused"   // needs a View
	AnswerWrong     Answer = "wrong"     // a wrong code; needs the tries left
	AnswerTooMany   Answer = "too_many"  // no guesses left
	AnswerEnded     Answer = "ended"     // nothing is open any more
	AnswerLate      Answer = "late"      // its time was over; needs a View
	AnswerAmbiguous Answer = "ambiguous" // a bare NO while several are open
	AnswerNotHere   Answer = "not_here"  // this one is allowed on its page only
	AnswerStopped   Answer = "stopped"
	AnswerStarted   Answer = "started"
	AnswerHelp      Answer = "help"
	AnswerNothing   Answer = "nothing" // not understood
)

// Say returns the text for an answer in lang. v may be nil where the answer
// needs none.
func (s *Set) Say(a Answer, lang string, v *View, triesLeft int) string {
	if v != nil {
		lang = v.Lang
	} else {
		v = &View{}
	}
	if a == AnswerWrong && triesLeft <= 0 {
		a = AnswerTooMany
	}
	_, w := speak(lang)
	phrase := map[Answer]string{
		AnswerAllowed: w.SaidAllowed + v.again, AnswerRefused: w.SaidRefused, AnswerWrong: w.SaidWrong, AnswerTooMany: w.SaidTooMany,
		AnswerEnded: w.SaidEnded, AnswerLate: w.Ended[1], AnswerAmbiguous: w.SaidAmbiguous, AnswerNotHere: w.SaidNotHere, AnswerStopped: w.SaidStopped,
		AnswerStarted: w.SaidStarted, AnswerHelp: w.SaidHelp, AnswerNothing: w.SaidNothing,
	}[a]
	return say(phrase, map[string]string{"done": plain(v.done), "agent": inline(v.Agent), "time": v.Ends, "tries": w.tries(triesLeft)})
}
