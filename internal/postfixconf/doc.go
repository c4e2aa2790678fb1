// Package postfixconf reads the configuration of Postfix: main.cf and
// master.cf as postconf(5) and master(5) write them, and the sources of the
// tables that they name. It knows the grammar, not what a parameter does.
package postfixconf
