//go:build race

package test

// underRace: this process looks for races. The program that it starts does not.
const underRace = true
