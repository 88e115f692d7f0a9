package consent

// Filter chooses requests when an operator lists them.
type Filter struct {
	Stuck  bool   // with an attempt that has had no outcome for 60 s
	Client string // client id; empty: any
	Status Status // empty: any
}
