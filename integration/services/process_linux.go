package services

import "syscall"

// attributes keep a terminal's Ctrl-C from services, which are stopped after
// what uses them, and end them with this process.
func attributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
