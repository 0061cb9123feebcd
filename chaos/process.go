package chaos

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
)

// workerVariable holds what a worker process is to do. It is the test binary itself.
const workerVariable = "EVENTSOURCE_CHAOS_WORKER"

// process is a running worker process.
type process struct {
	config Config
	cmd    *exec.Cmd
	stdin  io.WriteCloser
	stdout *bufio.Reader
	stderr bytes.Buffer
	ended  chan struct{} // closed once it has ended
	err    error         // then: how
}

// start starts a worker process.
func start(config Config) (*process, error) {
	text, err := json.Marshal(config)
	if err != nil {
		return nil, err
	}
	p := &process{config: config, ended: make(chan struct{})}
	p.cmd = exec.Command(os.Args[0]) // ended by its standard input
	p.cmd.Env = append(os.Environ(), workerVariable+"="+string(text))
	p.cmd.Stderr = &p.stderr
	if p.stdin, err = p.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	stdout, answers, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	p.stdout, p.cmd.Stdout = bufio.NewReader(stdout), answers
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	_ = answers.Close() // the process has it
	go func() {
		p.err = p.cmd.Wait()
		close(p.ended)
	}()
	return p, nil
}

// kill ends the process with SIGKILL and waits until it is gone.
func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	<-p.ended
}

// freeze stops the process with SIGSTOP until thaw.
func (p *process) freeze() error { return p.cmd.Process.Signal(syscall.SIGSTOP) }
func (p *process) thaw() error   { return p.cmd.Process.Signal(syscall.SIGCONT) }

// quiet has the process save no more events.
func (p *process) quiet(ctx context.Context) error {
	if _, err := fmt.Fprintln(p.stdin); err != nil {
		return p.failure("was to be quiet", err)
	}
	stop := context.AfterFunc(ctx, p.kill)
	defer stop()
	if _, err := p.stdout.ReadString('\n'); err != nil {
		return p.failure("was to be quiet", err)
	}
	return nil
}

// finish has the process read what there is and end.
func (p *process) finish(ctx context.Context) error {
	_ = p.stdin.Close()
	stop := context.AfterFunc(ctx, p.kill)
	defer stop()
	<-p.ended
	if p.err != nil {
		return p.failure("was to end", p.err)
	}
	return nil
}

// failure says what became of the process.
func (p *process) failure(doing string, err error) error {
	select {
	case <-p.ended:
		err = fmt.Errorf("%w\n%s", errors.Join(err, p.err), strings.TrimSpace(p.stderr.String()))
	default: // its standard error is still being written
	}
	return fmt.Errorf("worker %s %s: %w", p.config.process(), doing, err)
}
