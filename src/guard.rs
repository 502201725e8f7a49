//! What the router refuses to protect itself and what it calls. Pure: the time comes in, decisions and changes come out.
//!
//! Knows nothing of rooms, sessions or sockets; who counts for whom, and what a refusal looks like, is `io`'s.

pub mod breaker;
pub mod concurrency;
pub mod deadline;
pub mod limits;
pub mod overload;
pub mod rate;
