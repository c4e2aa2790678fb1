package schema

import _ "embed"

// Classes is the SQL of the restriction classes that a new mail.sqlite gets.
//
//go:embed sample_classes.sql
var Classes string

// Sample is the SQL of the sample rows: a local, a relay, an alias, a mailbox
// and a catch-all domain.
//
//go:embed sample.sql
var Sample string
