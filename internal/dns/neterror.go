package dns

import "net"

// Net gives an error of a look-up the form of package net, by which libraries
// tell what is not there from what cannot be known now.
func Net(name string, err error) error {
	e := &net.DNSError{Err: err.Error(), Name: name}
	if NotFound(err) {
		e.IsNotFound = true
	} else {
		e.IsTemporary = true
	}
	return e
}
