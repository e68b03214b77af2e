package adopt

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// wanted returns the options of a portal that must have another value, with the value.
func (p *plan) wanted(one portal) map[string]string {
	want := map[string]string{}
	set := func(name, value string) {
		if one.options[name].value != value {
			want[name] = value
		}
	}
	publish := p.publish
	if own := posts(one); own != "" && p.kind == machine {
		publish = own // its own, not what another portal has
	}
	set("path_to_publish", publish+"/bitrix/pub/")
	if rpc := one.options["path_to_json_rpc"].value; rpc != "" {
		set("path_to_json_rpc", p.publish+"/bitrix/api/")
	}
	for _, f := range p.faults { // each of these has been explained
		for name, value := range map[string]string{
			"path_to_mobile_listener": "http://#DOMAIN#/bitrix/sub/", "path_to_mobile_listener_secure": "https://#DOMAIN#/bitrix/sub/",
			"nginx": "Y", "nginx_version": "4",
		} {
			if option, ok := one.options[name]; ok && option.at == f.at {
				set(name, value)
			}
		}
	}
	for name, standard := range map[string]string{
		"path_to_listener": "http://#DOMAIN#/bitrix/sub/", "path_to_listener_secure": "https://#DOMAIN#/bitrix/sub/",
		"path_to_modern_listener": "http://#DOMAIN#/bitrix/sub/", "path_to_modern_listener_secure": "https://#DOMAIN#/bitrix/sub/",
		"path_to_mobile_listener": "http://#DOMAIN#/bitrix/sub/", "path_to_mobile_listener_secure": "https://#DOMAIN#/bitrix/sub/",
		"path_to_websocket": "ws://#DOMAIN#/bitrix/subws/", "path_to_websocket_secure": "wss://#DOMAIN#/bitrix/subws/",
		"path_to_publish_web": "http://#DOMAIN#/bitrix/rest/", "path_to_publish_web_secure": "https://#DOMAIN#/bitrix/rest/",
	} {
		if strings.Contains(one.options[name].value, "#/push-server-") {
			set(name, standard)
		}
	}
	return want
}

// planPortals plans what to set in each portal, and how to undo it. It never writes to a portal.
func (p *plan) planPortals() {
	if len(p.portals) == 0 {
		p.portalSteps = append(p.portalSteps, "No portal's options were found. Look at them (docs/configuration.md), at least at path_to_publish: "+p.publish+"/bitrix/pub/")
	}
	for i, one := range p.portals {
		name := fmt.Sprintf("portal/options-%d", i+1)
		if len(p.portals) == 1 {
			name = "portal/options"
		}
		want := p.wanted(one)
		if len(want) == 0 && !p.fresh {
			p.portalSteps = append(p.portalSteps, one.at.file+": nothing.")
			continue
		}
		where := "run " + p.out + "/" + name + ".php in the portal's PHP command line, or " + name + ".sql in its database (and clear the managed cache)"
		if one.php {
			where = "change these lines in section pull (what was saved on the portal's settings page wins over them)"
		}
		p.portalChanges = true
		p.portalSteps = append(p.portalSteps, one.at.String()+": "+where+":")
		for _, option := range slices.Sorted(maps.Keys(want)) {
			p.portalSteps = append(p.portalSteps, "  "+phpLine(option, want[option])+before(one, option))
		}
		back := map[string]string{}
		for option := range want {
			back[option] = one.options[option].value
		}
		if p.fresh {
			p.portalSteps = append(p.portalSteps, "  'signature_key' => the new key, which is in "+p.out+"/"+name+"-key.php (only its owner can read it)")
			p.addSecret(name+"-key.php", phpScript(one, map[string]string{"signature_key": p.keys[0]}))
			back["signature_key"] = one.options["signature_key"].value
		}
		p.add(name+".php", phpScript(one, want))
		if !one.php {
			p.add(name+".sql", sqlScript(want))
			p.addSecret("rollback/"+name+".sql", sqlScript(back))
		}
		p.addSecret("rollback/"+name+".php", phpScript(one, back))
	}
}

func before(one portal, option string) string {
	was := one.options[option].value
	if was == "" {
		return ""
	}
	return "   // was " + withoutPassword(was)
}

// passwordOfURL matches what stands between the scheme and the host of an address. It may be one
// that package url does not understand.
var passwordOfURL = regexp.MustCompile(`(//[^/@:]*:)[^/]*@`)

// withoutPassword returns an address for the plan.
func withoutPassword(address string) string {
	return passwordOfURL.ReplaceAllString(address, "${1}xxxxx@")
}

func phpQuote(text string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(text) + "'"
}

func phpLine(name, value string) string { return phpQuote(name) + " => " + phpQuote(value) + "," }

// phpScript returns PHP that sets options: lines of .settings.php for a portal that has them there,
// else calls. An empty value deletes the option.
func phpScript(one portal, options map[string]string) string {
	var b strings.Builder
	if one.php {
		// A closing tag would end the comment.
		b.WriteString("// Lines of section pull in " + strings.ReplaceAll(oneLine(one.at.file), "?>", "? >") + ".\n")
	}
	for _, name := range slices.Sorted(maps.Keys(options)) {
		switch value := options[name]; {
		case one.php && value == "":
			fmt.Fprintf(&b, "// without %s\n", phpQuote(name))
		case one.php:
			b.WriteString(phpLine(name, value) + "\n")
		case value == "":
			fmt.Fprintf(&b, "\\Bitrix\\Main\\Config\\Option::delete('pull', ['name' => %s]);\n", phpQuote(name))
		default:
			fmt.Fprintf(&b, "\\Bitrix\\Main\\Config\\Option::set('pull', %s, %s);\n", phpQuote(name), phpQuote(value))
		}
	}
	return b.String()
}

func sqlScript(options map[string]string) string {
	var b strings.Builder
	quote := func(text string) string { return "'" + strings.NewReplacer(`\`, `\\`, `'`, `''`).Replace(text) + "'" }
	for _, name := range slices.Sorted(maps.Keys(options)) {
		fmt.Fprintf(&b, "DELETE FROM b_option WHERE MODULE_ID = 'pull' AND NAME = %s;\n", quote(name))
		if options[name] != "" {
			fmt.Fprintf(&b, "INSERT INTO b_option (MODULE_ID, NAME, VALUE) VALUES ('pull', %s, %s);\n", quote(name), quote(options[name]))
		}
	}
	return b.String()
}
