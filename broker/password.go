package broker

import "errors"

// HashPassword returns the argon2id hash of a password in PHC form, with a salt
// of its own.
func HashPassword(password string) (string, error) { return "", errors.New("not written yet") }

// CheckPassword says whether hash was made of password. The error is for a hash
// that cannot be read.
func CheckPassword(hash, password string) (bool, error) { return false, errors.New("not written yet") }
