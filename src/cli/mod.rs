//! The command line: one file a command; the only place where everything meets.
