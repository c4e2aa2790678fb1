package policy

// Reason is why a verdict refuses. Its words stand in smtp/verdict.go.
type Reason int

const (
	None           Reason = iota
	AccessDenied          // reject, access(5) REJECT
	TryAgain              // defer
	RelayDenied           // reject_unauth_destination
	UserUnknown           // Detail: the table, "local recipient table"
	UserMoved             // relocated; Detail: the new address
	ConfigError           // an undefined restriction, a bad map: 451 4.3.5
	LookupFailure         // a look-up could not be answered now: 451 4.3.0
	ServiceRefused        // DEFER_IF_PERMIT without text
)
