// Package journal keeps what the outside saw of a service: what agents asked
// and were answered, what persons wrote and were told, what the provider was
// asked to carry. It knows the service's wire forms and nothing else of it.
//
// Start with [New]. [Journal.Book] is what a checker reads.
package journal

import (
	"slices"
	"sync"
	"time"
)

// Verbs of decisions.
const (
	Approved = "approved"
	Denied   = "denied"
	// Withdrawn is what its agent took back, as far as it had come.
	Withdrawn = "withdrawn"
)

// Book is everything that was seen.
type Book struct {
	Asked    map[ID]*Asked // requests that were acknowledged
	Messages []Message     // that the provider was asked to carry, as they came
	Answers  []*Answer     // that persons gave by message
	Receipts []Receipt     // that the service has taken from the provider
}

// Asked is one request, as its agent knows it.
type Asked struct {
	Handle string    // auth_req_id
	Person string    // login_hint
	At     time.Time // when the agent asked
	Read   time.Time // when the acknowledgement was read
	Ends   time.Time
	Pinged bool     // its agent waits for a ping
	Pings  int      // that came
	Said   string   // a decision that was acknowledged to whoever made it at once, not by message
	Tokens []string // access tokens that were handed out, each as often as it came
	Error  string   // the error that ended it: "access_denied", "expired_token"
}

// Message is one that the provider was asked to carry.
type Message struct {
	ID      ID
	N       int // attempt
	To      string
	Code    string // with which it can be answered
	At      time.Time
	Carried bool // the provider took it
}

// Answer is a message of a person. The provider repeats it until it is taken.
type Answer struct {
	ID    ID
	N     int // the attempt whose message it answers
	Verb  string
	From  string
	Code  string
	Posts []Post
}

// Post is one time that a webhook was sent.
type Post struct {
	At     time.Time
	Status int    // of the answer; 0: there was none
	Said   string // to the person
}

// Taken returns the post that was the last to be answered well.
func (a *Answer) Taken() (Post, bool) {
	for _, p := range slices.Backward(a.Posts) {
		if p.Status/100 == 2 {
			return p, true
		}
	}
	return Post{}, false
}

// Receipt is the provider's later word on a message.
type Receipt struct {
	ID        ID
	N         int
	Delivered bool
}

// Journal is written by many at a time. One that is nil keeps nothing.
type Journal struct {
	mu   sync.Mutex
	book Book
	last map[string]Message // by number
	news chan struct{}      // closed when a message comes
}

// New returns an empty journal.
func New() *Journal {
	return &Journal{book: Book{Asked: map[ID]*Asked{}}, last: map[string]Message{}, news: make(chan struct{})}
}

// Book returns what was seen so far. It must not be changed, and is complete
// only when nobody writes any more.
func (j *Journal) Book() Book {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.book
}

// Copy is what was seen so far, which does not change any more. Answers that
// nobody has taken are left out: they have promised nothing.
func (j *Journal) Copy() Book {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.book.copy()
}

func (b Book) copy() Book {
	out := Book{Asked: map[ID]*Asked{}, Messages: slices.Clone(b.Messages), Receipts: slices.Clone(b.Receipts)}
	for id, a := range b.Asked {
		of := *a
		of.Tokens = slices.Clone(a.Tokens)
		out.Asked[id] = &of
	}
	for _, a := range b.Answers {
		if _, taken := a.Taken(); taken {
			of := *a
			of.Posts = slices.Clone(a.Posts)
			out.Answers = append(out.Answers, &of)
		}
	}
	return out
}

// Begin begins again with what a copy says.
func (j *Journal) Begin(b Book) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.book, j.last = b.copy(), map[string]Message{}
	for _, m := range b.Messages {
		if m.Carried {
			j.last[m.To] = m
		}
	}
}

// Ask notes a request that was acknowledged. An unreadable handle is the
// service's fault, and noted under itself.
func (j *Journal) Ask(a Asked) ID {
	id, ok := ParseHandle(a.Handle)
	if !ok {
		id = ID(a.Handle)
	}
	if j == nil {
		return id
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.book.Asked[id] = &a
	return id
}

// Say notes a decision that was acknowledged.
func (j *Journal) Say(id ID, verb string) { j.change(id, func(a *Asked) { a.Said = verb }) }

// Token notes an access token.
func (j *Journal) Token(id ID, token string) {
	j.change(id, func(a *Asked) { a.Tokens = append(a.Tokens, token) })
}

// Ended notes the error with which a request ended for its agent.
func (j *Journal) Ended(id ID, code string) { j.change(id, func(a *Asked) { a.Error = code }) }

// Ping notes a ping. One that nobody asked for is noted too.
func (j *Journal) Ping(id ID) { j.change(id, func(a *Asked) { a.Pings++ }) }

func (j *Journal) change(id ID, how func(*Asked)) {
	if j == nil {
		return
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	a := j.book.Asked[id]
	if a == nil { // its acknowledgement did not come through
		return
	}
	how(a)
}

// Carry notes a message that the provider is asked to carry, and returns what
// says that it took it.
func (j *Journal) Carry(m Message) (carried func()) {
	j.mu.Lock()
	defer j.mu.Unlock()
	n := len(j.book.Messages)
	j.book.Messages = append(j.book.Messages, m)
	return func() {
		j.mu.Lock()
		defer j.mu.Unlock()
		j.book.Messages[n].Carried = true
		m.Carried = true
		j.last[m.To] = m
		close(j.news)
		j.news = make(chan struct{})
	}
}

// Last returns the newest message that was carried to a number, and a channel
// that is closed when another message to anybody was.
func (j *Journal) Last(number string) (m Message, ok bool, news <-chan struct{}) {
	j.mu.Lock()
	defer j.mu.Unlock()
	m, ok = j.last[number]
	return m, ok, j.news
}

// Answer notes a person's answer. It is to be changed through Post alone.
func (j *Journal) Answer(a *Answer) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.book.Answers = append(j.book.Answers, a)
}

// Post notes one time that an answer was sent.
func (j *Journal) Post(a *Answer, p Post) {
	j.mu.Lock()
	defer j.mu.Unlock()
	a.Posts = append(a.Posts, p)
}

// Receipt notes one that was taken.
func (j *Journal) Receipt(r Receipt) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.book.Receipts = append(j.book.Receipts, r)
}

// Tokens is the number of requests that have one.
func (j *Journal) Tokens() (n int) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, a := range j.book.Asked {
		if len(a.Tokens) > 0 {
			n++
		}
	}
	return n
}
