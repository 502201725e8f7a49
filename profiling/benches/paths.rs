//! `make paths`: what each step of a signal's way costs, by itself: decode, guard, token, room, record, encode.
//!
//! Two seconds a step, no sockets and no threads. Criterion compares with the run before; `-- send` picks by name.

use std::{
    collections::BTreeMap,
    hint::black_box,
    time::{Duration, Instant},
};

use criterion::{BatchSize, Criterion};
use prost::Message as _;
use signalbox::{
    auth::{self, Grant, KeySet, TokenClaims},
    event::{Delivery, Event, Labels, Origin, Outcome, Scope, Signal, Stage},
    guard::{
        limits::{Bound, Rules, Slot},
        overload::{Class, Overload, OverloadSettings},
        rate::Rate,
    },
    ids::{ConnectionId, NodeId, Region, Variant},
    io::guard::{Guard, GuardSettings},
    placement::{self, NodeFact, NodeInfo, NodeLoad, Placement, Wanted},
    protocol::{
        Encoding, Limits, OpKind, decode, encode,
        v1::{self, ClientFrame, DataPush, ServerFrame, server_frame::Body},
    },
    router::{self, IceSettings, Input, Now, Opening, Output, Router},
    telemetry::{self, Telemetry},
};

/// Participants of the room.
const MEMBERS: u64 = 8;
const UNIX: Duration = Duration::from_secs(1_800_000_000);
const SECRET: &str = "secretsecretsecretsecretsecretsecret";
/// Media nodes to choose from.
const NODES: u32 = 1_000;
/// Deliveries that leave in one write.
const A_WRITE: usize = 4;

/// Frames as clients write them; the descriptions of real browsers are some 2 KiB.
fn frames() -> [(&'static str, String); 3] {
    let sdp = "a=candidate:1 1 udp 2122260223 192.0.2.1 54321 typ host generation 0\\r\\n".repeat(28);
    let client = r#"{"sdk":"web","version":"6.12.0","device":"laptop"}"#;
    let join = format!(
        r#"{{"id":1,"join":{{"room":"r1","region":"here","client":{client},"scenario":"video_call","name":"Ann","attributes":{{"seat":"3"}}}}}}"#
    );
    let send = format!(r#"{{"id":9,"send":{{"data":{{"text":"{}","at":1}},"topic":"chat"}}}}"#, "x".repeat(160));
    let signal = format!(r#"{{"id":8,"signal":{{"to":"bob","offer":{{"sdp":"v=0\r\n{sdp}"}}}}}}"#);
    [("join", join), ("send", send), ("signal", signal)]
}

fn read(text: &str) -> ClientFrame {
    decode(Encoding::Json, text.as_bytes()).expect("the frame is of the protocol")
}

fn decoding(criterion: &mut Criterion) {
    for (name, text) in frames() {
        criterion.bench_function(&format!("decode/{name}/json"), |bench| {
            bench.iter(|| decode(Encoding::Json, black_box(text.as_bytes())));
        });
        let bytes = read(&text).encode_to_vec();
        criterion.bench_function(&format!("decode/{name}/protobuf"), |bench| {
            bench.iter(|| decode(Encoding::Protobuf, black_box(&bytes)));
        });
    }
}

/// One push of the fan-out, as it is encoded once for all recipients of an encoding.
fn encoding(criterion: &mut Criterion) {
    let data = format!(r#"{{"text":"{}","at":1}}"#, "x".repeat(160));
    let push = DataPush {
        from: "participant-1".to_owned(),
        data: Some(data),
        topic: "chat".to_owned(),
        offset: Some(123_456),
        ..DataPush::default()
    };
    let frame = ServerFrame { id: None, body: Some(Body::Data(push)) };
    for (name, encoding) in [("json", Encoding::Json), ("protobuf", Encoding::Protobuf)] {
        criterion.bench_function(&format!("encode/fanout/{name}"), |bench| {
            bench.iter(|| encode(encoding, black_box(&frame)));
        });
    }
}

fn token(criterion: &mut Criterion) {
    let settings = auth::Settings::default().with_secret("devkey", SECRET);
    let keys = KeySet::new(&settings).expect("the key is long enough");
    let claims = TokenClaims::join("r1", "ann").expires_at(UNIX.as_secs() + 600).name("Ann");
    let token = auth::mint("devkey", SECRET, &claims).expect("a secret signs");
    let now = UNIX.as_millis() as u64;
    auth::verify(&token, &keys, now).expect("the token is good");
    criterion.bench_function("token/verify/hs256", |bench| {
        bench.iter(|| auth::verify(black_box(&token), &keys, now));
    });
}

fn settings() -> router::Settings {
    router::Settings {
        keeping: None,
        limits: Limits::default(),
        auto_create: true,
        empty_timeout: Duration::from_secs(30),
        participants_max: 100,
        rooms_max: 100,
        sessions_max: 1_000,
        history_events: 1_000,
        history_age: Duration::from_secs(60),
        history_bytes: 1 << 20,
        linger: Duration::from_secs(20),
        held_pushes: 64,
        held_bytes: 1 << 18,
        replies: 16,
        snapshot_part: 50,
        signal_timeout: Duration::from_millis(150),
        placement: placement::Settings::default(),
        tells_of_nodes: true,
        ping: Duration::from_secs(15),
        enforce_expiry: true,
        expiry_notice: Duration::from_secs(60),
        region: "here".to_owned(),
        ice: IceSettings::default(),
        resume_secret: vec![7; 32],
        seed: 1,
        reconnect_url: String::new(),
    }
}

/// A participant of that number asks to join.
fn open(number: u64) -> Input {
    let permissions = v1::Permissions {
        can_publish: true,
        can_subscribe: true,
        can_publish_data: true,
        ..v1::Permissions::default()
    };
    let grant = Grant {
        key: "devkey".to_owned(),
        identity: format!("participant-{number}").into(),
        name: "Ann".to_owned(),
        metadata: String::new(),
        attributes: BTreeMap::new(),
        room: None,
        room_join: true,
        room_create: false,
        room_list: false,
        permissions,
        expires_at_ms: Some(UNIX.as_millis() as u64 + 600_000),
    };
    let join = Box::new(v1::Join { room: "r1".to_owned(), ..v1::Join::default() });
    Input::Open {
        connection: ConnectionId(number),
        grant: Box::new(grant),
        id: Some(1),
        opening: Opening::Join(join),
        labels: Labels::default(),
        variant: Variant::default(),
    }
}

/// A router whose one room has so many participants.
fn room_of(members: u64, now: Now) -> Router {
    let (mut router, mut out) = (Router::new(settings()), Vec::new());
    for number in 1..=members {
        router.handle(open(number), now, &mut out);
    }
    assert_eq!(router.participants() as u64, members, "all of them are let in");
    router
}

fn handled(router: &mut Router, input: Input, now: Now) -> Vec<Output> {
    let mut out = Vec::with_capacity(8);
    router.handle(input, now, &mut out);
    out
}

fn fan_out(criterion: &mut Criterion) {
    let now = Now { at: Instant::now(), unix_ms: UNIX.as_millis() as u64 };
    let [_, (_, send), (_, signal)] = frames();
    let unasked = |text: &str| ClientFrame { id: None, ..read(text) };
    let (send, signal) = (unasked(&send), unasked(&signal.replace("\"bob\"", "\"participant-2\"")));
    for (name, frame) in [("send", send), ("signal", signal)] {
        let mut router = room_of(MEMBERS, now);
        let input = || Input::Frame { connection: ConnectionId(1), frame: Box::new(frame.clone()), grant: None };
        let out = handled(&mut router, input(), now);
        assert!(out.iter().any(|output| matches!(output, Output::Ended(Outcome::Ok))), "it is let through: {out:?}");
        criterion.bench_function(&format!("room of {MEMBERS}/{name}"), |bench| {
            bench.iter_batched(input, |input| handled(&mut router, input, now), BatchSize::SmallInput);
        });
    }
    criterion.bench_function(&format!("room of {MEMBERS}/join"), |bench| {
        let before = || (room_of(MEMBERS - 1, now), Some(open(MEMBERS)));
        bench.iter_batched_ref(
            before,
            |(router, input)| input.take().map(|input| handled(router, input, now)),
            BatchSize::SmallInput,
        );
    });
}

/// One choice among a thousand nodes of four regions, all of which report now and then.
fn placing(criterion: &mut Criterion) {
    let now = Instant::now();
    for policy in [placement::Policy::Weighted, placement::Policy::TwoChoices] {
        let settings = placement::Settings { policy, ..placement::Settings::default() };
        let mut placement = Placement::new(settings, 7);
        for number in 0..NODES {
            let id = NodeId::from(format!("n{number}"));
            let region = Region::from(format!("region-{}", number % 4));
            let info = NodeInfo {
                id: id.clone(),
                region,
                variant: Variant::default(),
                public_url: String::new(),
                base_weight: 10,
            };
            let cpu_percent = f64::from(number % 90);
            let load = NodeLoad { cpu_percent, memory_percent: 30.0, loss: 0.0, draining: false };
            for fact in [
                NodeFact::Known(info),
                NodeFact::RoundTrip { node: id.clone(), rtt: Duration::from_millis(u64::from(number % 50)) },
                NodeFact::Reported { node: id, load },
            ] {
                placement.take(fact, now, &mut Vec::new());
            }
        }
        let home = Wanted { region: Region::from("region-1"), variant: Variant::default() };
        let elsewhere = Wanted { region: Region::from("far away"), variant: Variant::default() };
        for (name, wanted) in [("home", home), ("spill over", elsewhere)] {
            criterion.bench_function(&format!("place/{NODES} nodes/{}/{name}", policy.name()), |bench| {
                bench.iter(|| placement.choose(black_box(&wanted), now));
            });
        }
        let mut changes = Vec::new();
        let report = NodeFact::Reported {
            node: NodeId::from("n7"),
            load: NodeLoad { cpu_percent: 50.0, memory_percent: 30.0, loss: 0.0, draining: false },
        };
        criterion.bench_function(&format!("place/{NODES} nodes/{}/a report", policy.name()), |bench| {
            bench.iter(|| placement.take(black_box(report.clone()), now, &mut changes));
        });
    }
}

fn recording(criterion: &mut Criterion) {
    let started = Instant::now();
    let telemetry = Telemetry::new(telemetry::Settings {
        version: "1".to_owned(),
        instance_id: "bench".to_owned(),
        shards: 2,
        inbox_bound: 1_024,
        region: "here".to_owned(),
        regions: Vec::new(),
        measures: true,
        traces_waiting_max: 4_096,
        head_rate: 0.0,
        config_hash: 0,
        started,
        started_unix: UNIX,
    });
    let mut signal = Box::new(Signal::new(OpKind::Send, started));
    for (stage, micros) in [(Stage::Decode, 20), (Stage::Admit, 40), (Stage::Handle, 60), (Stage::Reply, 80)] {
        signal.timeline.end(stage, started + Duration::from_micros(micros));
    }
    let delivery = Delivery { op: OpKind::Send, received_ns: 0, handled_after_us: 60 };
    let (origin, at) = (Origin::default(), started + Duration::from_micros(300));
    for (name, event) in [
        ("signal", Event::SignalEnded { signal, outcome: Outcome::Ok }),
        ("write of 4 deliveries", Event::Delivered { deliveries: vec![delivery; A_WRITE], others: 0 }),
    ] {
        criterion.bench_function(&format!("record/{name}"), |bench| {
            bench.iter(|| telemetry.observe_from(black_box(&event), &origin, at));
        });
    }
}

/// What the guard decides of one signal at the door: by the limits of the defaults, and when every limit that there is
/// holds; and of one in front of a shard.
fn guarding(criterion: &mut Criterion) {
    let bound =
        || Bound { rate: Some(Rate::new(1_000_000, Duration::from_millis(1), 1_000_000)), at_once: Some(1_000) };
    let of_user = move |slot, scope| match (slot, scope) {
        (Slot::Any, Scope::User) => bound(),
        _ => Bound::default(),
    };
    for (name, rules) in [("defaults", Rules::new(of_user)), ("all eight limits", Rules::new(|_, _| bound()))] {
        let guard = Guard::new(GuardSettings { rules, cells: 1_000, of_the_fleet: Vec::new() });
        let begun = Instant::now();
        let door = guard.knock([192, 0, 2, 1].into(), begun).expect("the limits are high");
        let entered = guard.enter(door, ("devkey", "ann"), begun).expect("the limits are high");
        let mut at = begun;
        criterion.bench_function(&format!("guard/{name}"), |bench| {
            bench.iter(|| {
                at += Duration::from_micros(10);
                guard.signal(black_box(&entered.scopes), OpKind::Send, at).expect("the limits are high")
            });
        });
    }
    let settings = OverloadSettings { joins: Duration::from_millis(20), signals: Duration::from_millis(40) };
    let (mut queue, mut at) = (Overload::default(), Instant::now());
    criterion.bench_function("guard/queue of a shard", |bench| {
        bench.iter(|| {
            at += Duration::from_micros(10);
            let came = at - Duration::from_micros(50);
            let change = queue.took(came, at, settings);
            queue.works(at);
            (change, queue.sheds(Class::Established, at - came, settings))
        });
    });
}

fn main() {
    let mut criterion = Criterion::default()
        .sample_size(30)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2))
        .configure_from_args();
    for steps in [decoding, guarding, token, fan_out, placing, recording, encoding] {
        steps(&mut criterion);
    }
    criterion.final_summary();
}
