package message

import "strings"

// details are what BODYSTRUCTURE tells of one part, besides its place.
type details struct {
	typ, subtype optional
	params       []param

	id, description, encoding optional

	md5         optional
	disposition optional
	dispParams  []param
	language    []string
	location    optional
}

// content takes a Content- field; name is in lower case and lacks "content-".
// Of several, the first counts.
func (d *details) content(name, value string) {
	switch name {
	case "type":
		if !d.typ.ok {
			d.contentType(value)
		}
	case "id":
		first(&d.id, value)
	case "description":
		first(&d.description, value)
	case "transfer-encoding":
		if !d.encoding.ok {
			d.encoding = encodingToken(value)
		}
	case "md5":
		first(&d.md5, value)
	case "disposition":
		if d.disposition.s == "" {
			d.contentDisposition(value)
		}
	case "language":
		if d.language == nil {
			d.language = languages(value)
		}
	case "location":
		first(&d.location, value)
	}
}

func first(o *optional, value string) {
	if !o.ok {
		*o = optional{value, true}
	}
}

func (d *details) contentType(value string) {
	x := lexer{s: value}
	typ, subtype, ok := x.contentType()
	d.typ, d.subtype = optional{typ, true}, optional{subtype, true}
	if !ok {
		return
	}
	d.params = x.params()
}

func (d *details) contentDisposition(value string) {
	x := lexer{s: value}
	x.space()
	disposition := x.word(isToken)
	if !x.space() {
		return
	}
	d.disposition = optional{disposition, true}
	d.dispParams = x.params()
}

func encodingToken(value string) optional {
	x := lexer{s: value}
	x.space()
	token := x.word(isToken)
	if token == "" || !x.space() || !x.end() {
		return optional{}
	}
	return optional{token, true}
}

// parseEncoding reads the first word of the field.
func parseEncoding(value string) Encoding {
	x := lexer{s: value}
	x.space()
	switch strings.ToLower(x.word(isToken)) {
	case "7bit", "8bit", "binary":
		return EncodingIdentity
	case "quoted-printable":
		return EncodingQuotedPrintable
	case "base64":
		return EncodingBase64
	case "":
		if x.end() {
			return EncodingIdentity
		}
	}
	return EncodingUnknown
}

// maxLanguages bounds the tags of Content-Language.
const maxLanguages = 64

func languages(value string) []string {
	x := lexer{s: value}
	x.space()
	var tags []string
	for !x.end() && len(tags) < maxLanguages {
		tag := x.word(isAtext)
		if tag == "" || !x.space() {
			break
		}
		tags = append(tags, tag)
		if !x.is(',') {
			break
		}
		x.i++
		if !x.space() {
			break
		}
	}
	return tags
}

// appendDetails writes what stands before the size: type, parameters, id,
// description, encoding.
func (d *details) appendFront(dst []byte, kind Kind) []byte {
	text := false
	switch {
	case kind == KindMessage:
		dst = append(dst, `"message" "rfc822"`...)
	case !d.typ.ok:
		text = true
		dst = append(dst, `"text" "plain"`...)
	case strings.EqualFold(d.typ.s, "multipart"),
		strings.EqualFold(d.typ.s, "message") && strings.EqualFold(d.subtype.s, "rfc822"): // which it is not
		dst = append(dst, `"application" "octet-stream"`...)
	default:
		text = strings.EqualFold(d.typ.s, "text")
		dst = appendString(dst, d.typ.s)
		dst = append(dst, ' ')
		dst = appendString(dst, d.subtype.s)
	}
	dst = append(dst, ' ')
	dst = appendParams(dst, d.params, text)
	dst = append(dst, ' ')
	dst = appendUnfolded(dst, d.id)
	dst = append(dst, ' ')
	dst = appendUnfolded(dst, d.description)
	dst = append(dst, ' ')
	if !d.encoding.ok {
		return append(dst, `"7bit"`...)
	}
	return appendString(dst, d.encoding.s)
}

func (d *details) isText() bool { return !d.typ.ok || strings.EqualFold(d.typ.s, "text") }

// appendParams writes a parameter list; with charset, us-ascii is the default.
func appendParams(dst []byte, ps []param, charset bool) []byte {
	if len(ps) == 0 && !charset {
		return append(dst, "NIL"...)
	}
	sep := byte('(')
	for _, p := range ps {
		charset = charset && !strings.EqualFold(p.name, "charset")
		dst = append(dst, sep)
		dst = appendString(dst, p.name)
		dst = append(dst, ' ')
		dst = appendString(dst, p.value)
		sep = ' '
	}
	if charset {
		dst = append(dst, sep)
		dst = append(dst, `"charset" "us-ascii"`...)
	}
	return append(dst, ')')
}

// appendExtension writes disposition, language and location.
func (d *details) appendExtension(dst []byte) []byte {
	if !d.disposition.ok {
		dst = append(dst, "NIL "...)
	} else {
		dst = append(dst, '(')
		dst = appendString(dst, d.disposition.s)
		dst = append(dst, ' ')
		dst = appendParams(dst, d.dispParams, false)
		dst = append(dst, ") "...)
	}
	if len(d.language) == 0 {
		dst = append(dst, "NIL "...)
	} else {
		sep := byte('(')
		for _, l := range d.language {
			dst = append(dst, sep)
			dst = appendString(dst, l)
			sep = ' '
		}
		dst = append(dst, ") "...)
	}
	return appendUnfolded(dst, d.location)
}
