// Package screen is what postscreen(8) is to Postfix: it stands before an SMTP
// server and looks at clients that nobody knows yet. Those that talk before
// their turn, are on DNS lists, or break the protocol, never reach the server;
// those that pass are remembered, and next time come through at once.
//
// A client that waits costs a goroutine and its connection, no session of the
// server. What a client said too early and may still go on is handed over with
// its connection.
package screen
