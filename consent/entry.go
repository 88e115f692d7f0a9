package consent

import "errors"

// Why the directory refuses to write an entry. The error around them says in
// full what to do.
var (
	ErrReadOnly = errors.New("read-only here")            // the entry comes from the configuration file
	ErrTaken    = errors.New("belongs to another person") // a phone number has one owner
	ErrInvalid  = errors.New("invalid entry")             // a member of the entry is not usable
	ErrExists   = errors.New("is there already")          // an entry that is to be added
)

// ErrUnreachable says that no message could be sent to a person. The error
// around it says why.
var ErrUnreachable = errors.New("no message reaches this person")
