package config

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// Sources is what policies may have their identity sources use of the worker's machine, besides secrets.
type Sources struct {
	// Folders are, by organization, the absolute paths of the folders in which exported files may be read.
	Folders map[string][]string
	// CAs are the authorities for the certificates of sources' servers. Nil: those of the system.
	CAs *x509.CertPool
}

// Sources reads the file of certificates, which are trusted besides the system's.
func (w Worker) Sources() (Sources, error) {
	folders, _ := folderMap(w.SourceFolders) // rejects has parsed it before
	sources := Sources{Folders: folders}
	if w.SourceCA == "" {
		return sources, nil
	}
	pem, err := os.ReadFile(w.SourceCA)
	if err != nil {
		return Sources{}, fmt.Errorf("CASTELLAN_SOURCE_CA: %w", err)
	}
	if sources.CAs, err = x509.SystemCertPool(); err != nil {
		sources.CAs = x509.NewCertPool()
	}
	if !sources.CAs.AppendCertsFromPEM(pem) {
		return Sources{}, fmt.Errorf("CASTELLAN_SOURCE_CA: %s holds no certificate: it is expected as PEM, which begins with -----BEGIN CERTIFICATE-----", w.SourceCA)
	}
	return sources, nil
}

func (w Worker) rejectsSources(variable string) bool {
	switch variable {
	case "CASTELLAN_SECRET_HOSTS":
		_, err := hostMap(w.SecretHosts)
		return err != nil
	case "CASTELLAN_SOURCE_FOLDERS":
		_, err := folderMap(w.SourceFolders)
		return err != nil
	case "CASTELLAN_SOURCE_CA":
		return w.SourceCA != "" && !filepath.IsAbs(w.SourceCA)
	}
	return false
}

// checkHosts returns nil if the organization's secret may be sent to all the hosts.
func (s Secrets) checkHosts(org, ref string, hosts []string) error {
	bound := s.Hosts[org][ref]
	var missing []string
	for _, host := range hosts {
		at, err := hostAndPort(host)
		if err != nil {
			return err
		}
		if !slices.Contains(bound, at) && !slices.Contains(missing, at) {
			missing = append(missing, at)
		}
	}
	switch {
	case len(hosts) == 0:
		return errors.New("it is not said to which host it would be sent")
	case len(missing) == 0:
		return nil
	}
	what := "no source may have it"
	if len(bound) > 0 {
		what = "it may be sent to " + strings.Join(bound, " and ") + " only"
	}
	return fmt.Errorf("%s: if %s may receive it, have whoever runs the worker add to CASTELLAN_SECRET_HOSTS, after a comma if there is more: %s=%s@%s",
		what, strings.Join(missing, " and "), org, ref, strings.Join(missing, "+"))
}

// hostMap parses CASTELLAN_SECRET_HOSTS: ORGANIZATION=REFERENCE@HOST:PORT, with a + between several hosts, as often as
// needed. A path may have an @ in it, a host has none.
func hostMap(entries []string) (map[string]map[string][]string, error) {
	all := map[string]map[string][]string{}
	for _, entry := range entries {
		org, rest, _ := strings.Cut(strings.TrimSpace(entry), "=")
		at := strings.LastIndex(rest, "@")
		if !orgForm.MatchString(org) || at < 0 || !isReference(rest[:at]) {
			return nil, fmt.Errorf("what stands for organization %.50q is no reference with hosts", org)
		}
		ref := rest[:at]
		if all[org] == nil {
			all[org] = map[string][]string{}
		}
		for host := range strings.SplitSeq(rest[at+1:], "+") {
			bound, err := hostAndPort(host)
			if err != nil {
				return nil, err
			}
			all[org][ref] = append(all[org][ref], bound)
		}
	}
	return all, nil
}

const httpsPort = "443"

var hostForm = regexp.MustCompile(`^[A-Za-z0-9_]([A-Za-z0-9_.-]{0,252}[A-Za-z0-9_])?$`)

// hostAndPort returns HOST or HOST:PORT in the form in which two are compared. Letters other than ASCII's are refused:
// some of them look like others once they are in lower case.
func hostAndPort(text string) (string, error) {
	host, port, err := net.SplitHostPort(text)
	if err != nil {
		host, port = strings.TrimSuffix(strings.TrimPrefix(text, "["), "]"), httpsPort
	}
	number, errPort := netip.ParseAddrPort("127.0.0.1:" + port)
	ip, errIP := netip.ParseAddr(host)
	switch {
	case errPort != nil || number.Port() == 0 || errIP != nil && !hostForm.MatchString(host):
		return "", fmt.Errorf("%.100q is no host: write a name such as dc1.acme.example, in plain letters (an international name in its form with xn--), and perhaps a port", text)
	case errIP == nil:
		host = ip.String()
	}
	return net.JoinHostPort(strings.ToLower(host), fmt.Sprint(number.Port())), nil
}

// folderMap parses CASTELLAN_SOURCE_FOLDERS: ORGANIZATION=/PATH, as often as needed.
func folderMap(pairs []string) (map[string][]string, error) {
	folders := map[string][]string{}
	for _, pair := range pairs {
		org, folder, _ := strings.Cut(strings.TrimSpace(pair), "=")
		if !orgForm.MatchString(org) || !filepath.IsAbs(folder) || filepath.Clean(folder) != folder || folder == "/" {
			return nil, fmt.Errorf("what stands for organization %.50q is no folder", org)
		}
		folders[org] = append(folders[org], folder)
	}
	return folders, nil
}
