//go:build !linux

package stack

import "syscall"

func dieWithParent() *syscall.SysProcAttr { return nil }
