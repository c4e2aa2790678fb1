// Package smtpwire is the SMTP wire format as a server reads it: command lines,
// paths and parameters, message content. It knows no session and no policy.
//
// What must hold:
//   - Message content after DATA ends at CRLF "." CRLF and nowhere else. A bare
//     CR or LF never takes part in the end.
//   - Memory is bounded: a command line by its limit, content by the block that
//     is read.
//   - A Reader that waits for a command holds only its small buffer.
package smtpwire
