//! The imperative shell: the round, and what carries its decisions out. Knows the ports, not AWS.
