// Package schema is what is recorded: every table, all SQL text, migrations
// and change detection. Nothing else in the program speaks SQL.
//
// Two files (docs/ARCHITECTURE.md, "Two SQLite files"):
//
//   - mail.sqlite, type Mail: what the operator wants. Read through a View,
//     which is taken once a command and costs one PRAGMA data_version; a row
//     changed by any program is seen by the next View.
//   - state.sqlite, type State: what the server knows (queue, mailbox index).
//     Written through one goroutine with group commit.
//
// Every error of a look-up means "ask again later": callers answer 451 or
// NO [UNAVAILABLE], never "unknown". A row that does not exist is no error.
package schema

import _ "embed"

//go:embed mail.sql
var mailDDL string
