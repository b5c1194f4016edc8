//go:build linux

package torture

import (
	"context"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"
)

// loadScenes are about what a machine has too little of, and what operators do too often.
func loadScenes() []scene {
	return []scene{
		{row: "F10", name: "too few files", needs: program("prlimit"), wrapper: []string{"prlimit", "--nofile=64:64", "--"}, strike: tooFewFiles},
		{row: "F10", name: "too little memory", env: []string{"GOMEMLIMIT=24MiB"}, strike: tooLittleMemory},
		{row: "F10", name: "too little processor", needs: program("nice"), wrapper: []string{"nice", "-n", "19"}, strike: tooLittleProcessor},
		{row: "F19", name: "reloads without end", strike: reloads},
		{row: "F21", name: "SIGTERM while a receiver hangs", before: longAttempts, strike: stopWhileHanging},
		{row: "F21", name: "SIGTERM twice", before: longAttempts, strike: stopTwice},
		{row: "F21", name: "SIGTERM while starting", strike: stopWhileStarting},
	}
}

// program is why a scene cannot do without one that is not there.
func program(name string) func() string {
	return func() string {
		if _, err := exec.LookPath(name); err != nil {
			return "no " + name + " on this machine"
		}
		return ""
	}
}

// tooFewFiles has strangers on both ports take all the files that they get, and come
// again when they are dropped, while every delivery needs a file of its own.
func tooFewFiles(s *stage) {
	http.DefaultClient.CloseIdleConnections() // who asks has no connection from before either
	s.canary.answer(func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Connection", "close") })
	defer s.canary.behave(nil)
	come, stop := context.WithCancel(s.Context())
	defer stop()
	leave := make(chan struct{})
	var strangers sync.WaitGroup
	defer strangers.Wait()
	defer close(leave)
	for _, address := range []string{s.mqtt, s.b.address("http")} {
		for i := range 80 {
			strangers.Go(func() { stranger(come, leave, address, i) })
		}
	}
	s.goesOn()
	s.goOn(6 * time.Second) // they are dropped meanwhile, and come again
	s.goesOn()
	stop()
	var answer string
	if !within(deadline, func() bool {
		var status int
		status, answer = s.b.get("/readyz")
		return status != 0
	}) {
		s.Errorf("%s: /readyz is not reached: %s\n%s", unharmed, answer, s.tail())
	}
	s.hears(utterance{log: "which leaves 16 for devices", metric: "tocsin_broker_connections_refused_total", labels: []string{`reason="files"`}})
	s.hears(utterance{log: "as many connections are open as there are files for"})
	if !s.b.alive() {
		s.Fatalf("%s: it ended for want of files:\n%s", healed, s.tail())
	}
	if strings.Contains(s.b.said(), "too many open files") {
		s.Errorf("%s: strangers had the files of others:\n%s", unharmed, s.tail())
	}
}

// stranger holds a connection and says nothing, and makes another when it is dropped,
// until nobody comes any more; what is held then is held until all leave.
func stranger(come context.Context, leave <-chan struct{}, address string, i int) {
	from := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 1, byte(1+i%8))}} // no address has a share in all
	for come.Err() == nil {
		c, err := from.DialContext(come, "tcp", address)
		if err == nil {
			dropped := make(chan struct{})
			go func() { defer close(dropped); _, _ = io.Copy(io.Discard, c) }()
			select {
			case <-dropped:
			case <-leave:
			}
			_ = c.Close()
			<-dropped
		}
		pause(200 * time.Millisecond)
	}
}

// tooLittleMemory has many messages at once, and clients that come and go, with a
// limit that the collector can hardly keep.
func tooLittleMemory(s *stage) {
	for range 3 {
		s.ops.behave(answers(429, "Retry-After", "1"))
		s.goesOn()
		s.ops.behave(nil)
		s.goOn(500 * time.Millisecond)
	}
	f, err := s.b.footprint()
	if err != nil || f.rss > 100 {
		s.Errorf("%s: %d MiB resident with GOMEMLIMIT=24MiB (%v)", bounded, f.rss, err)
	}
}

// tooLittleProcessor has others take the processor from the bridge, which yields to
// everybody.
func tooLittleProcessor(s *stage) {
	for range 4 {
		busy := exec.Command("timeout", "6", "sh", "-c", "while :; do :; done")
		busy.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
		if err := busy.Start(); err != nil {
			s.Fatal(err)
		}
		defer func() { _ = syscall.Kill(-busy.Process.Pid, syscall.SIGKILL); _ = busy.Wait() }()
	}
	s.goesOn()
	if !s.isReady() {
		s.Errorf("%s: not ready, though all that is wrong is slowness:\n%s", unharmed, s.tail())
	}
}

// reloads saves the configuration again and again, good, changed and broken, and asks
// for it to be read by signal and by API.
func reloads(s *stage) {
	good := s.read("tocsin.toml")
	goodRules := s.read("rules/rules.toml")
	turns := []struct{ what, config, rules string }{
		{"good", good, goodRules},
		{"changed", strings.ReplaceAll(good, `timeout = "1s"`, `timeout = "2s"`), goodRules},
		{"broken", strings.Replace(good, "schema = 1", "schema = one", 1), goodRules},
		{"another rule", good, goodRules + "[rule.never]\nmetric = \"temperature\"\nabove = \"59 °C\"\n"},
		{"an unknown key", good + "[endpoint.third]\nurll = \"http://127.0.0.1:9/\"\n", goodRules},
		{"another endpoint", good + thirdEndpoint, goodRules},
		{"broken rules", good, strings.Replace(goodRules, `"-12 °C"`, `"-12 furlongs"`, 1)},
		{"no secret", strings.Replace(good, "secrets/signing", "secrets/gone", 1), goodRules},
	}
	rejected, accepted := 0, 0
	for round := range 24 {
		turn := turns[s.draw.IntN(len(turns))]
		s.replace("rules/rules.toml", turn.rules)
		s.replace("tocsin.toml", turn.config)
		if round%2 == 0 {
			s.b.signal(syscall.SIGHUP)
			pause(50 * time.Millisecond)
			continue
		}
		status, text := s.b.post("/api/v1/reload")
		switch status {
		case http.StatusOK:
			accepted++
		case http.StatusUnprocessableEntity:
			rejected++
		default:
			s.Errorf("%s: a reload of what is %s is answered %d: %.300s", plain, turn.what, status, text)
		}
		if wrong := strings.Contains(turn.what, "broken") || strings.HasPrefix(turn.what, "an unknown") || turn.what == "no secret"; wrong != (status != http.StatusOK) {
			s.Errorf("%s: a reload of what is %s is answered %d: %.300s", plain, turn.what, status, text)
		}
		if !s.isReady() {
			s.Errorf("%s: not ready while it reloads", unharmed)
		}
	}
	if rejected == 0 || accepted == 0 {
		s.Errorf("%d reloads were accepted and %d rejected: nothing was tried", accepted, rejected)
	}
	s.replace("tocsin.toml", turns[2].config)
	if status, text := s.b.post("/api/v1/reload"); status != http.StatusUnprocessableEntity || !strings.Contains(text, "tocsin.toml") {
		s.Errorf("%s: a broken configuration is answered %d: %.300s", plain, status, text)
	}
	s.hears(utterance{log: "configuration"})
	if v := s.b.metric("tocsin_config_last_reload_success"); v != 0 {
		s.Errorf("%s: tocsin_config_last_reload_success is %v with a broken configuration", outspoken, v)
	}
	s.goesOn()
	s.replace("rules/rules.toml", goodRules)
	s.replace("tocsin.toml", good)
	if status, text := s.b.post("/api/v1/reload"); status != http.StatusOK {
		s.Errorf("%s: the configuration that it began with is answered %d: %.300s", healed, status, text)
	}
	s.hears(utterance{metric: "tocsin_config_last_reload_success"})
}

// thirdEndpoint is told nothing.
const thirdEndpoint = `[endpoint.third]
url    = "http://127.0.0.1:9/"
secret = { file = "secrets/signing" }
match  = { types = ["device.new"], labels = { nobody = "has this" } }
egress = { allow_http = true, allow_cidrs = ["127.0.0.0/8"] }
`

// replace saves a file as editors and deployments do.
func (s *stage) replace(name, text string) {
	s.Helper()
	s.write(name+".new", text)
	if err := os.Rename(s.path(name+".new"), s.path(name)); err != nil {
		s.Fatal(err)
	}
}

// longAttempts has attempts last longer than anybody would wait for a stop.
func longAttempts(s *stage) {
	s.write("tocsin.toml", strings.ReplaceAll(s.configuration(), `timeout = "1s"`, `timeout = "2m"`))
}

// occupied has an attempt be under way that nobody answers.
func (s *stage) occupied() {
	s.Helper()
	s.ops.behave(hangs)
	came := s.ops.requests()
	s.eventually("a receiver hangs", func() bool { return s.ops.requests() > came })
}

// stopWhileHanging stops the bridge under load while attempts wait for an answer that
// does not come. It gives them their grace, and no more.
func stopWhileHanging(s *stage) {
	for range 2 {
		s.occupied()
		if code := s.b.stop(); code != 0 { // within the deadline, which is less than the attempt's
			s.Errorf("%s: exit code %d after SIGTERM:\n%s", plain, code, s.tail())
		}
		s.ops.behave(nil)
		s.startReady()
	}
	s.goesOn()
}

// stopTwice asks again before the bridge has stopped, at which it ends at once.
func stopTwice(s *stage) {
	for range 3 {
		s.occupied()
		s.b.signal(syscall.SIGTERM)
		s.eventually("it is stopping", func() bool { return !s.isReady() })
		s.b.signal(syscall.SIGTERM)
		<-s.b.exited
		state, _ := s.b.cmd.ProcessState.Sys().(syscall.WaitStatus)
		if !state.Signaled() && state.ExitStatus() != 0 {
			s.Errorf("%s: it ended with %v after a second SIGTERM:\n%s", plain, s.b.cmd.ProcessState, s.tail())
		}
		s.ops.behave(nil)
		s.startReady()
		s.goOn(300 * time.Millisecond)
	}
}

// stopWhileStarting asks for the stop at some moment of a start.
func stopWhileStarting(s *stage) {
	if code := s.b.stop(); code != 0 {
		s.Errorf("%s: exit code %d after SIGTERM:\n%s", plain, code, s.tail())
	}
	for i := range 8 {
		s.start()
		pause(time.Duration(s.draw.IntN(150)) * time.Millisecond)
		s.b.signal(syscall.SIGTERM)
		code := s.b.ended()
		state, _ := s.b.cmd.ProcessState.Sys().(syscall.WaitStatus)
		if early := state.Signaled() && s.b.said() == ""; !early && code != 0 { // before it could ask to be told of signals
			s.Errorf("%s: start %d ended with %v after SIGTERM:\n%s", plain, i, s.b.cmd.ProcessState, s.tail())
		}
	}
}
