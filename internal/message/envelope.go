package message

// envelope gathers the fields of ENVELOPE, RFC 9051 §7.5.2.
type envelope struct {
	date, subject, inReplyTo, messageID optional
	from, sender, replyTo, to, cc, bcc  []entry
}

// maxAddresses bounds the entries of one envelope list.
const maxAddresses = 10000

// isEnvelopeField reports whether set wants a field, given in lower case.
func isEnvelopeField(name string) bool {
	switch name {
	case "date", "subject", "in-reply-to", "message-id", "from", "sender", "reply-to", "to", "cc", "bcc":
		return true
	}
	return false
}

// set takes a field, by its name in lower case. Of several texts the last counts; of several address
// fields, all: or else a forger could have one checked and another shown.
func (e *envelope) set(name, value string) {
	switch name {
	case "date":
		e.date = optional{value, true}
	case "subject":
		e.subject = optional{value, true}
	case "in-reply-to":
		e.inReplyTo = optional{value, true}
	case "message-id":
		e.messageID = optional{value, true}
	case "from":
		extend(&e.from, value)
	case "sender":
		extend(&e.sender, value)
	case "reply-to":
		extend(&e.replyTo, value)
	case "to":
		extend(&e.to, value)
	case "cc":
		extend(&e.cc, value)
	case "bcc":
		extend(&e.bcc, value)
	}
}

func extend(list *[]entry, value string) {
	*list = appendAddresses(*list, value, maxAddresses)
}

// empty is an envelope of nothing, with the memory of this one.
func (e *envelope) empty() envelope {
	return envelope{from: emptied(e.from), sender: emptied(e.sender), replyTo: emptied(e.replyTo),
		to: emptied(e.to), cc: emptied(e.cc), bcc: emptied(e.bcc)}
}

func emptied(list []entry) []entry {
	if cap(list) > 100 {
		return nil
	}
	clear(list)
	return list[:0]
}

// append writes the envelope with its parentheses.
func (e *envelope) append(dst []byte) []byte {
	sender, replyTo := e.sender, e.replyTo
	if len(sender) == 0 {
		sender = e.from
	}
	if len(replyTo) == 0 {
		replyTo = e.from
	}
	dst = append(dst, '(')
	dst = appendUnfolded(dst, e.date)
	dst = append(dst, ' ')
	dst = appendForHumans(dst, e.subject)
	for _, list := range [][]entry{e.from, sender, replyTo, e.to, e.cc, e.bcc} {
		dst = append(dst, ' ')
		dst = appendEntries(dst, list)
	}
	dst = append(dst, ' ')
	dst = appendUnfolded(dst, e.inReplyTo)
	dst = append(dst, ' ')
	dst = appendUnfolded(dst, e.messageID)
	return append(dst, ')')
}

func appendEntries(dst []byte, list []entry) []byte {
	if len(list) == 0 {
		return append(dst, "NIL"...)
	}
	dst = append(dst, '(')
	for _, a := range list {
		dst = append(dst, '(')
		dst = appendForHumans(dst, a.name)
		for _, o := range []optional{a.route, a.mailbox, a.domain} {
			dst = append(dst, ' ')
			dst = appendOptional(dst, o)
		}
		dst = append(dst, ')')
	}
	return append(dst, ')')
}
