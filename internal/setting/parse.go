package setting

import (
	"fmt"
	"math"
	"reflect"
	"strconv"
	"strings"
	"time"
)

// parse sets v from the text of a parameter.
func parse(v reflect.Value, text string) error {
	switch v.Interface().(type) {
	case string:
		v.SetString(text)
	case []string:
		v.Set(reflect.ValueOf(List(text)))
	case bool:
		return parseBool(v, text)
	case time.Duration:
		d, err := Duration(text)
		v.SetInt(int64(d))
		return err
	case int64:
		n, err := Bytes(text)
		v.SetInt(n)
		return err
	case int:
		n, err := strconv.Atoi(text)
		if err != nil {
			return fmt.Errorf("%q is not a whole number", text)
		}
		v.SetInt(int64(n))
	default:
		return fmt.Errorf("a field of type %s cannot be set", v.Type())
	}
	return nil
}

func parseBool(v reflect.Value, text string) error {
	switch strings.ToLower(text) {
	case "yes", "true", "1":
		v.SetBool(true)
	case "no", "false", "0":
		v.SetBool(false)
	default:
		return fmt.Errorf("%q is neither yes nor no", text)
	}
	return nil
}

// List splits a value at commas and white space.
func List(text string) []string {
	return strings.FieldsFunc(text, func(r rune) bool {
		return r == ',' || r == ' ' || r == '\t' || r == '\n' || r == '\r'
	})
}

// Duration reads a time as postconf(5) writes it: 300s, 5m, 1h, 5d, 1w, or a
// sum of them; a bare number is seconds.
func Duration(text string) (time.Duration, error) {
	bad := fmt.Errorf("%q is not a time such as 300s, 5m, 1h, 5d", text)
	var sum time.Duration
	if text == "" {
		return 0, bad
	}
	for rest := text; rest != ""; {
		n, unit, after, ok := number(rest)
		if !ok {
			return 0, bad
		}
		per, ok := durations[unit]
		if !ok || n > int64(math.MaxInt64/per) || sum+time.Duration(n)*per < sum {
			return 0, bad
		}
		sum += time.Duration(n) * per
		rest = after
	}
	return sum, nil
}

var durations = map[string]time.Duration{
	"": time.Second, "ms": time.Millisecond, "s": time.Second, "m": time.Minute,
	"h": time.Hour, "d": 24 * time.Hour, "w": 7 * 24 * time.Hour,
}

// Bytes reads a size: 51200000, 50M, 1G. Units are powers of 1024.
func Bytes(text string) (int64, error) {
	n, unit, after, ok := number(text)
	shift, known := shifts[strings.TrimSuffix(strings.ToLower(unit), "b")]
	if !ok || after != "" || !known || n > math.MaxInt64>>shift {
		return 0, fmt.Errorf("%q is not a size such as 51200000 or 50M", text)
	}
	return n << shift, nil
}

var shifts = map[string]uint{"": 0, "k": 10, "m": 20, "g": 30, "t": 40}

// number splits "12ab..." into 12 and "ab".
func number(s string) (n int64, unit, rest string, ok bool) {
	i := 0
	for i < len(s) && s[i] >= '0' && s[i] <= '9' {
		i++
	}
	n, err := strconv.ParseInt(s[:i], 10, 64)
	if err != nil {
		return 0, "", "", false
	}
	j := i
	for j < len(s) && (s[j] < '0' || s[j] > '9') {
		j++
	}
	return n, strings.TrimSpace(s[i:j]), s[j:], true
}
