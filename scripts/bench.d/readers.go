// Part of the coverage table of scripts/bench: the clock and a file's time, without any C library.
package main

import (
	"fmt"
	"os"
	"time"
)

func main() {
	fmt.Println("go-now", time.Now().Unix())
	if info, err := os.Stat(os.Args[1]); err == nil {
		fmt.Println("go-stat", info.ModTime().Unix())
	}
}
