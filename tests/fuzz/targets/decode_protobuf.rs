//! Any bytes as a Protobuf frame.
#![no_main]

#[path = "../check.rs"]
mod check;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| check::decoder(signalbox::protocol::Encoding::Protobuf, bytes));
