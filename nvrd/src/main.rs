//! The program: arguments to subcommands.

fn main() {}
