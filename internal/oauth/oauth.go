// Package oauth asks an authorization server whether a bearer token is good,
// by token introspection (RFC 7662) or by the user's data of OpenID Connect, or
// verifies a signed token (RFC 7519) with the server's public keys.
package oauth

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"
)

// ErrRefused: the token is not good. Every other error means that it is not
// known whether it is.
var ErrRefused = errors.New("token refused")

// Server says whom to ask, and how.
type Server struct {
	// Mode is how the token is sent: "auth", in the field Authorization;
	// "get", at the end of the URL; "post", as the parameter token of a form;
	// "local", not at all: its signature is verified.
	Mode string
	URL  string
	// ID and Secret are ours at the server, '' none.
	ID, Secret string
	CAFile     string // PEM, that HTTPS is trusted by; '' those of the system
	KeyFile    string // mode local: a JWK set (RFC 7517)
	Timeout    time.Duration
}

// maxAnswer bounds what is read of an answer, in bytes.
const maxAnswer = 64 << 10

// Claims are what the server says about a token.
type Claims map[string]any

// Ask returns the claims of a good token. An inactive one is ErrRefused.
func (s *Server) Ask(ctx context.Context, token string, now time.Time) (Claims, error) {
	if s.Mode == "local" {
		return s.verify(token, now)
	}
	ctx, cancel := context.WithTimeout(ctx, s.Timeout)
	defer cancel()
	req, err := s.request(ctx, token)
	if err != nil {
		return nil, err
	}
	client, err := s.client()
	if err != nil {
		return nil, err
	}
	defer client.CloseIdleConnections()
	resp, err := client.Do(req)
	if err != nil {
		var u *url.Error // its text holds the URL, and that the token
		if errors.As(err, &u) {
			err = u.Err
		}
		return nil, err
	}
	defer resp.Body.Close()
	return s.read(resp)
}

func (s *Server) request(ctx context.Context, token string) (*http.Request, error) {
	method, target, body := http.MethodGet, s.URL, ""
	switch s.Mode {
	case "auth":
	case "get":
		target += url.QueryEscape(token)
	case "post":
		method, body = http.MethodPost, url.Values{"token": {token}, "token_type_hint": {"access_token"}}.Encode()
	default:
		return nil, fmt.Errorf("%q is no way to ask", s.Mode)
	}
	req, err := http.NewRequestWithContext(ctx, method, target, strings.NewReader(body))
	if err != nil {
		return nil, errors.New("the URL cannot be asked")
	}
	req.Header.Set("Accept", "application/json")
	if body != "" {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	switch {
	case s.Mode == "auth":
		req.Header.Set("Authorization", "Bearer "+token)
	case s.ID != "": // RFC 6749 §2.3.1
		req.SetBasicAuth(url.QueryEscape(s.ID), url.QueryEscape(s.Secret))
	}
	return req, nil
}

func (s *Server) client() (*http.Client, error) {
	transport := &http.Transport{Proxy: http.ProxyFromEnvironment, DisableKeepAlives: true, MaxResponseHeaderBytes: maxAnswer}
	if s.CAFile != "" {
		text, err := os.ReadFile(s.CAFile)
		if err != nil {
			return nil, err
		}
		pool := x509.NewCertPool()
		if !pool.AppendCertsFromPEM(text) {
			return nil, fmt.Errorf("%s holds no certificate", s.CAFile)
		}
		transport.TLSClientConfig = &tls.Config{RootCAs: pool}
	}
	return &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}, nil
}

// read takes an answer apart. A token that is no good is an answer of RFC 7662
// §2.2 with active false, or, where the token itself asks for data, RFC 6750
// §3.1.
func (s *Server) read(resp *http.Response) (Claims, error) {
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	switch {
	case err != nil:
		return nil, err
	case len(text) > maxAnswer:
		return nil, errors.New("the answer is too long")
	case resp.StatusCode == http.StatusOK:
	case s.Mode != "post" && (resp.StatusCode == http.StatusUnauthorized || resp.StatusCode == http.StatusForbidden || resp.StatusCode == http.StatusBadRequest):
		return nil, fmt.Errorf("%w: HTTP status %d", ErrRefused, resp.StatusCode)
	default:
		return nil, fmt.Errorf("HTTP status %d", resp.StatusCode)
	}
	var c Claims
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	if err := d.Decode(&c); err != nil || c == nil {
		return nil, errors.New("the answer is no JSON object")
	}
	if active, ok := c["active"]; ok && active != true {
		return nil, fmt.Errorf("%w: not active", ErrRefused)
	}
	return c, nil
}

// Text is a claim that is a text, a number, or true or false.
func (c Claims) Text(name string) string {
	switch v := c[name].(type) {
	case string:
		return v
	case json.Number:
		return v.String()
	case bool:
		return strconv.FormatBool(v)
	}
	return ""
}

// List is a claim of words: a text with spaces between, or an array.
func (c Claims) List(name string) []string {
	switch v := c[name].(type) {
	case string:
		return strings.Fields(v)
	case []any:
		var list []string
		for _, e := range v {
			if text, ok := e.(string); ok {
				list = append(list, text)
			}
		}
		return list
	}
	return nil
}

// Time is a claim of seconds since 1970; zero without.
func (c Claims) Time(name string) time.Time {
	n, ok := c[name].(json.Number)
	if !ok {
		return time.Time{}
	}
	seconds, err := n.Float64()
	if err != nil || seconds < 0 || seconds > 1<<40 {
		return time.Time{}
	}
	return time.Unix(int64(seconds), 0)
}
