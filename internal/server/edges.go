package server

import (
	"crypto/tls"

	"mailserver/internal/config"
)

// startEdges makes the servers of all protocols.
func (s *Server) startEdges(proc *config.Process) error {
	if _, err := s.tlsConfig(proc); err != nil {
		return err
	}
	s.ls = newListeners(map[string]edge{}, s.Log)
	return nil
}

// tlsConfig is for all listeners: the certificate is the one that the row of
// the listener names, else the one for the name that the client asks for.
func (s *Server) tlsConfig(proc *config.Process) (*tls.Config, error) {
	min, err := minTLS(proc.MinTLS)
	if err != nil {
		return nil, err
	}
	return &tls.Config{
		MinVersion: min,
		GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
			return s.Certs.Pick(hello.Context(), s.ls.certOf(hello.Conn.LocalAddr()), hello.ServerName)
		},
	}, nil
}
