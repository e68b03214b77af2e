package doctor

import (
	"fmt"
	"strconv"
	"time"
)

// firstLimits is how many limits the text explains.
const firstLimits = 3

var capacityWords = map[string]text{
	"holds":   {"About %s users at a time, then %s give way. %s are connected now. A user is a connection: who has two tabs open counts twice.", "Около %s пользователей одновременно, затем не хватит: %s. Сейчас подключено %s. Пользователь — это соединение: две вкладки считаются дважды."},
	"first":   {"%d. %s users: %s", "%d. %s пользователей: %s"},
	"later":   {"later: %s users: %s", "позже: %s пользователей: %s"},
	"unknown": {"not known: %s: %s", "неизвестно: %s: %s"},
	"opened":  {"Measured with %d connections in %s. Stopped early: %s (%s).", "Измерено на %d соединениях за %s. Прервано: %s (%s)."},
	"whole":   {"Measured with %d connections in %s (%s).", "Измерено на %d соединениях за %s (%s)."},
	"bytes":   {"A connection: edge %s, with garbage %s; nginx %s; kernel %s, with the doctor's end; %s of CPU to make it.", "Соединение: edge %s, с мусором %s; nginx %s; ядро %s вместе с концом у doctor; установка %s CPU."},
	"cpu":     {"A post with a delivery: %s of CPU, of that Redis %s. A delivery to one of many: %s.", "Публикация с доставкой: %s CPU, из них Redis %s. Доставка одному из многих: %s."},
	"late":    {"From a post to its receipt, p99: %s alone, %s at worst.", "От публикации до получения, p99: %s без нагрузки, %s в худшем случае."},
}

// grouped returns a number in groups of three digits.
func grouped(n int64, lang Lang) string {
	separator := ","
	if lang == Russian {
		separator = "\u00a0"
	}
	digits := strconv.FormatInt(n, 10)
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + separator + digits[i:]
	}
	return digits
}

// capacity writes how many users the installation holds, and why.
func (p *printer) capacity(c *Capacity) {
	if c == nil {
		return
	}
	say := func(word string, args ...any) { fmt.Fprintf(&p.b, "  "+capacityWords[word].in(p.lang)+"\n", args...) }
	name := func(id string) string { return texts["capacity."+id].looks.in(p.lang) }
	if len(c.Limits) > 0 {
		say("holds", grouped(c.Limits[0].Users, p.lang), name(c.Limits[0].ID), grouped(c.Users, p.lang))
	}
	for i, l := range c.Limits {
		if i >= firstLimits {
			say("later", grouped(l.Users, p.lang), name(l.ID))
			continue
		}
		say("first", i+1, grouped(l.Users, p.lang), name(l.ID))
		for _, e := range (Finding{Evidence: l.Evidence}).evidence() {
			p.below("  " + e)
		}
		p.below("→ " + texts["capacity."+l.ID].remedy.in(p.lang))
	}
	for _, u := range c.Unknown {
		say("unknown", name(u.ID), reasons[u.why].in(p.lang))
		if u.Evidence != "" {
			p.below("  " + printable(u.Evidence))
		}
	}
	k := c.Costs
	took := k.Took.Round(time.Second / 10)
	if k.Stopped != stopNot {
		say("opened", k.Opened, took, stops[k.Stopped].in(p.lang), printable(k.Saw))
	} else {
		say("whole", k.Opened, took, printable(k.Bounded))
	}
	if k.EdgeBytes > 0 {
		say("bytes", size(k.EdgeBytes), size(k.ResidentBytes), size(k.NginxBytes), size(k.KernelBytes), brief(k.ConnectCPU))
	}
	if k.PostCPU >= 0 {
		say("cpu", brief(k.PostCPU), brief(k.RedisCPU), brief(k.DeliveryCPU))
	}
	if k.P99 > 0 {
		say("late", k.P99Before.Round(10*time.Microsecond), k.P99.Round(10*time.Microsecond))
	}
}

// The capacity as programs read it: fields are added, and never change their meaning. What is not
// known is null.
type (
	jsonCapacity struct {
		Users    int64         `json:"users"`            // connected when it began
		Holds    *int64        `json:"holds"`            // of the first limit
		Limits   []jsonLimit   `json:"limits"`           // the fewest users first
		Unknown  []jsonUnclear `json:"unknown"`          // limits
		Opened   int           `json:"opened"`           // connections
		Bounded  string        `json:"opened_at_most"`   // and why
		Seconds  float64       `json:"seconds"`          // that it took
		Stopped  string        `json:"stopped"`          // why it ended early; "" if it did not
		Saw      string        `json:"stopped_by"`       // evidence of that
		Left     int64         `json:"connections_left"` // more than in the beginning
		Edge     *float64      `json:"edge_bytes"`       // of a connection
		Resident *float64      `json:"edge_resident_bytes"`
		Nginx    *float64      `json:"nginx_bytes"`
		Kernel   *float64      `json:"kernel_bytes"`
		Connect  *float64      `json:"connect_cpu_seconds"`
		Post     *float64      `json:"post_cpu_seconds"`
		Redis    *float64      `json:"post_redis_cpu_seconds"`
		Delivery *float64      `json:"delivery_cpu_seconds"`
		Before   *float64      `json:"p99_before_seconds"`
		P99      *float64      `json:"p99_seconds"`
	}
	jsonLimit struct {
		ID       string   `json:"id"`
		Name     string   `json:"name"`
		Users    int64    `json:"users"`
		Evidence []string `json:"evidence"`
		Remedy   string   `json:"remedy"`
	}
	jsonUnclear struct {
		ID       string   `json:"id"`
		Name     string   `json:"name"`
		Why      string   `json:"why"`
		Evidence []string `json:"evidence"`
	}
)

func (c *Capacity) json(lang Lang) jsonCapacity {
	k := c.Costs
	known := func(n float64) *float64 {
		if n < 0 {
			return nil
		}
		return &n
	}
	seconds := func(d time.Duration) *float64 { return known(d.Seconds()) }
	j := jsonCapacity{Users: c.Users, Limits: []jsonLimit{}, Unknown: []jsonUnclear{}, Opened: k.Opened, Bounded: k.Bounded, Seconds: k.Took.Seconds(),
		Stopped: string(k.Stopped), Saw: printable(k.Saw), Left: k.Left, Edge: known(k.EdgeBytes), Resident: known(k.ResidentBytes), Nginx: known(k.NginxBytes),
		Kernel: known(k.KernelBytes), Connect: seconds(k.ConnectCPU), Post: seconds(k.PostCPU), Redis: seconds(k.RedisCPU), Delivery: seconds(k.DeliveryCPU),
		Before: seconds(k.P99Before), P99: seconds(k.P99)}
	if len(c.Limits) > 0 {
		j.Holds = &c.Limits[0].Users
	}
	for _, l := range c.Limits {
		t := texts["capacity."+l.ID]
		j.Limits = append(j.Limits, jsonLimit{l.ID, t.looks.in(lang), l.Users, Finding{Evidence: l.Evidence}.evidence(), t.remedy.in(lang)})
	}
	for _, u := range c.Unknown {
		unclear := jsonUnclear{u.ID, texts["capacity."+u.ID].looks.in(lang), reasons[u.why].in(lang), []string{}}
		if u.Evidence != "" {
			unclear.Evidence = append(unclear.Evidence, printable(u.Evidence))
		}
		j.Unknown = append(j.Unknown, unclear)
	}
	return j
}
