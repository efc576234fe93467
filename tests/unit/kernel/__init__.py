"""The kernel judge: lines, rules, crashes, incidents."""
