// Package milter asks mail filters that speak the protocol of libmilter,
// versions 2 to 6: opendkim, rspamd, clamav-milter.
//
// A Session is one SMTP client in the eyes of all filters that are asked about
// it, in their order: Connect, Helo, then for each message Mail, Rcpt, Data and
// Message, or Abort; Close at the end. The first filter that refuses decides.
// A filter that cannot be reached, answers nonsense or not in time gets its
// default action for the rest of the session. postconf(5) smtpd_milters
//
// A packet is a length of four bytes, a letter and data; numbers are in network
// order, texts end in a null byte.
package milter
