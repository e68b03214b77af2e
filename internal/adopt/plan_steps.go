package adopt

import (
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"
)

// beginIDsAnew is a step of the way back, to be taken after pushgate has stopped and before the
// original starts. It is a remark because the address of that Redis may need a password or a shell
// in a container.
const beginIDsAnew = "# now, in the original's Redis (-s, -h, -p, -n as it needs): redis-cli del server:startdate; without it clients miss messages"

// planSteps lists what to run to change, and to go back.
func (p *plan) planSteps() {
	switch p.kind {
	case machine:
		p.machineSteps()
	case compose:
		p.composeSteps()
	case kubernetes:
		p.change = []string{
			"# build the image first and push it to your registry (docs/install/docker.md); name it in " + p.shellOut + "/kubernetes/pushgate.yaml instead of pushgate",
			"kubectl apply -f " + p.shellOut + "/kubernetes/secret.yaml -f " + p.shellOut + "/kubernetes/pushgate.yaml",
		}
		p.back = []string{"kubectl delete -f " + p.shellOut + "/kubernetes/pushgate.yaml -f " + p.shellOut + "/kubernetes/secret.yaml"}
	}
	if len(p.nginxSteps) > 0 && !strings.HasPrefix(p.nginxSteps[0], "Nothing") {
		apply := "nginx -t && nginx -s reload"
		if len(p.nginx.open) > 0 {
			// A reload does not bind one address of a port that is open on all, nor the other way
			// round: it goes on with the old configuration, and nginx -t does not notice.
			apply = "nginx -t && systemctl restart nginx (a reload cannot change that address)"
		}
		change := "# nginx, as above; then: " + apply
		back := "# nginx: the files of " + p.shellOut + "/rollback/files, back to their places; then: " + apply
		if p.kind == kubernetes {
			change, back = "# the Ingress, as above", "# the Ingress: the paths that it has in "+p.shellOut+"/rollback/files"
		}
		p.change = append(p.change, change)
		p.back = append([]string{back}, p.back...)
	}
	p.change = append(p.change, "# the portal's own self-test of the push server")
	if p.portalChanges {
		p.change = slices.Insert(p.change, len(p.change)-1, "# the portal, as above")
		p.back = append(p.back, "# the portal: "+p.shellOut+"/rollback/portal/, in the same way")
	}
}

func (p *plan) machineSteps() {
	var all []string
	if some := ports(p.edges); len(some) > 0 {
		all = append(all, units("edge", some))
	}
	if some := ports(p.publishers); len(some) > 0 {
		all = append(all, units("publisher", some))
	}
	ours := strings.Join(all, " ")
	check := "redis-server --version # if it is older than 7.0: another one for the unit pushgate-redis, or on another machine (docs/migrate.md, A system that is too old)"
	if p.centos7.file != "" {
		check = "# these steps need EL 9 or Debian 12: this system's Redis and systemd are too old (docs/migrate.md, A system that is too old)"
	}
	p.change = []string{
		check,
		"# install pushgate's package first (docs/install.md): it brings the units edge@, publisher@ and pushgate-redis",
		"install -m 640 -g pushgate " + p.shellOut + "/portals.json /etc/pushgate/portals.json",
		"install -m 600 " + p.shellOut + "/pushgate.env /etc/pushgate/pushgate.env",
	}
	p.back = []string{
		"systemctl disable --now " + ours + " && systemctl stop 'edge-next@*'",
		beginIDsAnew,
		"systemctl enable --now push-server",
		"systemctl disable --now pushgate-redis",
	}
	if dropIns := p.dropIns(); len(dropIns) > 0 {
		p.change = append(p.change, "cp -r "+p.shellOut+"/systemd/. /etc/systemd/system/ && systemctl daemon-reload")
		p.back = append(p.back, "rm "+strings.Join(dropIns, " ")+" && systemctl daemon-reload")
	}
	p.change = append(p.change, "systemctl enable --now pushgate-redis", "systemctl disable --now push-server && systemctl enable --now "+ours)
	for name := range p.rollback {
		if strings.Contains(name, "logrotate.d/") {
			p.change = append(p.change, "rm "+shellQuote("/"+name))
			p.back = append(p.back, "cp "+p.shellOut+"/rollback/files/"+shellQuote(name)+" "+shellQuote("/"+name))
		}
	}
}

// dropIns returns where the drop-ins of the plan are installed.
func (p *plan) dropIns() (paths []string) {
	for _, f := range p.files {
		if name, ok := strings.CutPrefix(f.name, "systemd/"); ok {
			paths = append(paths, "/etc/systemd/system/"+name)
		}
	}
	return paths
}

func (p *plan) composeSteps() {
	var files, envs, originals []string
	for _, v := range p.services {
		ours := slices.ContainsFunc(p.processes, func(one process) bool { return one.name == v.name }) || len(p.contained) > 0 && p.contained[0].name == v.name
		if ours && !slices.Contains(files, shellQuote(v.at.file)) {
			files = append(files, shellQuote(v.at.file))
		}
	}
	for _, name := range sortedKeys(p.referred) {
		envs = append(envs, "--env-file "+shellQuote(name))
	}
	if len(envs) == 1 && p.referred[".env"] {
		envs = nil // compose reads it by itself
	}
	for _, v := range p.services {
		for _, name := range v.profiles {
			if flag := "--profile " + shellQuote(name); !slices.Contains(envs, flag) {
				envs = append(envs, flag)
			}
		}
	}
	for _, one := range append(slices.Clone(p.edges), p.publishers...) {
		originals = append(originals, one.name)
	}
	today := strings.Join(append(append([]string{"docker compose"}, envs...), "-f "+strings.Join(files, " -f ")), " ")
	p.change = []string{
		"# build the image first, in a copy of the source (docs/install/docker.md): docker build -t pushgate .",
		today + " -f " + p.shellOut + "/compose.pushgate.yml up -d",
	}
	p.back = []string{
		fmt.Sprintf("%s -f %s/compose.pushgate.yml rm -sf push-redis %s", today, p.shellOut, strings.Join(originals, " ")),
		beginIDsAnew,
		today + " up -d",
	}
}

// planRollback adds the files as they are today, and how to go back.
func (p *plan) planRollback() {
	var b strings.Builder
	b.WriteString("# Back to the original\n\nAs root, or as the user who runs the containers:\n\n```sh\n" + strings.Join(p.back, "\n") + "\n```\n\n")
	b.WriteString("Messages that pushgate holds and clients have not read yet are not carried over: clients reconnect by themselves.\n")
	b.WriteString("Before the original starts, delete a key in its Redis: `redis-cli del server:startdate`. Otherwise its ids are lower than those that clients have, and they miss what is published until they are back.\n")
	b.WriteString("The directory `rollback/files` has each file that the plan changes, or that the original was set up by, as it was:\n\n")
	for _, name := range sortedKeys(p.rollback) {
		below := path.Clean("/" + name) // of --options it may be a path such as ../.settings.php
		b.WriteString("* `" + oneLine(below) + "`\n")
		p.addSecret("rollback/files"+below, string(p.rollback[name]))
	}
	p.add("ROLLBACK.md", b.String())
}

// shellQuote returns a word as a shell wants it.
func shellQuote(word string) string {
	if regexp.MustCompile(`^[A-Za-z0-9_@%+=:,./-]+$`).MatchString(word) {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}
