package details

// FieldError says which field of authorization_details is wrong and what is
// accepted. Its text fits an OAuth error_description (RFC 6749 §5.2).
type FieldError struct {
	Index  int    // element of the array, -1: the array itself
	Path   string // member, "" for the whole element
	Reason string // what is accepted
}

func (e *FieldError) Error() string { return e.Reason }
