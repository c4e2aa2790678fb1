package setting

import (
	"reflect"
	"strings"
	"testing"
	"time"
)

type sample struct {
	Hostname string        `setting:"myhostname" default:"localhost"`
	Banner   string        `setting:"smtpd_banner" default:"$myhostname ESMTP"`
	Limit    int           `setting:"smtpd_recipient_limit" default:"1000"`
	Size     int64         `setting:"message_size_limit" default:"50M"`
	Timeout  time.Duration `setting:"smtpd_timeout" default:"300s"`
	Helo     bool          `setting:"smtpd_helo_required" default:"no"`
	Nets     []string      `setting:"mynetworks" default:"127.0.0.0/8, [::1]/128"`
	Own      string
}

func TestFill(t *testing.T) {
	tests := []struct {
		name string
		rows map[string]string
		want sample
		err  string
	}{
		{name: "defaults", want: sample{"localhost", "localhost ESMTP", 1000, 50 << 20, 300 * time.Second, false, []string{"127.0.0.0/8", "[::1]/128"}, ""}},
		{name: "rows", rows: map[string]string{"myhostname": "mx.example", "smtpd_banner": "${myhostname} hello $x $5", "smtpd_recipient_limit": "5",
			"message_size_limit": "10240000", "smtpd_timeout": "1h30m", "smtpd_helo_required": "yes", "mynetworks": ""},
			want: sample{"mx.example", "mx.example hello $x $5", 5, 10240000, 90 * time.Minute, true, []string{}, ""}},
		{name: "loop", rows: map[string]string{"myhostname": "$smtpd_banner", "smtpd_banner": "$myhostname"}, err: "refers to itself"},
		{name: "number", rows: map[string]string{"smtpd_recipient_limit": "many"}, err: `setting smtpd_recipient_limit: "many" is not a whole number`},
		{name: "time", rows: map[string]string{"smtpd_timeout": "5x"}, err: "is not a time"},
		{name: "size", rows: map[string]string{"message_size_limit": "9999999999999G"}, err: "is not a size"},
		{name: "bool", rows: map[string]string{"smtpd_helo_required": "maybe"}, err: "neither yes nor no"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tab, err := NewTable(sample{})
			if err != nil {
				t.Fatal(err)
			}
			var got sample
			err = tab.Fill(&got, tt.rows)
			if tt.err != "" {
				if err == nil || !strings.Contains(err.Error(), tt.err) {
					t.Fatalf("error %v, want %q", err, tt.err)
				}
				return
			}
			if err != nil || !reflect.DeepEqual(got, tt.want) {
				t.Fatalf("got %+v, %v\nwant %+v", got, err, tt.want)
			}
		})
	}
}

func TestTableRefusesTwoDefaults(t *testing.T) {
	type other struct {
		Hostname string `setting:"myhostname" default:"elsewhere"`
	}
	if _, err := NewTable(sample{}, other{}); err == nil {
		t.Fatal("two defaults of one parameter were taken")
	}
	tab, _ := NewTable(&sample{})
	if got := tab.Unknown(map[string]string{"smtpd_timeout": "1", "nonsense": "1"}); !reflect.DeepEqual(got, []string{"nonsense"}) {
		t.Fatalf("unknown: %v", got)
	}
}
