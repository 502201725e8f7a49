//! Black-box tests: the real binary over real sockets, on ports of its own.

mod bad_input;
mod calls;
mod command_line;
mod harness;
