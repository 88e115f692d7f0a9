package templates

// Keyword is what a person wrote in answer to a message.
type Keyword string

const (
	Yes   Keyword = "yes"
	No    Keyword = "no"
	Stop  Keyword = "stop"  // no more messages; decides nothing
	Start Keyword = "start" // messages again
	Help  Keyword = "help"
	Other Keyword = "" // anything else: decides nothing
)

// Reply is a message of a person, read.
type Reply struct {
	Keyword Keyword
	Code    string // 6 digits, or "" if none were given
}

// ReadReply reads an incoming message in any of our languages ("YES 482913",
// "nein", "STOP"). A yes without a well-formed code is Other.
func ReadReply(body string) Reply { return Reply{} }

// Answer is what we say to a person's message.
type Answer string

const (
	AnswerAllowed   Answer = "allowed"   // needs a View
	AnswerRefused   Answer = "refused"   // needs a View
	AnswerWrong     Answer = "wrong"     // wrong code; triesLeft counts
	AnswerTooMany   Answer = "too_many"  // no guesses left
	AnswerEnded     Answer = "ended"     // nothing open any more
	AnswerAmbiguous Answer = "ambiguous" // a bare NO while several are open
	AnswerNotHere   Answer = "not_here"  // this one is answered on its page only
	AnswerStopped   Answer = "stopped"
	AnswerStarted   Answer = "started"
	AnswerHelp      Answer = "help"
	AnswerNothing   Answer = "nothing" // not understood
)

// Say returns the text for an answer in lang. v may be nil where the answer
// needs none.
func (s *Set) Say(a Answer, lang string, v *View, triesLeft int) string { return "" }
