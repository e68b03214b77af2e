package config

import (
	"errors"
	"fmt"
	"net/netip"
	"path"
	"strings"

	"pushgate/internal/channel"
)

func parseGrammar(generation string) (any, error) {
	switch generation {
	case "1":
		return channel.Alphanumeric, nil
	case "2":
		return channel.Hex, nil
	default:
		return nil, fmt.Errorf("unknown generation %q", generation)
	}
}

// Networks is a list of networks.
type Networks []netip.Prefix

// UnmarshalText reads networks in CIDR form, or single addresses, that are separated by commas.
func (n *Networks) UnmarshalText(text []byte) error {
	*n = nil
	for entry := range strings.SplitSeq(string(text), ",") {
		prefix, err := parseNetwork(strings.TrimSpace(entry))
		if err != nil {
			return fmt.Errorf("invalid network %q", entry)
		}
		*n = append(*n, prefix)
	}
	return nil
}

func parseNetwork(s string) (netip.Prefix, error) {
	if !strings.Contains(s, "/") {
		addr, err := netip.ParseAddr(s)
		if err != nil || addr.Zone() != "" {
			return netip.Prefix{}, errors.New("not an address")
		}
		addr = addr.Unmap()
		return netip.PrefixFrom(addr, addr.BitLen()), nil
	}
	prefix, err := netip.ParsePrefix(s)
	if err != nil {
		return prefix, err
	}
	if mapped := prefix.Addr(); mapped.Is4In6() {
		if prefix.Bits() < 96 {
			return prefix, errors.New("wider than IPv4")
		}
		prefix = netip.PrefixFrom(mapped.Unmap(), prefix.Bits()-96)
	}
	if prefix != prefix.Masked() {
		// 10.1.2.3/8 may be meant as 10.0.0.0/8 or as 10.1.2.3/32.
		return prefix, errors.New("address bits beyond the mask")
	}
	return prefix, nil
}

// Origins is a list of host patterns, in the syntax of [path.Match].
type Origins []string

// UnmarshalText reads patterns that are separated by commas.
func (o *Origins) UnmarshalText(text []byte) error {
	*o = nil
	for pattern := range strings.SplitSeq(string(text), ",") {
		pattern = strings.TrimSpace(pattern)
		if _, err := path.Match(pattern, ""); err != nil || pattern == "" {
			return fmt.Errorf("invalid host pattern %q", pattern)
		}
		*o = append(*o, pattern)
	}
	return nil
}
