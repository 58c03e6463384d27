package executor

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/drakkar-go/drakkar"
)

// fake is a resident program that does as its tasks say. Its own encoding is
// apart from that of the pool.
type fake struct {
	in      *bufio.Reader
	framing string
	served  int
}

// fakeRequest is a request as the program reads it.
type fakeRequest struct {
	ID    int             `json:"id"`
	Task  string          `json:"task"`
	Args  []drakkar.Bytes `json:"args"`
	Stdin *drakkar.Bytes  `json:"stdin"`
}

// residentHelper is the helper of that name. The first argument says how it
// begins.
func residentHelper(args []string) error {
	f := &fake{in: bufio.NewReader(os.Stdin), framing: os.Getenv(ResidentEnv)}
	switch beginning := strings.Join(args, " "); beginning {
	case "":
		f.say(map[string]int{"ready": 1})
	case "exits":
		return errors.New("no model")
	case "silent":
		_, err := io.Copy(io.Discard, f.in)
		return err
	default:
		fmt.Print(beginning)
	}
	for {
		req, err := f.read()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if f.do(req, req.Args[0].String(), req.Args[1:]) {
			return nil
		}
		f.served++
	}
}

func (f *fake) read() (req fakeRequest, err error) {
	if f.framing == FramingLength {
		var length uint32
		if err := binary.Read(f.in, binary.BigEndian, &length); err != nil {
			return req, err
		}
		message := make([]byte, length)
		if _, err := io.ReadFull(f.in, message); err != nil {
			return req, err
		}
		return req, json.Unmarshal(message, &req)
	}
	line, err := f.in.ReadBytes('\n')
	if err != nil {
		return req, err
	}
	return req, json.Unmarshal(line, &req)
}

// encode is a message as a frame.
func (f *fake) encode(v any) []byte {
	message, err := json.Marshal(v)
	if err != nil {
		panic(err) // the program ends with it, and its test fails
	}
	return f.frame(message)
}

func (f *fake) frame(message []byte) []byte {
	if f.framing == FramingLength {
		return append(binary.BigEndian.AppendUint32(nil, uint32(len(message))), message...)
	}
	return append(message, '\n')
}

func (f *fake) say(v any) { _, _ = os.Stdout.Write(f.encode(v)) }

// fields are the fields of a message.
type fields = map[string]any

// do does what a task says and reports whether the program is to end.
func (f *fake) do(req fakeRequest, what string, args []drakkar.Bytes) (end bool) {
	arg := ""
	if len(args) > 0 {
		arg = args[0].String()
	}
	answer := fields{"id": req.ID, "exit_code": 0}
	switch what {
	case "echo":
		answer["stdout"] = args[0]
	case "stdin":
		answer["stdout"] = req.Stdin
	case "count":
		answer["stdout"] = strconv.Itoa(f.served)
	case "task":
		answer["stdout"] = req.Task + " " + strconv.Itoa(req.ID)
	case "where":
		dir, _ := os.Getwd()
		answer["stdout"] = fmt.Sprintf("%s %s %s", dir, os.Getenv("WHO"), strings.Join(os.Args[1:], " "))
	case "code":
		answer["exit_code"], _ = strconv.Atoi(arg)
		answer["stderr"] = "  \nbad luck\nmore"
	case "stderr":
		fmt.Fprint(os.Stderr, arg)
	case "both":
		fmt.Fprint(os.Stderr, "pipe\n")
		answer["stderr"] = "answer\n"
	case "late":
		f.say(answer)
		<-time.After(200 * time.Millisecond)
		fmt.Fprint(os.Stderr, arg)
		return false
	case "big":
		n, _ := strconv.Atoi(arg)
		answer["stdout"] = strings.Repeat("x", n)
	case "grow":
		n, _ := strconv.Atoi(arg)
		kept = make([]byte, n)
		for i := 0; i < n; i += 4096 {
			kept[i] = 1
		}
	default:
		return f.misbehave(req, what, arg)
	}
	f.say(answer)
	return false
}

// kept is memory that the program does not give back.
var kept []byte

// misbehave is the rest of do: what a program must not do.
func (f *fake) misbehave(req fakeRequest, what, arg string) (end bool) {
	answer := fields{"id": req.ID, "exit_code": 0}
	switch what {
	case "raw": // its arguments as they are
		fmt.Print(arg)
		return false
	case "message":
		_, _ = os.Stdout.Write(f.frame([]byte(arg)))
		return false
	case "twice":
		_, _ = os.Stdout.Write(append(f.encode(answer), f.encode(answer)...))
		return false
	case "later": // answers once more when it is asked the next time
		f.say(answer)
		_, _ = f.in.Peek(1)
		f.say(answer)
		return false
	case "never":
		fmt.Fprint(os.Stderr, "thinking\n")
		fmt.Print(arg)
		<-time.After(time.Hour)
	case "stubborn":
		signal.Ignore(syscall.SIGTERM)
		fmt.Fprint(os.Stderr, "thinking\n")
		<-time.After(time.Hour)
	case "hurries": // answers with what it has when it is told to end
		told := make(chan os.Signal, 1)
		signal.Notify(told, syscall.SIGTERM)
		fmt.Fprint(os.Stderr, "thinking\n")
		<-told
		answer["stdout"] = "half"
		f.say(answer)
		return true
	case "crash":
		fmt.Fprint(os.Stderr, "oh no\n")
		code, _ := strconv.Atoi(arg)
		os.Exit(code)
	case "killed":
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	case "leaves": // ends in order behind its answer
		f.say(answer)
		return true
	case "deaf": // closes its input behind its answer
		_ = os.Stdin.Close()
		f.say(answer)
		<-time.After(time.Hour)
	case "mute":
		_ = os.Stdout.Close()
		<-time.After(time.Hour)
	case "daemon": // leaves behind a descendant that has its pipes
		cmd := exec.Command("sleep", "600")
		cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
		cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
		_ = cmd.Start()
		answer["stdout"] = strconv.Itoa(cmd.Process.Pid)
		f.say(answer)
		return false
	case "dies": // leaves behind such a descendant, and no answer
		cmd := exec.Command("sleep", "600")
		cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
		cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
		_ = cmd.Start()
		os.Exit(3)
	}
	return false
}

// ask is a task for the resident helper.
func ask(t *testing.T, args ...string) drakkar.Task {
	t.Helper()

	task := helperTask(t, "resident", args...)
	task.Mode = drakkar.ModeResident
	task.Env["GORACE"] = "atexit_sleep_ms=0" // else each takes a second to end
	return task
}
