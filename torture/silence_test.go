//go:build linux

package torture

import (
	"strings"
	"syscall"
	"time"
)

// silenceScenes are about time in which nobody listens: it says nothing of devices.
func silenceScenes() []scene {
	short := func(s *stage) {
		s.silent = 6 * time.Second
		s.write("rules/rules.toml", strings.Replace(rules, `silent   = "20s"`, `silent   = "6s"`, 1))
	}
	return []scene{
		{row: "F18", name: "suspended for longer than a device may be silent", before: short, strike: func(s *stage) {
			s.b.signal(syscall.SIGSTOP)
			pause(7 * time.Second)
			s.b.signal(syscall.SIGCONT)
		}},
		{row: "F1", name: "away for longer than a device may be silent", before: short, strike: func(s *stage) {
			s.b.kill()
			pause(7 * time.Second)
		}},
	}
}
