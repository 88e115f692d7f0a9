package consent

// Filter chooses requests when an operator lists them.
type Filter struct {
	Stuck  bool   // with an attempt that has had no outcome for 60 s, or one of Also
	Client string // client id; empty: any
	Status Status // empty: any
	// Also says which others are stuck. It must not call the store. Nil: none.
	Also func(ID) bool
}
