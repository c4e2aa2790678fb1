package imap

import (
	"context"

	"mailserver/internal/imapwire"
)

// command is a row of the table. The session loop checks the state, lets parse
// read all arguments up to the end of the line, and calls what parse returned.
type command struct {
	name    string
	states  state
	done    string // text of OK; empty: "<name> completed."
	args    bool   // a space and arguments must follow the name
	keepSeq bool   // no EXPUNGE during or at the end of it, RFC 9051 §7.5.1
	streams bool   // run reads the rest of the command itself
	parse   func(*session, *imapwire.Decoder) func(context.Context) (reply, error)
	after   func(*session, context.Context) error // once the answer is written
}

// row makes a command of functions that agree on the type of its arguments.
func row[A any](c command, parse func(*session, *imapwire.Decoder) A, run func(context.Context, *session, A) (reply, error)) command {
	c.args = true
	c.parse = func(s *session, d *imapwire.Decoder) func(context.Context) (reply, error) {
		args := parse(s, d)
		return func(ctx context.Context) (reply, error) { return run(ctx, s, args) }
	}
	return c
}

// bare makes a command without arguments.
func bare(c command, run func(context.Context, *session) (reply, error)) command {
	c.parse = func(s *session, _ *imapwire.Decoder) func(context.Context) (reply, error) {
		return func(ctx context.Context) (reply, error) { return run(ctx, s) }
	}
	return c
}

// commandTable is every command. Its order is that of RFC 9051 §6, extensions
// beside what they extend. testdata/commands.golden is its print.
func commandTable() []command {
	return []command{
		bare(command{name: "CAPABILITY", states: anyState}, runCapability),
		bare(command{name: "NOOP", states: anyState}, runNoop),
		bare(command{name: "LOGOUT", states: anyState, after: afterLogout}, runLogout),
		row(command{name: "ID", states: anyState}, parseID, runID),

		bare(command{name: "STARTTLS", states: notAuthenticated, done: "Begin TLS negotiation now.", after: afterStartTLS}, runStartTLS),
		row(command{name: "AUTHENTICATE", states: notAuthenticated, streams: true}, parseAuthenticate, runAuthenticate),
		row(command{name: "LOGIN", states: notAuthenticated}, parseLogin, runLogin),

		bare(command{name: "UNAUTHENTICATE", states: loggedIn}, runUnauthenticate),

		row(command{name: "COMPRESS", states: loggedIn, after: afterCompress}, parseCompress, runCompress),
		row(command{name: "ENABLE", states: loggedIn, done: "Enabled."}, parseEnable, runEnable),
		row(command{name: "SELECT", states: loggedIn}, parseSelect, runSelect),
		row(command{name: "EXAMINE", states: loggedIn}, parseExamine, runSelect),
		row(command{name: "CREATE", states: loggedIn}, parseCreate, runCreate),
		row(command{name: "DELETE", states: loggedIn}, parseMailbox, runDelete),
		row(command{name: "RENAME", states: loggedIn}, parseRename, runRename),
		row(command{name: "SUBSCRIBE", states: loggedIn}, parseMailbox, runSubscribe),
		row(command{name: "UNSUBSCRIBE", states: loggedIn}, parseMailbox, runUnsubscribe),
		row(command{name: "LIST", states: loggedIn}, parseList, runList),
		row(command{name: "LSUB", states: loggedIn}, parseLsub, runList),
		row(command{name: "XLIST", states: loggedIn}, parseXlist, runList),
		bare(command{name: "NAMESPACE", states: loggedIn}, runNamespace),
		row(command{name: "STATUS", states: loggedIn}, parseStatus, runStatus),
		row(command{name: "GETQUOTA", states: loggedIn}, parseQuotaRoot, runGetQuota),
		row(command{name: "GETQUOTAROOT", states: loggedIn}, parseMailbox, runGetQuotaRoot),
		row(command{name: "SETQUOTA", states: loggedIn}, parseSetQuota, runSetQuota),
		row(command{name: "SETACL", states: loggedIn, done: "Setacl complete"}, parseSetACL, runSetACL),
		row(command{name: "DELETEACL", states: loggedIn, done: "Deleteacl complete"}, parseACLName, runDeleteACL),
		row(command{name: "GETACL", states: loggedIn}, parseMailbox, runGetACL),
		row(command{name: "LISTRIGHTS", states: loggedIn}, parseACLName, runListRights),
		row(command{name: "MYRIGHTS", states: loggedIn}, parseMailbox, runMyRights),
		row(command{name: "GETMETADATA", states: loggedIn}, parseGetMetadata, runGetMetadata),
		row(command{name: "SETMETADATA", states: loggedIn}, parseSetMetadata, runSetMetadata),
		row(command{name: "APPEND", states: loggedIn, streams: true}, parseAppend, runAppend),
		bare(command{name: "IDLE", states: loggedIn}, runIdle),
		row(command{name: "NOTIFY", states: loggedIn, done: "NOTIFY completed."}, parseNotify, runNotify),

		bare(command{name: "CHECK", states: selected}, runNoop),
		bare(command{name: "CLOSE", states: selected}, runClose),
		bare(command{name: "UNSELECT", states: selected}, runUnselect),
		bare(command{name: "EXPUNGE", states: selected}, runExpunge),
		row(command{name: "UID EXPUNGE", states: selected, done: "Expunge completed."}, parseUIDExpunge, runUIDExpunge),
		row(command{name: "SEARCH", states: selected, keepSeq: true}, parseSearch, runSearch),
		row(command{name: "UID SEARCH", states: selected, done: "Search completed."}, parseUIDSearch, runSearch),
		row(command{name: "ESEARCH", states: loggedIn, keepSeq: true, done: "Search completed."}, parseESearch, runESearch),
		row(command{name: "CANCELUPDATE", states: selected, done: "Updates cancelled."}, parseCancelUpdate, runCancelUpdate),
		row(command{name: "SORT", states: selected, keepSeq: true}, parseSort, runSort),
		row(command{name: "UID SORT", states: selected, done: "Sort completed."}, parseUIDSort, runSort),
		row(command{name: "THREAD", states: selected, keepSeq: true}, parseThread, runThread),
		row(command{name: "UID THREAD", states: selected, done: "Thread completed."}, parseUIDThread, runThread),
		row(command{name: "FETCH", states: selected, keepSeq: true}, parseFetch, runFetch),
		row(command{name: "UID FETCH", states: selected, done: "Fetch completed."}, parseUIDFetch, runFetch),
		row(command{name: "STORE", states: selected, keepSeq: true}, parseStore, runStore),
		row(command{name: "UID STORE", states: selected, done: "Store completed."}, parseUIDStore, runStore),
		row(command{name: "COPY", states: selected}, parseCopy, runCopy),
		row(command{name: "UID COPY", states: selected, done: "Copy completed."}, parseUIDCopy, runCopy),
		row(command{name: "REPLACE", states: selected, streams: true}, parseReplace, runReplace),
		row(command{name: "UID REPLACE", states: selected, streams: true, done: "Replace completed."}, parseUIDReplace, runReplace),
		row(command{name: "MOVE", states: selected}, parseCopy, runMove),
		row(command{name: "UID MOVE", states: selected, done: "Move completed."}, parseUIDCopy, runMove),
	}
}

// byName indexes the table.
func byName(table []command) map[string]*command {
	index := make(map[string]*command, len(table))
	for i := range table {
		index[table[i].name] = &table[i]
	}
	return index
}
