//! Black-box tests: the real binary over real sockets.

mod bad_frames;
mod bad_tokens;
mod bounds;
mod browser;
mod corpus;
mod drain;
mod grants;
mod harness;
mod listeners;
mod resume;
