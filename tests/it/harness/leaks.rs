//! What must not be in any log: every token that was signed or given here, and what descriptions and candidates
//! look like. Each router of the suite is looked at when its test is over.

use std::{
    collections::HashSet,
    sync::{Mutex, PoisonError},
};

/// How every description, every candidate and every JWT of ours begins (`{"alg":`, `{"typ":` in base64).
const MARKS: [&str; 4] = ["v=0", "candidate:", "eyJhbGciOi", "eyJ0eXAiOi"];

/// Signatures and resume tokens: unbroken runs of base64url.
static SECRETS: Mutex<Option<HashSet<String>>> = Mutex::new(None);

/// A token that was signed here, or given to a client: its last part is searched for, which proves it.
pub(crate) fn remember(token: &str) {
    let run = token.rsplit('.').next().unwrap_or(token);
    // a forged or empty signature is no secret
    if run.len() >= 32 {
        let mut secrets = SECRETS.lock().unwrap_or_else(PoisonError::into_inner);
        secrets.get_or_insert_default().insert(run.to_owned());
    }
}

/// The lines of a log that say what they must not.
pub(crate) fn leaks(log: &str) -> Vec<&str> {
    let secrets = SECRETS.lock().unwrap_or_else(PoisonError::into_inner);
    let is_secret = |run: &str| secrets.as_ref().is_some_and(|secrets| secrets.contains(run));
    let leaks = |line: &str| {
        let mut runs = line.split(|c: char| !c.is_ascii_alphanumeric() && c != '-' && c != '_');
        MARKS.iter().any(|mark| line.contains(mark)) || runs.any(is_secret)
    };
    log.lines().filter(|line| leaks(line)).collect()
}

#[test]
fn a_leak_is_found_and_what_is_none_is_not() {
    let token = super::Token::new("r", "alice").sign();
    let signature = token.rsplit('.').next().unwrap();
    remember("AQAAAAAAAAAABAAAAARzZXNzaW9uAAAAAXIAAAADa2V5");
    for line in [
        token.clone(),
        format!("{{\"token\":\"{signature}\"}}"),
        "resume_token=AQAAAAAAAAAABAAAAARzZXNzaW9uAAAAAXIAAAADa2V5".to_owned(),
        "sdp v=0\\r\\n".to_owned(),
        "a=candidate:1 1 udp".to_owned(),
    ] {
        assert_eq!(leaks(&format!("harmless\n{line}\n")), [line.as_str()], "{line}");
    }
    let line = format!("session=AQAAAAAAAAAABAAAAARzZXNzaW9u peer_ip=127.0.0.1 {}", &signature[1..]);
    assert_eq!(leaks(&line), [""; 0]);
}
