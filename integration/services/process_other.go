//go:build !linux

package services

import "syscall"

// attributes keep a terminal's Ctrl-C from services, which are stopped after
// what uses them.
func attributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true}
}
