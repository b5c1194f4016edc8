package main

import "fmt"

// What is set aside of the files that the process may open, where there are enough.
const (
	otherFiles = 256 // the store, the history, and deliveries
	httpFiles  = 256 // connections to the HTTP server
)

// divideFiles divides the files that the process may open, so that nobody who
// connects takes those that others need: deliveries are made and readiness is told
// while strangers hold all that they get. Where files are few the store and the
// deliveries get five eighths of them, and HTTP an eighth.
func divideFiles(limit uint64) (devices, http int) {
	files := int(min(limit, 1<<30)) // #nosec G115 -- "infinity" is the largest number
	http = min(httpFiles, files/8)
	return files - http - min(otherFiles, files*5/8), http
}

// judgeLimit looks at whether as many devices as may connect get a file each.
func judgeLimit(limit uint64, connections int) finding {
	if devices, _ := divideFiles(limit); devices < connections {
		return finding{suspect, "limits",
			fmt.Sprintf("%d files may be open here, which leaves %d for devices, and %d may connect", limit, devices, connections),
			fmt.Sprintf("set LimitNOFILE=%d in the unit, or ulimit -n, or lower broker.embedded.max_connections", connections+otherFiles+httpFiles)}
	}
	return finding{fine, "limits", fmt.Sprintf("%d files may be open here, and %d devices may connect", limit, connections), ""}
}
