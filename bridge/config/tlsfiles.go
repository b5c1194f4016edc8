package config

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"strings"
)

const maxPEM = 1 << 20

// Certificate reads the pair. It must not be empty.
func (k KeyPair) Certificate() (tls.Certificate, error) {
	cert, err := readFile(k.Cert, maxPEM)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("the certificate's file %w", err)
	}
	key, err := readFile(k.Key, maxPEM)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("the key's file %w", err)
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("certificate and key cannot be used: %s", strings.TrimPrefix(err.Error(), "tls: "))
	}
	return pair, nil
}

// ServerConfig is what a listener needs of the pair; nil if it is empty.
func (k KeyPair) ServerConfig() (*tls.Config, error) {
	if k.Cert == "" {
		return nil, nil
	}
	pair, err := k.Certificate()
	if err != nil {
		return nil, err
	}
	return &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}, nil
}

// Roots reads whom to trust; nil is the system's roots.
func (c ClientTLS) Roots() (*x509.CertPool, error) {
	if c.CA == "" {
		return nil, nil
	}
	pem, err := readFile(c.CA, maxPEM)
	if err != nil {
		return nil, fmt.Errorf("the file of certificates %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, errors.New("the file has no certificate in it")
	}
	return pool, nil
}

// ClientConfig is what a connection to a broker needs of it.
func (c ClientTLS) ClientConfig() (*tls.Config, error) {
	roots, err := c.Roots()
	if err != nil {
		return nil, err
	}
	config := &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
	if c.Cert != "" {
		pair, err := c.Certificate()
		if err != nil {
			return nil, err
		}
		config.Certificates = []tls.Certificate{pair}
	}
	return config, nil
}
