package schema

import _ "embed"

// Sample is the SQL of the sample rows: a local, a relay, an alias, a mailbox
// and a catch-all domain.
//
//go:embed sample.sql
var Sample string
