package journal

import "testing"

// TestCopy: a copy does not change any more, and leaves out what nobody has taken;
// whoever begins with it has everything of it.
func TestCopy(t *testing.T) {
	t.Parallel()
	j := New()
	j.Ask(Asked{Handle: "a"})
	j.Token("a", "t")
	j.Carry(Message{ID: "a", N: 1, To: "+1"})()
	taken, untaken := &Answer{ID: "a"}, &Answer{ID: "a"}
	j.Answer(taken)
	j.Answer(untaken)
	j.Post(taken, Post{Status: 200})
	j.Post(untaken, Post{Status: 503})

	before := j.Copy()
	j.Token("a", "u")
	j.Post(taken, Post{Status: 200})
	j.Ask(Asked{Handle: "b"})
	j.Carry(Message{ID: "a", N: 2, To: "+1"})()
	if len(before.Asked) != 1 || len(before.Asked["a"].Tokens) != 1 || len(before.Answers) != 1 || len(before.Answers[0].Posts) != 1 || len(before.Messages) != 1 {
		t.Errorf("the copy is %+v", before)
	}
	j.Begin(before)
	j.Token("a", "v")
	if m, ok, _ := j.Last("+1"); !ok || m.N != 1 {
		t.Errorf("the last message is %+v, want that of the copy", m)
	}
	if now := j.Book(); len(now.Asked) != 1 || len(now.Asked["a"].Tokens) != 2 || len(before.Asked["a"].Tokens) != 1 {
		t.Errorf("after Begin the book has %+v, the copy %+v", now.Asked["a"], before.Asked["a"])
	}
}
