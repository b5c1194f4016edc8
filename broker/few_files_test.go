package broker

const fewFilesEnv = "TOCSIN_TEST_FEW_FILES"

func serveWithFewFiles() int { return 0 }
