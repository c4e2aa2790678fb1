// Package dns asks the resolvers of this host. Unlike package net it tells
// apart a name that is not there, a name without records of a type, an answer
// that could not be had now and one that makes no sense; it gives the time an
// answer lives and whether the resolver has validated it (DNSSEC).
//
// It does not validate itself: a resolver is believed (the AD bit, RFC 6840
// §5.8) if it runs on this host or resolv.conf(5) says "options trust-ad".
package dns
