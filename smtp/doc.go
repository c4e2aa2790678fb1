// Package smtp is the SMTP server: MX, submission and LMTP, one engine in three
// roles. It speaks the protocol and decides nothing: policy judges, route
// resolves, delivery takes the message. Texts of replies and lines of the log
// are Postfix's.
//
// What must hold:
//   - 250 after the end of a message is said only when Commit has said it.
//   - A fault of ours (settings, look-up, disk) is 4xx and loses nothing; the
//     session goes on where it can.
//   - Message content is consumed to its end, or the connection ends; no byte of
//     it is ever run as a command.
//   - Nothing that came in plaintext is read after STARTTLS.
//   - 221, 421 and 521 end the connection.
//   - A session that waits for a command holds one small buffer; a message
//     passes in blocks.
//
// Start reading at session.go (the loop), commands.go (the table of commands),
// cmd_data.go (a message's way in).
package smtp
