package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"tocsin/broker"
)

// maxPassword is what an MQTT client can send as a password.
const maxPassword = 65535

func newHashPasswordCommand(e env) *cobra.Command {
	return &cobra.Command{
		Use:   "hash-password",
		Short: "Turn a device's password into the hash that the configuration takes",
		Long: `Hash-password reads a password and prints its argon2id hash for
[broker.embedded.user.NAME]. On a terminal it asks twice and shows nothing;
otherwise it reads one line from standard input.`,
		Example: `  (umask 077; tocsin hash-password > secrets/sensors.hash)
  pass show sensors | tocsin hash-password`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			password, err := readPassword(cmd.Context(), e)
			if err != nil {
				return err
			}
			hash, err := broker.HashPassword(password)
			if err != nil {
				return fmt.Errorf("hashing the password: %w", err)
			}
			_, err = fmt.Fprintln(e.Stdout, hash)
			return err
		},
	}
}

func readPassword(ctx context.Context, e env) (string, error) {
	tty, ok := e.Stdin.(*os.File)
	if !ok || !isTerminal(tty) {
		return passwordLine(e.Stdin)
	}
	first, err := askHidden(ctx, tty, e.Stderr, "Password: ")
	if err != nil {
		return "", err
	}
	second, err := askHidden(ctx, tty, e.Stderr, "Once more: ")
	if err != nil {
		return "", err
	}
	if first != second {
		return "", refused("stdin: the two passwords differ (start again)")
	}
	return first, nil
}

// passwordLine reads the one line that in holds. More than one is refused
// rather than cut: half of what was meant is a password nobody knows.
func passwordLine(in io.Reader) (string, error) {
	data, err := io.ReadAll(io.LimitReader(in, maxPassword+3))
	if err != nil {
		return "", fmt.Errorf("stdin: %w", err)
	}
	return onePassword(data)
}

func onePassword(data []byte) (string, error) {
	line := bytes.TrimSuffix(bytes.TrimSuffix(data, []byte("\n")), []byte("\r"))
	switch {
	case len(line) == 0:
		return "", refused("stdin: the password is empty (write it on one line)")
	case bytes.ContainsAny(line, "\r\n"):
		return "", refused("stdin: there is more than one line (write the password alone)")
	case len(line) > maxPassword:
		return "", refused("stdin: the password is longer than %d bytes (MQTT carries no more)", maxPassword)
	}
	return string(line), nil
}

// askHidden asks on a terminal without showing what is typed. The terminal is
// put back also when ctx ends first; the read under way cannot be called off
// and ends with the process.
func askHidden(ctx context.Context, tty *os.File, prompt io.Writer, question string) (string, error) {
	restore, err := hideInput(tty)
	if err != nil {
		return "", fmt.Errorf("hiding what is typed: %w (pipe the password in instead)", err)
	}
	defer restore()
	fmt.Fprint(prompt, question)
	defer fmt.Fprintln(prompt) // the typed newline was hidden too
	type answer struct {
		line []byte
		err  error
	}
	typed := make(chan answer, 1)
	go func() {
		line, err := readTerminalLine(tty)
		typed <- answer{line, err}
	}()
	select {
	case <-ctx.Done():
		return "", errors.New("interrupted")
	case a := <-typed:
		if a.err != nil {
			return "", fmt.Errorf("reading the password: %w", a.err)
		}
		return onePassword(a.line)
	}
}

// readTerminalLine reads to the end of a line and not a byte further: what
// follows answers the next question.
func readTerminalLine(in io.Reader) ([]byte, error) {
	var line []byte
	buf := make([]byte, 1)
	for len(line) <= maxPassword {
		n, err := in.Read(buf)
		if n > 0 {
			line = append(line, buf[0])
			if buf[0] == '\n' {
				return line, nil
			}
		}
		if errors.Is(err, io.EOF) {
			return line, nil
		}
		if err != nil {
			return nil, err
		}
	}
	return line, nil
}
