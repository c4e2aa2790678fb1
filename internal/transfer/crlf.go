package transfer

import (
	"bufio"
	"bytes"
	"io"
)

// newCRLF reads lines with CRLF at their ends.
func newCRLF(r io.Reader) io.Reader { return &crlf{r: bufio.NewReaderSize(r, 16<<10)} }

type crlf struct {
	r    *bufio.Reader
	last byte
	lf   bool // owed
}

func (c *crlf) Read(p []byte) (n int, err error) {
	for n < len(p) {
		if c.lf {
			p[n], c.lf, c.last = '\n', false, '\n'
			n++
			continue
		}
		if n > 0 && c.r.Buffered() == 0 {
			break
		}
		if _, err := c.r.Peek(1); err != nil {
			return n, err
		}
		buf, _ := c.r.Peek(min(c.r.Buffered(), len(p)-n))
		if buf[0] == '\n' {
			c.r.Discard(1)
			c.lf = true
			if c.last != '\r' {
				p[n] = '\r'
				n++
			}
			continue
		}
		if at := bytes.IndexByte(buf, '\n'); at > 0 {
			buf = buf[:at]
		}
		n += copy(p[n:], buf)
		c.last = buf[len(buf)-1]
		c.r.Discard(len(buf))
	}
	return n, nil
}
