use std::collections::BTreeMap;

use proptest::{collection::vec, option::of, prelude::*};

use super::*;
use crate::protocol::v1::{self, client_frame::Op};

const WORD: &str = "\\PC{0,12}";

fn candidate() -> impl Strategy<Value = v1::Candidate> {
    (WORD, of(WORD), of(any::<u32>()), of(WORD)).prop_map(
        |(candidate, sdp_mid, sdp_m_line_index, username_fragment)| v1::Candidate {
            candidate,
            sdp_mid,
            sdp_m_line_index,
            username_fragment,
        },
    )
}

fn description() -> impl Strategy<Value = v1::SessionDescription> {
    (WORD, any::<bool>()).prop_map(|(sdp, ice_restart)| v1::SessionDescription { sdp, ice_restart })
}

fn layer() -> impl Strategy<Value = v1::Layer> {
    (WORD, any::<[u32; 4]>()).prop_map(|(rid, [width_px, height_px, bitrate_bps, frames_per_second])| v1::Layer {
        rid,
        width_px,
        height_px,
        bitrate_bps,
        frames_per_second,
    })
}

/// JSON values as clients write them: spaces, key order, numbers beyond doubles, escapes, `null`.
fn json_text() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("null".to_owned()),
        Just("123456789012345678901234567890".to_owned()),
        Just("1.50e+3".to_owned()),
        Just(r#""\u00e9\/\ud83d\ude00\n""#.to_owned()),
        WORD.prop_map(|text| serde_json::to_string(&text).unwrap()),
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..3).prop_map(|items| format!("[{}]", items.join(" ,\n"))),
            (inner.clone(), inner).prop_map(|(b, a)| format!("{{ \"z\" : {b},\"a\":{a} }}")),
        ]
    })
}

fn join() -> impl Strategy<Value = Op> {
    let client = (WORD, WORD, WORD).prop_map(|(sdk, version, device)| v1::ClientInfo { sdk, version, device });
    let texts = (WORD, WORD, WORD, WORD, WORD);
    (texts, of(client), any::<u32>(), attributes(), of(any::<bool>())).prop_map(
        |((room, region, scenario, name, metadata), client, protocol, attributes, auto_subscribe)| {
            Op::Join(Box::new(v1::Join {
                room,
                region,
                client,
                scenario,
                protocol,
                name,
                metadata,
                attributes,
                auto_subscribe,
            }))
        },
    )
}

fn attributes() -> impl Strategy<Value = BTreeMap<String, String>> {
    proptest::collection::btree_map(WORD, WORD, 0..3)
}

fn publish() -> impl Strategy<Value = Op> {
    (WORD, 0..4_i32, 0..6_i32, WORD, WORD, vec(layer(), 0..3), any::<bool>()).prop_map(
        |(cid, kind, source, name, codec, layers, muted)| {
            Op::Publish(Box::new(v1::Publish { cid, kind, source, name, codec, layers, muted }))
        },
    )
}

fn signal() -> impl Strategy<Value = Op> {
    let end = of(WORD).prop_map(|sdp_mid| v1::EndOfCandidates { sdp_mid });
    (WORD, of(description()), of(description()), of(candidate()), of(end)).prop_map(
        |(to, offer, answer, candidate, end_of_candidates)| {
            Op::Signal(v1::Signal { to, offer, answer, candidate, end_of_candidates })
        },
    )
}

fn send() -> impl Strategy<Value = Op> {
    (vec(WORD, 0..3), of(json_text()), of(vec(any::<u8>(), 0..9)), WORD)
        .prop_map(|(to, data, bytes, topic)| Op::Send(v1::Send { to, data, bytes: bytes.map(Bytes::from), topic }))
}

fn update() -> impl Strategy<Value = Op> {
    (WORD, of(WORD), of(WORD), attributes(), of(WORD)).prop_map(|(token, name, metadata, attributes, room_metadata)| {
        Op::Update(Box::new(v1::Update { token, name, metadata, attributes, room_metadata }))
    })
}

fn op() -> impl Strategy<Value = Op> {
    let resume = (WORD, WORD, any::<u64>(), any::<u64>())
        .prop_map(|(resume_token, epoch, offset, seq)| Op::Resume(v1::Resume { resume_token, epoch, offset, seq }));
    let mute = (WORD, any::<bool>()).prop_map(|(track, muted)| Op::Mute(v1::Mute { track, muted }));
    let subscribe = (vec(WORD, 0..3), any::<bool>())
        .prop_map(|(tracks, subscribed)| Op::Subscribe(v1::Subscribe { tracks, subscribed }));
    let ping = (any::<u64>(), any::<u64>()).prop_map(|(seq, timestamp_ms)| Op::Ping(v1::Ping { seq, timestamp_ms }));
    prop_oneof![
        join(),
        Just(Op::Leave(v1::Leave {})),
        resume,
        publish(),
        WORD.prop_map(|track| Op::Unpublish(v1::Unpublish { track })),
        mute,
        subscribe,
        signal(),
        send(),
        update(),
        ping,
    ]
}

fn client_frame() -> impl Strategy<Value = ClientFrame> {
    (of(any::<u64>()), WORD, op()).prop_map(|(id, traceparent, op)| ClientFrame { id, traceparent, op: Some(op) })
}

fn data_push() -> impl Strategy<Value = v1::DataPush> {
    let payload = (of(json_text()), of(vec(any::<u8>(), 0..9)));
    (WORD, payload, WORD, of(any::<u64>()), of(any::<u64>())).prop_map(|(from, (data, bytes), topic, offset, seq)| {
        v1::DataPush { from, data, bytes: bytes.map(Bytes::from), topic, offset, seq }
    })
}

proptest! {
    // a failing input is printed small and becomes a named test; no seeds are kept in files
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_op_survives_a_round_trip_in_json(frame in client_frame()) {
        let text = serde_json::to_vec(&frame).unwrap();
        prop_assert_eq!(decode(Encoding::Json, &text), Ok(frame));
    }

    #[test]
    fn every_op_survives_a_round_trip_in_protobuf(frame in client_frame()) {
        prop_assert_eq!(decode(Encoding::Protobuf, &frame.encode_to_vec()), Ok(frame));
    }

    #[test]
    fn data_passes_byte_for_byte(data in json_text()) {
        let frame = decode(Encoding::Json, format!(r#"{{"send":{{"data": {data} }}}}"#).as_bytes()).unwrap();
        let Some(Op::Send(send)) = frame.op else { panic!("another op") };
        prop_assert_eq!(send.data.as_deref(), Some(data.as_str()));
        let push = v1::DataPush { from: "a".to_owned(), data: send.data, ..v1::DataPush::default() };
        let out = encode(Encoding::Json, &ServerFrame { id: None, body: Some(Body::Data(push)) });
        let expected = format!(r#"{{"data":{{"from":"a","data":{data}}}}}"#);
        prop_assert_eq!(&out[..], expected.as_bytes());
    }

    #[test]
    fn the_data_push_written_by_hand_is_what_serde_writes(push in data_push()) {
        let frame = ServerFrame { id: None, body: Some(Body::Data(push)) };
        let by_hand = encode(Encoding::Json, &frame);
        let by_serde = serde_json::to_vec(&frame).unwrap();
        prop_assert_eq!(String::from_utf8_lossy(&by_hand), String::from_utf8_lossy(&by_serde));
    }

    #[test]
    fn no_bytes_make_a_decoder_panic(bytes in vec(any::<u8>(), 0..200)) {
        for encoding in [Encoding::Json, Encoding::Protobuf] {
            decode(encoding, &bytes).ok();
            id_of_broken(encoding, &bytes);
        }
    }
}

fn op_of(json: &str) -> Op {
    decode(Encoding::Json, json.as_bytes()).unwrap_or_else(|e| panic!("{json}: {e}")).op.unwrap()
}

#[track_caller]
fn broken(json: &str, parts: &[&str]) {
    let refusal = decode(Encoding::Json, json.as_bytes()).expect_err(json);
    assert_eq!(refusal.code, Code::BadRequest);
    for part in parts {
        assert!(refusal.message.contains(part), "`{}` lacks `{part}`", refusal.message);
    }
}

#[test]
fn a_candidate_takes_the_names_of_the_w3c_too() {
    let w3c = r#"{"signal":{"candidate":{"candidate":"c","sdpMid":"0","sdpMLineIndex":1,"usernameFragment":"u"}}}"#;
    let ours =
        r#"{"signal":{"candidate":{"candidate":"c","sdp_mid":"0","sdp_m_line_index":1,"username_fragment":"u"}}}"#;
    assert_eq!(op_of(w3c), op_of(ours));
    let Op::Signal(v1::Signal { candidate: Some(candidate), .. }) = op_of(w3c) else { panic!("another op") };
    assert_eq!(candidate.sdp_m_line_index, Some(1));
    assert_eq!(serde_json::to_value(&candidate).unwrap()["sdp_mid"], "0");
}

#[test]
fn enums_travel_in_lower_case_without_their_prefix() {
    let Op::Publish(publish) = op_of(r#"{"publish":{"cid":"c","kind":"video","source":"screen_share_audio"}}"#) else {
        panic!("another op")
    };
    assert_eq!((publish.kind(), publish.source()), (v1::TrackKind::Video, v1::TrackSource::ScreenShareAudio));
    let text = serde_json::to_string(&publish).unwrap();
    assert!(text.contains(r#""kind":"video""#) && text.contains(r#""source":"screen_share_audio""#), "{text}");
    let allowed = "`smell` is not one of audio, video, data";
    broken(r#"{"publish":{"cid":"c","kind":"smell"}}"#, &["publish.kind", allowed]);
    broken(r#"{"publish":{"cid":"c","kind":1}}"#, &["publish.kind", "expected a string"]);
}

#[test]
fn unknown_fields_are_ignored_at_every_level() {
    let frame = r#"{"future":[{"a":1}],"id":7,"send":{"data":[1],"later":{"x":null}},"more":"y"}"#;
    let frame = decode(Encoding::Json, frame.as_bytes()).unwrap();
    assert_eq!(frame.id, Some(7));
    assert!(matches!(frame.op, Some(Op::Send(v1::Send { data: Some(data), .. })) if data == "[1]"));
    let mut bytes = ClientFrame { op: Some(Op::Leave(v1::Leave {})), ..ClientFrame::default() }.encode_to_vec();
    bytes.extend_from_slice(&[0xf8, 0x07, 0x05]); // field 127, a number
    assert!(decode(Encoding::Protobuf, &bytes).is_ok());
}

#[test]
fn an_unknown_op_is_named_and_the_known_ones_are_listed() {
    broken(r#"{"id":1,"dance":{}}"#, &["unknown op `dance`", "allowed: join leave resume publish"]);
    broken(r#"{"id":1}"#, &["no op", "send update ping"]);
    broken(r#"{"join":{"room":"r"},"leave":{}}"#, &["more than one op in one frame"]);
    let refusal = decode(Encoding::Protobuf, &[0xf8, 0x07, 0x05]).expect_err("no op");
    assert!(refusal.message.contains("unknown op or none"), "{refusal}");
}

#[test]
fn a_mistake_is_answered_with_its_place() {
    broken(r#"{"send":{"data":{"a":[1]},"to":5}}"#, &["`send.to`", "expected a sequence"]);
    broken(r#"{"join":{"room":7}}"#, &["`join.room`", "expected a string"]);
    broken(r#"{"id":-1,"ping":{}}"#, &["`id`", "expected u64"]);
    broken(r#"{"signal":{"candidate":{"candidate":"c","sdpMLineIndex":"x"}}}"#, &["signal.candidate.sdpMLineIndex"]);
    broken(r#"{"send":{"bytes":"%%"}}"#, &["`send.bytes`", "not base64"]);
    broken(r#"{"join":"#, &["EOF"]);
    broken(r#"[]"#, &["expected a frame (a JSON object)"]);
    broken(r#"{"ping":{}} {}"#, &["characters after the frame's end"]);
    broken("", &["EOF"]);
}

#[test]
fn a_mistake_is_answered_without_the_value_that_was_wrong() {
    for frame in [
        r#"{"join":"SECRET, expected nothing"}"#,
        r#"{"id":"SECRET","ping":{}}"#,
        r#"{"update":{"token":"x","attributes":"SECRET"}}"#,
        r#"{"send":{"bytes":"SECRET!"}}"#,
    ] {
        let refusal = decode(Encoding::Json, frame.as_bytes()).expect_err(frame);
        assert!(!refusal.message.contains("SECRET"), "{refusal}");
        assert!(refusal.message.starts_with("broken JSON frame at `"), "{refusal}");
    }
    let long = format!(r#"{{"publish":{{"kind":"{}"}}}}"#, "k".repeat(60_000));
    assert!(decode(Encoding::Json, long.as_bytes()).expect_err("long").message.len() < 400);
}

#[test]
fn the_id_of_a_broken_frame_is_made_out_where_it_can_be() {
    assert_eq!(id_of_broken(Encoding::Json, br#"{"id":5,"dance":{}}"#), Some(5));
    assert_eq!(id_of_broken(Encoding::Json, br#"{"id":5,"join":"#), None);
    assert_eq!(id_of_broken(Encoding::Protobuf, &[0x08, 0x05]), Some(5));
    assert_eq!(id_of_broken(Encoding::Protobuf, &[0x08, 0x05, 0x52, 0x7f, 0x00]), Some(5));
    assert_eq!(id_of_broken(Encoding::Protobuf, &[0xff]), None);
}

#[test]
fn numbers_and_booleans_are_written_even_when_they_are_zero() {
    let pong = ServerFrame { id: Some(3), body: Some(Body::Pong(v1::Pong { timestamp_ms: 0, server_time_ms: 0 })) };
    let text = encode(Encoding::Json, &pong);
    assert_eq!(&text[..], br#"{"id":3,"pong":{"timestamp_ms":0,"server_time_ms":0}}"#);
    let track = serde_json::to_string(&v1::Track::default()).unwrap();
    assert!(track.contains(r#""muted":false"#), "{track}");
}

#[test]
fn invalid_utf8_is_refused_in_both_encodings() {
    let json = b"{\"send\":{\"data\":\"\xff\"}}";
    assert_eq!(decode(Encoding::Json, json).expect_err("json").code, Code::BadRequest);
    let mut frame =
        ClientFrame { op: Some(Op::Unpublish(v1::Unpublish { track: "zz".to_owned() })), ..Default::default() }
            .encode_to_vec();
    let place = frame.iter().position(|b| *b == b'z').unwrap();
    frame[place] = 0xff;
    assert_eq!(decode(Encoding::Protobuf, &frame).expect_err("protobuf").code, Code::BadRequest);
}
