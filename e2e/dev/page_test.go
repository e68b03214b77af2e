package dev

import (
	"fmt"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"

	"pushgate/internal/testkit"
)

func TestPageShowsDelivery(t *testing.T) {
	url, _ := startDev(t, "127.0.0.1:0")
	p := openTab(t, url)
	p.waitState("ws", "open")
	p.waitState("poll", "held")
	p.waitState("sleeper", "open")

	p.publish("Good morning, everybody", 60)
	mid := ""
	for _, column := range []string{"ws", "poll", "sleeper"} {
		c := p.waitCard(column, "Good morning, everybody", "live")
		if !regexp.MustCompile(`^\d{26}$`).MatchString(c.MID) || !regexp.MustCompile(`^(\d+\.\d ms|after \d+\.\d s)$`).MatchString(c.Age) || c.Type != "im_message" || c.Channel != "private" {
			t.Errorf("%s shows %+v", column, c)
		}
		if mid != "" && c.MID != mid {
			t.Errorf("%s shows id %s, another column %s", column, c.MID, mid)
		}
		mid = c.MID
		if shown := p.text("#" + column + "-mid"); shown != mid {
			t.Errorf("%s shows last mid %s, want %s", column, shown, mid)
		}
	}
	p.Wait("document.querySelector('#count-published').textContent === '1'")
	p.Wait("document.querySelector('#count-delivered').textContent === '3'")
	p.Wait("document.querySelector('#count-websockets').textContent === '2'")

	p.click("#channel-shared + span")
	p.publish("To all of the portal", 60)
	if c := p.waitCard("ws", "To all of the portal", "live"); c.Channel != "shared" {
		t.Errorf("shared message shown as %+v", c)
	}
	p.waitCard("poll", "To all of the portal", "live")
	p.check()
}

// TestPageKeepsPolling makes polls end all the time, with 304 until the first message. Messages
// that are published between two polls must be neither lost nor doubled.
func TestPageKeepsPolling(t *testing.T) {
	url, _ := startDev(t, "127.0.0.1:0", "PUSHGATE_POLL_TIMEOUT=100ms")
	config := devConfig(t, url)
	testkit.Publish(t, config.Publish+"?CHANNEL_ID="+config.Channels["private"].ID, "60", "{}")
	p := openTab(t, url)
	// Only a 304 can have brought it.
	p.Wait(`/^\d{26}$/.test(document.querySelector('#poll-mid').textContent)`)
	if got := p.cards("poll"); len(got) > 0 {
		t.Errorf("without a mid the poll column got %v", got)
	}
	var want []string
	for i := range 30 {
		text := fmt.Sprintf("number %d", i)
		want = append([]string{text}, want...)
		testkit.Publish(t, config.Publish+"?CHANNEL_ID="+config.Channels["shared"].ID, "60", `{"module_id":"im","command":"message","params":{"text":"`+text+`"}}`)
	}
	p.Wait("document.querySelectorAll('#poll-messages li').length >= 30")
	var got []string
	for _, c := range p.cards("poll") {
		got = append(got, c.Text)
	}
	if !slices.Equal(got, want) {
		t.Errorf("the poll column shows %q", got)
	}
	p.check()
}

func TestPageWakesSleeper(t *testing.T) {
	url, _ := startDev(t, "127.0.0.1:0")
	p := openTab(t, url)
	p.waitState("ws", "open")
	p.waitState("poll", "held")
	p.waitState("sleeper", "open")
	p.publish("Before the nap", 60)
	cursor := p.waitCard("sleeper", "Before the nap", "live").MID

	p.click("#sleep")
	p.waitState("sleeper", "asleep")
	p.publish("Lunch at one?", 60)
	p.publish("Anna is typing …", 1)
	p.publish("See you there", 3600)
	p.waitCard("sleeper", "Lunch at one?", "waiting")
	p.waitCard("sleeper", "Anna is typing …", "expired")
	p.waitCard("sleeper", "See you there", "waiting")
	config := devConfig(t, url)
	testkit.Eventually(t, "the log has forgotten the short one", func() bool {
		history := testkit.Get(t, config.Poll+"?CHANNEL_ID="+config.ChannelID+"&mid="+cursor).Body
		return !strings.Contains(history, "typing")
	})

	p.click("#sleep")
	p.Wait("document.querySelector('#sleeper-note').textContent === 'Awake. 2 replayed, 1 had expired.'")
	p.screenshots()
	type shown struct{ text, state string }
	var got []shown
	for _, c := range p.cards("sleeper") {
		got = append(got, shown{c.Text, c.State})
	}
	want := []shown{{"See you there", "replayed"}, {"Anna is typing …", "expired"}, {"Lunch at one?", "replayed"}, {"Before the nap", "live"}}
	if !slices.Equal(got, want) {
		t.Errorf("the sleeper shows %v, want %v", got, want)
	}
	p.publish("Awake again", 60)
	p.waitCard("sleeper", "Awake again", "live")
	p.check()
}

func TestPageCopiesWorkingCurl(t *testing.T) {
	curl, err := exec.LookPath("curl")
	if err != nil {
		t.Skip("no curl on this machine")
	}
	url, _ := startDev(t, "127.0.0.1:0")
	p := openTab(t, url)
	p.allowClipboard()
	p.waitState("ws", "open")
	p.waitState("poll", "held")

	const text = `It's "quoted" \ $HOME – ünïcode`
	p.fill(text, 60)
	p.click("#copy-publish")
	p.Wait("document.querySelector('#copy-publish').textContent === 'Copied'")
	line := p.clipboard()
	if out, err := exec.Command("sh", "-c", strings.Replace(line, "curl", curl+" -sSf", 1)).CombinedOutput(); err != nil || len(out) > 0 {
		t.Fatalf("%s\n%v: %s", line, err, out)
	}
	p.waitCard("ws", text, "live")
	p.waitCard("poll", text, "live")

	p.click("#copy-subscribe")
	p.Wait("document.querySelector('#copy-subscribe').textContent === 'Copied'")
	listen := exec.Command("sh", "-c", "exec "+strings.Replace(p.clipboard(), "curl", curl+" -sSf", 1))
	var answer strings.Builder
	listen.Stdout, listen.Stderr = &answer, &answer
	if err := listen.Start(); err != nil {
		t.Fatal(err)
	}
	p.Wait("document.querySelector('#count-polls').textContent === '2'")
	p.publish("For curl, too", 60)
	if err := listen.Wait(); err != nil || !strings.Contains(answer.String(), "For curl, too") {
		t.Errorf("curl: %v: %s", err, &answer)
	}
	p.check()
}

func TestPageTellsTrouble(t *testing.T) {
	url, stop := startDev(t, "127.0.0.1:0")
	p := openTab(t, url)
	p.waitState("ws", "open")
	p.publish(strings.Repeat("x", 1<<20), 60)
	if status := p.text("#send-status"); status != "refused with 413" {
		t.Errorf("a body that is too large: %q", status)
	}
	p.Wait("document.querySelector('#problems').textContent.includes('413')")

	// Another server at the same address, with other keys: the page must fetch its ids anew, as
	// after every 4010.
	stop()
	p.Wait("document.body.classList.contains('unreachable')")
	startDev(t, strings.TrimPrefix(url, "http://"))
	p.Wait("!document.body.classList.contains('unreachable')")
	// The second refusal of the same ids is held for a moment; until then the old poll looks held.
	p.Wait("document.querySelector('#problems').textContent.includes('Poll refused with 400')")
	p.waitState("ws", "open")
	p.waitState("poll", "held")
	p.Wait("document.querySelector('#count-websockets').textContent === '2'")
	p.publish("After the restart", 60)
	p.waitCard("ws", "After the restart", "live")
	p.waitCard("poll", "After the restart", "live")
}
