package delivery

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"mailserver/delivery/bounce"
	"mailserver/delivery/queue"
)

// templateFileMost bounds bounce_template_file, in bytes.
const templateFileMost = 100 << 10

// template is the template of a kind of report; nil without one. It is read for
// each report, so that a changed file acts at once.
func template(c *Config, q *queue.Config, kind bounce.Kind) (*bounce.Template, error) {
	if c.TemplateFile == "" {
		return nil, nil
	}
	f, err := os.Open(c.TemplateFile)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, templateFileMost))
	if err != nil {
		return nil, err
	}
	list, err := bounce.Templates(string(text))
	if err != nil || list[kind] == nil {
		return nil, err
	}
	t := *list[kind]
	if t.Text, err = bounce.Fill(t.Text, templateValue(c, q)); err != nil {
		return nil, fmt.Errorf("bounce template: %w", err)
	}
	return &t, nil
}

// units of the times in a template, bounce(5).
var units = map[string]time.Duration{"seconds": time.Second, "minutes": time.Minute, "hours": time.Hour, "days": 24 * time.Hour, "weeks": 7 * 24 * time.Hour}

func templateValue(c *Config, q *queue.Config) func(string) (string, bool) {
	domain := c.Domain
	if domain == "" {
		_, domain, _ = strings.Cut(c.Hostname, ".")
	}
	plain := map[string]string{"myhostname": c.Hostname, "mydomain": domain, "mail_name": c.MailName,
		"double_bounce_sender": c.DoubleBounceSender, "recipient_delimiter": c.Delimiter}
	times := map[string]time.Duration{"delay_warning_time": q.DelayWarning, "maximal_queue_lifetime": q.Lifetime, "bounce_queue_lifetime": q.BounceLifetime}
	return func(name string) (string, bool) {
		if v, ok := plain[name]; ok {
			return v, true
		}
		i := strings.LastIndexByte(name, '_')
		if i < 0 {
			return "", false
		}
		unit, known := units[name[i+1:]]
		d, timed := times[name[:i]]
		if !known || !timed {
			return "", false
		}
		return fmt.Sprint(int64(d / unit)), true
	}
}
