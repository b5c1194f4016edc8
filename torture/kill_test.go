//go:build linux

package torture

import (
	"syscall"
	"time"
)

// killScenes end the process, or stop it for a while.
func killScenes() []scene {
	return []scene{
		{row: "F1", name: "kill -9 at random", strike: killAtRandom},
		{row: "F1", name: "kill -9 at random with another broker", mosquitto: true, strike: killAtRandom},
		{row: "F18", name: "suspended", strike: func(s *stage) {
			s.b.signal(syscall.SIGSTOP)
			s.goOn(3 * time.Second)
			s.b.signal(syscall.SIGCONT)
		}},
		{row: "F21", name: "SIGTERM under load", strike: func(s *stage) {
			for range 3 {
				s.goOn(500 * time.Millisecond)
				if code := s.b.stop(); code != 0 {
					s.Errorf("%s: exit code %d after SIGTERM:\n%s", plain, code, s.tail())
				}
				s.startReady()
			}
		}},
	}
}

// killAtRandom kills at random moments, start-ups included.
func killAtRandom(s *stage) {
	for range 6 {
		s.goOn(300 * time.Millisecond)
		s.b.kill()
		s.start()
	}
	s.goOn(100 * time.Millisecond)
	s.b.kill()
}
