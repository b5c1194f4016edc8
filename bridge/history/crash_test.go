package history

func appendForEver(string) int { return 0 }
