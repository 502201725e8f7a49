//! What becomes of events: metrics, logs.

pub mod catalog;
pub mod logs;
pub mod observe;
