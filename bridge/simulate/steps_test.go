package simulate

import (
	"errors"
	"fmt"
	"runtime"
	"testing/synctest"
	"time"

	"tocsin/bridge"
	"tocsin/rules"
)

// live makes a plan happen and judges it. It returns what was broken, and the story.
func (w *world) live() ([]string, []string) {
	w.mu.Lock()
	w.listening()
	w.mu.Unlock()
	w.start()
	for _, d := range w.devices {
		w.talking.Go(d.run)
	}
	for i, s := range w.plan.steps {
		w.n = i + 1
		w.note("%v", s)
		w.happen(s)
		w.pass(s)
		if w.judgeStep(); len(w.broken()) > 0 {
			break
		}
	}
	if w.settle(); len(w.broken()) == 0 {
		w.judgeEnd()
	}
	close(w.over)
	w.bury()
	w.talking.Wait()
	synctest.Wait()
	return w.broken(), w.story()
}

func (w *world) broken() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.complains
}

// pass lets the time of a step go by, and buries and follows a process that has
// vanished meanwhile.
func (w *world) pass(s step) {
	synctest.Wait()
	time.Sleep(s.wait)
	synctest.Wait()
	if l := w.running(); l != nil && l.gone() {
		w.bury()
		time.Sleep(time.Second)
		w.start()
	}
}

func (w *world) running() *life {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.life
}

func (w *world) happen(s step) {
	l := w.running()
	if l == nil {
		return
	}
	switch s.what {
	case "reading", "other", "burst":
		w.speak(s)
	case "wait":
	case "answer":
		w.receivers[s.who].set(s.text)
	case "kill":
		w.die(l)
		w.bury()
		time.Sleep(s.wait)
		w.start()
	case "restart":
		w.bury()
		time.Sleep(s.wait)
		w.start()
	case "kill-before", "kill-after":
		w.mu.Lock()
		l.doomed, l.left = s.what, s.n
		w.mu.Unlock()
	case "link", "full", "slow":
		w.toggle(l, s)
	case "forget":
		w.mu.Lock()
		since, sure := w.fullSince, w.full && l.stuck
		w.mu.Unlock()
		if sure {
			w.device(s.who).forget(since)
		}
	case "same", "changed", "broken":
		w.reload(l, s.what)
	default:
		w.operate(l, s)
	}
}

func (w *world) device(id string) *device {
	for _, d := range w.devices {
		if d.id == id {
			return d
		}
	}
	return nil
}

func (w *world) speak(s step) {
	d := w.device(s.who)
	switch s.what {
	case "reading":
		d.say(message{payload: fmt.Sprintf(`{"temperature":%v}`, s.value), value: s.value, modeled: true, contact: true})
	case "other":
		d.say(message{payload: s.text})
	case "burst":
		for i := range s.n {
			d.say(message{payload: fmt.Sprintf(`{"level":%d}`, i%5), contact: true})
		}
	}
}

// toggle begins or ends a fault that lasts.
func (w *world) toggle(l *life, s step) {
	w.mu.Lock()
	switch s.what {
	case "link":
		w.linked = !w.linked
	case "full":
		w.full = !w.full
		w.fullSince = time.Now()
	case "slow":
		w.slow = !w.slow
	}
	linked := w.linked
	w.listening()
	w.mu.Unlock()
	if !linked {
		l.door.cut()
	}
}

func (w *world) reload(l *life, how string) {
	text := w.rules
	switch how {
	case "broken":
		if _, err := compile(text + "[rule.bad]\nmetric = \"level\"\nabove = 1\nclear = 3\n"); err == nil {
			w.wrong("the harness", "a broken file compiles")
		}
		return
	case "changed":
		if text = w.plan.changed; text == w.rules {
			text = w.plan.rules
		}
	}
	program, err := compile(text)
	if err != nil {
		w.wrong("the harness", "%v", err)
		return
	}
	before := w.told(l)
	_, err = l.Reload(w.t.Context(), bridge.Reloaded{Program: program, Endpoints: w.endpoints(l)})
	if err == nil || w.excused(l) {
		w.rules = text
	} else {
		w.wrong("P3 a reload is taken", "%v", err)
	}
	synctest.Wait()
	if how == "same" && !l.gone() {
		w.same("P3 a reload of the same tells nothing", before, w.told(l))
	}
}

// excused reports whether the bridge may refuse now.
func (w *world) excused(l *life) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return l.gone() || l.stuck || w.full
}

// operate is what a person does.
func (w *world) operate(l *life, s step) {
	ctx, r := w.t.Context(), w.receivers[s.who]
	var err error
	switch s.what {
	case "ack", "shelve", "unshelve":
		verb := map[string]rules.Verb{"ack": rules.Ack, "shelve": rules.Shelve, "unshelve": rules.Unshelve}[s.what]
		episode := ""
		if a, err := l.Alarm(ctx, s.text); err == nil && a.State != "inactive" && a.State != "pending" {
			episode = a.Episode
		}
		err = l.Command(ctx, rules.Command{Verb: verb, Key: s.text, By: "ann", Until: time.Now().Add(10 * time.Minute)})
		if err == nil && s.what == "ack" {
			w.acked[s.text] = episode
		}
		if errors.Is(err, bridge.ErrCommand) {
			err = nil
		}
	case "pause":
		err = l.Pause(ctx, s.who, "maintenance")
		synctest.Wait()
		if err == nil && !l.gone() {
			r.mu.Lock()
			r.off = true
			r.mu.Unlock()
		}
	case "enable", "latest", "discard":
		err = w.enable(l, s.who, map[string]bridge.Resumption{"enable": bridge.ResumeAll, "latest": bridge.ResumeLatest, "discard": bridge.ResumeNone}[s.what])
	case "replay":
		_, err = l.Replay(ctx, bridge.Selection{Endpoint: s.who, Since: time.Now().Add(-time.Hour)}, false)
	case "move":
		w.moved[s.who]++
		r.mu.Lock()
		r.held = time.Time{} // that was another receiver
		r.mu.Unlock()
		w.reload(l, "other endpoints")
	}
	if err != nil && !w.excused(l) {
		w.wrong("P8 a person is obeyed", "%s %s: %v", s.what, s.who, err)
	}
}

func (w *world) enable(l *life, name string, how bridge.Resumption) error {
	w.receivers[name].free()
	_, err := l.Enable(w.t.Context(), name, how, false)
	return err
}

// settle ends all faults, and waits until nothing is owed by anybody.
func (w *world) settle() {
	w.mu.Lock()
	w.linked, w.full, w.slow = true, false, false
	if w.life != nil {
		w.life.doomed = ""
	}
	w.listening()
	w.mu.Unlock()
	for _, r := range w.receivers {
		r.set("accept")
	}
	time.Sleep(20 * time.Second) // attempts under way end
	synctest.Wait()
	l := w.running()
	if l == nil {
		return
	}
	for _, name := range []string{"ops", "crm"} {
		if err := w.enable(l, name, bridge.ResumeAll); err != nil {
			w.wrong("P8 a person is obeyed", "enabling %s: %v", name, err)
		}
	}
	time.Sleep(2 * time.Hour)
	synctest.Wait()
	if n := runtime.NumGoroutine(); n > 500 {
		w.wrong("P6 bounded", "%d goroutines", n)
	}
}
