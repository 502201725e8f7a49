//! What a node's answer to a call means: for who asked, for the node's health, and for the count.
//!
//! Pure. What a node wrote reaches a client only in part: it may quote what another client said, or be anything.

use std::borrow::Cow;

use tonic::{Code as Grpc, Status};

use crate::{
    event::Called,
    protocol::{Code, Refusal, v1},
};

/// Of what a node wrote, so much is passed on.
const SAID_CHARS_MAX: usize = 120;
/// A longer word is no word of a message: a token, a candidate, a key.
const WORD_CHARS_MAX: usize = 24;
/// When to ask again, after a node that could not be reached: it is tried again within that.
pub(super) const RETRY_MS: u64 = 1_000;

/// What became of a call that was sent.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) outcome: Called,
    pub(super) result: Result<Option<v1::SessionDescription>, Refusal>,
}

impl Answer {
    /// The node did as it was asked.
    pub(super) fn done(description: Option<v1::SessionDescription>) -> Self {
        Self { outcome: Called::Done, result: Ok(description) }
    }

    /// No answer came before the deadline.
    pub(super) fn late() -> Self {
        Self {
            outcome: Called::Late,
            result: Err(Code::DeadlineExceeded.because("the media node did not answer in time")),
        }
    }

    /// An answer came that is none.
    pub(super) fn garbage(what: &'static str) -> Self {
        Self { outcome: Called::Failed, result: Err(unavailable(format!("the media node's answer {what}"))) }
    }

    /// That status came, of the node or of the way to it.
    pub(super) fn of(status: &Status) -> Self {
        let refused =
            |code: Code| Self { outcome: Called::Refused, result: Err(code.because(said(code, status.message()))) };
        match status.code() {
            Grpc::NotFound => refused(Code::ParticipantNotFound),
            Grpc::InvalidArgument | Grpc::OutOfRange => refused(Code::BadRequest),
            Grpc::PermissionDenied => refused(Code::PermissionDenied),
            Grpc::ResourceExhausted => {
                let Self { outcome, result } = refused(Code::MediaOverloaded);
                Self { outcome, result: result.map_err(|refusal| refusal.retry_after_ms(RETRY_MS)) }
            }
            Grpc::DeadlineExceeded => Self::late(),
            other => Self { outcome: Called::Failed, result: Err(unavailable(failure(other))) },
        }
    }

    /// Whether the node is to be trusted with the next call: it answered, a refusal included.
    pub(super) fn is_of_the_node(&self) -> bool {
        matches!(self.outcome, Called::Done | Called::Refused)
    }
}

/// The node cannot be called now.
pub(super) fn unavailable(why: impl Into<Cow<'static, str>>) -> Refusal {
    Code::MediaUnavailable.because(why).retry_after_ms(RETRY_MS)
}

/// In our words: which status, and nothing of its text.
fn failure(code: Grpc) -> &'static str {
    match code {
        Grpc::Unavailable => "the media node cannot be reached",
        Grpc::Unimplemented => "the media node does not know this call",
        Grpc::Unauthenticated => "the media node does not accept this router",
        Grpc::Cancelled | Grpc::Aborted => "the media node gave the call up",
        _ => "the media node failed",
    }
}

/// What the node said, as far as it looks like a sentence.
fn said(code: Code, message: &str) -> String {
    let line: String = message
        .chars()
        .take_while(|c| !c.is_control())
        .take(SAID_CHARS_MAX)
        .filter(|c| c.is_ascii_alphanumeric() || " ,.:;()_-".contains(*c))
        .collect();
    let words: Vec<&str> = line.split(' ').filter(|word| (1..=WORD_CHARS_MAX).contains(&word.len())).collect();
    match words.is_empty() {
        true => format!("{} (the media node)", code.text()),
        false => format!("the media node: {}", words.join(" ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_status_of_the_contract_has_its_code_and_the_rest_is_a_failure_of_the_node() {
        let cases = [
            (Grpc::NotFound, Code::ParticipantNotFound, Called::Refused),
            (Grpc::InvalidArgument, Code::BadRequest, Called::Refused),
            (Grpc::PermissionDenied, Code::PermissionDenied, Called::Refused),
            (Grpc::ResourceExhausted, Code::MediaOverloaded, Called::Refused),
            (Grpc::DeadlineExceeded, Code::DeadlineExceeded, Called::Late),
            (Grpc::Unavailable, Code::MediaUnavailable, Called::Failed),
            (Grpc::Internal, Code::MediaUnavailable, Called::Failed),
            (Grpc::Unknown, Code::MediaUnavailable, Called::Failed),
            (Grpc::Unimplemented, Code::MediaUnavailable, Called::Failed),
            (Grpc::Ok, Code::MediaUnavailable, Called::Failed),
        ];
        for (status, code, outcome) in cases {
            let answer = Answer::of(&Status::new(status, "x"));
            let refusal = answer.result.as_ref().unwrap_err();
            assert_eq!((refusal.code, answer.outcome), (code, outcome), "{status:?}");
            assert_eq!(answer.is_of_the_node(), outcome == Called::Refused);
            let again = [Code::MediaOverloaded, Code::MediaUnavailable].contains(&code);
            assert_eq!(refusal.retry_after_ms, again.then_some(RETRY_MS), "{status:?}");
        }
    }

    #[test]
    fn what_a_node_wrote_passes_as_a_short_sentence_and_never_as_an_sdp_or_a_token() {
        let passed = |message: &str| {
            let refusal = Answer::of(&Status::invalid_argument(message)).result.unwrap_err();
            refusal.message.into_owned()
        };
        assert_eq!(passed("the SDP has no m-line"), "the media node: the SDP has no m-line");
        assert_eq!(passed(""), "bad request (the media node)");
        assert_eq!(passed("\u{1b}[31mred"), "bad request (the media node)");
        let sdp = passed("cannot read v=0\r\na=ice-pwd:verysecretpassword\r\n");
        assert_eq!(sdp, "the media node: cannot read v0");
        let token = format!("bad token {}.{}", "e".repeat(40), "s".repeat(40));
        assert_eq!(passed(&token), "the media node: bad token");
        assert!(passed(&"word ".repeat(1_000)).len() < 2 * SAID_CHARS_MAX);
        // a failure says nothing that the node wrote
        let failed = Answer::of(&Status::internal("thread panicked at ice-pwd:secret")).result.unwrap_err();
        assert_eq!(failed.message, "the media node failed");
    }
}
