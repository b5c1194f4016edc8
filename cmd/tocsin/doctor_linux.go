package main

import "golang.org/x/sys/unix"

// clockIsKept asks the kernel whether something keeps the clock right, as
// adjtimex(2) says it.
func clockIsKept() (kept, known bool) {
	var t unix.Timex
	state, err := unix.Adjtimex(&t)
	return state != unix.TIME_ERROR && t.Status&unix.STA_UNSYNC == 0, err == nil
}

// freeSpace is how much of a disk is left to us.
func freeSpace(dir string) (int64, bool) {
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		return 0, false
	}
	return int64(s.Bavail) * s.Bsize, true // #nosec G115 -- a disk is no larger
}

// fileSystem says what is to be said of the file system that a folder is in.
func fileSystem(dir string) (finding, bool) {
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		return finding{}, false
	}
	return judgeFileSystem(int64(s.Type))
}

func judgeFileSystem(magic int64) (finding, bool) {
	switch magic {
	case unix.TMPFS_MAGIC, unix.RAMFS_MAGIC:
		return finding{suspect, "disk", "the store is in memory", "all of it is lost with the power: choose a store.path on a disk"}, true
	case unix.NFS_SUPER_MAGIC, unix.SMB_SUPER_MAGIC, unix.SMB2_SUPER_MAGIC, unix.CIFS_SUPER_MAGIC:
		return finding{wrong, "disk", "the store is on another machine's disk", "locks and syncs cannot be relied on there: choose a store.path on a disk of this machine"}, true
	}
	return finding{}, false
}

// openFiles is how many files a process of ours may have open.
func openFiles() (uint64, bool) {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return 0, false
	}
	return limit.Max, true // to which a program of Go raises its own
}
