use super::*;
use crate::protocol::decode;

fn check(json: &str) -> Result<(), Refusal> {
    validate(Encoding::Json, &decode(Encoding::Json, json.as_bytes()).unwrap(), &Limits::default())
}

#[track_caller]
fn refused(json: &str, code: Code, message: &str) {
    let refusal = check(json).expect_err(json);
    assert_eq!((refusal.code, refusal.message.as_ref()), (code, message), "{json:.200}");
}

#[test]
fn a_frame_of_every_op_with_what_it_needs_passes() {
    for frame in [
        r#"{"id":1,"join":{"room":"r"}}"#,
        r#"{"leave":{}}"#,
        r#"{"id":9007199254740991,"resume":{"resume_token":"t","epoch":"e","offset":1,"seq":2}}"#,
        r#"{"publish":{"cid":"c","kind":"audio"}}"#,
        r#"{"unpublish":{"track":"t"}}"#,
        r#"{"mute":{"track":"t","muted":true}}"#,
        r#"{"subscribe":{"tracks":["t"],"subscribed":true}}"#,
        r#"{"signal":{"to":"bob","offer":{"sdp":"v=0"}}}"#,
        r#"{"signal":{"answer":{"sdp":"v=0"}}}"#,
        r#"{"signal":{"to":"bob","candidate":{"candidate":""}}}"#,
        r#"{"signal":{"to":"bob","end_of_candidates":{}}}"#,
        r#"{"send":{"data":null}}"#,
        r#"{"send":{"bytes":""}}"#,
        r#"{"update":{"metadata":""}}"#,
        r#"{"ping":{}}"#,
    ] {
        assert_eq!(check(frame), Ok(()), "{frame}");
    }
}

#[test]
fn a_missing_field_is_named() {
    for (frame, message) in [
        (r#"{"join":{}}"#, "join.room is missing"),
        (r#"{"resume":{"epoch":"e"}}"#, "resume.resume_token is missing"),
        (r#"{"resume":{"resume_token":"t"}}"#, "resume.epoch is missing"),
        (r#"{"publish":{"kind":"audio"}}"#, "publish.cid is missing"),
        (r#"{"publish":{"cid":"c"}}"#, "publish.kind is missing"),
        (r#"{"unpublish":{}}"#, "unpublish.track is missing"),
        (r#"{"mute":{"muted":true}}"#, "mute.track is missing"),
        (r#"{"subscribe":{"subscribed":true}}"#, "subscribe.tracks is missing"),
        (r#"{"subscribe":{"tracks":[""]}}"#, "subscribe.tracks is missing"),
        (r#"{"signal":{"to":"b"}}"#, "signal: one of offer, answer, candidate, end_of_candidates is missing"),
        (r#"{"signal":{"to":"b","offer":{}}}"#, "signal.offer.sdp is missing"),
        (r#"{"signal":{"to":"b","answer":{}}}"#, "signal.answer.sdp is missing"),
        (r#"{"send":{}}"#, "send: data or bytes is missing"),
        (r#"{"update":{}}"#, "update: all of token, name, metadata, attributes, room_metadata are missing; set one"),
    ] {
        refused(frame, Code::BadRequest, message);
    }
}

#[test]
fn of_what_excludes_each_other_exactly_one_is_allowed() {
    let one = "signal: exactly one of offer, answer, candidate, end_of_candidates, not 2";
    refused(r#"{"signal":{"offer":{"sdp":"v"},"answer":{"sdp":"v"}}}"#, Code::BadRequest, one);
    let both = "send: exactly one of data and bytes is allowed, not both";
    refused(r#"{"send":{"data":1,"bytes":"AA=="}}"#, Code::BadRequest, both);
}

#[test]
fn an_id_is_between_1_and_2_to_the_53_less_1() {
    refused(r#"{"id":0,"ping":{}}"#, Code::BadRequest, "id: 0 is not between 1 and 2^53-1");
    let message = "id: 9007199254740992 is not between 1 and 2^53-1";
    refused(r#"{"id":9007199254740992,"ping":{}}"#, Code::BadRequest, message);
}

#[test]
fn names_hold_no_control_characters() {
    for (frame, field) in [
        (r#"{"join":{"room":"a\nb"}}"#, "join.room"),
        (r#"{"join":{"room":"r","name":"a\u0000"}}"#, "join.name"),
        (r#"{"signal":{"to":"a\u0085","end_of_candidates":{}}}"#, "signal.to"),
        (r#"{"send":{"to":["ok","\t"],"data":1}}"#, "send.to"),
        (r#"{"join":{"room":"r","attributes":{"\u007f":""}}}"#, "join.attributes"),
    ] {
        refused(frame, Code::BadRequest, &format!("{field}: control characters are not allowed"));
    }
    assert_eq!(check(r#"{"join":{"room":"Zimmer äöü 会议"}}"#), Ok(()));
}

#[test]
fn a_passed_limit_is_named_with_the_value_found_and_the_value_allowed() {
    let x = |n: usize| "x".repeat(n);
    let list = |n: usize, item: &str| vec![item; n].join(",");
    let attributes = |n: usize| (0..n).map(|i| format!("\"a{i}\":\"\"")).collect::<Vec<_>>().join(",");
    for (frame, message) in [
        (format!(r#"{{"join":{{"room":"{}"}}}}"#, x(129)), "room_name_bytes: 129 bytes, at most 128 (join.room)"),
        (
            format!(r#"{{"join":{{"room":"r","metadata":"{}"}}}}"#, x(20_000)),
            "metadata_bytes: 20000 bytes, at most 16384 (join.metadata)",
        ),
        (
            format!(r#"{{"update":{{"room_metadata":"{}"}}}}"#, x(16_385)),
            "metadata_bytes: 16385 bytes, at most 16384 (update.room_metadata)",
        ),
        (
            format!(r#"{{"join":{{"room":"r","client":{{"version":"{}"}}}}}}"#, x(257)),
            "name_bytes: 257 bytes, at most 256 (join.client.version)",
        ),
        (
            format!(r#"{{"join":{{"room":"r","attributes":{{{}}}}}}}"#, attributes(65)),
            "attributes: 65 attributes, at most 64 (join.attributes)",
        ),
        (
            format!(r#"{{"update":{{"attributes":{{"ab":"{}"}}}}}}"#, x(16_383)),
            "attributes_bytes: 16385 bytes, at most 16384 (update.attributes)",
        ),
        (
            format!(r#"{{"publish":{{"cid":"c","kind":"video","layers":[{}]}}}}"#, list(9, "{}")),
            "layers: 9 layers, at most 8 (publish.layers)",
        ),
        (
            format!(r#"{{"publish":{{"cid":"{}","kind":"video"}}}}"#, x(300)),
            "name_bytes: 300 bytes, at most 256 (publish.cid)",
        ),
        (
            format!(r#"{{"send":{{"data":1,"to":[{}]}}}}"#, list(257, "\"a\"")),
            "recipients: 257 names, at most 256 (send.to)",
        ),
        (
            format!(r#"{{"subscribe":{{"tracks":[{}]}}}}"#, list(257, "\"a\"")),
            "recipients: 257 names, at most 256 (subscribe.tracks)",
        ),
        (format!(r#"{{"send":{{"data":1,"topic":"{}"}}}}"#, x(65)), "topic_bytes: 65 bytes, at most 64 (send.topic)"),
        (
            format!(r#"{{"send":{{"data":{}1{}}}}}"#, "[".repeat(65), "]".repeat(65)),
            "json_depth: 65 levels, at most 64 (send.data)",
        ),
        (format!(r#"{{"traceparent":"{}","ping":{{}}}}"#, x(257)), "name_bytes: 257 bytes, at most 256 (traceparent)"),
        (
            format!(r#"{{"signal":{{"candidate":{{"candidate":"c","sdpMid":"{}"}}}}}}"#, x(257)),
            "name_bytes: 257 bytes, at most 256 (signal.candidate.sdp_mid)",
        ),
    ] {
        refused(&frame, Code::LimitExceeded, &format!("limits.{message}"));
    }
}

#[test]
fn what_is_exactly_at_a_limit_passes() {
    let deep = format!(r#"{{"send":{{"data":{}1{}}}}}"#, "[".repeat(64), "]".repeat(64));
    let wide = format!(r#"{{"send":{{"data":[{}]}}}}"#, vec!["{}"; 5_000].join(","));
    let text = format!(r#"{{"send":{{"data":"{}\"{}"}}}}"#, "[".repeat(500), "{".repeat(500));
    let room = format!(r#"{{"join":{{"room":"{}"}}}}"#, "x".repeat(128));
    for frame in [deep, wide, text, room] {
        assert_eq!(check(&frame), Ok(()), "{frame:.100}");
    }
}

#[test]
fn depth_counts_nesting_and_skips_strings() {
    for (text, depth) in
        [("1", 0), ("[]", 1), ("[[],[]]", 2), (r#"{"a":[{"b":1}],"c":[]}"#, 3), (r#"["[[[[","\"[[[",{"\\":"{{{"}]"#, 2)]
    {
        assert_eq!(json_value::depth(text), depth, "{text}");
    }
}

#[test]
fn data_that_came_by_protobuf_is_one_json_value_or_refused() {
    let frame = |data: &str| ClientFrame {
        op: Some(Op::Send(v1::Send { data: Some(data.to_owned()), ..v1::Send::default() })),
        ..ClientFrame::default()
    };
    let check = |data: &str| validate(Encoding::Protobuf, &frame(data), &Limits::default());
    for data in ["{}", " [1 , 2] ", "null", "\"a\"", "12345678901234567890.00"] {
        assert_eq!(check(data), Ok(()), "{data}");
    }
    for data in ["", "{", "1 2", "{} x", "nul", "'a'", "\"\u{1}\"", "01"] {
        let refusal = check(data).expect_err(data);
        assert_eq!(refusal.code, Code::BadRequest);
        assert!(refusal.message.starts_with("send.data is not one JSON value: "), "{}", refusal.message);
    }
    let deep = check(&format!("{}{}", "[".repeat(30_000), "]".repeat(30_000))).expect_err("deep");
    assert_eq!(deep.message, "limits.json_depth: 30000 levels, at most 64 (send.data)");
}

#[test]
fn an_enum_value_of_another_version_is_refused_by_name() {
    let publish = |kind, source| ClientFrame {
        op: Some(Op::Publish(Box::new(v1::Publish { cid: "c".to_owned(), kind, source, ..v1::Publish::default() }))),
        ..ClientFrame::default()
    };
    let check = |kind, source| validate(Encoding::Protobuf, &publish(kind, source), &Limits::default());
    assert_eq!(check(1, 0), Ok(()));
    assert_eq!(check(9, 0).expect_err("kind").message, "publish.kind: 9 is not one of audio, video, data");
    assert_eq!(check(1, 9).expect_err("source").message, "publish.source: 9 is not a source of this version");
}
