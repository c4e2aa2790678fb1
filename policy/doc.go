// Package policy answers one question: do we want this mail? It evaluates the
// restriction lists of the operator (postconf(5) smtpd_*_restrictions), the
// access tables of access(5) and the restriction class of each recipient.
//
// A restriction is a row of a table (rules.go): its name, its argument, what
// it needs to know, and a function. Lists are compiled from text (list.go) and
// evaluated by one algebra (eval.go), which no restriction changes:
//
//   - permit ends the list it stands in, and that list only;
//   - a refusal ends the command;
//   - dunno goes on;
//   - defer_if_permit and defer_if_reject turn a later outcome into "try again".
//
// The outcome is a Verdict, a value without words: package smtp gives it words.
// A name that nothing defines, and a restriction that is not built, answer
// 451 4.3.5 and lose nothing.
package policy
